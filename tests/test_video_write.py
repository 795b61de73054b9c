"""Writing clips, and what reading them costs."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction

import clips
import numpy as np
import psutil
import pytest
from clips import grey, numbers, one_line

from spf.errors import ClipError, ConfigError
from spf.video import (
    Reader,
    load,
    write_mp4,
    write_png,
)
from spf.video.write import exact_rate

# Writing


@pytest.mark.parametrize(
    ("fps", "exact"),
    [
        (29.97, Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (30000 / 1001, Fraction(30000, 1001)),
        (Fraction(7, 3), Fraction(7, 3)),
        (25, Fraction(25)),
        (30.0, Fraction(30)),
        (12.5, Fraction(25, 2)),
        (25 / 3, Fraction(25, 3)),
        (np.float64(24.0), Fraction(24)),
    ],
)
def test_exact_rate(fps, exact):
    assert exact_rate(fps) == exact


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1e9, True])
def test_wrong_rates_are_refused(tmp_path, fps):
    with pytest.raises(ConfigError, match="fps is"):
        write_mp4(tmp_path / "a.mp4", grey(2), fps)
    with pytest.raises(ConfigError, match="crf is"):
        write_mp4(tmp_path / "a.mp4", grey(2), 25, crf=99)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fps", [29.97, 25, 8.333, 0.5, 120, Fraction(25, 3)])
def test_mp4_round_trip(tmp_path, fps):
    write_mp4(tmp_path / "new" / "a.mp4", iter(grey(20)), fps)
    clip = load(tmp_path / "new" / "a.mp4")
    assert numbers(clip) == list(range(20))
    assert np.abs(clip.times - np.arange(20) / float(exact_rate(fps))).max() < 1e-6
    assert clip.info.fps == pytest.approx(float(exact_rate(fps)))
    assert (clip.info.codec, clip.info.frames, clip.notes) == ("h264", 20, [])


def test_mp4_keeps_colours_and_pads_odd_sizes(tmp_path):
    colours = np.array([[(220, 30, 30), (30, 200, 40), (40, 50, 210), (255, 255, 255)]], np.uint8)
    image = colours.repeat(16, axis=1).repeat(33, axis=0)[:, :63]
    write_mp4(tmp_path / "a.mp4", [image] * 3, 25, crf=4)
    frames = load(tmp_path / "a.mp4").frames
    assert frames.shape == (3, 34, 64, 3)
    assert np.abs(frames[1, 16, 8::16].astype(int) - colours[0]).max() <= 6
    assert np.abs(frames[1, :, 63].astype(int) - 255).max() <= 6


def test_mp4_is_the_same_bytes_every_time(tmp_path):
    for name in "ab":
        write_mp4(tmp_path / f"{name}.mp4", clips.noise(20), 25)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_png_round_trip_is_lossless(tmp_path):
    frames = np.stack(clips.noise(12, 17, 31)) ^ np.arange(12, dtype=np.uint8)[:, None, None, None]
    for _ in range(2):  # the second time replaces what the first one wrote
        write_png(tmp_path / "frames", iter(frames))
        assert sorted(p.name for p in (tmp_path / "frames").iterdir())[:2] == [
            "000000.png",
            "000001.png",
        ]
        clip = load(tmp_path / "frames")
        assert np.array_equal(clip.frames, frames)
        assert clip.times.tolist() == list(range(12))
    write_png(tmp_path / "frames", frames[:3])
    assert len(load(tmp_path / "frames").frames) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["frames"]


def failing(error: BaseException) -> Iterator[np.ndarray]:
    yield from grey(5)
    raise error


@pytest.mark.parametrize("write", [lambda p, f: write_mp4(p, f, 25), write_png])
@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), OSError("mine")])
def test_an_interrupted_write_leaves_nothing(tmp_path, write, error):
    target = tmp_path / "a.out"
    with pytest.raises(type(error)) as raised:
        write(target, failing(error))
    assert raised.value is error
    assert list(tmp_path.iterdir()) == []
    write(target, grey(3))
    before = load(target).frames
    with pytest.raises(type(error)):
        write(target, failing(error))
    assert list(tmp_path.iterdir()) == [target]
    assert np.array_equal(load(target).frames, before)


@pytest.mark.parametrize("write", [lambda p, f: write_mp4(p, f, 25), write_png])
def test_wrong_frames_are_refused(tmp_path, write):
    target = tmp_path / "a.out"
    with pytest.raises(ClipError, match="no frames to write"):
        write(target, [])
    for frames in (
        [np.zeros((8, 8), np.uint8)],
        [np.zeros((8, 8, 4), np.uint8)],
        [np.zeros((8, 8, 3), np.float32)],
        [np.zeros((0, 8, 3), np.uint8)],
        [*grey(2), *grey(1, 16, 16)],
    ):
        with pytest.raises(ValueError, match="frame "):
            write(target, frames)
    assert list(tmp_path.iterdir()) == []


def test_a_refusing_disk_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ClipError, match="cannot be written") as error:
        write_mp4(tmp_path / "file" / "a.mp4", grey(2), 25)
    one_line(error)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "precious.txt").write_text("x")
    with pytest.raises(ClipError, match="cannot be written"):
        write_mp4(tmp_path / "folder", grey(2), 25)
    with pytest.raises(ClipError, match="the folder holds other files"):
        write_png(tmp_path / "folder", grey(2))
    with pytest.raises(ClipError, match="not a folder"):
        write_png(tmp_path / "file", grey(2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["precious.txt"]


# Cost


def test_memory_does_not_grow_with_the_length(tmp_path):
    def frames(count: int) -> Iterator[np.ndarray]:
        for index in range(count):
            yield np.full((360, 640, 3), index % 256, np.uint8)

    process = psutil.Process()
    write_mp4(tmp_path / "a.mp4", frames(400), 25, crf=30)  # 276 MB of frames
    with Reader(tmp_path / "a.mp4") as reader:
        for index, _ in enumerate(reader):
            if index == 60:
                gc.collect()
                before = process.memory_info().rss
    gc.collect()
    assert index == 399
    assert process.memory_info().rss - before < 30e6


def test_import_is_light():
    heavy = "{'av', 'PIL', 'cv2', 'torch', 'diffusers', 'transformers'}"
    code = f"import sys, spf.video; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
