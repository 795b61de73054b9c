"""How far the outer structure of a file reaches, which FFmpeg does not report."""

from __future__ import annotations

from pathlib import Path


def index_missing(path: Path) -> bool:
    """Whether this is an MP4 or QuickTime file that ends before its index does."""
    size = path.stat().st_size
    position = 0
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if position == 0 and kind not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return False
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            length = length or size - position
            if kind == b"moov":
                return position + length > size
            if length < 8:
                return False
            position += length
    return position > 0


def riff_end(path: Path) -> int | None:
    """Where the last outer chunk of a RIFF file ends, in bytes; None where its writer left that
    open, and with it all counts."""
    size = path.stat().st_size
    end = 0
    with path.open("rb") as file:
        while end + 8 <= size:
            file.seek(end)
            head = file.read(8)
            length = int.from_bytes(head[4:], "little")
            if head[:4] != b"RIFF":
                break  # something else behind it
            if length in (0, 2**32 - 1):
                return None
            end += 8 + length + length % 2
    return end
