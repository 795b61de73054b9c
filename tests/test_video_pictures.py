"""Reading clips: colours and geometry."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from clips import corners, encode, grey, read_corners
from PIL import Image

from spf.video import (
    load,
    probe,
)

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
