"""Stages of a measurement: what each costs, and by how much when its work doubles.

The growth is the cost of twice the work over that of once: 2 where a stage is linear.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bench_fit import DIM, clip
from bench_runs import crossing
from bench_tools import Row, Sizes, in_turns

ROOT = Path(__file__).resolve().parent.parent
SHAPES = ((256, 256), (432, 768))
EMBEDDERS = ("tiny", "histogram", "pixels")


def stage_decode(sizes: Sizes) -> dict[str, float]:
    """Seconds for so many frames, and twice as many, of H.264, in a process of its own."""
    sys.path.insert(0, str(ROOT))
    from spf.video import write_mp4
    from spf.video.guarded import GuardedReader

    found = {}
    with tempfile.TemporaryDirectory(prefix="spf-bench-") as name:
        for shape in SHAPES:
            paths = {count: Path(name) / f"{shape[0]}-{count}.mp4" for count in _counts(sizes)}
            for count, path in paths.items():
                write_mp4(path, crossing(0, shape, count), 24)
            found |= _doubled(
                f"{shape[0]} x {shape[1]}",
                sizes,
                {
                    count: lambda path=path: _exhaust(GuardedReader(path))
                    for count, path in paths.items()
                },
            )
    return found


def stage_embed(sizes: Sizes) -> dict[str, float]:
    """Seconds to prepare and embed so many frames of 432 x 768 in memory, and twice as many."""
    sys.path.insert(0, str(ROOT))
    from spf.embedders import embed_clip, load_embedder

    frames = np.stack(list(crossing(0, SHAPES[1], max(_counts(sizes)))))
    found = {}
    for word in EMBEDDERS:
        embedder = load_embedder(word)
        calls = {
            count: lambda count=count, embedder=embedder: embed_clip(frames[:count], embedder)
            for count in _counts(sizes)
        }
        found |= _doubled(word, sizes, calls)
    return found


def stage_fit(sizes: Sizes) -> dict[str, float]:
    """Seconds of a fit, by frames and by dimensions; of many fits; of a segmentation."""
    sys.path.insert(0, str(ROOT))
    import spf

    few, many, clips = sizes.long // 10, sizes.long // 5, sizes.clips // 10
    z = clip(many)
    wide = clip(few, 2 * DIM)
    short = [clip(sizes.clip_frames, seed=seed) for seed in range(2 * clips)]
    curves = {count: spf.fit(z[:count]) for count in (sizes.dense // 2, sizes.dense)}
    return (
        _doubled("fit, frames", sizes, {n: lambda n=n: spf.fit(z[:n]) for n in (few, many)})
        | _doubled(
            "fit, dimensions",
            sizes,
            {d: lambda d=d: spf.fit(np.ascontiguousarray(wide[:, :d])) for d in (DIM, 2 * DIM)},
        )
        | _doubled(
            "fit_many, clips",
            sizes,
            {n: lambda n=n: spf.fit_many(short[:n]) for n in (clips, 2 * clips)},
        )
        | _doubled(
            "segment, frames",
            sizes,
            {n: lambda c=c: spf.segment(c, n_segments=4) for n, c in curves.items()},
        )
    )


WORKLOADS = (stage_decode, stage_embed, stage_fit)


def _counts(sizes: Sizes) -> tuple[int, int]:
    return sizes.embedded, 2 * sizes.embedded


def _doubled(name: str, sizes: Sizes, calls: dict[int, Callable[[], object]]) -> dict[str, float]:
    """{"NAME: COUNT": seconds}, the calls once warm and taking turns."""
    for call in calls.values():
        call()
    taken = in_turns(sizes.repeats, *((call, 1) for call in calls.values()))
    return {f"{name}: {count}": seconds for count, seconds in zip(calls, taken, strict=True)}


def _exhaust(items: object) -> None:
    for _ in items:  # type: ignore[attr-defined]
        pass


UNITS = {
    "stage_decode": ("decode", "frames"),
    "stage_embed": ("embed 432 x 768,", "frames"),
    "stage_fit": ("", ""),
}


def table_rows(sizes: Sizes, found: dict[str, dict[str, float]]) -> list[Row]:
    """A line for each stage: milliseconds for each piece of work, and the growth."""
    rows = []
    for call in WORKLOADS:
        prefix, unit = UNITS[call.__name__]
        figures = list(found[call.__name__].items())
        for (first, once), (second, twice) in zip(figures[::2], figures[1::2], strict=True):
            name, _, count = first.partition(": ")
            more = second.partition(": ")[2]
            what = f"{prefix} {name}".strip()
            compared = f"{count} and {more} {unit}".strip()
            each = f"{1e3 * twice / int(more):.3g} ms each, growth {twice / once:.2f}"
            rows.append(Row(what, compared, each, "-", None))
    return rows
