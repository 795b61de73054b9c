"""Tiles of a video: exact to the pixel and the time stamp, and their hash is FFmpeg's."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import av
import ffmpeg
import numpy as np
import pytest

from spf.errors import ClipError
from spf.video import Reader, Tile, cut_tile, frames_sha256

HEIGHT, WIDTH, COUNT = 48, 80, 7
STAMPS = [0, 1, 2, 5, 6, 9, 10]  # of a variable frame rate
GRID = {"one": Tile(0, 0, 32, 20), "two": Tile(34, 0, 32, 20), "low": Tile(16, 24, 64, 24)}


def planes(pix_fmt: str = "yuv420p", seed: int = 0) -> list[list[np.ndarray]]:
    """Y, U and V of frames of noise."""
    step = 2 if pix_fmt == "yuv420p" else 1
    random = np.random.default_rng(seed)
    shapes = [(HEIGHT, WIDTH), *[(HEIGHT // step, WIDTH // step)] * 2]
    return [[random.integers(16, 236, s, dtype=np.uint8) for s in shapes] for _ in range(COUNT)]


def raw(frames: list[list[np.ndarray]], tile: Tile) -> bytes:
    """A tile of frames, by slicing."""
    found = b""
    for plane in (plane for frame in frames for plane in frame):
        x, y, width, height = (side * plane.shape[1] // WIDTH for side in tile)
        found += plane[y : y + height, x : x + width].tobytes()
    return found


def write(path: Path, frames: list[list[np.ndarray]], pix_fmt: str = "yuv420p") -> Path:
    """A lossless video whose decoded planes are those of the frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (-1, WIDTH) if pix_fmt == "yuv420p" else (3, HEIGHT, WIDTH)
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=10, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        for stamp, frame in zip(STAMPS, frames, strict=True):
            data = np.concatenate([plane.ravel() for plane in frame]).reshape(shape)
            image = av.VideoFrame.from_ndarray(data, format=pix_fmt)
            image.pts = stamp
            output.mux(stream.encode(image))
        output.mux(stream.encode(None))
    return path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("pix_fmt", "tile"),
    [*(("yuv420p", tile) for tile in GRID.values()), ("yuv444p", Tile(33, 5, 47, 43))],
)
def test_a_tile_is_exact_to_the_pixel_and_the_time_stamp(
    pix_fmt: str, tile: Tile, tmp_path: Path
) -> None:
    frames = planes(pix_fmt)
    source, out = write(tmp_path / "grid.mp4", frames, pix_fmt), tmp_path / "tile.mp4"
    cut_tile(source, tile, out)
    assert frames_sha256(out) == sha256(raw(frames, tile))
    x, y, width, height = tile
    with Reader(source) as whole, Reader(out) as part:
        images = list(zip(whole, part, strict=True))
    assert len(images) == COUNT
    for index, ((image, time), (cut, same)) in enumerate(images):
        assert time == same == pytest.approx(STAMPS[index] / 10)
        assert np.array_equal(cut, image[y : y + height, x : x + width])


@ffmpeg.needed
def test_the_hash_of_frames_is_that_of_the_documented_command(tmp_path: Path) -> None:
    source = write(tmp_path / "grid.mp4", planes())
    cut_tile(source, GRID["low"], tmp_path / "low.mp4")
    crop = ["-filter:v", "crop=64:24:16:24", "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
    command = ["ffmpeg", "-v", "error", "-i", str(source), *crop]
    done = subprocess.run(command, capture_output=True, check=True)
    assert frames_sha256(tmp_path / "low.mp4") == sha256(done.stdout)


@pytest.mark.parametrize("tile", [(1, 0, 32, 20), (0, 0, 32, 21), (50, 0, 32, 20), (0, 30, 4, 20)])
def test_a_tile_that_does_not_fit_is_refused(tile: tuple[int, ...], tmp_path: Path) -> None:
    """Beyond the picture, or between the pixels of its colours, where FFmpeg would move it."""
    source = write(tmp_path / "grid.mp4", planes())
    with pytest.raises(ClipError, match="does not fit 80 x 48 yuv420p; give multiples of 2"):
        cut_tile(source, Tile(*tile), tmp_path / "tile.mp4")
