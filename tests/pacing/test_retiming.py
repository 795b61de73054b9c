"""Existing clips get another pacing: the Python interface, from the file to the file."""

from __future__ import annotations

import errno
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import clips
import harness
import numpy as np
import pytest
from pacings import on_circle

import spf
from spf.errors import ClipError, ConfigError
from spf.pacing.lengths import LONGEST, Wanted, length_of
from spf.pacing.resampling import METHODS
from spf.pacing.retime import STAGES
from spf.pacing.targets import make_target
from spf.video import load
from spf.video.sound import has_sound


@pytest.mark.parametrize("method", METHODS)
def test_a_clip_becomes_even(tmp_path: Path, method: str) -> None:
    clip = harness.save(tmp_path / "clip.mp4", harness.slow_ends())
    done = spf.retime(clip, tmp_path / "even.mp4", method=method, embedder="pixels")
    assert list(done.before) == list(done.after)
    assert done.before["linearity_mae"] == done.before["target_mae"]
    assert done.after["linearity_mae"] < done.before["linearity_mae"] / 2
    made = load(tmp_path / "even.mp4")
    assert len(made.frames) == 25
    assert made.info.fps == 12
    u = np.linspace(0, 1, 25)
    before, after = (np.abs(harness.levels(x) - u).mean() for x in (load(clip).frames, made.frames))
    assert after < before / 3
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "even.mp4"]


def test_targets_are_met(tmp_path: Path) -> None:
    """A word, a word with settings, a function, another clip's curve."""
    clip = harness.save(tmp_path / "clip.mp4", harness.slow_ends())
    other = harness.save(tmp_path / "other.mp4", harness.steady(31, power=2.0))
    u = np.linspace(0, 1, 25)
    for target, wanted in (
        ("ease-in", u**2),
        ("ease_in:power=3", u**3),
        (lambda x: x**3, u**3),
        (spf.measure(other, "pixels"), u**2),
    ):
        done = spf.retime(clip, tmp_path / "out.mp4", target, "blend", embedder="pixels")
        assert np.abs(harness.levels(load(done.out).frames) - wanted).mean() < 0.03
        assert done.after["target_mae"] < 0.03


def test_the_length_is_free(tmp_path: Path) -> None:
    clip = harness.save(tmp_path / "clip.mp4", harness.slow_ends())  # 25 frames at 12: 2 s
    for asked, frames, rate in (
        ({}, 25, 12),
        ({"num_frames": 40}, 40, 12),
        ({"fps": 24}, 49, 24),
        ({"num_frames": 10, "fps": 5}, 10, 5),
        ({"fps": 240}, 481, 240),
    ):
        made = spf.retime(clip, tmp_path / "out.mp4", method="nearest", embedder="pixels", **asked)
        found = load(made.out)
        assert (len(found.frames), found.info.fps) == (frames, rate)
        assert made.plan.positions[[0, -1]].tolist() == [0, 24]


def test_the_fastest_part_keeps_its_speed() -> None:
    """Along the map nothing passes faster than it did, and something just as fast; but no result is
    endless."""
    u = np.linspace(0, 1, 61)
    curve = spf.fit(on_circle((u + u**2) / 2), u * 5)
    length = length_of(curve, make_target("linear"), Wanted("fastest"), 12.0)
    assert (length.fps, length.notes) == (12, ())
    tau = spf.time_map(curve, "linear", length.num_frames)
    speed = np.diff(np.interp(tau, np.arange(61), curve.times)) * length.fps
    assert speed.max() == pytest.approx(1.0, abs=0.1)
    jump = spf.fit(on_circle(np.clip(4 * u - 1.5, 0, 1)), u * 5)
    length = length_of(jump, make_target("linear"), Wanted("fastest"), 12.0)
    assert length.times[-1] == pytest.approx(LONGEST * 5, abs=0.1)
    assert "times as fast" in length.notes[0]


def test_a_variable_rate_keeps_its_length_and_true_times(tmp_path: Path) -> None:
    """Even in true time, however uneven by the number of the frame."""
    stamps = np.cumsum([0, *[20] * 12, *[80] * 12])
    shares = stamps / stamps[-1]
    clip = clips.encode(
        tmp_path / "clip.mp4",
        harness.dissolve(shares),
        stamps=stamps.tolist(),
        unit=Fraction(1, 1000),
        options={"crf": "10", "bf": "0"},
    )
    assert spf.score(spf.measure(clip, "pixels"))["linearity_mae"] < 0.02
    done = spf.retime(clip, tmp_path / "out.mp4", method="blend", embedder="pixels")
    made = load(done.out)
    assert len(made.frames) == 25
    assert made.times[-1] == pytest.approx(stamps[-1] / 1000, rel=0.01)
    assert np.abs(harness.levels(made.frames) - np.linspace(0, 1, 25)).max() < 0.04
    assert not done.plan.keeps_time


def test_sound_is_kept_where_time_is_and_dropped_elsewhere(tmp_path: Path) -> None:
    frames = harness.slow_ends(13)
    clip = clips.encode(
        tmp_path / "clip.mp4", frames, rate=12, audio=True, options={"crf": "10", "bf": "0"}
    )
    curve = spf.measure(clip, "pixels")
    same = spf.retime(clip, tmp_path / "same.mp4", curve, embedder="pixels")
    assert same.plan.keeps_time
    assert has_sound(same.out)
    assert not same.notes
    assert sound(same.out) == sound(clip)
    assert np.abs(load(same.out).frames.astype(int) - load(clip).frames).max() < 40
    assert load(same.out).times.tolist() == load(clip).times.tolist()
    even = spf.retime(clip, tmp_path / "even.mp4", embedder="pixels")
    assert not has_sound(even.out)
    assert any("sound is dropped" in note for note in even.notes)
    longer = spf.retime(clip, tmp_path / "even.mp4", curve, num_frames=20, embedder="pixels")
    assert not has_sound(longer.out)
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "even.mp4", "same.mp4"]


def sound(path: Path) -> list[tuple[int, bytes]]:
    """Time stamps and bytes of the sound's packets."""
    import av

    with av.open(str(path)) as container:
        return [(p.pts, bytes(p)) for p in container.demux(audio=0) if p.dts is not None]


def test_a_clip_without_change_is_told(tmp_path: Path) -> None:
    clip = harness.save(tmp_path / "still.mp4", harness.still())
    with pytest.raises(ClipError, match="no semantic change; there is nothing to retime"):
        spf.retime(clip, tmp_path / "out.mp4", embedder="pixels")
    good = harness.save(tmp_path / "good.mp4", harness.slow_ends())
    with pytest.raises(ConfigError, match="whose pacing is the target has no semantic change"):
        spf.retime(good, tmp_path / "out.mp4", spf.measure(clip, "pixels"), embedder="pixels")
    assert sorted(os.listdir(tmp_path)) == ["good.mp4", "still.mp4"]


@pytest.mark.parametrize(
    ("out", "settings", "words"),
    [
        ("out.avi", {}, "MP4"),
        ("clip.mp4", {}, "replace the clip"),
        ("../here/clip.mp4", {}, "replace the clip"),
        ("folder.mp4", {}, "folder"),
        ("out.mp4", {"method": "flo"}, "did you mean flow"),
        ("out.mp4", {"method": "rope"}, "unknown method"),
        ("out.mp4", {"target": "ease_in:power=0"}, "power=0"),
        ("out.mp4", {"target": "ease_in:pover=2"}, "did you mean power"),
        ("out.mp4", {"target": "ease_in:2"}, "SETTING=VALUE"),
        ("out.mp4", {"keep": "longest"}, "unknown keep"),
        ("out.mp4", {"num_frames": 2.5}, "frames=2.5"),
        ("out.mp4", {"fps": float("nan")}, "fps is nan"),
        ("out.mp4", {"keep": "fastest", "num_frames": 9}, "give it or frames=N"),
        ("out.mp4", {"embedder": "pixel"}, "did you mean pixels"),
    ],
)
def test_bad_arguments_are_one_line_before_any_work(
    tmp_path: Path, out: str, settings: dict[str, Any], words: str
) -> None:
    (tmp_path / "here" / "folder.mp4").mkdir(parents=True)
    clip = harness.save(tmp_path / "here" / "clip.mp4", harness.steady(3))

    def work(*_: object) -> None:
        pytest.fail("work began")

    with pytest.raises(ConfigError, match=words) as error:
        spf.retime(clip, clip.parent / out, **({"embedder": "pixels"} | settings), on_progress=work)
    harness.check_one_line(str(error.value))
    assert sorted(os.listdir(clip.parent)) == ["clip.mp4", "folder.mp4"]
    spf.video.write_png(tmp_path / "images", harness.steady(3))
    with pytest.raises(ConfigError, match="--fps"):
        spf.retime(tmp_path / "images", tmp_path / "out.mp4", embedder="pixels")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = harness.save(tmp_path / "clip.mp4", harness.slow_ends(13))
    (tmp_path / "out.mp4").write_bytes(b"old")

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("spf.video.write.synchronise", full)
    with pytest.raises(ClipError, match="No space left on device") as error:
        spf.retime(clip, tmp_path / "out.mp4", embedder="pixels")
    harness.check_one_line(str(error.value))
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == b"old"


def test_a_clip_that_changes_meanwhile_is_told(tmp_path: Path) -> None:
    clip = harness.save(tmp_path / "clip.mp4", harness.slow_ends(13))

    def shorten(stage: str, count: int, total: int | None) -> None:
        if stage == STAGES[0] and count == 13:
            harness.save(clip, harness.slow_ends(7))

    with pytest.raises(ClipError, match="has changed since it was measured"):
        spf.retime(clip, tmp_path / "out.mp4", embedder="pixels", cache=False, on_progress=shorten)
    assert os.listdir(tmp_path) == ["clip.mp4"]

    def stop(stage: str, count: int, total: int | None) -> None:
        if (stage, count, total) == (STAGES[1], 5, 7):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # nor does an interruption leave anything
        spf.retime(clip, tmp_path / "out.mp4", embedder="pixels", on_progress=stop)
    assert os.listdir(tmp_path) == ["clip.mp4"]
