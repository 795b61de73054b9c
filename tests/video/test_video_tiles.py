"""Tiles of a video: exact to the pixel and the time stamp, and their hash is FFmpeg's."""

import subprocess

import ffmpeg
import numpy as np
import pytest
from clips import refused
from tiles import GRID, STAMPS, planes, raw, sha256, write

from spf.errors import ClipError
from spf.video import Tile, cut_tile, frames_sha256, load


@pytest.mark.parametrize(("pix_fmt", "tile"), [
    *(("yuv420p", tile) for tile in GRID.values()), ("yuv444p", Tile(33, 5, 47, 43)),
])  # fmt: skip
def test_a_tile_is_exact_to_the_pixel_and_the_time_stamp(pix_fmt, tile, tmp_path):
    frames = planes(pix_fmt)
    source, out = write(tmp_path / "grid.mp4", frames, pix_fmt), tmp_path / "tile.mp4"
    cut_tile(source, tile, out)
    assert frames_sha256(out) == sha256(raw(frames, tile))
    x, y, width, height = tile
    whole, part = load(source), load(out)
    assert part.times.tolist() == whole.times.tolist() == pytest.approx([t / 10 for t in STAMPS])
    assert np.array_equal(part.frames, whole.frames[:, y : y + height, x : x + width])


@ffmpeg.needed
def test_the_hash_of_frames_is_that_of_the_documented_command(tmp_path):
    source = write(tmp_path / "grid.mp4", planes())
    cut_tile(source, GRID["low"], tmp_path / "low.mp4")
    options = "-filter:v crop=64:24:16:24 -fps_mode passthrough -f rawvideo -"
    command = ["ffmpeg", "-v", "error", "-i", str(source), *options.split()]
    done = subprocess.run(command, capture_output=True, check=True)
    assert frames_sha256(tmp_path / "low.mp4") == sha256(done.stdout)


@pytest.mark.parametrize("tile", [(1, 0, 32, 20), (0, 0, 32, 21), (50, 0, 32, 20), (0, 30, 4, 20)])
def test_a_tile_that_does_not_fit_is_refused(tile, tmp_path):
    """Beyond the picture, or between the pixels of its colours, where FFmpeg would move it."""
    source = write(tmp_path / "grid.mp4", planes())
    with refused("does not fit 80 x 48 yuv420p; give multiples of 2", ClipError):
        cut_tile(source, Tile(*tile), tmp_path / "tile.mp4")
