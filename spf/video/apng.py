"""Animated PNGs, composed as the PNG specification asks (third edition, 11.3.6.2 and 12.5.3).

Pillow decodes the frames; its own composition, up to version 13, blends alpha over alpha wrongly
and forgets what a frame with "dispose to previous" had covered.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
OVER = 1  # how a frame is blended; otherwise it replaces
TO_BACKGROUND, TO_PREVIOUS = 1, 2  # what becomes of its place before the next one


def frames(path: Path, canvas: Image.Image) -> Iterator[Image.Image]:
    """The frames of a file, RGBA and of the canvas's size, with `info["duration"]` in ms.

    Each is valid until the next. Raises OSError and what Pillow raises for a damaged file, where
    the damage is.
    """
    from PIL import Image

    shown = Image.new("RGBA", canvas.size)
    shown.info.update(canvas.info)  # an orientation
    first = True
    for control, data in _frames(path):
        width, height, x, y, numerator, denominator, dispose, blend = control
        box = (x, y, x + width, y + height)
        if box[2] > shown.width or box[3] > shown.height:
            raise OSError("a frame is larger than its canvas")
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            part = image.convert("RGBA")
        covered = shown.crop(box)
        if blend == OVER:
            shown.alpha_composite(part, (x, y))
        else:
            shown.paste(part, box)
        shown.info["duration"] = 1000 * numerator / (denominator or 100)
        yield shown
        if dispose == TO_BACKGROUND or (dispose == TO_PREVIOUS and first):
            shown.paste((0, 0, 0, 0), box)
        elif dispose == TO_PREVIOUS:
            shown.paste(covered, box)
        first = False


def _frames(path: Path) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """(control of a frame, the frame as a PNG of its own) of all frames.

    The control is width, height, x, y, delay (numerator, denominator, seconds), dispose, blend.
    """
    header, palette, data = b"", b"", b""
    control: tuple[int, ...] | None = None
    with path.open("rb") as file:
        for kind, body in _chunks(file):
            if kind == b"IHDR":
                header = body
            elif kind in (b"PLTE", b"tRNS"):
                palette += _chunk(kind, body)
            elif control and kind in (b"IDAT", b"fdAT"):
                data += body if kind == b"IDAT" else body[4:]
            elif kind in (b"fcTL", b"IEND"):
                if control:
                    size = _chunk(b"IHDR", struct.pack(">II", *control[:2]) + header[8:])
                    end = _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
                    yield control, SIGNATURE + size + palette + end
                control, data = None, b""
                if kind == b"fcTL":
                    control = struct.unpack(">4xIIIIHHBB", body)


def _chunks(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """(type, data) of the chunks; raises OSError where one is cut off or damaged."""
    file.seek(len(SIGNATURE))
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", file.read(8))
        body = file.read(length)
        if file.read(4) != struct.pack(">I", zlib.crc32(kind + body)):
            raise OSError("a chunk is cut off or damaged")
        yield kind, body


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
