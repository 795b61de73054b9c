"""Generated clips, kept losslessly in a run's folder: none is generated twice."""

import io
import json
import zipfile
import zlib
from typing import Any

import numpy as np

from benchmarks.folder import RunFolder
from spf.fingerprint import digest
from spf.generators.base import GeneratedClip, Generator, Request, Watch
from spf.generators.clock import Clock, ClockWarp
from spf.retime.warp import Warp

DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
"""What reading a file raises that is missing, cut off, or none of ours."""


class KeptClips:
    """A generator that looks into the run's folder first, and keeps there what it makes.

    A file that is missing or damaged is generated again. made_by : the generator's identity, taken
    once: its weights may be replaced while a run goes on, and are in memory by then.
    """

    def __init__(
        self, generator: Generator, folder: RunFolder, made_by: dict[str, Any] | None = None
    ) -> None:
        self.name = generator.name
        self.generator = generator
        self.folder = folder
        self.made_by = made_by or generator.identity()

    def check(self) -> None:
        self.generator.check()

    def clock(self, request: Request) -> Clock:
        return self.generator.clock(request)

    def identity(self) -> dict[str, Any]:
        return self.made_by

    def generate(
        self, request: Request, warp: ClockWarp | None = None, watch: Watch | None = None
    ) -> GeneratedClip:
        """The clip of a request; see `Generator`."""
        path = self.path(request, warp)
        try:
            return unpack(self.folder.read(path))
        except DAMAGE:
            clip = self.generator.generate(request, warp, watch)
            self.folder.write(path, pack(clip))
            return clip

    def path(self, request: Request, warp: ClockWarp | None = None) -> str:
        """Where a clip is kept: its name is a hash of everything that determines it."""
        assert warp is None or isinstance(warp, Warp)
        made = [
            self.identity(),
            request_identity(request),
            None if warp is None else warp.identity(),
        ]
        return f"generated/{digest(made)}.npz"


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
        if archive.testzip() is not None:  # checksums, before anything is made of the content
            raise ValueError("the file is damaged")
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        frames, notes = stored["frames"], json.loads(stored["notes"].tobytes())
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise ValueError(f"frames are {frames.shape} {frames.dtype}")
        return GeneratedClip(frames, float(stored["fps"]), notes)
