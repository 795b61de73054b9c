"""What `bench.py` measures of curves, and what all workloads share: each yields rows of the table.

Competitors take turns within one process, after a warm-up, and the median of their times counts.
Peak memory is the resident high-water mark of the process during a call, less what was resident
just before it (interpreter, libraries and input).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

import spf

ROOT = Path(__file__).resolve().parent.parent
MB = 1e6
TIMES = "times faster"
DIM = 768  # of the paper's embedder
HD, SMALL, SQUARE = (720, 1280), (432, 768), (256, 256)  # (height, width)
Call = Callable[[], object]
Clip = NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """One line of the table: a value (None where it was not measured), and the least or the most
    that it should be."""

    what: str
    compared: str
    value: float | None
    unit: str
    least: float | None = None
    most: float | None = None

    def verdict(self) -> tuple[str, str, str]:
        """What was measured, the bar, and whether it is met."""
        bar = "-" if self.least is None else f"at least {self.least:g} {self.unit}"
        bar = bar if self.most is None else f"at most {self.most:g} {self.unit}"
        if self.value is None:
            return "not run", bar, "-"
        met = (self.least or -np.inf) <= self.value <= (self.most or np.inf)
        verdict = "-" if bar == "-" else "met" if met else "NOT met"
        return f"{self.value:.3g} {self.unit}", bar, verdict


def seconds(call: Call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def in_turns(turns: int, *calls: Call, often: Sequence[int] = ()) -> list[float]:
    """Median seconds of each call, which alternate, so that a busy moment hits them all.

    often : how often each is called per turn: a fast one's median should not hang on one moment.
    """
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(turns):
        for found, call, times in zip(taken, calls, often or [1] * len(calls), strict=True):
            found.extend(seconds(call) for _ in range(times))
    return [float(np.median(found)) for found in taken]


def extra_memory(call: Call) -> float:
    """Bytes by which the peak during `call` exceeds what was resident just before it (Linux)."""
    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    call()
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return max(0.0, int(line.split()[1]) * 1024.0 - before)


# Inputs


def walk(frames: int, dim: int = DIM, seed: int = 0) -> Clip:
    """Unit rows (frames, dim) float32: an uneven walk along a great circle, with noise.

    In small blocks, so that no large temporary array is left in the allocator.
    """
    random = np.random.default_rng(seed)
    plane, _ = np.linalg.qr(random.standard_normal((dim, 2)))
    start, towards = plane.T.astype(np.float32)
    steps = random.random(frames - 1) ** 2
    angle = np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum() * 1.4
    z = np.empty((frames, dim), dtype=np.float32)
    for first in range(0, frames, 128):
        rows = z[first : first + 128]
        at = angle[first : first + 128, None].astype(np.float32)
        random.standard_normal(out=rows, dtype=np.float32)
        rows *= np.float32(0.02 / np.sqrt(dim))
        rows += np.cos(at) * start + np.sin(at) * towards
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return z


def texture(random: np.random.Generator, shape: Sequence[int]) -> NDArray[np.uint8]:
    """(H, W, 3): neither trivial nor hopeless to compress."""
    coarse = random.integers(0, 256, (shape[0] // 32 + 1, shape[1] // 32 + 1, 3), dtype=np.uint8)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def crossing(seed: int, shape: tuple[int, int], count: int) -> Iterator[NDArray[np.uint8]]:
    """`count` frames from one texture to another, along a power of time."""
    random = np.random.default_rng(seed)
    first, last = texture(random, shape), texture(random, shape)
    for share in np.linspace(0, 1, count) ** 2.0 ** random.uniform(-2, 2):
        yield cv2.addWeighted(first, 1 - share, last, share, 0)


def sliding(shape: tuple[int, int], count: int) -> NDArray[np.uint8]:
    """(count, H, W, 3): a texture that moves by 2 and 4 pixels a frame, with noise."""
    random = np.random.default_rng(0)
    (height, width), room = shape, max(count, 32)
    ground = texture(random, (height + 2 * room, width + 4 * room)).astype(np.int16)
    moved = (ground[2 * k : 2 * k + height, 4 * k : 4 * k + width] for k in range(count))
    return np.stack(
        [np.clip(x + random.integers(-5, 6, x.shape), 0, 255).astype(np.uint8) for x in moved]
    )


# The progress function


def plain_dense_fit(z: Clip, window: int = 30, sigma: float = 20.0) -> NDArray[np.float64]:
    """Raw progress function (T,) as the paper's formula reads, with NumPy and no loop over pairs.

    A (pairs, T) holds S_j - S_i, and (A'WA + ridge I) S = A'W b is solved densely.
    """
    rows = z.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    i, j = np.triu_indices(len(rows), 1)
    near = j - i <= window
    i, j = i[near], j[near]
    b = np.arccos(np.clip(rows @ rows.T, -1, 1))[i, j]
    A = np.zeros((len(i), len(rows)))
    A[np.arange(len(i)), j] = 1
    A[np.arange(len(i)), i] = -1
    weighted = np.exp(-((j - i) ** 2) / (2 * sigma**2))[:, None] * A
    return np.linalg.solve(A.T @ weighted + 1e-5 * np.eye(len(rows)), weighted.T @ b)


def fit_and_dense() -> Iterator[Row]:
    spf.fit(walk(64))
    z, what = walk(2000), "fit, 2000 frames"
    plain, ours = partial(plain_dense_fit, z), partial(spf.fit, z)
    used = [extra_memory(call) for call in (ours, plain)]
    apart = np.abs(ours().fitted - plain()).max()
    dense, fit = in_turns(3, plain, ours, often=(1, 5))
    compared = f"plain dense solver {dense:.2f} s, fit {1e3 * fit:.1f} ms; differ by {apart:.0e}"
    yield Row(what, compared, dense / fit, TIMES, least=100)
    compared = f"memory above the input; plain dense solver {used[1] / MB:.0f} MB"
    yield Row("", compared, used[0] / MB, "MB", most=60)


def long_clip() -> Iterator[Row]:
    spf.fit(walk(64))
    once = walk(100_000)
    used = extra_memory(lambda: spf.fit(once)) / MB
    twice = walk(200_000)
    short, long = in_turns(5, lambda: spf.fit(once), lambda: spf.fit(twice))
    yield Row("fit, 100,000 frames, one core", "time", short, "s", most=1.5)
    yield Row("", f"twice as many frames: {long:.2f} s", long / short, "times longer", most=2.3)
    yield Row("", f"memory above the input of {once.nbytes / MB:.0f} MB", used, "MB", most=400)


def many_clips() -> Iterator[Row]:
    clips = [walk(81, seed=seed) for seed in range(10_000)]
    both = zip(spf.fit_many(clips[:50]), map(spf.fit, clips[:50]), strict=True)
    apart = max(np.abs(a.fitted - b.fitted).max() for a, b in both)
    calls = (lambda: spf.fit_many(clips), lambda: [spf.fit(z) for z in clips])
    many, loop = in_turns(3, *calls)
    what = "fit_many, 10,000 clips of 81 frames"
    compared = f"loop of fit {loop:.2f} s, fit_many {many:.2f} s; differ by {apart:.0e} rad"
    yield Row(what, compared, loop / many, TIMES, least=5)


WORKLOADS = (fit_and_dense, long_clip, many_clips)
ONE_CORE = {"long_clip"}
