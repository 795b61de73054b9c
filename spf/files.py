"""Write files so that a reader sees the old one or the new one, never half of one."""

import errno
import os
import secrets
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NO_ARCHIVE = (
    ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError, RecursionError,
    NotImplementedError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What unpacking the bytes of an .npz of ours raises where they are damaged or hostile."""

LEFTOVER = 86_400.0
"""Seconds after which nobody is at work any more on what is half-written."""


def read_bounded(path: Path, most: int) -> bytes:
    """The bytes of a file that somebody gave: a regular one, of at most `most` bytes.

    Raises OSError for anything else; a pipe or a device would be read for ever.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a file", str(path))
    with open(path, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
    return data


def write_atomic(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to a file as `moved_into_place` does. Raises OSError."""
    with moved_into_place(Path(path)) as temporary, open(temporary, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def moved_into_place(target: Path) -> Iterator[Path]:
    """A temporary name beside the target for a file or a folder, moved to it at the end.

    Missing folders are made. Whatever is raised (OSError, KeyboardInterrupt), the old target stays
    as it was and nothing temporary is left; after SIGKILL something named `.spf-*.tmp` may be.
    An OSError about the temporary name is given the target's.
    The caller has the disk hold what it writes (fsync); the move itself is synchronised here.
    """
    temporary = target.with_name(f".spf-{secrets.token_hex(8)}.tmp")
    aside = temporary.with_suffix(".old")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        if temporary.is_dir() and target.is_dir():
            os.rename(target, aside)  # a folder that holds files cannot be renamed over
        try:
            os.replace(temporary, target)
        except BaseException:
            if aside.exists():
                os.rename(aside, target)
            raise
        with suppress(OSError):  # some file systems, and folders that may only be written, refuse
            synchronise(target.parent)
    except OSError as error:
        if error.filename is not None and os.fspath(error.filename) == str(temporary):
            error.filename, error.filename2 = str(target), None
        raise
    finally:
        for leftover in (temporary, aside):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                with suppress(OSError):  # what was asked for is there, or its error is on its way
                    leftover.unlink(missing_ok=True)


def synchronise(path: Path) -> None:
    """Have the disk hold a file or a folder's entries, so that a power cut loses neither."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(leftovers: Iterable[Path]) -> None:
    """Remove those that a killed process left half-written long ago."""
    for path in leftovers:
        with suppress(OSError):  # another process was faster
            if time.time() - path.stat().st_mtime > LEFTOVER:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
