"""Segmented regeneration: joined, exact, resumed; with a generator of numbers that jumps."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pacings import Jumper, measure, measured, numbers, pictures, shown

from spf.errors import ClipError
from spf.generators.counts import Counts
from spf.generators.tiny.adapter import Tiny
from spf.pacing.regeneration import (
    Regenerate,
    Regeneration,
    regenerate,
)
from spf.pacing.targets import EaseIn
from spf.progress import Curve, fit
from spf.video import Sampling, write_png

UNEVEN = np.concatenate(
    [np.linspace(0, 0.1, 12), np.linspace(0.3, 0.9, 5), np.linspace(0.92, 1, 8)]
)
SOURCE = pictures(UNEVEN)
CURVE = measured(SOURCE)
FINE = Regenerate(cuts="bridge", penalty=1e-3)


@pytest.fixture(autouse=True)
def _workplace(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `made` keeps segments unless a test names a folder."""
    monkeypatch.chdir(tmp_path_factory.mktemp("segments"))


def made(generator: Any = None, **more: Any) -> Regeneration:
    given = {"source": SOURCE, "curve": CURVE, "settings": FINE} | more
    given.setdefault("folder", tempfile.mkdtemp(dir="."))
    return regenerate(generator=generator or Jumper(), measure=measure, **given)


def test_the_retimed_clip_is_even_where_plain_regeneration_jumps() -> None:
    done = made()
    scores = done.scores()
    assert list(scores) == ["before", "plain", "retimed"]
    before, plain, retimed = (row["linearity_mae"] for row in scores.values())
    assert before == pytest.approx(0.2, abs=0.1)
    assert retimed < 0.25 * plain < 0.25 * before
    assert scores["retimed"]["target_mae"] == pytest.approx(retimed)
    assert done.best is done.retimed
    assert len(done.plan.pieces) > 2


def test_pieces_share_their_keyframes_and_none_is_doubled() -> None:
    done = made()
    p = numbers(shown(done.best))
    assert (np.diff(p) > 0).all()
    assert set(np.round(UNEVEN[done.plan.keyframes], 4)) <= set(np.round(p, 4))
    assert [p[0], p[-1]] == [0, 1]


def test_every_total_is_exact_through_generation_and_time_map() -> None:
    generator = Jumper(Counts(4, 5, 33))
    settings = Regenerate(cuts="bridge", strategy="none", method="nearest")
    for count in [*range(2, 40), 97, 128, 200]:
        done = made(generator, settings=settings, num_frames=count)
        assert len(shown(done.best)) == count
        assert done.retimed is None
        if not done.plan.shots[0].exact:
            assert any("time map: the generator makes 4n + 1" in note for note in done.notes)


def test_a_target_is_met() -> None:
    done = made(target=EaseIn(), num_frames=41)
    u = np.linspace(0, 1, 41)
    assert np.abs(numbers(shown(done.best)) - u**2).mean() < 0.02
    assert done.best.target_mae < 0.02 < done.plain.target_mae


def test_sampling_of_the_source_is_that_of_its_curve(tmp_path: Path) -> None:
    write_png(tmp_path / "clip", SOURCE.repeat(2, axis=0))
    one, other = made(), made(source=tmp_path / "clip", sampling=Sampling(stride=2))
    assert np.array_equal(shown(one.best), shown(other.best))


@pytest.mark.parametrize("change", [slice(0, -1), [*range(25), 24]])
def test_a_source_of_another_length_is_refused(change: Any, tmp_path: Path) -> None:
    frames = SOURCE[change]
    write_png(tmp_path / "clip", frames)
    for source in (frames, tmp_path / "clip"):
        with pytest.raises(ClipError, match=rf"it has {len(frames)} frames, its curve 25; measure"):
            made(source=source)


def test_a_generator_without_a_clock_is_used_plainly_and_it_is_said() -> None:
    done = made(Jumper(steers=False))
    assert done.retimed is None
    assert "plain regeneration: jumper has no clock to steer" in done.notes
    assert list(done.scores()) == ["before", "plain"]


# Cuts

SHOTS = np.concatenate([np.linspace(0, 0.1, 14), np.linspace(0.7, 1.0, 16)])
CUT_CURVE = measured(pictures(SHOTS))


@pytest.mark.parametrize("strategy", [None, "none"])
def test_a_kept_cut_stays_and_nothing_is_generated_across_it(strategy: str | None) -> None:
    settings = Regenerate(cuts="keep", strategy=strategy)
    done = made(source=pictures(SHOTS), curve=CUT_CURVE, settings=settings, num_frames=40)
    assert done.plan.cuts == (14,)
    p = numbers(shown(done.best))
    assert len(p) == 40
    assert not ((p > 0.11) & (p < 0.69)).any()
    assert (p < 0.5).sum() == pytest.approx(10, abs=1)  # a quarter of what changes in the shots


# Resumption


def test_finished_segments_are_found_again_after_an_interruption(tmp_path: Path) -> None:
    uninterrupted = Jumper()
    whole = made(uninterrupted)
    assert (whole.best.fps, made(fps=30).best.fps) == (8, 30)
    first = Jumper(fail_at=len(uninterrupted.calls))
    with pytest.raises(KeyboardInterrupt):
        made(first, folder=tmp_path)
    again = Jumper()
    resumed = made(again, folder=tmp_path)
    assert len(again.calls) == 1
    assert np.array_equal(shown(resumed.best), shown(whole.best))
    third = Jumper()
    made(third, folder=tmp_path)
    assert third.calls == []


@pytest.mark.parametrize(
    "change", [{"settings": Regenerate("bridge", 1e-3, seed=1)}, {"fps": 5.0}, {"num_frames": 31}]
)
def test_other_settings_are_generated_anew(change: dict[str, Any], tmp_path: Path) -> None:
    made(folder=tmp_path)
    other = Jumper()
    made(other, folder=tmp_path, **change)
    assert other.calls


def test_a_damaged_segment_is_generated_again(tmp_path: Path) -> None:
    done = made(folder=tmp_path)
    file = sorted(tmp_path.iterdir())[0]
    file.write_bytes(file.read_bytes()[:-40])
    again = Jumper()
    resumed = made(again, folder=tmp_path)
    assert len(again.calls) == 1
    assert np.array_equal(shown(resumed.best), shown(done.best))


# What cannot be


# The shipped generator


@pytest.mark.slow
def test_the_shipped_generator_makes_jump_clips_twice_as_even() -> None:
    """Held-out pairs drawn with an abrupt law, judged by the renderer's own parameter."""
    from synthetic.laws import law
    from synthetic.morph_pairs import HELD_OUT_PAIRS
    from synthetic.oracle import RenderOracle

    jump = law("sigmoid_jump", steepness=60).g(np.linspace(0, 1, 24))
    gains, plain = [], []
    for content, seed in HELD_OUT_PAIRS[:3]:
        paint = content.painter((32, 32), seed=seed)
        oracle = RenderOracle(paint)

        def true_curve(frames: Iterator, oracle: RenderOracle = oracle) -> Curve:
            p = 1.2 * oracle.parameter(np.stack([image for image, _ in frames]))
            return fit(np.stack([np.cos(p), np.sin(p)], axis=1))

        source = np.stack([paint(float(p)) for p in jump])
        curve = true_curve(zip(source, range(24), strict=True))
        settings = Regenerate("bridge")
        done = regenerate(source, curve, Tiny(), true_curve, content.name, settings=settings)
        scores = done.scores()
        before = scores["before"]["linearity_mae"]
        gains.append(before / scores["retimed"]["linearity_mae"])
        plain.append(before / scores["plain"]["linearity_mae"])
        assert len(shown(done.best)) == 24
    assert np.median(gains) >= 2
    assert np.median(gains) > np.median(plain)
