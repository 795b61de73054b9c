"""Animated PNGs with every way to blend and to dispose, and what they show by the specification."""

import struct
import zlib
from dataclasses import dataclass
from itertools import count

import numpy as np

LEAVE, TO_BACKGROUND, TO_PREVIOUS = 0, 1, 2
REPLACE, OVER = 0, 1


@dataclass
class ApngFrame:
    """A frame: pixels (H, W, 4) uint8 at (x, y)."""

    pixels: np.ndarray
    x: int = 0
    y: int = 0
    dispose: int = LEAVE
    blend: int = REPLACE
    delay: tuple[int, int] = (1, 20)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write(path, parts, outside=None):
    """The first part covers the canvas; `outside` is a default picture before the animation."""

    def packed(pixels):
        return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))

    height, width = parts[0].pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    out = [chunk(b"IHDR", header), chunk(b"acTL", struct.pack(">II", len(parts), 0))]
    if outside is not None:
        out.append(chunk(b"IDAT", packed(outside)))
    order = count()
    for index, part in enumerate(parts):
        high, wide = part.pixels.shape[:2]
        placed = (next(order), wide, high, part.x, part.y, *part.delay, part.dispose, part.blend)
        out.append(chunk(b"fcTL", struct.pack(">IIIIIHHBB", *placed)))
        data = packed(part.pixels)
        if index == 0 and outside is None:
            out.append(chunk(b"IDAT", data))
            continue
        for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
            out.append(chunk(b"fdAT", struct.pack(">I", index) + piece))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(out) + chunk(b"IEND", b""))
    return path


def shown(parts):
    """What each frame looks like over black, (T, H, W, 3), in the real numbers.

    With colours multiplied by their alpha, `over` is c + (1 - alpha) times what was there.
    """
    canvas = np.zeros((*parts[0].pixels.shape[:2], 3))
    frames = []
    for index, part in enumerate(parts):
        high, wide = part.pixels.shape[:2]
        place = np.s_[part.y : part.y + high, part.x : part.x + wide]
        before = canvas[place].copy()
        alpha = part.pixels[..., 3:] / 255
        behind = (1 - alpha) * before if part.blend == OVER else 0
        canvas[place] = part.pixels[..., :3] * alpha + behind
        frames.append(canvas.copy())
        if part.dispose == TO_BACKGROUND or (part.dispose == TO_PREVIOUS and index == 0):
            canvas[place] = 0
        elif part.dispose == TO_PREVIOUS:
            canvas[place] = before
    return np.stack(frames)
