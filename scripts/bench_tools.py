"""What the benchmarks share: sizes, rows of the table, time and memory of a call."""

from __future__ import annotations

import contextlib
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

MB = 1e6


@dataclass(frozen=True)
class Sizes:
    """How large each workload is, and how often it is repeated."""

    dense: int = 2000  # frames
    long: int = 100_000  # frames; and twice as many
    cut: int = 400  # frames to segment, against brute force
    cut_long: int = 5000  # frames to segment
    clips: int = 10_000
    clip_frames: int = 81
    repeats: int = 5
    embedded: int = 256  # frames of a clip to embed
    measured: int = 24  # clips of a leaderboard


QUICK = Sizes(
    dense=300, long=5000, cut=80, cut_long=500, clips=100, repeats=2, embedded=32, measured=6
)


@dataclass(frozen=True)
class Row:
    """One line of the table; `met` is None where no bar applies."""

    what: str
    compared: str
    measured: str
    bar: str
    met: bool | None


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def in_turns(turns: int, *calls: tuple[Callable[[], object], int]) -> list[float]:
    """Median seconds of each (call, how often per turn).

    Competitors alternate, so that a busy moment of the machine hits them all; the fast one of a
    pair runs more often per turn, so that its median does not hang on a single short moment.
    """
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(turns):
        for kept, (call, often) in zip(taken, calls, strict=True):
            kept.extend(seconds(call) for _ in range(often))
    return [statistics.median(kept) for kept in taken]


def high_water() -> int:
    """Bytes: most memory that was ever resident in this process."""
    try:
        for text in Path("/proc/self/status").read_text().splitlines():
            if text.startswith("VmHWM:"):
                return int(text.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def extra_memory(call: Callable[[], object]) -> float:
    """Bytes by which the peak during `call` exceeds what was resident just before it."""
    before = psutil.Process().memory_info().rss
    # Linux lets the high-water mark start anew; elsewhere an earlier peak counts: never too little.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    call()
    return max(0.0, float(high_water() - before))
