"""Read clips: streamed, or whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np

from spf.errors import ClipError
from spf.names import NO_NETWORK, is_url
from spf.video.clip import Clip, ClipInfo, Sampling, starved
from spf.video.decode import VideoSource
from spf.video.folder import FolderSource
from spf.video.images import ImageSource, is_image

Source = VideoSource | ImageSource | FolderSource
"""Each yields (time, function that gives the image, valid until the next step)."""
EVERY_FRAME = Sampling()
TINY = 1e-9  # seconds: a time that was computed may fall this much short of one that was typed


class Reader:
    """Iterator over (image (H, W, 3) uint8 RGB, time float in seconds), one pass, a few frames in
    memory however long the clip is; also a context manager that closes the file.

    Images are as displayed: rotated as the file asks, with square pixels, transparency over black.
    Times are the file's own, increase strictly and are 0 at the first frame of the stream, whatever
    `sampling` selects; of a folder of images they are indices.

    info: ClipInfo. decoded: frames decoded so far, before sampling. lost: frames declared but not
    decoded, known after a whole pass, 0 where nothing is declared or sampling stops early.
    notes: one line for each thing lost or repaired, complete when the iteration is.
    Raises `ClipError` where the clip cannot be read, or no frame is selected; `ConfigError` where
    the stream does not exist.
    """

    info: ClipInfo

    def __init__(self, path: str | os.PathLike[str], sampling: Sampling = EVERY_FRAME) -> None:
        self.sampling = sampling
        self.lost, self.notes = 0, list[str]()
        try:
            self._source = _open(path, sampling.stream)
        except MemoryError:
            raise starved(path) from None
        self.info = self._source.info
        self._images = self._select()

    @property
    def decoded(self) -> int:
        return self._source.decoded

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        return self

    def __next__(self) -> tuple[np.ndarray, float]:
        try:
            return next(self._images)
        except MemoryError:
            raise starved(self.info.path) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the iteration ends here."""
        self._images.close()  # type: ignore[attr-defined]
        self._source.close()

    def _select(self) -> Iterator[tuple[np.ndarray, float]]:
        wanted = self.sampling
        start = (wanted.start or 0.0) - TINY
        end = np.inf if wanted.end is None else wanted.end - TINY
        inside = used = 0
        last, complete = 0.0, True
        try:
            for time, render in self._source:
                last = time
                if time >= end:
                    complete = False
                    break
                inside += time >= start
                if time < start or (inside - 1) % wanted.stride:
                    continue
                used += 1
                yield render(), time
                if used == wanted.max_frames:
                    complete = False
                    break
            self.lost, self.notes = self._source.report(complete)
        finally:
            self._source.close()
        if not used:
            unit = "s" if self.info.fps else "frames"
            until = "" if wanted.end is None else f" and before {wanted.end:g}"
            reason = f"no frame at or after {wanted.start or 0:g}{until} {unit}"
            which, bound = ("its last frame", "start") if complete else ("the next one", "end")
            remedy = f"{which} is at {last:g}: choose another {bound}"
            raise ClipError(self.info.path, reason, remedy)


def probe(path: str | os.PathLike[str], stream: int | None = None) -> ClipInfo:
    """What a clip is, from its header and its first frame (animated images are read once).

    Raises `ClipError` where it cannot be read, `ConfigError` where the stream does not exist.
    """
    with Reader(path, Sampling(stream=stream)) as reader:
        return reader.info


def load(path: str | os.PathLike[str], sampling: Sampling = EVERY_FRAME) -> Clip:
    """The whole clip in memory, and for a moment twice; errors as in `Reader`."""
    with Reader(path, sampling) as reader:
        images, times = zip(*reader, strict=True)
        return Clip(np.stack(images), np.array(times, dtype=np.float64), reader.info, reader.notes)


def _open(source: str | os.PathLike[str], stream: int | None) -> Source:
    """The source that fits what the path is (by its content, not its name)."""
    path = Path(source)
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            return FolderSource(path, stream)
        if not stat.S_ISREG(status.st_mode):
            raise ClipError(path, "not a file", "give a video, a GIF or a folder of images")
        if status.st_size == 0:
            raise ClipError(path, "the file is empty", "copy or download it again")
        with open(path, "rb") as file:
            head = file.read(16)
    except PermissionError:
        raise ClipError(path, "the file may not be read", "change its permissions") from None
    except (FileNotFoundError, NotADirectoryError):
        if is_url(source):
            raise ClipError(source, *NO_NETWORK) from None
        raise ClipError(path, "there is no such file", "check the path") from None
    except (OSError, ValueError) as error:  # a name that is too long or holds a null byte, bad disk
        why = getattr(error, "strerror", None) or str(error)
        raise ClipError(path, f"it cannot be opened ({why})", "check the path") from None
    return ImageSource(path, stream) if is_image(path, head) else VideoSource(path, stream)
