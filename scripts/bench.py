"""Speed and memory of the progress function, as ratios measured side by side in one run.

`python scripts/bench.py` prints one table: what was compared, what was measured, the bar, and
whether it is met. `--quick` is a smoke test of seconds on small sizes, which no bar judges;
`--out FILE` writes the table as Markdown too.

How it measures. Every workload runs in a fresh process, so that none inherits another's memory,
caches or threads. Competitors take turns within one process, after a warm-up, and the median of
their times counts. Peak memory is the resident high-water mark of the process during the call,
less what was resident just before it (interpreter, libraries and input). Absolute times move with
the machine and with what else it does; ratios are the result.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
MB = 1e6
DIM = 768  # of the default embedder of the paper


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


QUICK = Sizes(dense=300, long=5000, cut=80, cut_long=500, clips=100, repeats=2)


@dataclass(frozen=True)
class Row:
    """One line of the table; `met` is None where no bar applies."""

    what: str
    compared: str
    measured: str
    bar: str
    met: bool | None


# ---------------------------------------------------------------------- inputs and competitors


def clip(frames: int, dim: int = DIM, seed: int = 0) -> NDArray[np.float32]:
    """Unit rows (frames, dim) float32: an uneven walk along a great circle, with noise.

    Made in small blocks, so that no large temporary array is left in the allocator.
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


def plain_dense_fit(
    z: NDArray[np.float32], window: int = 30, sigma: float = 20.0, ridge: float = 1e-5
) -> NDArray[np.float64]:
    """Raw progress function (T,) as the paper's formula reads, with NumPy and no loop over pairs.

    A (pairs, T) holds S_j - S_i, and (A'WA + ridge I) S = A'W b is solved densely.
    """
    rows = z.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    i, j = np.triu_indices(len(rows), 1)
    near = j - i <= window
    i, j = i[near], j[near]
    b = np.arccos(np.clip(rows @ rows.T, -1, 1))[i, j]
    weight = np.exp(-((j - i) ** 2) / (2 * sigma**2))
    A = np.zeros((len(i), len(rows)))
    A[np.arange(len(i)), j] = 1
    A[np.arange(len(i)), i] = -1
    weighted = weight[:, None] * A
    solution = np.linalg.solve(A.T @ weighted + ridge * np.eye(len(rows)), weighted.T @ b)
    return np.asarray(solution, dtype=np.float64)


# --------------------------------------------------------------------------------- measuring


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


# --------------------------------------------------- workloads: each runs in a process of its own


def dense_and_fit(sizes: Sizes) -> dict[str, float]:
    import spf

    z = clip(sizes.dense)
    difference = np.abs(spf.fit(z).fitted - plain_dense_fit(z)).max()
    dense, fit = in_turns(3, (lambda: plain_dense_fit(z), 1), (lambda: spf.fit(z), 5))
    return {"dense": dense, "fit": fit, "difference": difference}


def memory_of_fit(sizes: Sizes) -> dict[str, float]:
    import spf

    spf.fit(clip(64))
    z = clip(sizes.dense)
    return {"bytes": extra_memory(lambda: spf.fit(z))}


def memory_of_dense(sizes: Sizes) -> dict[str, float]:
    plain_dense_fit(clip(64))
    z = clip(sizes.dense)
    return {"bytes": extra_memory(lambda: plain_dense_fit(z))}


def long_clip(sizes: Sizes) -> dict[str, float]:
    import spf

    once, twice = clip(sizes.long), clip(2 * sizes.long)
    spf.fit(once)
    short, long = in_turns(sizes.repeats, (lambda: spf.fit(once), 1), (lambda: spf.fit(twice), 1))
    return {"once": short, "twice": long}


def memory_of_long_clip(sizes: Sizes) -> dict[str, float]:
    import spf

    spf.fit(clip(64))
    z = clip(sizes.long)
    return {"bytes": extra_memory(lambda: spf.fit(z))}


def segmentation(sizes: Sizes) -> dict[str, float]:
    sys.path.insert(0, str(ROOT / "tests"))
    import oracles

    import spf

    curve = spf.fit(clip(sizes.cut, dim=32))
    penalty = 1e-4  # so small that there are several segments to agree on
    segments = spf.segment(curve, penalty=penalty)
    found: list[tuple[list[oracles.Line], float]] = []
    brute, ours = in_turns(
        3,
        (lambda: found.append(oracles.brute_segmentation(curve.times, curve.progress, penalty)), 1),
        (lambda: spf.segment(curve, penalty=penalty), 10),
    )
    lines, optimum = found[0]
    cost = penalty * len(segments)
    for piece in segments:
        inside = slice(piece.start, piece.stop)
        straight = piece.slope * curve.times[inside] + piece.intercept
        cost += float(((curve.progress[inside] - straight) ** 2).sum())
    return {
        "brute": brute,
        "ours": ours,
        "excess": cost - optimum,
        "segments": len(segments),
        "same_cuts": float([p.start for p in segments] == [p.start for p in lines]),
    }


def long_segmentation(sizes: Sizes) -> dict[str, float]:
    import spf

    spf.segment(spf.fit(clip(64, dim=32)))
    curve = spf.fit(clip(sizes.cut_long, dim=32))
    memory = extra_memory(lambda: spf.segment(curve))
    (taken,) = in_turns(sizes.repeats, (lambda: spf.segment(curve), 1))
    return {"seconds": taken, "bytes": memory}


def many_clips(sizes: Sizes) -> dict[str, float]:
    import spf

    clips = [clip(sizes.clip_frames, seed=seed) for seed in range(sizes.clips)]
    few = clips[:50]
    together, alone = spf.fit_many(few), [spf.fit(z) for z in few]
    difference = max(
        float(np.abs(one.fitted - other.fitted).max())
        for one, other in zip(together, alone, strict=True)
    )
    many, loop = in_turns(
        min(3, sizes.repeats),
        (lambda: spf.fit_many(clips), 1),
        (lambda: [spf.fit(z) for z in clips], 1),
    )
    return {"many": many, "loop": loop, "difference": difference}


WORKLOADS: dict[str, Callable[[Sizes], dict[str, float]]] = {
    call.__name__: call
    for call in (
        dense_and_fit,
        memory_of_fit,
        memory_of_dense,
        long_clip,
        memory_of_long_clip,
        segmentation,
        long_segmentation,
        many_clips,
    )
}
ONE_CORE = {"long_clip", "memory_of_long_clip"}


def measure(name: str, sizes: Sizes, threads: int) -> dict[str, float]:
    """Run one workload in a fresh process, on one core if it is of `ONE_CORE`."""
    threads = 1 if name in ONE_CORE else threads
    print(f"measuring {name}, {threads} thread(s)", file=sys.stderr, flush=True)
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    done = subprocess.run(
        [sys.executable, __file__, "--workload", name, "--sizes", json.dumps(asdict(sizes))],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def run_workload(name: str, sizes: Sizes) -> None:
    """In the child: measure, and print the figures as one line of JSON."""
    sys.path.insert(0, str(ROOT))
    if name in ONE_CORE and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(json.dumps({key: float(value) for key, value in WORKLOADS[name](sizes).items()}))


# ----------------------------------------------------------------------------------- the table


def table_rows(sizes: Sizes, found: dict[str, dict[str, float]]) -> list[Row]:
    """The table, with every bar judged."""
    fit, dense = found["dense_and_fit"], found["memory_of_dense"]["bytes"]
    ratio = fit["dense"] / fit["fit"]
    memory = found["memory_of_fit"]["bytes"]
    long, long_memory = found["long_clip"], found["memory_of_long_clip"]["bytes"]
    doubling = long["twice"] / long["once"]
    cut, cut_long, many = found["segmentation"], found["long_segmentation"], found["many_clips"]
    cut_ratio = cut["brute"] / cut["ours"]
    same = abs(cut["excess"]) < 1e-9 and bool(cut["same_cuts"])
    many_ratio = many["loop"] / many["many"]
    return [
        Row(
            f"fit, {sizes.dense} frames",
            f"plain dense solver {fit['dense']:.2f} s over fit {1e3 * fit['fit']:.1f} ms; "
            f"solutions differ by {fit['difference']:.0e} rad",
            f"{ratio:.0f} times faster",
            ">= 100 times",
            ratio >= 100,
        ),
        Row(
            f"fit, {sizes.dense} frames, memory",
            f"peak above the input; the plain dense solver: {dense / MB:.0f} MB",
            f"{memory / MB:.1f} MB",
            "< 60 MB",
            memory < 60 * MB,
        ),
        Row(
            f"fit, {sizes.long:,} frames, one core",
            "time of fit",
            f"{long['once']:.2f} s",
            "<= 1.5 s",
            long["once"] <= 1.5,
        ),
        Row(
            f"fit, {sizes.long:,} frames, memory",
            f"peak above the input of {sizes.long * DIM * 4 / MB:.0f} MB, one core",
            f"{long_memory / MB:.0f} MB",
            "< 400 MB",
            long_memory < 400 * MB,
        ),
        Row(
            f"fit, {2 * sizes.long:,} frames, one core",
            f"{long['twice']:.2f} s over {long['once']:.2f} s for half as many",
            f"{doubling:.2f} times longer",
            "<= 2.3 times",
            doubling <= 2.3,
        ),
        Row(
            f"segment, {sizes.cut} frames",
            f"lstsq for every (i, j) {cut['brute']:.2f} s over segment {1e3 * cut['ours']:.2f} ms; "
            f"{cut['segments']:.0f} segments, {'the same optimum' if same else 'NOT the optimum'}",
            f"{cut_ratio:.0f} times faster",
            ">= 300 times",
            cut_ratio >= 300 and same,
        ),
        Row(
            f"segment, {sizes.cut_long:,} frames",
            "time of segment",
            f"{cut_long['seconds']:.2f} s",
            "<= 2 s",
            cut_long["seconds"] <= 2,
        ),
        Row(
            f"segment, {sizes.cut_long:,} frames, memory",
            "peak above the curve",
            f"{cut_long['bytes'] / MB:.0f} MB",
            "< 300 MB",
            cut_long["bytes"] < 300 * MB,
        ),
        Row(
            f"fit_many, {sizes.clips:,} clips of {sizes.clip_frames} frames",
            f"loop of fit {many['loop']:.2f} s over fit_many {many['many']:.2f} s; "
            f"solutions differ by {many['difference']:.0e} rad",
            f"{many_ratio:.1f} times faster",
            ">= 5 times",
            many_ratio >= 5,
        ),
    ]


def machine(threads: int) -> str:
    """One line about what was measured on."""
    cores = psutil.cpu_count(logical=False) or os.cpu_count()
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "spf"))
    return (
        f"{platform.machine()}, {cores} cores, {threads} threads where not one, "
        f"{psutil.virtual_memory().total / 1e9:.0f} GB; Python {platform.python_version()}, "
        f"{packages}; embeddings of {DIM} dimensions, float32; load before "
        f"{psutil.getloadavg()[0]:.1f}"
    )


def render(rows: list[Row], about: str, judged: bool) -> str:
    """The table as Markdown, its columns aligned for reading as plain text."""
    verdict = {True: "met", False: "NOT met", None: "-"}
    cells = [["workload", "compared", "measured", "bar", "verdict"]]
    for row in rows:
        met = row.met if judged else None
        cells.append([row.what, row.compared, row.measured, row.bar, verdict[met]])
    width = [max(len(line[k]) for line in cells) for k in range(5)]
    lines = [" | ".join(text.ljust(width[k]) for k, text in enumerate(line)) for line in cells]
    lines.insert(1, " | ".join("-" * w for w in width))
    note = "" if judged else "Quick run on small sizes: a smoke test, which no bar judges.\n\n"
    return note + "\n".join(f"| {text} |" for text in lines) + f"\n\nMeasured on: {about}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, seconds, no verdicts")
    parser.add_argument("--out", type=Path, help="write the table as Markdown to this file")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, help="print these figures alone")
    parser.add_argument("--workload", choices=WORKLOADS, help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.workload:
        run_workload(arguments.workload, Sizes(**arguments.sizes))
        return 0

    sizes = QUICK if arguments.quick else Sizes()
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = threads or 1
    if arguments.only:
        for name in arguments.only:
            print(name, json.dumps(measure(name, sizes, threads)))
        return 0
    about = machine(threads)
    found = {name: measure(name, sizes, threads) for name in WORKLOADS}
    table = render(table_rows(sizes, found), about, judged=not arguments.quick)
    print(table)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
