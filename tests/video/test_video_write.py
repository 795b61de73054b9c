"""Writing clips and cutting tiles, exact to the pixel; and what reading them costs."""

import errno
import gc
import os
import stat
import subprocess
from collections.abc import Iterator
from fractions import Fraction

import clips
import ffmpeg
import numpy as np
import psutil
import pytest
import tiles
from clips import grey, numbers, refused
from tiles import GRID, STAMPS, planes, raw, sha256

from spf.errors import ClipError
from spf.video import Reader, Tile, cut_tile, frames_sha256, load, write_mp4, write_png


@pytest.mark.parametrize(("fps", "exact"), [
    (29.97, Fraction(30000, 1001)),
    (23.976, Fraction(24000, 1001)),
    (np.float64(25.0), 25),
    (25 / 3, Fraction(25, 3)),
    (0.5, Fraction(1, 2)),
    (Fraction(7, 3), Fraction(7, 3)),
])  # fmt: skip
def test_mp4_round_trip_at_the_exact_rate(tmp_path, fps, exact):
    write_mp4(tmp_path / "new" / "a.mp4", iter(grey(20)), fps)
    clip = load(tmp_path / "new" / "a.mp4")
    assert numbers(clip) == list(range(20))
    assert np.abs(clip.times - np.arange(20) / float(exact)).max() < 1e-6
    assert clip.info.fps == pytest.approx(float(exact), rel=1e-9)
    assert (clip.info.codec, clip.info.frames, clip.notes) == ("h264", 20, [])


def test_mp4_keeps_colours_and_pads_odd_sizes(tmp_path):
    colours = np.array([[(220, 30, 30), (30, 200, 40), (40, 50, 210), (255, 255, 255)]], np.uint8)
    image = colours.repeat(16, axis=1).repeat(33, axis=0)[:, :63]
    for name in ("a.mp4", "b.mp4"):
        write_mp4(tmp_path / name, [image] * 3, 25, crf=4)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    frames = load(tmp_path / "a.mp4").frames
    assert frames.shape == (3, 34, 64, 3)
    assert np.abs(frames[1, 16, 8::16].astype(int) - colours[0]).max() <= 6
    assert np.abs(frames[1, :, 63].astype(int) - 255).max() <= 6


def test_png_round_trip_is_lossless(tmp_path, monkeypatch):
    def fsync(handle):  # as some file systems
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    frames = np.stack(clips.noise(12, 17, 31)) ^ np.arange(12, dtype=np.uint8)[:, None, None, None]
    for shown in (frames, frames[:3]):  # the second time replaces what the first one wrote
        write_png(tmp_path / "frames", iter(shown))
        assert (tmp_path / "frames" / "000001.png").exists()
        assert np.array_equal(load(tmp_path / "frames").frames, shown)
    assert [p.name for p in tmp_path.iterdir()] == ["frames"]


WRITERS = [lambda path, frames: write_mp4(path, frames, 25), write_png]


@pytest.mark.parametrize("write", WRITERS, ids=["mp4", "png"])
def test_an_interrupted_write_leaves_nothing(tmp_path, write):
    target = tmp_path / "a.out"

    def failing(error: BaseException) -> Iterator[np.ndarray]:
        yield from grey(5)
        raise error

    for error in (KeyboardInterrupt(), OSError("mine")):
        with pytest.raises(type(error)) as raised:
            write(target, failing(error))
        assert raised.value is error
        assert list(tmp_path.iterdir()) == []
    write(target, grey(3))
    before = load(target).frames
    with pytest.raises(OSError, match="mine"):
        write(target, failing(error))
    assert list(tmp_path.iterdir()) == [target]
    assert np.array_equal(load(target).frames, before)


@pytest.mark.parametrize("write", WRITERS, ids=["mp4", "png"])
def test_wrong_frames_and_settings_are_refused(tmp_path, write):
    target = tmp_path / "a.out"
    with refused("no frames to write", ClipError):
        write(target, [])
    for frames in ([np.zeros((8, 8, 3), np.float32)], [*grey(2), *grey(1, 16, 16)]):
        with pytest.raises(ValueError, match="frame "):
            write(target, frames)
    for args, message in (((float("nan"),), "fps="), ((0,), "fps="), ((25, 99), "crf=")):
        with refused(message):
            write_mp4(target, grey(2), *args)
    assert list(tmp_path.iterdir()) == []


def test_a_refusing_disk_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "precious.txt").write_text("x")
    mp4, png = WRITERS
    for write, name, message in (
        (mp4, "file/a.mp4", "cannot be written"),
        (mp4, "folder", "cannot be written"),
        (png, "folder", "the folder holds other files"),
        (png, "file", "not a folder"),
    ):
        with refused(message, ClipError):
            write(tmp_path / name, grey(2))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder", "precious.txt"]


def test_memory_does_not_grow_with_the_length(tmp_path):
    black = np.zeros((360, 640, 3), np.uint8)
    write_mp4(tmp_path / "a.mp4", (black for _ in range(300)), 25, crf=30)  # 207 MB of frames
    process = psutil.Process()
    with Reader(tmp_path / "a.mp4") as reader:
        for index, _ in enumerate(reader):
            if index == 60:
                gc.collect()
                before = process.memory_info().rss
    gc.collect()
    assert index == 299
    assert process.memory_info().rss - before < 30e6


@pytest.mark.parametrize(("pix_fmt", "tile"), [
    *(("yuv420p", tile) for tile in GRID.values()), ("yuv444p", Tile(33, 5, 47, 43)),
])  # fmt: skip
def test_a_tile_is_exact_to_the_pixel_and_the_time_stamp(pix_fmt, tile, tmp_path):
    frames = planes(pix_fmt)
    source, out = tiles.write(tmp_path / "grid.mp4", frames, pix_fmt), tmp_path / "tile.mp4"
    cut_tile(source, tile, out)
    assert frames_sha256(out) == sha256(raw(frames, tile))
    x, y, width, height = tile
    whole, part = load(source), load(out)
    assert part.times.tolist() == whole.times.tolist() == pytest.approx([t / 10 for t in STAMPS])
    assert np.array_equal(part.frames, whole.frames[:, y : y + height, x : x + width])


@ffmpeg.needed
def test_the_hash_of_frames_is_that_of_the_documented_command(tmp_path):
    source = tiles.write(tmp_path / "grid.mp4", planes())
    cut_tile(source, GRID["low"], tmp_path / "low.mp4")
    options = "-filter:v crop=64:24:16:24 -fps_mode passthrough -f rawvideo -"
    command = ["ffmpeg", "-v", "error", "-i", str(source), *options.split()]
    done = subprocess.run(command, capture_output=True, check=True)
    assert frames_sha256(tmp_path / "low.mp4") == sha256(done.stdout)


@pytest.mark.parametrize("tile", [(1, 0, 32, 20), (0, 0, 32, 21), (50, 0, 32, 20), (0, 30, 4, 20)])
def test_a_tile_that_does_not_fit_is_refused(tile, tmp_path):
    """Beyond the picture, or between the pixels of its colours, where FFmpeg would move it."""
    source = tiles.write(tmp_path / "grid.mp4", planes())
    with refused("does not fit 80 x 48 yuv420p; give multiples of 2", ClipError):
        cut_tile(source, Tile(*tile), tmp_path / "tile.mp4")
