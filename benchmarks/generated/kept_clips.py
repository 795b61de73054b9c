"""Generated clips, kept losslessly in a run's folder: none is generated twice."""

from typing import Any

from benchmarks.harness.folder import RunFolder
from spf.errors import SpfError
from spf.generators.base import GeneratedClip, Generator, Request, Watch
from spf.generators.clock import Clock, ClockWarp
from spf.generators.kept import DAMAGE, pack, request_identity, unpack
from spf.identity import digest
from spf.pacing.warp import Warp


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
            wanted = round(float(self.clock(request).frames[-1])) + 1
            if len(clip.frames) != wanted:
                found = f"{len(clip.frames)} frames instead of {wanted}"
                raise SpfError(f"{self.name}: the generator gave {found}; mend it") from None
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
