"""What a clip is read from, as a hash."""

import hashlib
import os
from pathlib import Path

from spf.identity import canonical
from spf.video.folder import list_frames


def content_hash(path: str | os.PathLike[str]) -> str | None:
    """SHA-256, 64 hexadecimal digits, of what a clip is read from; None where it cannot be read.

    Of a file, its bytes; of a folder, the names and bytes of its frames (`list_frames`) and what is
    noted about it. The bytes are hashed every time. A hash remembered by size and time of change
    would be wrong where a file is written within the clock's tick, or through a memory map; and it
    would save little: hashing takes less than a hundredth of the time of decoding.
    """
    try:
        if not os.path.isdir(path):
            return _sha256(Path(path))
        frames, notes = list_frames(Path(path))
        found = [[[frame.name, _sha256(frame)] for frame in frames], notes]
        return hashlib.sha256(canonical(found)).hexdigest()
    except OSError:
        return None  # reading the clip will say what is wrong with it


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(path)  # opening a pipe would wait for ever
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
