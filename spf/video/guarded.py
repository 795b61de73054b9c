"""Read clips in a process of their own, which may crash, hang or run out of memory.

A decoder is a large parser of files from anywhere: its end is a `ClipError` of that clip. The child
(`spf.video.child`) serves one clip after the other, as its start takes 0.3 s, and sends a line of
JSON and the bytes of each frame, which are not trusted: frames have the size that it named first.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from spf.child import HUNG, NONSENSE, SLOW, Child, Ended
from spf.errors import ClipError, ConfigError
from spf.video.clip import ClipInfo, Sampling, check_size
from spf.video.reader import EVERY_FRAME

PATIENCE = 60.0  # seconds without a new frame after which a decoder counts as hung
ENOUGH = 7200.0  # seconds in all for one clip; 3 hours of 4K video take about half
MEMORY = 4 * 2**30  # bytes of address space that a decoder may take; usual clips need 1 to 2 GB

_idle: list[Child] = []
_lock = threading.Lock()


class GuardedReader:
    """`Reader`, with the same frames, attributes and errors, decoding in a child process."""

    info: ClipInfo

    def __init__(self, path: str | os.PathLike[str], sampling: Sampling = EVERY_FRAME) -> None:
        self.sampling = sampling
        self.lost, self.decoded = 0, 0
        self.notes: list[str] = []
        self._path = Path(path)
        self._decoder: Child | None = _borrow()
        with self._supervised() as decoder:
            request = {"path": os.fspath(path), "folder": os.getcwd(), "sampling": asdict(sampling)}
            decoder.ask(request)
            self.info = ClipInfo(**{**self._reply(decoder)["info"], "path": self._path})
            check_size(self._path, self.info.width, self.info.height)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[np.ndarray, float]:
        if self._decoder is None:
            raise StopIteration
        with self._supervised() as decoder:
            reply = self._reply(decoder)
            self.decoded = reply["decoded"]
            if "frame" in reply:
                if reply["frame"] != [self.info.height, self.info.width, 3]:
                    raise Ended("sent a frame of another size")
                image = np.empty(reply["frame"], np.uint8)
                decoder.fill(image.data.cast("B"), PATIENCE)
                return image, float(reply["time"])
            self.lost, self.notes = reply["lost"], reply["notes"]
        self._give_back()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration here; a child that still decodes is killed."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.kill()

    @contextmanager
    def _supervised(self) -> Iterator[Child]:
        """The child, whose end or nonsense becomes an error of the clip."""
        assert self._decoder is not None
        try:
            yield self._decoder
        except Ended as end:
            raise self._failure(end) from None
        except (KeyError, TypeError, ValueError):  # on looking for what a reply has
            raise self._failure(Ended(NONSENSE)) from None
        except BaseException:
            self.close()
            raise

    def _reply(self, decoder: Child) -> dict[str, Any]:
        reply = decoder.line(PATIENCE)
        if "clip_error" not in reply and "config_error" not in reply:
            return reply
        error: Exception = ConfigError(reply.get("config_error"))
        if "clip_error" in reply:
            error = ClipError(*reply["clip_error"])
        self._give_back()
        raise error

    def _give_back(self) -> None:
        """The child is done with this clip, and ready for another."""
        assert self._decoder is not None
        with _lock:
            _idle.append(self._decoder)
        self._decoder = None

    def _failure(self, end: Ended) -> ClipError:
        """What became of the child, as an error of the clip."""
        assert self._decoder is not None
        why, remedy = str(end), "the file is damaged or hostile: make it again"
        if why == HUNG:
            reason = f"its decoder hung: no frame within {PATIENCE:g} s"
        elif why == SLOW:
            reason = f"its decoding took more than {ENOUGH:g} s"
            remedy = "use fewer of its frames, or scale it down"
        elif why:
            reason = f"its decoder went astray: it {why}"
        else:
            cause = self._decoder.end()
            short = "was killed (SIGKILL), as the system does where memory is short"
            reason = f"its decoder {short if cause == 'SIGKILL' else f'crashed ({cause})'}"
        self.close()
        return ClipError(self._path, reason, remedy)


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """The first frame (H, W, 3) of an image, or of a clip. Raises ClipError."""
    with GuardedReader(path, Sampling(max_frames=1)) as reader:
        ((image, _),) = reader  # to its end, so that the next image has the same decoder
        return image


def _borrow() -> Child:
    """An idle child that is alive, or a new one."""
    with _lock:
        while _idle:
            decoder = _idle.pop()
            if decoder.process.poll() is None:
                return decoder
            decoder.kill()
    return Child("spf.video.child", str(MEMORY), enough=ENOUGH)


@atexit.register
def end_idle() -> None:
    """End the child processes that wait for a clip; the next clip starts a new one."""
    with _lock:
        while _idle:
            _idle.pop().kill()
