"""Generated clips, stored losslessly in a folder: none is generated twice."""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from spf.errors import SpfError
from spf.files import NO_ARCHIVE, write_atomic
from spf.generators.base import GeneratedClip, Generator, OnProgress, Request
from spf.generators.clock import Clock
from spf.identity import digest

LARGEST = 2**32
"""Bytes that a file may hold when it is unpacked; a minute of 720p has as many."""
DAMAGE = (OSError, *NO_ARCHIVE)
"""What reading a file raises that is missing, cut off, or none of ours."""


class CachedGenerator:
    """A generator that looks into a folder first, and stores there what it makes.

    A file's name is a hash of all that determines the clip; one that is missing or damaged is
    generated again. made_by : the generator's identity, taken once: its weights may be replaced
    while a run goes on, and are in memory by then.
    """

    def __init__(
        self,
        generator: Generator,
        folder: str | os.PathLike[str],
        made_by: dict[str, Any] | None = None,
    ) -> None:
        self.name = generator.name
        self.generator = generator
        self.folder = Path(folder)
        self.made_by = made_by or generator.identity()

    @property
    def size(self) -> tuple[int, int] | None:
        return self.generator.size

    @property
    def native_size(self) -> tuple[int, int]:
        return self.generator.native_size

    def check(self, request: Request | None = None) -> None:
        self.generator.check(request)

    def clock(self, request: Request) -> Clock:
        return self.generator.clock(request)

    def identity(self) -> dict[str, Any]:
        return self.made_by

    def generate(
        self, request: Request, warp: Any = None, on_progress: OnProgress | None = None
    ) -> GeneratedClip:
        """The clip of a request; see `Generator`. warp : an `spf.pacing.warp.Warp`. Raises SpfError
        for another number of frames than the clock has, for too many, and where the disk refuses.
        """
        path = self.path(request, warp)
        try:
            return unpack(path.read_bytes())
        except DAMAGE:
            clip = self.generator.generate(request, warp, on_progress)
        wanted = round(float(self.clock(request).frames[-1])) + 1
        if len(clip.frames) != wanted:
            found = f"{len(clip.frames)} frames instead of {wanted}"
            raise SpfError(f"{self.name}: the generator gave {found}; fix it")
        if clip.frames.nbytes > LARGEST:
            size = f"{wanted} frames of {clip.frames.nbytes / 1e9:.1f} GB are too many to be stored"
            raise SpfError(f"{self.name}: {size}; ask for fewer (longest) or smaller ones")
        try:
            write_atomic(path, pack(clip))
        except OSError as error:
            remedy = "make room or fix its permissions and start again: finished clips stay"
            raise SpfError(f"{path}: cannot be written ({error.strerror}); {remedy}") from None
        return clip

    def path(self, request: Request, warp: Any = None) -> Path:
        """Where a clip is stored."""
        made = [self.identity(), request_identity(request), warp and warp.identity()]
        return self.folder / f"{digest(made)}.npz"


def read_clip(path: Path) -> GeneratedClip:
    """A clip that is stored. Raises SpfError where its file is gone or damaged meanwhile."""
    try:
        return unpack(path.read_bytes())
    except DAMAGE:
        remedy = "start again: it is generated again, the others stay"
        raise SpfError(f"{path}: a finished clip is missing or damaged; {remedy}") from None


def request_identity(request: Request) -> dict[str, Any]:
    """Everything that is asked for, as plain values."""
    values = dict(vars(request))
    for name in ("first", "last"):
        image = values[name]
        values[name] = None if image is None else digest([image.shape, image.tobytes().hex()])
    return values


def pack(clip: GeneratedClip) -> bytes:
    """A clip as the bytes of an .npz file, without pickled objects."""
    buffer = io.BytesIO()
    notes = np.frombuffer(json.dumps(clip.notes).encode(), np.uint8)
    np.savez_compressed(buffer, frames=clip.frames, fps=np.float64(clip.fps), notes=notes)
    return buffer.getvalue()


def unpack(data: bytes) -> GeneratedClip:
    """The clip of `pack`. Raises one of `DAMAGE` where the bytes are no such file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
            raise ValueError("it is larger than any clip of ours")
        if archive.testzip() is not None:  # checksums, before anything is made of the content
            raise ValueError("the file is damaged")
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        notes = json.loads(stored["notes"].tobytes())
        try:
            return GeneratedClip(stored["frames"], float(stored["fps"]), notes)
        except SpfError as error:
            raise ValueError(str(error)) from None
