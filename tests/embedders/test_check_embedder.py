"""A second embedder looks at what was retimed by the first one."""

from __future__ import annotations

import json
from pathlib import Path

import harness
import numpy as np
import pytest
from pacings import curve_of

import spf
from spf.cli import main
from spf.embedders import DEFAULT_EMBEDDER, EMBEDDERS, check_embedder, load_embedder
from spf.errors import ConfigError
from spf.pacing.check import CHECKING
from spf.progress.agreement import disagreements

U = np.linspace(0, 1, 101)


def test_even_curves_agree_and_so_do_equal_ones() -> None:
    for progress in (U, U**2, np.clip(2 * U - 0.5, 0, 1)):
        assert disagreements(curve_of(progress), curve_of(progress)) == []
    assert disagreements(curve_of(U), curve_of(0.9 * U + 0.1 * U**2)) == []


def test_a_stretch_that_stands_still_by_one_alone_is_named() -> None:
    """By hand: the last 30 of 100 steps hold 3% of the change, at a tenth of the mean speed."""
    still = np.interp(U, [0, 0.7, 1], [0, 0.97, 1])
    (found,) = disagreements(curve_of(U), curve_of(still))
    # Ten steps of which k lie before it hold k 0.97 / 0.7 + (10 - k) 0.1 hundredths: half of a
    # tenth up to k = 3.
    assert (found.start, found.stop) == (67, 100)
    assert (found.start_time, found.stop_time) == (67, 100)
    assert found.speeds == pytest.approx((1, (1 - still[67]) / 0.33))
    (turned,) = disagreements(curve_of(still), curve_of(U))
    assert turned.speeds == found.speeds[::-1]
    (early,) = disagreements(curve_of(U), curve_of(1 - still[::-1]))
    assert (early.start, early.stop) == (0, 33)


def test_what_stands_still_by_both_is_no_disagreement() -> None:
    one = np.interp(U, [0, 0.4, 0.6, 1], [0, 0.5, 0.5, 1])
    other = np.interp(U, [0, 0.4, 0.6, 1], [0, 0.48, 0.52, 1])  # a fifth of the mean speed
    assert disagreements(curve_of(one), curve_of(other)) == []
    assert disagreements(curve_of(0 * U), curve_of(U)) == []  # nothing to compare
    with pytest.raises(ValueError, match="101 and 50 frames"):
        disagreements(curve_of(U), curve_of(U[:50]))


def test_the_rule_gives_everyone_another_embedder() -> None:
    for word in ("tiny", "histogram", "pixels"):
        first = load_embedder(word)
        other = check_embedder("auto", first)
        assert other is not None
        assert other.name == ("histogram" if word == DEFAULT_EMBEDDER else DEFAULT_EMBEDDER)
        assert check_embedder(None, first) is check_embedder("none", first) is None
        with pytest.raises(ConfigError, match=f"embedder {word} .*cannot check itself"):
            check_embedder(word, first)
    assert DEFAULT_EMBEDDER in EMBEDDERS


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A dissolve in the first half; in the second, a last dissolve of the brightness alone, which
    the colours see and the edges do not."""
    frames = harness.dissolve(np.clip(np.linspace(0, 2, 41), 0, 1))
    fading = 1 - 0.6 * np.clip(np.linspace(-1, 1, 41), 0, 1)
    frames = [np.rint(x * share).astype(np.uint8) for x, share in zip(frames, fading, strict=True)]
    return harness.save(tmp_path / "clip.mp4", frames)


class Edges(harness.Linear):
    """Sees the contrast between the cells of a picture, whatever its brightness."""

    name = "edges"

    def prepare(self, image: np.ndarray) -> np.ndarray:
        cells = image.reshape(4, 8, 4, 8, 3).mean(axis=(1, 3)).ravel()
        return cells / np.linalg.norm(cells)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        return batch.astype(np.float32)


def test_a_result_that_stands_still_by_the_second_embedder_is_said(
    clip: Path, tmp_path: Path
) -> None:
    stages: list[str] = []
    done = spf.retime(
        clip,
        tmp_path / "out.mp4",
        embedder="pixels",
        check=Edges(),
        on_progress=lambda stage, *_: stages.append(stage),
    )
    assert done.check is not None
    assert {*CHECKING} < {*stages}
    assert list(done.check.before) == list(done.before)
    assert done.after["linearity_mae"] < 0.02 < done.check.after["linearity_mae"]
    (found,) = [one for one in done.check.disagreements if one.speeds[1] < one.speeds[0]]
    assert found.speeds[1] < 0.3
    seconds = done.curve.times
    assert found.stop_time == seconds[-1]
    assert 0.3 < found.start_time / seconds[-1] < 0.8
    assert any(f"{found.stop_time:.2f} s pass at" in line for line in done.check.lines())


def test_the_command_prints_and_writes_it(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["retime", str(clip), "--embedder", "pixels", "--out", str(tmp_path / "a.mp4")]
    assert main([*words, "--method", "nearest", "--check-embedder", "histogram"]) == 0
    said = capsys.readouterr().out
    assert "by pixels          by histogram" in said
    check = json.loads((tmp_path / "a.json").read_text())["check"]
    assert check["embedder"] == "histogram (control)"
    assert set(check["scores"]["after"]) >= {"linearity_mae", "target_mae"}
    for one in check["disagreements"]:
        assert f"{one['start_time']:.2f} to {one['stop_time']:.2f} s pass at" in said
    assert main([*words, "--method", "nearest", "--check-embedder", "none"]) == 0
    assert "by histogram" not in capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_text())["check"] is None
