"""Reading clips: colours and geometry."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import corners, encode, grey, mux
from PIL import Image

from spf.errors import ClipError
from spf.video import load, probe


def read_corners(image):
    """The quarters of an image, as `corners` ("RGBW")."""
    names = {(1, 0, 0): "R", (0, 1, 0): "G", (0, 0, 1): "B", (1, 1, 1): "W"}
    height, width = image.shape[:2]
    rows, columns = (height // 4, height * 3 // 4), (width // 4, width * 3 // 4)
    return "".join(names[tuple((image[y, x] > 127).astype(int))] for y in rows for x in columns)


@pytest.mark.parametrize("colour", [None, (1, 1), (6, 1), (1, 2), (6, 2)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_matrix_and_range_are_respected(tmp_path, colour, pix_fmt):
    colours = [(220, 30, 30), (30, 200, 40), (40, 50, 210), (255,) * 3, (0,) * 3, (90,) * 3]
    image = np.repeat(np.array([colours], np.uint8), 16, axis=1).repeat(64, axis=0)
    options = {"crf": "1", "preset": "veryfast"}
    path = encode(tmp_path / "a.mp4", [image] * 2, pix_fmt=pix_fmt, colour=colour, options=options)
    seen = load(path).frames[1][32, 8::16].astype(int)
    assert np.abs(seen - colours).max() <= 5


EXIF = {1: "RGBW", 2: "GRWB", 3: "WBGR", 4: "BWRG", 5: "RBGW", 6: "BRWG", 7: "WGBR", 8: "GWRB"}
"""What `corners` looks like through each orientation."""


@pytest.mark.parametrize("orientation", EXIF)
@pytest.mark.parametrize("name", ["a.avi", "a.mjpeg"])
def test_photographs_that_were_copied_into_a_video(tmp_path, name, orientation):
    """Their EXIF data come with them, which not every PyAV knows."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "ACME", orientation
    data = io.BytesIO()
    Image.fromarray(corners()).save(data, "JPEG", exif=exif, quality=95)
    (tmp_path / "a.jpg").write_bytes(data.getvalue())
    mux(tmp_path / name, "mjpeg", "yuvj420p", [data.getvalue()] * 5)
    clip, still = load(tmp_path / name), load(tmp_path / "a.jpg")
    assert clip.frames.shape == (5, *still.frames.shape[1:])
    assert read_corners(clip.frames[4]) == read_corners(still.frames[0]) == EXIF[orientation]
    assert still.frames.shape[1:3] == (still.info.height, still.info.width)
    assert np.allclose(clip.times, np.arange(5) / 25)


@pytest.mark.parametrize(
    ("matrix", "degrees", "aspect", "size", "seen"),
    [  # display matrices (a b u, c d v, x y w)
        ((1, 0, 0, 1), 0, Fraction(3, 2), (96, 48), "RGBW"),
        ((1, 0, 0, 1), 0, Fraction(2, 3), (64, 72), "RGBW"),
        ((1, 0, 0, 1), 0, Fraction(200), (64, 48), "RGBW"),  # absurd: passed over
        ((0, 1, -1, 0), 90, None, (48, 64), "BRWG"),
        ((0, 1, -1, 0), 90, Fraction(3, 2), (48, 96), "BRWG"),
        ((-1, 0, 0, -1), 180, None, (64, 48), "WBGR"),
        ((0, -1, 1, 0), 270, None, (48, 64), "GWRB"),
        ((-1, 0, 0, 1), None, None, (64, 48), "GRWB"),
        ((1, 0, 0, -1), None, None, (64, 48), "BWRG"),
        ((0, 1, 1, 0), None, None, (48, 64), "RBGW"),
    ],
)
def test_rotation_mirroring_and_square_pixels(tmp_path, matrix, degrees, aspect, size, seen):
    a, b, c, d = (value << 16 for value in matrix)
    whole = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    clip = load(encode(tmp_path / "a.mp4", [corners()] * 2, matrix=whole, aspect=aspect))
    assert (clip.info.width, clip.info.height) == clip.frames.shape[2:0:-1] == size
    assert [read_corners(frame) for frame in clip.frames] == [seen] * 2
    assert degrees in (None, clip.info.rotation)


def box(kind: bytes, *parts: bytes, version: int | None = None) -> bytes:
    """A box of ISO/IEC 14496-12, with a version and no flags where one is named."""
    body = b"".join(parts if version is None else [struct.pack(">I", version << 24), *parts])
    return struct.pack(">I4s", 8 + len(body), kind) + body


def test_a_picture_of_tiles_is_refused(tmp_path):
    """As phones write HEIC: FFmpeg gives each tile as a stream, one of which is not the picture."""
    pack, path = struct.pack, tmp_path / "a.heic"
    # With B-frames x265 gives a single picture a time that it never set.
    quiet = {"x265-params": "log-level=none:bframes=0"}
    data = encode(tmp_path / "a.mp4", grey(1, 64, 64), "libx265", options=quiet).read_bytes()
    place = data.index(b"hvcC") - 4
    settings = data[place : place + int.from_bytes(data[place : place + 4], "big")]
    with av.open(str(tmp_path / "a.mp4")) as source:
        tile = bytes(next(source.demux(video=0)))
    grid = pack(">BBBBHH", 0, 0, 0, 1, 128, 64)
    items = [(1, b"hvc1", tile), (2, b"hvc1", tile), (3, b"grid", grid)]

    def head(begin: int) -> bytes:
        places = known = b""
        for number, kind, content in items:
            places += pack(">HHHII", number, 0, 1, begin, len(content))
            known += box(b"infe", pack(">HH4sB", number, 0, kind, 0), version=2)
            begin += len(content)
        sizes = [box(b"ispe", pack(">II", side, 64), version=0) for side in (64, 128)]
        uses = pack(">IHBBBHBBBHBB", 3, 1, 2, 0x81, 2, 2, 2, 0x81, 2, 3, 1, 3)
        parts = [
            box(b"hdlr", pack(">I4s", 0, b"pict"), bytes(13), version=0),
            box(b"pitm", pack(">H", 3), version=0),
            box(b"iloc", pack(">BBH", 0x44, 0, 3), places, version=0),
            box(b"iinf", pack(">H", 3), known, version=0),
            box(b"iref", box(b"dimg", pack(">HHHH", 3, 2, 1, 2)), version=0),
            box(b"iprp", box(b"ipco", settings, *sizes), box(b"ipma", uses, version=0)),
        ]
        return box(b"ftyp", b"heic", bytes(4), b"mif1heic") + box(b"meta", *parts, version=0)

    path.write_bytes(head(len(head(0)) + 8) + box(b"mdat", *(content for *_, content in items)))
    with pytest.raises(ClipError, match="stored as tiles, which are not joined here; convert it"):
        probe(path)
