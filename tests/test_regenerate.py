"""Segmented regeneration: joined, exact, resumed; with a generator of numbers that jumps."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pacings import Jumper, curve_of, measure, measured, numbers, pictures, shown

from spf.errors import ClipError, ConfigError, SpfError
from spf.generators.base import GeneratedClip, Request
from spf.generators.counts import Counts
from spf.generators.kept import Kept
from spf.generators.tiny.adapter import Tiny
from spf.pacing import regeneration
from spf.pacing.regeneration import (
    READING,
    Regenerate,
    Regeneration,
    plan_regeneration,
    regenerate,
)
from spf.pacing.targets import EaseIn
from spf.progress import Curve, fit
from spf.video import Reader, Sampling, write_png

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


def test_source_may_be_frames_or_a_path(tmp_path: Path) -> None:
    write_png(tmp_path / "clip", SOURCE)
    one, other = made(), made(source=tmp_path / "clip")
    assert np.array_equal(shown(one.best), shown(other.best))


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


def test_frames_a_second_are_given_or_the_generators() -> None:
    assert made(fps=30).best.fps == 30
    assert made().best.fps == 8


def test_a_generator_without_a_clock_is_used_plainly_and_it_is_said() -> None:
    done = made(Jumper(steers=False))
    assert done.retimed is None
    assert "plain regeneration: jumper has no clock to steer" in done.notes
    assert list(done.scores()) == ["before", "plain"]


def test_a_warp_that_does_not_help_is_not_taken() -> None:
    class Stubborn(Jumper):
        def generate(self, request: Request, warp: Any = None, watch: Any = None) -> GeneratedClip:
            return super().generate(request, None)

    done = made(Stubborn())
    assert done.retimed is not None
    assert np.array_equal(shown(done.retimed), shown(done.plain))
    count = len(done.plan.pieces)
    assert any(note.startswith(f"{count} of {count} segment(s) as plainly") for note in done.notes)


def test_a_segment_of_another_length_is_refused() -> None:
    class Longer(Jumper):
        def generate(self, request: Request, warp: Any = None, watch: Any = None) -> GeneratedClip:
            clip = super().generate(request, warp)
            return GeneratedClip(np.repeat(clip.frames, 2, axis=0), clip.fps)

    with pytest.raises(SpfError, match=r"jumper: its clip has 16 frames, not the 8 that"):
        made(Longer(), settings=Regenerate("bridge", strategy="none"))


def test_notes_of_the_generator_are_told_once() -> None:
    class Loud(Jumper):
        def generate(self, request: Request, warp: Any = None, watch: Any = None) -> GeneratedClip:
            clip = super().generate(request, warp)
            return GeneratedClip(clip.frames, clip.fps, ["frames resized"])

    assert made(Loud()).notes.count("frames resized") == 1


class Stepping(Jumper):
    """Takes three steps, and says so."""

    def generate(self, request: Request, warp: Any = None, watch: Any = None) -> GeneratedClip:
        for step in (1, 2, 3):
            watch(step, 3)
        return super().generate(request, warp)


def test_watch_is_told_of_every_step_of_every_segment(tmp_path: Path) -> None:
    """All generations of a segment are one count, which ends whether all were needed or not."""
    seen: list[tuple[str, int, int | None]] = []
    generator = Stepping()
    done = made(generator, folder=tmp_path, watch=lambda *told: seen.append(told))
    count = len(done.plan.pieces)
    most = 3 * (1 + FINE.steering.iterations)
    steps = {stage: [n for name, n, _ in seen if name == stage] for stage, _, _ in seen}
    assert list(steps) == [f"segment {number} of {count}" for number in range(1, count + 1)]
    assert {total for _, _, total in seen} == {most}
    for told in steps.values():
        assert told[:-1] == list(range(1, len(told)))
        assert told[-1] == most
    assert sum(len(told) - 1 for told in steps.values()) == 3 * len(generator.calls)
    seen.clear()
    made(Stepping(), folder=tmp_path, watch=lambda *told: seen.append(told))
    assert [stage for stage, _, _ in seen] == list(steps)  # found again, and over at once


def test_watch_is_told_of_every_frame_that_is_decoded(tmp_path: Path) -> None:
    write_png(tmp_path / "clip", SOURCE)
    seen: list[tuple[str, int, int | None]] = []
    made(source=tmp_path / "clip", watch=lambda *told: seen.append(told))
    read = [told for told in seen if told[0] == READING]
    assert read == seen[:25] == [(READING, number, 25) for number in range(1, 26)]


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


def test_a_bridged_cut_is_generated_across() -> None:
    settings = Regenerate(cuts="bridge")
    done = made(source=pictures(SHOTS), curve=CUT_CURVE, settings=settings, num_frames=40)
    assert done.plan.cuts == ()
    p = numbers(shown(done.best))
    assert ((p > 0.11) & (p < 0.69)).sum() > 15


def test_nothing_but_a_cut_is_refused_unless_bridged() -> None:
    progress = np.repeat([0.0, 1.0], 12)
    curve = measured(pictures(progress))
    with pytest.raises(ClipError, match="nothing changes but at its cuts; choose cuts=bridge"):
        plan_regeneration(curve, Jumper())
    assert plan_regeneration(curve, Jumper(), settings=FINE).num_frames == 24


def test_one_cut_in_two_frames_is_one_segment() -> None:
    source = pictures([0.0, 1.0])
    done = made(source=source, curve=measured(source), num_frames=9)
    assert len(shown(done.best)) == 9
    assert done.plan.keyframes == [0, 1]


# Resumption


def test_finished_segments_are_found_again_after_an_interruption(tmp_path: Path) -> None:
    uninterrupted = Jumper()
    whole = made(uninterrupted)
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


def test_no_room_for_a_finished_segment_is_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    request = Request(SOURCE[0], SOURCE[1], num_frames=9)
    with pytest.raises(SpfError, match=r"cannot be written .*: finished clips are kept"):
        Kept(Jumper(), blocked / "folder").generate(request)


# What cannot be


def test_a_clip_without_change_is_refused() -> None:
    still = measured(pictures(np.full(20, 0.5)))
    with pytest.raises(ClipError, match="no semantic change; there is nothing to retime"):
        plan_regeneration(still, Jumper())


@pytest.mark.parametrize("count", [1, 0, -3, 2.5, True, "nine"])
def test_impossible_lengths_are_refused(count: Any) -> None:
    with pytest.raises(ConfigError, match=r"num_frames=.* must be a whole number, at least 2"):
        plan_regeneration(CURVE, Jumper(), num_frames=count)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cuts": "drop"}, "unknown way with cuts 'drop'"),
        ({"method": "magic"}, "unknown method 'magic'"),
        ({"strategy": "ropes"}, "unknown way to steer 'ropes'; did you mean"),
        ({"strategy": "blend"}, "unknown way to steer 'blend'"),
        ({"penalty": -1.0}, "retime.penalty=-1.0 must be"),
        ({"penalty": float("nan")}, "retime.penalty=nan must be"),
        ({"n_segments": 0}, "retime.n_segments=0 must be"),
        ({"seed": -1}, "retime.seed=-1 must be"),
        ({"prompt": 3}, "retime.prompt=3 must be text"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Regenerate(**settings)


def test_more_segments_than_frames_are_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="retime=regenerate: ") as error:
        plan_regeneration(CURVE, Jumper(), settings=Regenerate("bridge", n_segments=13))
    assert "\n" not in str(error.value)


def test_keyframes_are_read_without_being_held(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of 3,000 frames the 150 keyframes wait on disk, and nothing is left of them there."""
    alive = most = 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def frames() -> Iterator[tuple[np.ndarray, float]]:
        nonlocal alive, most
        for index in range(3_000):
            image = pictures([index / 3_000])[0]
            alive += 1
            most = max(most, alive)
            weakref.finalize(image, gone)
            yield image, index / 240

    class LongReader:
        info = type("Info", (), {"fps": 240.0})

        def __enter__(self) -> Iterator[tuple[np.ndarray, float]]:
            return Frames()

        def __exit__(self, *_: Any) -> None: ...

    class Frames:
        info = LongReader.info

        def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
            return frames()

    def opened(path: Path, *sampling: Any) -> Any:
        return LongReader() if str(path) == "long.mp4" else Reader(path, *sampling)

    monkeypatch.setattr(regeneration, "Reader", opened)
    wanted = range(0, 3_000, 20)
    with regeneration._keyframes("long.mp4", wanted, 3_000, tmp_path, None, None) as (images, fps):
        assert fps == 240
        found = [numbers(image[None])[0] for image in images]
    assert np.allclose(found, np.arange(0, 3_000, 20) / 3_000, atol=1e-4)
    assert most <= 3
    assert not list(tmp_path.iterdir())


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


def test_the_shipped_generator_resizes_and_says_so(tiny_weights: Path) -> None:
    source = pictures(UNEVEN, (33, 47))
    settings = Regenerate("bridge", n_segments=1, strategy="none")
    bright = lambda frames: curve_of(np.linspace(0, 1, len(list(frames))))  # noqa: E731
    done = regenerate(source, CURVE, Tiny(str(tiny_weights)), bright, "here", settings=settings)
    assert shown(done.best).shape == (25, 32, 32, 3)
    assert "frames resized from 47x33 to 32x32" in done.notes
