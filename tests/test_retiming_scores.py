"""What retimed clips are judged by, and the sentences that are made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import spf
from benchmarks.pairs import Pair, load_pairs
from benchmarks.retiming_scores import clip_times, judge, oracle_curve, true_pacing
from benchmarks.retiming_tables import sentences
from spf.generators.base import GeneratedClip
from spf.measurement import DEFAULT_SETTINGS
from spf.retime.targets import Linear


def test_true_pacing_of_known_parameters() -> None:
    times = np.arange(5) / 4.0
    even = true_pacing(np.linspace(0.1, 0.9, 5), times, Linear())
    assert even["true_linearity_mae"] == pytest.approx(0.0, abs=1e-12)
    assert even["true_peak_step"] == pytest.approx(1.0)
    jump = true_pacing(np.array([0.2, 0.2, 0.2, 0.8, 0.8]), times, Linear())
    # |q - u|: triangles below and above the diagonal, which the jump crosses between.
    fine = np.linspace(0, 1, 20001)
    line = np.interp(fine, times, [0, 0, 0, 1, 1])
    assert jump["true_linearity_mae"] == pytest.approx(np.abs(line - fine).mean(), abs=1e-4)
    assert jump["true_peak_step"] == pytest.approx(4.0)
    assert jump["true_target_mae"] == jump["true_linearity_mae"]
    assert all(np.isnan(list(true_pacing(np.full(5, 0.4), times, Linear()).values())))


def clip_at(pair: Pair, shares: Any) -> GeneratedClip:
    assert pair.painter is not None
    return GeneratedClip(np.stack([pair.painter(float(p)) for p in shares]), 8.0)


@pytest.fixture(scope="module")
def pair() -> Pair:
    return load_pairs("procedural", (32, 32))[0]


def test_the_oracles_curve_follows_the_renderer(pair: Pair) -> None:
    shares = np.linspace(0, 1, 17)
    even = oracle_curve(pair, clip_at(pair, shares), DEFAULT_SETTINGS)
    assert spf.score(even)["linearity_mae"] < 0.01
    assert even.total_change == pytest.approx(1.2, rel=0.05)
    slow = oracle_curve(pair, clip_at(pair, shares**2), DEFAULT_SETTINGS)
    assert np.abs(slow.progress - shares**2).max() < 0.03


def test_frames_are_judged(pair: Pair) -> None:
    shares = np.repeat(np.linspace(0, 1, 5), 2)
    clip = clip_at(pair, shares)
    found = judge(pair, clip, Linear())
    assert found["repeated_frames"] == pytest.approx(5 / 9)
    assert found["end_mse"] == 0.0
    assert found["residual"] < 1e-6
    assert len(clip_times(clip)) == 10
    ghost = clip.frames.copy()
    ghost[5] = ghost[0] // 2 + ghost[9] // 2
    ghost[-1] = 255 - ghost[-1]
    blended = judge(pair, GeneratedClip(ghost, 8.0), Linear())
    assert blended["residual"] > 1e-4
    assert blended["end_mse"] > 0.01


def rows(difference: float, control: float) -> Iterator[dict[str, Any]]:
    for strategy, change in (("none", 0.0), ("rope", difference), ("wrong_map", control)):
        yield {
            "strategy": strategy,
            "measure": "m",
            "before_linearity_mae": 0.2,
            "linearity_mae": 0.2 + change,
            "difference": change,
            "better": "2 of 3",
            "before_true_linearity_mae": 0.25,
            "true_linearity_mae": 0.31,
        }


def test_sentences_turn_with_the_sign() -> None:
    good = " ".join(sentences(list(rows(-0.1, 0.1)), "m", "linearity_mae"))
    assert "rope lowers it most: median linearity_mae 0.200 before, 0.100 after" in good
    assert "2 of 3 pairs better; by the renderer's parameter 0.250 before, 0.310 after." in good
    assert "0.300 against 0.200 before, worse, so the map matters" in good
    bad = " ".join(sentences(list(rows(0.1, -0.1)), "m", "linearity_mae"))
    assert "no strategy lowers it" in bad
    assert "does NOT matter" in bad
