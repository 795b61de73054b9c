"""The one store of results on disk: embeddings, quality scores, generated clips and cells.

    FOLDER/KEY/manifest.json    what an entry is about, and its files with their SHA-256
    FOLDER/KEY/SHA256           its files
    FOLDER/KEY.lock             while a process computes it (filelock; the kernel frees the lock of
                                a process that is gone)

A key names everything that determines its entry, so an entry never changes: it is there whole or
not at all, and of two processes that wrote one key the first counts. Locks only spare work.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from spf.files import sweep, synchronise
from spf.names import plain

MANIFEST = "manifest.json"
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)

WARN_AFTER = 10.0  # seconds of waiting for another process that a person should know of


@dataclass(frozen=True)
class Entry:
    """A stored result. about : plain data. files : SHA-256 of each file by its name."""

    folder: Path
    about: Any
    files: Mapping[str, str]

    def path(self, name: str) -> Path:
        """Where a file lies."""
        return self.folder / self.files[name]

    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None where it is gone or not what was written. Raises OSError."""
        data = _read(self.path(name))
        return data if data is not None and _digest(data) == self.files[name] else None

    @property
    def intact(self) -> bool:
        """Whether all files are as they were written."""
        return all(self.read(name) is not None for name in self.files)


class Store:
    """Entries in a folder, of at most `bound` bytes together where there is a bound: what was not
    used for longest goes first, and an entry larger than that is not stored.

    Methods raise OSError where the disk refuses.
    """

    def __init__(self, folder: Path, bound: int | None = None) -> None:
        self.folder = folder
        self.bound = bound

    def get(self, key: str) -> Entry | None:
        """The entry of a key; None where there is none, or its manifest is damaged."""
        folder = self.folder / key
        data = _read(folder / MANIFEST)
        if data is None:
            return None
        try:
            manifest = json.loads(data)
            if manifest.pop("checksum") != _checksum(manifest):
                return None
            entry = Entry(folder, manifest["about"], manifest["files"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        if self.bound is not None:
            with suppress(OSError):  # the folder may be read-only
                os.utime(folder / MANIFEST)  # the time of use
        return entry

    def put(self, key: str, about: Any, files: Mapping[str, bytes | Path]) -> Entry | None:
        """Store an entry; files are bytes, or paths of files that are linked where the disk can. An
        intact one that another process stored meanwhile stays. None where it exceeds the bound."""
        temporary, target = self._aside(key), self.folder / key
        try:
            temporary.mkdir(parents=True)
            hashes = {name: _add(temporary, content) for name, content in files.items()}
            manifest = {"about": about, "files": hashes}
            manifest["checksum"] = _checksum(manifest)
            _write(temporary / MANIFEST, json.dumps(manifest, indent=1).encode())
            if self.bound is not None and _size(temporary) > self.bound:
                return None
            synchronise(temporary)
            try:
                os.rename(temporary, target)
            except OSError as error:
                if error.errno not in TAKEN:
                    raise
                found = self.get(key)
                if found is not None and found.intact:
                    return found
                self.remove(key)
                os.rename(temporary, target)
            synchronise(self.folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        entries = self.entries() if self.bound is not None else []
        excess = sum(size for _, size in entries) - (self.bound or 0)
        for other, size in entries:  # those that were not used for longest go
            if excess > 0 and other != key:
                self.remove(other)
                excess -= size
        return Entry(target, about, hashes)

    def remove(self, key: str) -> None:
        """Remove an entry, so that nobody sees it half-removed."""
        aside = self._aside(key)
        try:
            os.rename(self.folder / key, aside)
        except FileNotFoundError:
            return
        shutil.rmtree(aside, ignore_errors=True)

    @contextmanager
    def lock(self, key: str, wait: str | None = None) -> Iterator[bool]:
        """Hold the lock of a key; gives whether it is held. wait : what is waited for, for a
        warning where it takes long; None gives up at once where another process holds the lock.
        What a process that died with the lock left half-written is removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        left = self.lock_file(key).exists()
        lock = FileLock(self.lock_file(key))
        try:
            lock.acquire(timeout=0 if wait is None else WARN_AFTER)
        except Timeout:
            if wait is None:
                yield False
                return
            warn(f"{wait}: waiting for another process that makes it")
            lock.acquire(timeout=-1, poll_interval=0.2)
        try:
            for path in self.folder.glob(f".spf-{key}-*") if left else ():
                shutil.rmtree(path, ignore_errors=True)
            yield True
        finally:
            with suppress(OSError):
                self.lock_file(key).unlink()  # before it is free: nobody locks a file that goes
            lock.release()

    def lock_file(self, key: str) -> Path:
        """The file that is locked; where no process holds it, one died that did."""
        return self.folder / f"{key}.lock"

    def entries(self, prefix: str = "") -> list[tuple[str, int]]:
        """Keys of the entries and their bytes, least recently used first."""
        found = []
        for manifest in self.folder.glob(f"{prefix}*/{MANIFEST}"):
            with suppress(OSError):  # another process has just removed it
                used = manifest.stat().st_mtime_ns
                found.append((used, manifest.parent.name, _size(manifest.parent)))
        return [(key, size) for _, key, size in sorted(found) if not key.startswith(".")]

    def sweep(self) -> None:
        """Remove what killed processes left half-written long ago."""
        sweep([*self.folder.glob(".spf-*"), *self.folder.glob("*.lock")])

    def _aside(self, key: str) -> Path:
        return self.folder / f".spf-{key}-{secrets.token_hex(8)}.tmp"


def warn(line: str) -> None:
    """A line for the person, above the progress bars."""
    from tqdm import tqdm

    tqdm.write(plain(line), file=sys.stderr)


def _add(folder: Path, content: bytes | Path) -> str:
    """Write a file under its SHA-256, which is returned."""
    data = content.read_bytes() if isinstance(content, Path) else content
    name = _digest(data)
    if not (folder / name).exists():  # two files may hold the same
        if isinstance(content, Path):
            with suppress(OSError):
                os.link(content, folder / name)
                return name
        _write(folder / name, data)
    return name


def _read(path: Path) -> bytes | None:
    """The bytes of a file; None where it is not there. One that cannot be read is no damage: the
    next start may find it whole."""
    try:
        return path.read_bytes()
    except OSError as error:
        if error.errno in GONE:
            return None
        raise


def _write(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _checksum(manifest: Mapping[str, Any]) -> str:
    return _digest(json.dumps(manifest, sort_keys=True).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
