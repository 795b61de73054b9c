"""Reading clips: times of frames."""

from fractions import Fraction

import av
import clips
import numpy as np
import pytest
from clips import encode, grey, mux, numbers

from spf.video import Reader, Sampling, load
from spf.video.times import steady


def remux(source, path, stamp, **container):
    """Copy the packets of a video without B-frames; `stamp(index, time)` gives their new times."""
    with av.open(str(source)) as original, av.open(str(path), "w", **container) as output:
        old = original.streams.video[0]
        new = output.add_stream_from_template(old)
        for index, packet in enumerate(p for p in original.demux(old) if p.size):
            packet.pts = packet.dts = stamp(index, packet.pts)
            packet.stream = new
            output.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_rate_keeps_its_time_stamps(tmp_path, suffix):
    stamps = [0, 40, 80, 200, 240, 500, 510, 700, 1000, 1001]
    unit = Fraction(1, 1000)
    clip = load(encode(tmp_path / f"a{suffix}", grey(10), stamps=stamps, unit=unit))
    assert (numbers(clip), clip.notes) == (list(range(10)), [])
    assert np.allclose(clip.times, np.array(stamps) / 1000, rtol=0, atol=1e-6)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_late_start_is_time_zero(shared, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    remux(shared["plain"], path, stamp=lambda index, pts: pts + 5 * 12800)
    clip = load(path, Sampling(start=0.4, end=0.6))
    assert numbers(clip) == list(range(10, 15))
    assert np.allclose(clip.times, np.arange(10, 15) / 25, rtol=0, atol=1e-6)
    assert clip.info.duration == pytest.approx(1.2, abs=0.01)
    assert load(path).notes == []


def test_a_repeated_time_stamp_is_repaired(shared, tmp_path):
    path = tmp_path / "a.mkv"
    remux(shared["plain"], path, stamp=lambda index, pts: pts - 512 * (index == 10))
    clip = load(path)
    assert np.all(np.diff(clip.times) > 0)
    assert np.abs(clip.times - np.arange(30) / 25).max() <= 0.04
    assert np.allclose(np.delete(clip.times, [9, 10]), np.delete(np.arange(30), [9, 10]) / 25)
    assert clip.notes == [
        "1 of 30 time stamps missing or out of order: repaired with the average step of 40 ms"
    ]


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
    remux(shared["plain"], path, lambda index, pts: pts - 5120, container_options=options)
    clip = load(path)
    assert (numbers(clip), clip.info.frames, clip.notes) == (list(range(10, 30)), 20, [])
    assert clip.times == pytest.approx(np.arange(20) / 25)


HELD = [*range(8), *range(16, 24)]  # the frames of 24 that have a picture of their own


@pytest.mark.parametrize(("codec", "pix_fmt"), [("mpeg4", "yuv420p"), ("ffv1", "bgra")])
def test_null_frames_of_avi_are_no_loss(tmp_path, codec, pix_fmt):
    path = encode(tmp_path / "a.avi", clips.noise(16), codec, pix_fmt, stamps=HELD)
    clip = load(path)
    assert clip.times == pytest.approx(np.array(HELD) / 25)
    assert (clip.info.frames, len(clip.frames), clip.notes) == (24, 16, [])
    last = round(load(clips.cut(path, tmp_path / "cut.avi", 0.75)).times[-1] * 25)
    assert 0 < last < 22
    note = load(tmp_path / "cut.avi").notes[0]
    assert note == f"{23 - last} of 24 frames lost: the file is truncated"
    data = path.read_bytes()
    lost = data.index(b"00dc", data.index(b"00dc", data.index(b"movi")) + 9)
    (tmp_path / "bad.avi").write_bytes(data[:lost] + b"\xff" * 12 + data[lost + 12 :])
    with Reader(tmp_path / "bad.avi") as reader:
        list(reader)
    assert reader.lost >= 1
    assert f"{reader.lost} of 24 frames lost: the file is damaged" in reader.notes[0]


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
@pytest.mark.parametrize("coded", [8, 16])
def test_pictures_of_mpeg4_that_are_not_coded_are_no_loss(tmp_path, name, coded):
    """The vop_coded flag of ISO/IEC 14496-2, 6.2.5, is 0: the picture before is shown again."""

    def not_coded(index: int) -> bytes:
        bits = f"0101{index % 25:05b}100"  # P-VOP, time increment in 5 bits, marker, not coded
        return b"\0\0\1\xb6" + int(bits + "1111", 2).to_bytes(2, "big")

    encode(tmp_path / "whole.mp4", grey(16), "mpeg4", options={"qmin": "1", "b": "9000000"})
    with av.open(str(tmp_path / "whole.mp4")) as source:
        extradata = source.streams.video[0].codec_context.extradata
        packets = [bytes(packet) for packet in source.demux(video=0) if packet.size]
    packets[coded:coded] = [not_coded(index) for index in range(coded, coded + 8)]
    clip = load(mux(tmp_path / name, "mpeg4", "yuv420p", packets, extradata))
    shown = numbers(clip)
    assert shown[:16] == [*range(16)]
    assert set(shown[16:]) == ({15} if coded == 16 else set())
    assert clip.times[:coded] == pytest.approx(np.arange(coded) / 25, abs=1e-6)
    assert clip.times[-1] == pytest.approx(23 / 25, abs=1e-6)
    assert clip.notes == []
