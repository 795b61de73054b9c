"""Tiles of a video: exact to the pixel and the time stamp, and their hash is FFmpeg's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import ffmpeg
import numpy as np
import pytest
from tiles import COUNT, GRID, STAMPS, planes, raw, sha256, write

from spf.errors import ClipError
from spf.video import Reader, Tile, cut_tile, frames_sha256


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
