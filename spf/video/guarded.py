"""Read clips in a process of their own, which may crash, hang or run out of memory.

A decoder is a large parser of files from anywhere. `GuardedReader` is a `Reader` whose decoding
happens in a child process under a bound on memory, and is killed where no frame comes for too long:
each of these ends as a `ClipError` of that clip. The frames are the same, bit for bit. A child
serves one clip after the other, so that its start (about 0.3 s) is paid once, and ends with its
parent, however that ends.

The child is `spf.video.child`. Requests and replies are lines of JSON; behind a frame's line come
its bytes.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

import numpy as np

from spf.errors import ClipError, ConfigError
from spf.video.clip import ClipInfo, Sampling
from spf.video.reader import EVERY_FRAME

PATIENCE = 60.0
"""Seconds without a new frame after which a decoder counts as hung."""
MEMORY = 8 * 2**30
"""Bytes of address space that a decoder may take; it needs 1 to 2 GB for ordinary clips."""
PIPE = 2**20
"""Bytes that wait in the pipe, where the system allows it."""

_idle: list[_Decoder] = []
_lock = threading.Lock()


class GuardedReader:
    """`Reader`, with the same attributes and errors, decoding in a child process.

    patience : seconds without a frame until the child is killed. memory : bytes of address space
    that a new child may take. Raises ClipError too where the decoder hangs, crashes, or needs more.
    """

    info: ClipInfo

    def __init__(
        self,
        path: str | os.PathLike[str],
        sampling: Sampling = EVERY_FRAME,
        patience: float = PATIENCE,
        memory: int = MEMORY,
    ) -> None:
        self.sampling = sampling
        self.lost, self.decoded = 0, 0
        self.notes: list[str] = []
        self._path = Path(path)
        self._decoder: _Decoder | None = _borrow(memory)
        self._patience = patience
        try:
            request = {"path": os.fspath(path), "folder": os.getcwd(), "sampling": asdict(sampling)}
            self._decoder.ask(request)
            told = self._reply()
            self.info = ClipInfo(**{**told["info"], "path": self._path})
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        return self

    def __next__(self) -> tuple[np.ndarray, float]:
        if self._decoder is None:
            raise StopIteration
        try:
            told = self._reply()
            self.decoded = told["decoded"]
            if "frame" in told:
                image = np.empty(told["frame"], np.uint8)
                self._decoder.fill(image.data.cast("B"), monotonic() + self._patience)
                return image, told["time"]
        except _Ended as end:
            raise self._failure(end) from None
        except BaseException:
            self.close()
            raise
        self.lost, self.notes = told["lost"], told["notes"]
        self._give_back()
        raise StopIteration

    def __enter__(self) -> GuardedReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration here; a child that still decodes is killed."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.kill()

    def _reply(self) -> dict[str, Any]:
        assert self._decoder is not None
        try:
            told = self._decoder.line(monotonic() + self._patience)
        except _Ended as end:
            raise self._failure(end) from None
        if "clip_error" in told:
            self._give_back()
            raise ClipError(*told["clip_error"])
        if "config_error" in told:
            self._give_back()
            raise ConfigError(told["config_error"])
        return told

    def _give_back(self) -> None:
        """The child is done with this clip, and ready for another."""
        assert self._decoder is not None
        with _lock:
            _idle.append(self._decoder)
        self._decoder = None

    def _failure(self, end: _Ended) -> ClipError:
        """What became of the child, as an error of the clip."""
        assert self._decoder is not None
        if end.hung:
            reason = f"its decoder hung: no frame within {self._patience:g} s"
        else:
            code = self._decoder.process.wait()
            named = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            reason = f"its decoder crashed ({named})"
        self.close()
        return ClipError(self._path, reason, "the file is damaged or hostile: make it again")


class _Ended(Exception):
    """The child gave no more: it is gone, or (`hung`) took too long."""

    def __init__(self, hung: bool) -> None:
        super().__init__()
        self.hung = hung


class _Decoder:
    """A child process that decodes, seen from its parent."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.process = subprocess.Popen(
            # -P: a folder of clips must not be able to stand in for a module.
            [sys.executable, "-P", "-m", "spf.video.child", str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # FFmpeg's complaints about damaged files
            start_new_session=True,  # Ctrl-C is for the parent
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._requests, self._replies = self.process.stdin, self.process.stdout.fileno()
        os.set_blocking(self._replies, False)
        _widen(self._replies)
        self._rest = b""

    def ask(self, request: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # a child that is gone shows when it should reply
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()

    def line(self, until: float) -> dict[str, Any]:
        """The next line. Raises _Ended."""
        while b"\n" not in self._rest:
            self._wait(until)
            more = os.read(self._replies, 4096)
            if not more:
                raise _Ended(hung=False)
            self._rest += more
        head, _, self._rest = self._rest.partition(b"\n")
        told = json.loads(head)
        assert isinstance(told, dict)
        return told

    def fill(self, target: memoryview, until: float) -> None:
        """The bytes behind a line. Raises _Ended."""
        done = min(len(self._rest), len(target))
        target[:done] = self._rest[:done]
        self._rest = self._rest[done:]
        while done < len(target):
            self._wait(until)
            count = os.readv(self._replies, [target[done:]])
            if not count:
                raise _Ended(hung=False)
            done += count

    def _wait(self, until: float) -> None:
        ready, _, _ = select.select([self._replies], [], [], max(until - monotonic(), 0.0))
        if not ready:
            raise _Ended(hung=True)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]


def _borrow(memory: int) -> _Decoder:
    """An idle child that is alive and bound alike, or a new one."""
    with _lock:
        for decoder in list(_idle):
            if decoder.process.poll() is not None:
                _idle.remove(decoder)
                decoder.kill()
            elif decoder.memory == memory:
                _idle.remove(decoder)
                return decoder
    return _Decoder(memory)


@atexit.register
def end_idle() -> None:
    """End the child processes that wait for a clip; the next clip starts a new one."""
    with _lock:
        while _idle:
            _idle.pop().kill()


def _widen(pipe: int) -> None:
    import fcntl

    with suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)
