"""`spf.retime(method="regenerate")`: a clip regenerated, from the file to the file."""

import os
import tracemalloc
from dataclasses import replace

import clips
import harness
import numpy as np
import pytest
from clips import refused
from faders import Fader

import spf
from spf.generators.base import GeneratedClip
from spf.pacing.strategies import Regenerate
from spf.video import load, write_mp4

COUNT = 33


@pytest.fixture(autouse=True)
def requests(monkeypatch):
    monkeypatch.setattr(Fader, "requests", [])
    return Fader.requests


@pytest.fixture
def clip(tmp_path):
    return harness.save(tmp_path / "clip.mp4", harness.slow_ends(COUNT))


def retimed(clip, out="out.mp4", **more):
    usual = {"method": "regenerate", "generator": Fader(), "embedder": "pixels", "check": None}
    return spf.retime(clip, clip.with_name(out), **usual | more)


@pytest.mark.parametrize("count", [33, 60])
def test_a_clip_is_regenerated_and_even(clip, count):
    done = retimed(clip, num_frames=count)
    made, source = load(done.out), load(clip)
    assert (len(made.frames), made.info.fps) == (count, 12)
    assert harness.uneven(made.frames) < harness.uneven(source.frames) / 3
    assert done.after["target_mae"] < done.before["target_mae"] / 3
    assert done.after["target_mae"] < done.plain["target_mae"] / 2  # plainly generated, it jumps
    assert len(done.plan.segments.pieces) > 2
    (shot,) = done.plan.segments.shots
    assert shot.exact == (count == 33)
    assert shot.exact != any("brought to length by the time map" in note for note in done.notes)
    if shot.exact:
        at = shot.shown.astype(int)
        keyframes = done.plan.positions[at].astype(int)
        shown, there = harness.levels(made.frames)[at], harness.levels(source.frames)[keyframes]
        assert np.abs(shown - there).max() < 0.02


def test_settings_reach_the_generator(clip, requests):
    settings = {"n_segments": 2, "prompt": "a cat", "seed": 7, "strategy": "none", "cuts": "bridge"}
    for more in (settings, {"method": Regenerate(**settings)}):
        requests.clear()
        done = retimed(clip, f"{len(more)}.mp4", fps=24, **more)
        assert done.plan.settings == Regenerate(**settings)
        assert done.plain is None
        assert {(x.prompt, x.seed, x.fps) for x in requests} == {("a cat", 7, 24.0)}
        assert len(requests) == len(done.plan.segments.pieces)
        assert load(done.out).info.fps == 24


def test_finished_segments_are_found_again(clip, tmp_path, monkeypatch, requests):
    whole = retimed(clip, folder=tmp_path / "a").out.read_bytes()

    def asked(**more):
        requests.clear()
        done = retimed(clip, out="b.mp4", folder=tmp_path / "b", **more)
        assert more or done.out.read_bytes() == whole
        return len(requests)

    with monkeypatch.context() as patch:
        patch.setattr(Fader, "fail_at", len(requests))
        with pytest.raises(KeyboardInterrupt):
            asked()
    assert [asked(), asked()] == [1, 0]
    file = sorted((tmp_path / "b").glob("*.npz"))[0]
    file.write_bytes(file.read_bytes()[:-40])
    assert (asked(), asked(seed=1) > 1) == (1, True)


def test_sound_is_dropped_and_another_size_is_noted(tmp_path):
    path = clips.encode(tmp_path / "clip.mp4", harness.steady(25, power=3.0), rate=12, audio=True)
    small = Fader()
    small.size = (16, 24)
    done = retimed(path, generator=small)
    assert "the sound is dropped: the frames are regenerated" in done.notes
    assert "frames resized from 32x32 to 24x16" in done.plan.notes


def test_what_makes_no_sense_is_refused(clip, tmp_path):
    flow = {"method": "flow", "generator": None}
    for settings, message in (
        ({"num_frames": 2.5}, "frames=2.5"),
        ({"out": "out.avi"}, "MP4"),
        ({"generator": "wan2"}, "did you mean wan22"),
        ({"cut": "keep"}, "unknown setting of regenerate 'cut'; did you mean cuts"),
        (flow | {"folder": "x"}, "method=flow has no segments"),
        (flow | {"seed": 1}, "seed: only method=regenerate has"),
        ({"n_segments": 40}, "n_segments must lie between 1 and 16"),
    ):
        with refused(message):
            retimed(clip, **settings)
        assert os.listdir(tmp_path) == ["clip.mp4"]


FEW, MANY = 25, 249
TALL = (640, 60)  # thumbnails of which are next to nothing


class Grey(Fader):
    def generate(self, request, warp=None, on_progress=None):
        small = {end: getattr(request, end)[:1, :1].copy() for end in ("first", "last")}
        made = super().generate(replace(request, **small), warp)
        return GeneratedClip(made.frames.repeat(TALL[0], 1).repeat(TALL[1], 2), made.fps)


def test_memory_is_that_of_a_segment_however_many_there_are(tmp_path):
    peaks = []
    for count in (21, FEW, MANY):  # the first one imports
        frames = (np.full((*TALL, 3), 255 * k // count, np.uint8) for k in range(count))
        path = tmp_path / f"{count}.mp4"
        write_mp4(path, frames, 25)
        measures = {"generator": Grey(), "embedder": harness.Linear(), "cache": False}
        tracemalloc.start()
        try:
            out = f"{count}.out.mp4"
            done = retimed(path, out, strategy="rope_flat", num_frames=count, **measures)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert done.plain is not None
        assert len(done.plan.segments.pieces) >= count / 16 - 1
    assert peaks[2] - peaks[1] < 0.1 * (MANY - FEW) * TALL[0] * TALL[1] * 3
