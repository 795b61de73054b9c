"""Curves made of numbers, and a generator of numbers that jumps unless it is steered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spf.errors import ConfigError
from spf.generators.base import GeneratedClip, Request
from spf.generators.clock import Clock, latent_clock
from spf.generators.counts import Counts
from spf.pacing.regeneration import Joined
from spf.progress import Curve, Settings, fit

LEVELS = 2**16 - 1
ARC = 1.2
SETTINGS = Settings(30, 20.0, 0.0, 1.0, "increments", "none")


def curve_of(progress: Any) -> Curve:
    """A noiseless curve (T,) with this progress, times in frames, 1.2 radians long."""
    values = np.asarray(progress, dtype=np.float64)
    angle = ARC * values
    times = np.arange(len(values), dtype=np.float64)
    return Curve(values, angle, angle, times, 0.0, 0.0, float(angle[-1]), SETTINGS, np.diff(angle))


def random_progress(rng: np.random.Generator, count: int) -> np.ndarray:
    """Progress with rests, jumps and slow parts, from 0 to 1."""
    steps = rng.dirichlet(np.full(count - 1, rng.choice([0.05, 0.3, 3.0])))
    steps[rng.random(count - 1) < rng.choice([0.0, 0.5])] = 0.0
    if not steps.any():
        steps[rng.integers(count - 1)] = 1.0
    progress = np.concatenate([[0.0], np.cumsum(steps)])
    return np.minimum(progress / progress[-1], 1.0)


def pictures(p: Any, size: tuple[int, int] = (4, 4)) -> np.ndarray:
    """Frames (T, H, W, 3) uint8 that hold numbers 0 .. 1 in 16 bits."""
    levels = np.rint(np.asarray(p) * LEVELS).astype(np.int64)
    pixels = np.stack([levels // 256, levels % 256, 0 * levels], axis=-1).astype(np.uint8)
    return np.tile(pixels[:, None, None], (1, *size, 1))


def numbers(frames: np.ndarray) -> np.ndarray:
    """The numbers (T,) that frames hold."""
    pixels = frames[:, 0, 0].astype(np.float64)
    return (256 * pixels[:, 0] + pixels[:, 1]) / LEVELS


def on_circle(angles: np.ndarray) -> np.ndarray:
    """Embeddings (T, 2) at these angles (T,), radians."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def measure(frames: Iterable[tuple[np.ndarray, float]]) -> Curve:
    """The curve of an embedder that sees the numbers of frames, whatever their times."""
    p = np.concatenate([numbers(image[None]) for image, _ in frames])
    return fit(on_circle(ARC * p), monotone="increments")


def measured(frames: np.ndarray) -> Curve:
    """The same of frames (T, H, W, 3) that are there."""
    return measure((image, float(index)) for index, image in enumerate(frames))


def shown(joined: Joined) -> np.ndarray:
    """All frames of a result."""
    return np.stack(list(joined.frames()))


@dataclass
class Jumper:
    """Frames whose numbers jump from the first frame's to the last one's; its clock is obeyed."""

    rule: Counts = field(default_factory=Counts)
    declares: bool = True
    name: str = "jumper"
    steers: bool = True
    calls: list[Request] = field(default_factory=list)
    fail_at: int | None = None

    @property
    def counts(self) -> Counts | None:
        return self.rule if self.declares else None

    def check(self) -> None: ...

    def identity(self) -> dict[str, Any]:
        return {"name": self.name}

    def clock(self, request: Request) -> Clock:
        count = request.num_frames or 25
        if count > (self.rule.longest or count) or count < self.rule.shortest:
            raise ConfigError(f"jumper: {count} frames")
        units = -(-(count - 1) // self.rule.factor)
        return latent_clock(units * self.rule.factor + 1, 1)

    def generate(self, request: Request, warp: Any = None, watch: Any = None) -> GeneratedClip:
        self.calls.append(request)
        if len(self.calls) == self.fail_at:
            raise KeyboardInterrupt
        assert request.last is not None
        clock = self.clock(request)
        at = clock.positions if warp is None else clock.positions + warp.shift
        u = at / clock.positions[-1]
        share = np.clip((u - 0.4) / 0.2, 0.0, 1.0)
        ends = numbers(np.stack([request.first, request.last]))
        frames = pictures(ends[0] + share * (ends[1] - ends[0]), request.first.shape[:2])
        return GeneratedClip(frames, float(request.fps or 8.0))
