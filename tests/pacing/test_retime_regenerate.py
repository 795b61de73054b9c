"""`spf.retime(method="regenerate")`: a clip generated anew, from the file to the file."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import clips
import harness
import numpy as np
import pytest
from faders import Fader

import spf
from spf.errors import ConfigError
from spf.generators.base import GeneratedClip, Request
from spf.generators.tiny.adapter import TinyGenerator
from spf.pacing.plan import PlanAnew
from spf.pacing.regeneration import regenerate
from spf.pacing.strategies import Regenerate
from spf.video import load, write_mp4

COUNT = 33


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fader, "requests", [])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A dissolve of 33 frames at 12 a second, slow at both ends."""
    return harness.save(tmp_path / "clip.mp4", harness.slow_ends(COUNT))


def retimed(clip: Path, out: str = "out.mp4", **more: Any) -> spf.Retimed:
    given = {"method": "regenerate", "generator": Fader(), "embedder": "pixels"} | more
    return spf.retime(clip, clip.with_name(out), **given)


@pytest.mark.parametrize("count", [33, 41, 60])
def test_a_clip_is_made_anew_and_even(clip: Path, count: int) -> None:
    """By the pixels: even, with every keyframe of the clip where the plan has it."""
    done = retimed(clip, num_frames=count)
    made, source = load(done.out), load(clip)
    assert (len(made.frames), made.info.fps) == (count, 12)
    assert harness.uneven(made.frames) < harness.uneven(source.frames) / 3
    assert done.after["target_mae"] < done.before["target_mae"] / 3
    assert done.plain is not None
    assert done.after["target_mae"] < done.plain["target_mae"] / 2  # plainly generated, it jumps
    assert isinstance(done.plan, PlanAnew)
    assert len(done.plan.segments.pieces) > 2
    (shot,) = done.plan.segments.shots
    if shot.exact:
        at = shot.shown.astype(int)
        keyframes = done.plan.positions[at].astype(int)
        shown, there = harness.levels(made.frames)[at], harness.levels(source.frames)[keyframes]
        assert np.abs(shown - there).max() < 0.02
    else:
        assert any("brought to length by the time map" in note for note in done.notes)


def test_settings_reach_the_generator(clip: Path) -> None:
    given = {"n_segments": 2, "prompt": "a cat", "seed": 7, "strategy": "none", "cuts": "bridge"}
    for more in (given, {"method": Regenerate(**given)}):
        Fader.requests.clear()
        done = retimed(clip, out=f"{len(more)}.mp4", fps=24, **more)
        assert isinstance(done.plan, PlanAnew)
        assert done.plan.settings == Regenerate(**given)
        assert done.plain is None
        asked = {(request.prompt, request.seed, request.fps) for request in Fader.requests}
        assert asked == {("a cat", 7, 24.0)}
        assert len(Fader.requests) == len(done.plan.segments.pieces)
        assert load(done.out).info.fps == 24


def test_every_length_comes_out_exactly(clip: Path) -> None:
    """Though the generator makes 4n + 1 frames alone."""
    for count in (2, 3, 7, 18, 97):
        done = retimed(clip, strategy="none", num_frames=count, check=None)
        assert len(load(done.out).frames) == count


def test_finished_segments_are_found_again(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an interruption; damaged ones, and those of other settings, are generated again."""
    whole = retimed(clip, folder=tmp_path / "a").out.read_bytes()

    def asked(**more: Any) -> int:
        Fader.requests.clear()
        done = retimed(clip, out="b.mp4", folder=tmp_path / "b", **more)
        assert more or done.out.read_bytes() == whole
        return len(Fader.requests)

    with monkeypatch.context() as patch:
        patch.setattr(Fader, "fail_at", len(Fader.requests))
        with pytest.raises(KeyboardInterrupt):
            asked()
    assert asked() == 1
    assert asked() == 0
    file = sorted((tmp_path / "b").glob("*.npz"))[0]
    file.write_bytes(file.read_bytes()[:-40])
    assert asked() == 1
    assert asked(seed=1) > 1


def test_sound_is_dropped_and_another_size_is_told(tmp_path: Path) -> None:
    path = clips.encode(tmp_path / "clip.mp4", harness.steady(25, power=3.0), rate=12, audio=True)

    class Small(Fader):
        size = (16, 24)

    done = retimed(path, generator=Small())
    assert "the sound is dropped: the pictures are regenerated" in done.notes
    assert "frames resized from 32x32 to 24x16" in done.plan.notes


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"generator": None}, "needs a generator"),
        ({"num_frames": 1}, "frames=1"),
        ({"generator": "folder"}, "model=folder generates nothing; choose model=tiny"),
        ({"generator": "wan2"}, "did you mean wan22"),
        ({"cuts": "drop"}, "unknown way with cuts 'drop'"),
        ({"cut": "keep"}, "unknown setting of regenerate 'cut'; did you mean cuts"),
        ({"method": "flow"}, "method=flow takes no generator"),
        ({"method": "flow", "generator": None, "folder": "x"}, "method=flow keeps no segments"),
        ({"method": "flow", "generator": None, "seed": 1}, "seed: only method=regenerate has"),
        ({"n_segments": 40}, "n_segments must lie between 1 and 16"),
    ],
)
def test_what_makes_no_sense_is_refused(
    clip: Path, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        retimed(clip, **given)
    harness.check_one_line(str(error.value))
    assert os.listdir(tmp_path) == ["clip.mp4"]


FEW, MANY = 25, 249
TALL = (640, 60)
"""Of pictures whose thumbnails are next to nothing."""


class Grey(Fader):
    """The same for pictures of one grey each, with little arithmetic."""

    def generate(self, request: Request, warp: Any = None, watch: Any = None) -> GeneratedClip:
        small = [x[:1, :1].copy() for x in (request.first, request.last)]
        made = super().generate(replace(request, first=small[0], last=small[1]), warp)
        return GeneratedClip(made.frames.repeat(TALL[0], 1).repeat(TALL[1], 2), made.fps)


def peak_of(count: int, folder: Path) -> int:
    """Bytes at most while a clip of `count` grey frames is regenerated, in steered segments."""
    frames = (np.full((*TALL, 3), 255 * k // count, np.uint8) for k in range(count))
    path = folder / f"{count}.mp4"
    write_mp4(path, frames, 25)
    given = {"generator": Grey(), "embedder": harness.Linear(), "cache": False, "check": None}
    tracemalloc.start()
    try:
        done = retimed(
            path, out=f"{count}.out.mp4", strategy="rope_flat", num_frames=count, **given
        )
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(done.plan, PlanAnew)
    assert done.plain is not None
    assert len(done.plan.segments.pieces) >= count / 16 - 1
    return most


def test_memory_is_that_of_a_segment_however_many_there_are(tmp_path: Path) -> None:
    """Ten times the frames, in ten times the segments: what grows are numbers, not pictures."""
    peak_of(21, tmp_path)  # imports
    few, many = peak_of(FEW, tmp_path), peak_of(MANY, tmp_path)
    assert many - few < 0.1 * (MANY - FEW) * TALL[0] * TALL[1] * 3


@pytest.mark.slow
def test_the_shipped_generator_makes_jump_clips_twice_as_even(tmp_path: Path) -> None:
    """Held-out pairs drawn with an abrupt law, judged by the renderer's own parameter."""
    from synthetic.laws import law
    from synthetic.morph_pairs import HELD_OUT_PAIRS
    from synthetic.oracle import RenderOracle

    jump = law("sigmoid_jump", steepness=60).g(np.linspace(0, 1, 24))
    gains, plain = [], []
    for content, seed in HELD_OUT_PAIRS[:3]:
        paint = content.painter((32, 32), seed=seed)
        oracle = RenderOracle(paint)

        def true_curve(frames: Any, oracle: RenderOracle = oracle) -> spf.Curve:
            p = 1.2 * oracle.parameter(np.stack([image for image, _ in frames]))
            return spf.fit(np.stack([np.cos(p), np.sin(p)], axis=1))

        source = np.stack([paint(float(p)) for p in jump])
        curve = true_curve(zip(source, range(24), strict=True))
        settings = Regenerate("bridge")
        folder = tmp_path / content.name
        done = regenerate(source, curve, TinyGenerator(), true_curve, folder, settings=settings)
        scores = done.scores()
        before = scores["before"]["linearity_mae"]
        gains.append(before / scores["retimed"]["linearity_mae"])
        plain.append(before / scores["plain"]["linearity_mae"])
        assert len(list(done.best.frames())) == 24
    assert np.median(gains) >= 2
    assert np.median(gains) > np.median(plain)
