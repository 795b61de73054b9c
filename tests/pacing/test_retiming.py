"""Existing clips get another pacing, by resampling and regenerated, from the file to the file."""

import os
import tracemalloc
from dataclasses import replace
from fractions import Fraction

import av
import clips
import harness
import numpy as np
import oracles
import pytest
from clips import refused
from faders import Fader

import spf
from spf.generators.base import GeneratedClip
from spf.pacing.plan import LONGEST, Wanted, length_of
from spf.pacing.resampling import METHODS
from spf.pacing.retime import STAGES
from spf.pacing.strategies import Regenerate
from spf.pacing.targets import make_target
from spf.video import load, write_mp4
from spf.video.packets import has_sound

CRISP = {"options": {"crf": "10", "bf": "0"}}


@pytest.fixture
def clip(tmp_path):
    return harness.save(tmp_path / "clip.mp4", harness.slow_ends())


def retimed(clip, *settings, out="out.mp4", **more):
    usual = {"embedder": "pixels", "check": None}
    return spf.retime(clip, clip.parent / out, *settings, **usual | more)


@pytest.mark.parametrize("method", METHODS)
def test_a_clip_becomes_even(clip, method):
    done = retimed(clip, method=method, check="auto")
    assert list(done.before) == list(done.after)
    assert done.before["linearity_mae"] == done.before["target_mae"]
    assert done.after["linearity_mae"] < done.before["linearity_mae"] / 2
    made = load(done.out)
    assert (len(made.frames), made.info.fps) == (25, 12)
    u = np.linspace(0, 1, 25)
    before, after = (np.abs(harness.levels(x) - u).mean() for x in (load(clip).frames, made.frames))
    assert after < before / 3
    assert sorted(os.listdir(clip.parent)) == ["clip.mp4", "out.mp4"]


def test_targets_are_met(clip):
    other = harness.save(clip.with_name("other.mp4"), harness.steady(31, power=2.0))
    u = np.linspace(0, 1, 25)
    like = spf.measure(other, "pixels")
    for target, power in (("ease-in", 2), ("ease_in:power=3", 3), (lambda x: x**3, 3), (like, 2)):
        done = retimed(clip, target, "blend")
        assert np.abs(harness.levels(load(done.out).frames) - u**power).mean() < 0.03
        assert done.after["target_mae"] < 0.03


def test_the_length_is_free(clip):
    both = {"num_frames": 10, "fps": 5}
    for more, *wanted in (({"num_frames": 40}, 40, 12), ({"fps": 24}, 49, 24), (both, 10, 5)):
        done = retimed(clip, method="nearest", **more)
        found = load(done.out)
        assert [len(found.frames), found.info.fps] == wanted
        assert done.plan.positions[[0, -1]].tolist() == [0, 24]


def test_the_fastest_part_keeps_its_speed():
    u = np.linspace(0, 1, 61)
    curve = spf.fit(oracles.great_circle((u + u**2) / 2), u * 5)
    length = length_of(curve, make_target("linear"), Wanted("fastest"), 12.0)
    assert (length.fps, length.notes) == (12, ())
    tau = spf.time_map(curve, "linear", length.num_frames)
    speed = np.diff(np.interp(tau, np.arange(61), curve.times)) * length.fps
    assert speed.max() == pytest.approx(1.0, abs=0.1)
    jump = spf.fit(oracles.great_circle(np.clip(4 * u - 1.5, 0, 1)), u * 5)
    length = length_of(jump, make_target("linear"), Wanted("fastest"), 12.0)
    assert length.times[-1] == pytest.approx(LONGEST * 5, abs=0.1)
    assert "times as fast" in length.notes[0]


def test_a_variable_rate_keeps_its_length_and_true_times(tmp_path):
    stamps = np.cumsum([0, *[20] * 12, *[80] * 12])
    encoding = {"stamps": stamps.tolist(), "unit": Fraction(1, 1000)} | CRISP
    clip = clips.encode(tmp_path / "clip.mp4", harness.dissolve(stamps / stamps[-1]), **encoding)
    assert spf.score(spf.measure(clip, "pixels"))["linearity_mae"] < 0.02
    done = retimed(clip, method="blend")
    made = load(done.out)
    assert len(made.frames) == 25
    assert made.times[-1] == pytest.approx(stamps[-1] / 1000, rel=0.01)
    assert np.abs(harness.levels(made.frames) - np.linspace(0, 1, 25)).max() < 0.04
    assert not done.plan.preserves_times


def sound(path):
    with av.open(str(path)) as container:
        return [(p.pts, bytes(p)) for p in container.demux(audio=0) if p.dts is not None]


def test_sound_is_kept_where_time_is_and_dropped_elsewhere(tmp_path):
    frames = harness.slow_ends(13)
    clip = clips.encode(tmp_path / "clip.mp4", frames, rate=12, audio=True, **CRISP)
    curve = spf.measure(clip, "pixels")
    same = retimed(clip, curve, out="same.mp4")
    assert same.plan.preserves_times
    assert not same.notes
    assert sound(same.out) == sound(clip)
    assert np.abs(load(same.out).frames.astype(int) - load(clip).frames).max() < 40
    assert load(same.out).times.tolist() == load(clip).times.tolist()
    even = retimed(clip)
    assert not has_sound(even.out)
    assert any("sound is dropped" in note for note in even.notes)
    assert not has_sound(retimed(clip, curve, num_frames=20).out)
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "out.mp4", "same.mp4"]


def test_a_clip_that_changes_meanwhile_and_an_interruption_leave_nothing(clip):
    def meddle(stage, count, total):
        if (stage, count, total) == (STAGES[1], 5, 7):
            raise KeyboardInterrupt
        if stage == STAGES[0] and count == 25:
            harness.save(clip, harness.slow_ends(7))

    with pytest.raises(spf.ClipError, match="has changed since it was measured"):
        retimed(clip, cache=False, on_progress=meddle)
    with pytest.raises(KeyboardInterrupt):
        retimed(clip, on_progress=meddle)
    assert os.listdir(clip.parent) == ["clip.mp4"]


@pytest.fixture(autouse=True)
def requests(monkeypatch):
    monkeypatch.setattr(Fader, "requests", [])
    return Fader.requests


@pytest.fixture
def longer(tmp_path):
    return harness.save(tmp_path / "clip.mp4", harness.slow_ends(33))


def regenerated(clip, out="out.mp4", **more):
    usual = {"method": "regenerate", "generator": Fader(), "embedder": "pixels", "check": None}
    return spf.retime(clip, clip.with_name(out), **usual | more)


@pytest.mark.parametrize("count", [33, 60])
def test_a_clip_is_regenerated_and_even(longer, count):
    done = regenerated(longer, num_frames=count)
    made, source = load(done.out), load(longer)
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


def test_settings_reach_the_generator(longer, requests):
    settings = {"n_segments": 2, "prompt": "a cat", "seed": 7, "strategy": "none", "cuts": "bridge"}
    for more in (settings, {"method": Regenerate(**settings)}):
        requests.clear()
        done = regenerated(longer, f"{len(more)}.mp4", fps=24, **more)
        assert done.plan.settings == Regenerate(**settings)
        assert done.plain is None
        assert {(x.prompt, x.seed, x.fps) for x in requests} == {("a cat", 7, 24.0)}
        assert len(requests) == len(done.plan.segments.pieces)
        assert load(done.out).info.fps == 24


def test_finished_segments_are_found_again(longer, tmp_path, monkeypatch, requests):
    whole = regenerated(longer, folder=tmp_path / "a").out.read_bytes()

    def asked(**more):
        requests.clear()
        done = regenerated(longer, out="b.mp4", folder=tmp_path / "b", **more)
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


def test_a_folder_that_takes_no_segments_is_refused_before_any_is_generated(longer, requests):
    with refused(
        f"^{longer}: cannot be written .*; choose another folder for the segments", spf.SpfError
    ):
        regenerated(longer, folder=longer)
    assert not requests


def test_sound_is_dropped_and_another_size_is_noted(tmp_path):
    path = clips.encode(tmp_path / "clip.mp4", harness.steady(25, power=3.0), rate=12, audio=True)
    small = Fader()
    small.size = (16, 24)
    done = regenerated(path, generator=small)
    assert "the sound is dropped: the frames are regenerated" in done.notes
    assert "frames resized from 32x32 to 24x16" in done.plan.notes


def test_what_makes_no_sense_is_refused(longer, tmp_path):
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
            regenerated(longer, **settings)
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
            done = regenerated(path, out, strategy="rope_flat", num_frames=count, **measures)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert done.plain is not None
        assert len(done.plan.segments.pieces) >= count / 16 - 1
    assert peaks[2] - peaks[1] < 0.1 * (MANY - FEW) * TALL[0] * TALL[1] * 3
