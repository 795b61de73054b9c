"""Reading clips: times of frames."""

from __future__ import annotations

from fractions import Fraction

import clips
import numpy as np
import pytest
from clips import encode, grey, number, numbers

from spf.video import (
    Reader,
    Sampling,
    load,
)
from spf.video.times import steady


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_rate_keeps_its_time_stamps(tmp_path, suffix):
    stamps = [0, 40, 80, 200, 240, 500, 510, 700, 1000, 1001]
    unit = Fraction(1, 1000)
    clip = load(encode(tmp_path / f"a{suffix}", grey(10), stamps=stamps, unit=unit))
    assert numbers(clip) == list(range(10))
    assert np.allclose(clip.times, np.array(stamps) / 1000, rtol=0, atol=1e-6)
    assert clip.notes == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_late_start_is_time_zero(shared, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    clips.remux(shared["plain"], path, stamp=lambda index, pts: pts + 5 * 12800)
    clip = load(path, Sampling(start=0.4, end=0.6))
    assert numbers(clip) == list(range(10, 15))
    assert np.allclose(clip.times, np.arange(10, 15) / 25, rtol=0, atol=1e-6)
    assert clip.info.duration == pytest.approx(1.2, abs=0.01)
    assert load(path).notes == []


@pytest.mark.parametrize(
    ("stamps", "times", "repaired"),
    [
        ([7, 8, 10], [0, 1, 3], 0),
        ([0, 1, 1, 2, 3], [0, 1, 1.5, 2, 3], 1),  # repeated: half the way
        ([0, None, None, 3], [0, 1, 2, 3], 2),
        ([None, 1, 2], [0, 1, 2], 1),
        ([None, None, None], [0, 1, 2], 3),
        ([0, 1, 2, 1.5, 5], [0, 1, 2, 3, 5], 1),  # backward
        ([0, 1, 2, 90, 4, 5], [0, 1, 2, 3, 4, 5], 1),  # ahead of its time
        ([0, 1, 2, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6], 1),  # joined clips: the clock restarts
        ([0, 1, 9, 10], [0, 1, 9, 10], 0),  # a real pause
        ([], [], 0),
    ],
)
def test_steady(stamps, times, repaired):
    items = [(None if s is None else float(s), index) for index, s in enumerate(stamps)]
    result = list(steady(items, 1.0))
    assert [item for _, item, _ in result] == list(range(len(stamps)))
    assert [time for time, _, _ in result] == pytest.approx(times)
    assert sum(flag for *_, flag in result) == repaired


def test_frames_that_an_edit_list_hides_are_not_lost(shared, tmp_path):
    options = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
    path = tmp_path / "a.mp4"
    clips.remux(shared["plain"], path, lambda index, pts: pts - 5120, container_options=options)
    with Reader(path) as reader:
        seen = [(number(image), time) for image, time in reader]
    assert [index for index, _ in seen] == list(range(10, 30))
    assert [time for _, time in seen] == pytest.approx(np.arange(20) / 25)
    assert (reader.info.frames, reader.lost, reader.notes) == (20, 0, [])


HELD = [*range(8), *range(16, 24)]  # the frames of 24 that have a picture of their own


@pytest.mark.parametrize(("codec", "pix_fmt"), [("mpeg4", "yuv420p"), ("ffv1", "bgra")])
def test_null_frames_of_avi_are_no_loss(tmp_path, codec, pix_fmt):
    path = encode(tmp_path / "a.avi", clips.noise(16), codec, pix_fmt, stamps=HELD)
    with Reader(path) as reader:
        times = [time for _, time in reader]
    assert times == pytest.approx(np.array(HELD) / 25)
    assert (reader.info.frames, reader.decoded, reader.lost, reader.notes) == (24, 16, 0, [])
    with Reader(clips.cut(path, tmp_path / "cut.avi", 0.75)) as reader:
        times = [time for _, time in reader]
    assert 0 < times[-1] < 22 / 25
    assert reader.lost == 23 - round(times[-1] * 25)
    assert reader.notes[0] == f"{reader.lost} of 24 frames lost: the file is truncated"
    data = path.read_bytes()
    lost = data.index(b"00dc", data.index(b"00dc", data.index(b"movi")) + 9)
    (tmp_path / "bad.avi").write_bytes(data[:lost] + b"\xff" * 12 + data[lost + 12 :])
    with Reader(tmp_path / "bad.avi") as reader:
        list(reader)
    assert reader.lost >= 1
    assert f"{reader.lost} of 24 frames lost: the file is damaged" in reader.notes[0]
