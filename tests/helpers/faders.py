"""Generators that cross-fade, for clips that are regenerated between their keyframes."""

from typing import ClassVar

import numpy as np

from spf.generators.base import Counts, GeneratedClip, Request
from spf.generators.clock import latent_clock


class Fader:
    """Cross-fades in the middle third of the time, unless its clock is warped; in four steps."""

    name, fail_at = "fader", None
    requests: ClassVar[list[Request]] = []

    def __init__(self, longest: int | None = 17, factor: int = 4, path: str | None = None) -> None:
        self.counts = Counts(factor, factor + 1, longest)

    def check(self, request=None): ...

    def identity(self):
        return {"name": self.name, "counts": str(self.counts)}

    def clock(self, request):
        return latent_clock(request.num_frames or 17, 1)

    def generate(self, request, warp=None, on_progress=None):
        self.requests.append(request)
        if len(self.requests) == self.fail_at:
            raise KeyboardInterrupt
        for step in range(4 if on_progress else 0):
            on_progress(step + 1, 4)
        at = self.clock(request).positions + (0 if warp is None else warp.shift)
        share = np.clip(3 * at / at[-1] - 1, 0, 1)[:, None, None, None]
        frames = request.first + share * (request.last.astype(float) - request.first)
        return GeneratedClip(np.rint(frames).astype(np.uint8), float(request.fps or 8.0))
