"""Reading clips: codecs, order, sampling, colours, geometry, times, streams."""

from __future__ import annotations

from fractions import Fraction

import clips
import numpy as np
import pytest
from clips import corners, encode, grey, number, numbers, one_line, read_corners
from PIL import Image

from spf.errors import ClipError, ConfigError
from spf.video import (
    IMAGE_SUFFIXES,
    SUFFIXES,
    Reader,
    Sampling,
    batches,
    load,
    probe,
)
from spf.video.times import steady

# Codecs and containers


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "known"),
    [
        ("a.mp4", "libx264", "yuv420p", "h264"),
        ("a.mov", "libx264", "yuv422p", "h264"),
        ("a.mkv", "libx264", "yuv444p", "h264"),
        ("a.avi", "libx264", "yuv420p", "h264"),
        ("a.ts", "libx264", "yuv420p", "h264"),
        ("a.flv", "libx264", "yuv420p", "h264"),
        ("ten.mp4", "libx264", "yuv420p10le", "h264"),
        ("a265.mp4", "libx265", "yuv420p", "hevc"),
        ("av1.mp4", "libsvtav1", "yuv420p", "av1"),
        ("m4.mp4", "mpeg4", "yuv420p", "mpeg4"),
        ("m4.avi", "mpeg4", "yuv420p", "mpeg4"),
        ("vp9.webm", "libvpx-vp9", "yuv420p", "vp9"),
        ("m2.mpg", "mpeg2video", "yuv420p", "mpeg2video"),
        ("lossless.mkv", "ffv1", "bgra", "ffv1"),
        ("prores.mov", "prores_ks", "yuv422p10le", "prores"),
    ],
)
def test_every_format_gives_every_frame_in_order(tmp_path, name, codec, pix_fmt, known):
    quiet = {
        "libx265": {"x265-params": "log-level=none"},
        "mpeg4": {"b": "9000000", "qmin": "1", "bf": "2"},
        "libsvtav1": {"preset": "12", "crf": "20"},
    }
    path = encode(tmp_path / name, grey(12), codec, pix_fmt, options=quiet.get(codec))
    clip = load(path)
    assert clip.frames.shape == (12, 48, 64, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.frames.flags.c_contiguous
    levels = clip.frames.mean(axis=(1, 2, 3))
    assert np.abs(levels - [clips.BASE + clips.STEP * i for i in range(12)]).max() < 3
    assert clip.times.dtype == np.float64
    # Matroska and FLV keep whole milliseconds; 40 is one.
    assert np.allclose(clip.times, np.arange(12) / 25, rtol=0, atol=1e-6)
    info = clip.info
    assert (info.codec, info.width, info.height, info.fps) == (known, 64, 48, 25.0)
    assert (info.rotation, info.pixel_aspect, info.video_streams, info.stream) == (0, 1.0, 1, 0)
    assert info.frames in (12, None)
    assert clip.notes == []
    assert probe(path) == info


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng", ".png"])
def test_animated_images_keep_their_durations(tmp_path, suffix):
    frames = grey(20)[::4]
    durations = [40, 80, 130, 200, 70]
    save = {".webp": {"lossless": True}, ".apng": {"format": "PNG"}}.get(suffix, {})
    clip = load(clips.animate(tmp_path / f"a{suffix}", frames, durations, **save))
    assert numbers(clip) == [0, 4, 8, 12, 16]
    assert np.allclose(clip.times, [0, 0.04, 0.12, 0.25, 0.45], rtol=0, atol=1e-9)
    assert (clip.info.frames, clip.info.fps) == (5, pytest.approx(4 / 0.45))
    assert clip.info.duration == pytest.approx(0.52)


def test_hasty_gif_frames_last_as_long_as_in_browsers(tmp_path):
    clip = load(clips.animate(tmp_path / "a.gif", grey(5), [0, 10, 20, 30, 0]))
    assert np.allclose(clip.times, [0, 0.1, 0.2, 0.22, 0.25], rtol=0, atol=1e-9)


def test_transparency_is_composited_over_black(tmp_path):
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[..., 0], rgba[:4, :, 3], rgba[4:, :4, 3] = 200, 255, 128
    Image.fromarray(rgba).save(tmp_path / "a.png")
    image = load(tmp_path / "a.png").frames[0]
    assert image[0, 0].tolist() == [200, 0, 0]
    assert abs(int(image[7, 0, 0]) - 100) <= 1
    assert image[7, 7].tolist() == [0, 0, 0]
    frames = [Image.fromarray(rgba), Image.fromarray(rgba[::-1])]
    frames[0].save(
        tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100, disposal=2
    )
    first, second = load(tmp_path / "a.gif").frames
    assert first[7, 7].tolist() == second[0, 7].tolist() == [0, 0, 0]
    assert abs(int(first[0, 0, 0]) - 200) < 3
    encoded = [rgba[..., :3] * 0 + 255] * 3
    clip = load(encode(tmp_path / "opaque.mkv", encoded, "ffv1", "bgra"))
    assert (clip.frames == 255).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_a_still_image_is_a_clip_of_one_frame(tmp_path, suffix):
    Image.fromarray(grey(3)[2]).save(tmp_path / f"a{suffix}")
    clip = load(tmp_path / f"a{suffix}")
    assert numbers(clip) == [2]
    assert clip.times.tolist() == [0.0]
    assert (clip.info.fps, clip.info.frames, clip.info.duration) == (None, 1, None)


def test_sixteen_bit_grey_is_scaled(tmp_path):
    values = np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert load(tmp_path / "a.png").frames[0, ..., 0].tolist() == [[0, 100], [200, 255]]


def test_the_content_decides_and_not_the_name(tmp_path):
    encode(tmp_path / "a.mp4", grey(3)).rename(tmp_path / "a.gif")
    assert probe(tmp_path / "a.gif").codec == "h264"
    clips.animate(tmp_path / "b.gif", grey(3), [100] * 3).rename(tmp_path / "b.mp4")
    assert probe(tmp_path / "b.mp4").codec == "gif"
    colon = encode(tmp_path / "c.mp4", grey(3)).rename(tmp_path / "concat:%03d 'é?.mp4")
    assert numbers(load(colon)) == [0, 1, 2]
    assert numbers(load(str(colon))) == [0, 1, 2]


def test_suffixes():
    assert {".mp4", ".mov", ".mkv", ".webm", ".gif", ".webp", ".apng"} <= SUFFIXES
    assert ".png" in IMAGE_SUFFIXES
    assert ".png" not in SUFFIXES


# Folders of images


def test_a_folder_is_sorted_naturally(tmp_path):
    for index, image in enumerate(grey(12)):
        Image.fromarray(image).save(tmp_path / f"frame{index}.png")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "._frame1.png").write_text("x")
    clip = load(tmp_path, Sampling(start=2, stride=3))
    assert numbers(clip) == [2, 5, 8, 11]
    assert clip.times.tolist() == [2, 5, 8, 11]
    assert (clip.info.fps, clip.info.frames, clip.info.duration) == (None, 12, None)
    assert clip.info.codec == "png"


def test_a_broken_image_in_a_folder_leaves_a_gap(tmp_path):
    for index, image in enumerate(grey(5)):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    (tmp_path / "0.png").write_bytes(b"no image")
    good = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(good[: len(good) // 2])
    with Reader(tmp_path) as reader:
        assert [time for _, time in reader] == [1, 2, 4]
    assert (reader.decoded, reader.lost) == (3, 2)
    assert reader.notes == ["2 of 5 frames lost: 2 images cannot be decoded, first 0.png"]


def test_images_of_two_sizes_are_refused(tmp_path):
    Image.fromarray(grey(1)[0]).save(tmp_path / "0.png")
    Image.fromarray(grey(1, 20, 30)[0]).save(tmp_path / "1.png")
    with pytest.raises(ClipError, match=r"1\.png is 30 x 20, the first image 64 x 48"):
        load(tmp_path)


# Sampling and iteration


@pytest.mark.parametrize(
    ("sampling", "chosen"),
    [
        ({}, range(30)),
        ({"stride": 4}, range(0, 30, 4)),
        ({"max_frames": 7}, range(7)),
        ({"stride": 4, "max_frames": 3}, [0, 4, 8]),
        ({"start": 0.4}, range(10, 30)),
        ({"end": 0.4}, range(10)),
        ({"start": 0.3999, "end": 0.8, "stride": 3}, [10, 13, 16, 19]),
        ({"start": 0.41, "end": 0.8, "stride": 3, "max_frames": 2}, [11, 14]),
        ({"start": 1.0, "end": 99.0}, range(25, 30)),
        ({"max_frames": 30}, range(30)),
        ({"max_frames": 99}, range(30)),
    ],
)
@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_selection(shared, kind, sampling, chosen):
    clip = load(shared[kind], Sampling(**sampling))
    assert numbers(clip) == list(chosen)
    assert np.allclose(clip.times, np.array(list(chosen)) / 25, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"stride": 0},
        {"stride": 1.5},
        {"stride": True},
        {"stride": None},
        {"max_frames": 0},
        {"start": -1.0},
        {"start": float("nan")},
        {"end": float("inf")},
        {"end": 0.0},
        {"start": 2.0, "end": 2.0},
        {"start": "1"},
        {"stream": -1},
    ],
)
def test_wrong_sampling_is_refused(wrong):
    with pytest.raises(ConfigError, match="sampling: ") as error:
        Sampling(**wrong)
    one_line(error)


def test_nothing_selected_is_said(shared):
    with pytest.raises(ClipError, match=r"no frame at or after 5 s; its last frame is at 1\.16"):
        load(shared["mp4"], Sampling(start=5))
    with pytest.raises(ClipError, match=r"no frame at or after 0\.41 and before 0\.42 s"):
        load(shared["mp4"], Sampling(start=0.41, end=0.42))


def test_reader_counts_and_stops_early(shared):
    with Reader(shared["mp4"], Sampling(stride=5, max_frames=2)) as reader:
        assert iter(reader) is reader
        assert reader.decoded <= 1
        assert [number(image) for image, _ in reader] == [0, 5]
    assert reader.lost == 0
    assert 6 <= reader.decoded < 30
    with Reader(shared["mp4"], Sampling(stride=7)) as reader:
        assert len(list(reader)) == 5
        assert list(reader) == []
    assert (reader.decoded, reader.lost, reader.notes) == (30, 0, [])


def test_a_closed_reader_ends(shared):
    reader = Reader(shared["mp4"])
    next(reader)
    reader.close()
    reader.close()
    assert list(reader) == []


def test_batches(shared):
    with Reader(shared["mp4"]) as reader:
        parts = list(batches(reader, 8))
    assert [frames.shape for frames, _ in parts] == [(8, 48, 64, 3)] * 3 + [(6, 48, 64, 3)]
    whole = load(shared["mp4"])
    assert np.array_equal(np.concatenate([frames for frames, _ in parts]), whole.frames)
    assert np.array_equal(np.concatenate([times for _, times in parts]), whole.times)
    with pytest.raises(ValueError, match="size is 0"):
        next(batches([], 0))


def test_images_are_independent_of_each_other(shared):
    with Reader(shared["mp4"]) as reader:
        (first, _), (second, _) = next(reader), next(reader)
        first[:] = 0
    assert number(second) == 1


# Colours


@pytest.mark.parametrize("colour", [None, (1, 1), (6, 1), (1, 2), (6, 2)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_matrix_and_range_are_respected(tmp_path, colour, pix_fmt):
    colours = [
        (220, 30, 30),
        (30, 200, 40),
        (40, 50, 210),
        (255, 255, 255),
        (0, 0, 0),
        (90, 90, 90),
    ]
    image = np.repeat(np.array([colours], np.uint8), 16, axis=1).repeat(64, axis=0)
    options = {"crf": "1", "preset": "veryfast"}
    path = encode(tmp_path / "a.mp4", [image] * 2, pix_fmt=pix_fmt, colour=colour, options=options)
    seen = load(path).frames[1][32, 8::16].astype(int)
    assert np.abs(seen - colours).max() <= 5


# Geometry

TURN = {  # display matrices (a b u, c d v, x y w) and what `corners` looks like through them
    0: ((1, 0, 0, 1), "RGBW"),
    90: ((0, 1, -1, 0), "BRWG"),
    180: ((-1, 0, 0, -1), "WBGR"),
    270: ((0, -1, 1, 0), "GWRB"),
}


@pytest.mark.parametrize("degrees", TURN)
def test_rotation_is_applied(tmp_path, degrees):
    (a, b, c, d), seen = TURN[degrees]
    one = 1 << 16
    matrix = (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path = encode(tmp_path / "a.mp4", [corners()] * 3, matrix=matrix)
    clip = load(path)
    assert clip.info.rotation == degrees
    assert (clip.info.width, clip.info.height) == ((64, 48), (48, 64))[degrees in (90, 270)]
    assert clip.frames.shape[1:3] == (clip.info.height, clip.info.width)
    assert [read_corners(frame) for frame in clip.frames] == [seen] * 3


@pytest.mark.parametrize(
    ("matrix", "seen"),
    [((-1, 0, 0, 1), "GRWB"), ((1, 0, 0, -1), "BWRG"), ((0, 1, 1, 0), "RBGW")],
)
def test_mirroring_is_applied(tmp_path, matrix, seen):
    a, b, c, d = (value << 16 for value in matrix)
    whole = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    clip = load(encode(tmp_path / "a.mp4", [corners()] * 2, matrix=whole))
    assert read_corners(clip.frames[0]) == seen


@pytest.mark.parametrize(("orientation", "seen"), [(3, "WBGR"), (6, "BRWG"), (8, "GWRB")])
def test_exif_orientation_is_applied(tmp_path, orientation, seen):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(corners()).save(tmp_path / "a.jpg", exif=exif, quality=95)
    clip = load(tmp_path / "a.jpg")
    assert read_corners(clip.frames[0]) == seen
    assert clip.frames.shape[1:3] == (clip.info.height, clip.info.width)
    assert load(tmp_path).frames.shape == clip.frames.shape


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(3, 2), (96, 48)), (Fraction(2, 3), (64, 72))]
)
def test_pixels_become_square(tmp_path, aspect, size):
    clip = load(encode(tmp_path / "a.mp4", [corners()] * 2, aspect=aspect))
    assert (clip.info.width, clip.info.height) == size
    assert clip.info.pixel_aspect == pytest.approx(float(aspect))
    assert clip.frames.shape[1:3] == size[::-1]
    assert read_corners(clip.frames[1]) == "RGBW"


def test_rotation_and_pixel_aspect_together(tmp_path):
    one = 1 << 16
    turned = (0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    clip = load(encode(tmp_path / "a.mp4", [corners()], aspect=Fraction(3, 2), matrix=turned))
    assert clip.frames.shape == (1, 96, 48, 3)
    assert read_corners(clip.frames[0]) == "BRWG"


def test_absurd_pixel_aspect_is_ignored(tmp_path):
    assert probe(encode(tmp_path / "a.mp4", grey(2), aspect=Fraction(200))).width == 64


# Times


@pytest.mark.parametrize(
    "rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25, 2), 10, 60, 240]
)
def test_times_are_exact(tmp_path, rate):
    clip = load(encode(tmp_path / "a.mp4", grey(30), rate=rate))
    assert np.abs(clip.times - np.arange(30) / float(rate)).max() < 1e-6
    assert clip.info.fps == pytest.approx(float(rate))
    assert clip.info.duration == pytest.approx(30 / float(rate), abs=1e-3)


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


def test_a_repeated_time_stamp_is_repaired(shared, tmp_path):
    path = tmp_path / "a.mkv"
    clips.remux(shared["plain"], path, stamp=lambda index, pts: pts - 512 * (index == 10))
    clip = load(path)
    assert np.all(np.diff(clip.times) > 0)
    assert np.abs(clip.times - np.arange(30) / 25).max() <= 0.04
    assert np.allclose(np.delete(clip.times, [9, 10]), np.delete(np.arange(30), [9, 10]) / 25)
    assert clip.notes == [
        "1 of 30 time stamps missing or out of order: repaired with the average step of 40 ms"
    ]


def test_a_stream_without_time_stamps(tmp_path):
    clip = load(encode(tmp_path / "a.h264", grey(20)))
    assert numbers(clip) == list(range(20))
    assert np.allclose(clip.times, np.arange(20) / 25)
    assert clip.notes == ["no time stamps: 25 frames per second assumed"]


@pytest.mark.parametrize(
    ("stamps", "times", "repaired"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3], 0),
        ([7, 8, 10], [0, 1, 3], 0),
        ([-2, -1, 0], [0, 1, 2], 0),
        ([0, 1, 1, 2, 3], [0, 1, 1.5, 2, 3], 1),  # repeated: half the way
        ([0, 1, None, 3], [0, 1, 2, 3], 1),
        ([0, None, None, 3], [0, 1, 2, 3], 2),
        ([None, 1, 2], [0, 1, 2], 1),
        ([None, None, None], [0, 1, 2], 3),
        ([0, 1, 2, 1.5, 5], [0, 1, 2, 3, 5], 1),  # backward
        ([0, 1, 2, 90, 4, 5], [0, 1, 2, 3, 4, 5], 1),  # ahead of its time
        ([0, 1, 2, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6], 1),  # joined clips: the clock restarts
        ([0, 1, 9, 10], [0, 1, 9, 10], 0),  # a real pause
        ([5], [0], 0),
        ([], [], 0),
    ],
)
def test_steady(stamps, times, repaired):
    items = [(None if s is None else float(s), index) for index, s in enumerate(stamps)]
    result = list(steady(items, 1.0))
    assert [item for _, item, _ in result] == list(range(len(stamps)))
    assert [time for time, _, _ in result] == pytest.approx(times)
    assert sum(flag for *_, flag in result) == repaired


def test_steady_always_increases():
    generator = np.random.default_rng(0)
    for _ in range(200):
        stamps = [None if s < 0 else float(s) for s in generator.integers(-3, 12, 20)]
        times = [time for time, *_ in steady(list(zip(stamps, stamps, strict=True)), 1.0)]
        assert times[0] == 0
        assert np.all(np.diff(times) > 0)


def test_frames_that_an_edit_list_hides_are_not_lost(shared, tmp_path):
    options = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
    path = tmp_path / "a.mp4"
    clips.remux(shared["plain"], path, lambda index, pts: pts - 5120, container_options=options)
    with Reader(path) as reader:
        seen = [(number(image), time) for image, time in reader]
    assert [index for index, _ in seen] == list(range(10, 30))
    assert [time for _, time in seen] == pytest.approx(np.arange(20) / 25)
    assert (reader.info.frames, reader.lost, reader.notes) == (20, 0, [])


# Streams


def test_streams_are_numbered_among_the_video_streams(tmp_path):
    path = encode(tmp_path / "a.mp4", grey(6), streams=[grey(9, 96, 128)], audio=True)
    assert probe(path).video_streams == 2
    for stream, (count, width) in enumerate([(6, 64), (9, 128)]):
        clip = load(path, Sampling(stream=stream))
        assert numbers(clip) == list(range(count))
        assert (clip.info.width, clip.info.stream) == (width, stream)
        assert probe(path, stream) == clip.info
    assert probe(path).stream in (0, 1)
    with pytest.raises(ConfigError, match="no video stream 2; it has 2 video streams") as error:
        probe(path, 2)
    one_line(error)
    with pytest.raises(ConfigError, match="no video stream 1"):
        probe(clips.animate(tmp_path / "a.gif", grey(3), [100] * 3), 1)
