"""Make one call of the file system fail, in this process, under given folders.

The calls of one kind are counted from the moment that an `Injector` is installed; the one of the
given number fails as a disk would: with an errno, after half of the data, or by finding a file cut
in half. What libraries in C or child processes do to files is not seen.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """A fault: which calls are counted, what the chosen one raises, and how a person calls it."""

    call: str
    error: int
    what: str


KINDS = {
    "open": Kind("open", errno.EACCES, "open for writing: permission denied"),
    "write": Kind("write", errno.ENOSPC, "write: no space left"),
    "short": Kind("write", errno.ENOSPC, "write: half of it, then no space left"),
    "full": Kind("write", errno.ENOSPC, "no space left from one write on"),
    "fsync": Kind("fsync", errno.EIO, "fsync: input/output error"),
    "rename": Kind("rename", errno.EACCES, "rename: permission denied"),
    "rename-full": Kind("rename", errno.ENOSPC, "rename: no space left"),
    "link": Kind("link", errno.EPERM, "link: not permitted"),
    "mkdir": Kind("mkdir", errno.ENOSPC, "mkdir: no space left"),
    "remove": Kind("remove", errno.EACCES, "unlink and rmdir: permission denied"),
    "list": Kind("list", errno.EIO, "list a folder: input/output error"),
    "read": Kind("read", errno.EIO, "read: input/output error"),
    "cut": Kind("read", 0, "a file cut in half before it is read"),
}
GROWING = ("open", "write", "mkdir", "link", "rename")
"""Calls that a full disk refuses."""

Patch = Callable[[Any, str, Any], object]


@dataclass
class Injector:
    """Lets the `number`-th call (from 1; 0 for none) of a kind under one of the folders fail.

    tell : called once, with the kind and the path, when it does. `counts` has all calls so far.
    """

    kind: str
    number: int
    folders: Sequence[Path]
    tell: Callable[[str], object] = print

    def __post_init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.reached = False
        self.lock = threading.Lock()
        self.roots = tuple(os.path.abspath(folder) + os.sep for folder in self.folders)

    def install(self, patch: Patch = setattr) -> None:
        """Take the place of the functions of Python's that touch files."""
        for name, call in (
            ("rename", "rename"),
            ("replace", "rename"),
            ("link", "link"),
            ("mkdir", "mkdir"),
            ("unlink", "remove"),
            ("remove", "remove"),
            ("rmdir", "remove"),
            ("fsync", "fsync"),
            ("listdir", "list"),
            ("scandir", "list"),
        ):
            patch(os, name, self._counted(getattr(os, name), call))
        patch(os, "open", self._os_open(os.open))
        opened = self._open(io.open)
        patch(io, "open", opened)
        patch(builtins, "open", opened)

    def path(self, given: Any, dir_fd: int | None = None) -> str | None:
        """The absolute path of a call's argument; None where it is none of the folders'."""
        if isinstance(given, int):
            path = os.readlink(f"/proc/self/fd/{given}")
        else:
            folder = "" if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
            path = os.path.abspath(os.path.join(folder, os.fsdecode(given)))
        return path if (path + os.sep).startswith(self.roots) else None

    def reach(self, call: str, path: str, half: Callable[[], object] | None = None) -> None:
        """Count a call, and fail where it is the one. `half` does half of it."""
        kind = KINDS[self.kind]
        with self.lock:
            if self.reached:
                if self.kind == "full" and call in GROWING:
                    self._fail(kind, path)
                return
            self.counts[call] += 1
            if call != kind.call or self.counts[call] != self.number:
                return
            self.reached = True
        self.tell(f"{self.kind} {path}")
        if self.kind == "cut":
            os.truncate(path, os.path.getsize(path) // 2)
            return
        if half is not None and self.kind == "short":
            half()
        self._fail(kind, path)

    def _fail(self, kind: Kind, path: str) -> None:
        raise OSError(kind.error, os.strerror(kind.error), path)

    def _counted(self, original: Callable[..., Any], call: str) -> Callable[..., Any]:
        def counted(*given: Any, **more: Any) -> Any:
            # The last path is the one that is made; folders may be named by a handle.
            named = [value for value in given if isinstance(value, str | bytes | os.PathLike)]
            given_path = named[-1] if named else given[0] if given else "."
            path = self.path(given_path, more.get("dir_fd"))
            if path is not None:
                self.reach(call, path)
            return original(*given, **more)

        return counted

    def _os_open(self, original: Callable[..., int]) -> Callable[..., int]:
        def os_open(given: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            path = self.path(given, dir_fd)
            if path is not None and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.reach("open", path)
            return original(given, flags, mode, dir_fd=dir_fd)

        return os_open

    def _open(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def opened(
            file: Any,
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            closefd: bool = True,
            opener: Any = None,
        ) -> Any:
            path = self.path(file)
            if path is None or os.path.isdir(path):
                return original(file, mode, buffering, encoding, errors, newline, closefd, opener)
            writes = any(letter in mode for letter in "wxa+")
            if writes and not isinstance(file, int):  # a handle was counted when it was opened
                self.reach("open", path)
            raw = _Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
            raw.injector, raw.where = self, path
            if "b" in mode and buffering == 0:
                return raw
            kind: Any = io.BufferedWriter if writes else io.BufferedReader
            buffered = (io.BufferedRandom if "+" in mode else kind)(raw)
            if "b" in mode:
                return buffered
            return io.TextIOWrapper(buffered, encoding, errors, newline)

        return opened


class _Raw(io.FileIO):
    """A file whose writes, and whose first read, are counted."""

    injector: Injector
    where: str
    begun = False

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        half = view[: len(view) // 2]
        self.injector.reach("write", self.where, lambda: super(_Raw, self).write(half))
        return super().write(view) or 0

    def readinto(self, target: Any) -> int:
        self._begin()
        return super().readinto(target) or 0

    def readall(self) -> bytes:
        self._begin()
        return super().readall()

    def read(self, size: int | None = -1) -> bytes:
        self._begin()
        return super().read(-1 if size is None else size) or b""

    def _begin(self) -> None:
        if not self.begun:
            self.begun = True
            self.injector.reach("read", self.where)
