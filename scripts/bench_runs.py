"""Whole commands: how fast they start, what is kept spares, and what a second worker gains.

The clips cross from one texture to another, each at a pace of its own; a leaderboard of them is
measured by the shipped embedder, with a cache and an output folder of the benchmark's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from bench_tools import Row, Sizes, in_turns, seconds

ROOT = Path(__file__).resolve().parent.parent
SIDE, FRAMES = 256, 81
PAIRS = 6
START_BAR, IMPORT_BAR = 1.0, 0.5  # seconds
SCALING_BAR = 0.85
TURNS = 3


def start_up(sizes: Sizes) -> dict[str, float]:
    """Seconds until a command that does nothing has ended."""
    commands = {
        "python": [sys.executable, "-c", ""],
        "import": [sys.executable, "-c", "import spf"],
        "spf": [sys.executable, "-m", "spf.cli", "--help"],
        "run": [sys.executable, "run.py", "--help"],
    }
    for command in commands.values():
        _call(command)
    calls = [(lambda command=command: _call(command), 1) for command in commands.values()]
    return dict(zip(commands, in_turns(sizes.repeats, *calls), strict=True))


def leaderboard_again(sizes: Sizes) -> dict[str, float]:
    """Seconds of a leaderboard with nothing kept, with embeddings kept, with all clips finished."""
    taken: dict[str, list[float]] = {"cold": [], "warm": [], "finished": []}
    with _clips(sizes.measured) as (clips, there):
        for _ in range(min(TURNS, sizes.repeats)):
            for state, kept in taken.items():
                if state == "cold":
                    shutil.rmtree(there / "cache", ignore_errors=True)
                if state != "finished":
                    shutil.rmtree(there / "results", ignore_errors=True)
                kept.append(seconds(partial(_leaderboard, clips, there, workers=1)))
    return {state: float(np.median(kept)) for state, kept in taken.items()}


def second_worker(sizes: Sizes) -> dict[str, float]:
    """Seconds with one worker on one core, and with two workers on two cores.

    `cells`: from the beginning of the first cell to the end of the last. `all`: of the command.
    """
    cores = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        return {}
    taken: dict[str, list[float]] = {}
    with _clips(4 * sizes.measured) as (clips, there):
        for _ in range(min(TURNS, sizes.repeats)):
            for workers in (1, 2):
                shutil.rmtree(there / "results", ignore_errors=True)
                shutil.rmtree(there / "cache", ignore_errors=True)
                whole = seconds(partial(_leaderboard, clips, there, workers, cores[:workers]))
                taken.setdefault(f"all_{workers}", []).append(whole)
                taken.setdefault(f"cells_{workers}", []).append(_cells_took(there / "results"))
    return {name: float(np.median(kept)) for name, kept in taken.items()}


WORKLOADS = (start_up, leaderboard_again, second_worker)


def _call(command: Sequence[str], cores: Sequence[int] = (), **variables: str) -> None:
    """Run a command, on these cores alone where some are named."""
    subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | variables,
        check=True,
        capture_output=True,
        preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
    )


def _leaderboard(clips: Path, there: Path, workers: int, cores: Sequence[int] = ()) -> None:
    words = ["benchmark=leaderboard", "model=folder", f"model.path={clips}", "logger=csv"]
    words += [f"output={there / 'results'}", f"workers={workers}"]
    variables = {"SPF_CACHE_DIR": str(there / "cache")}
    if cores:
        variables["OMP_NUM_THREADS"] = "1"  # a worker is one core's
    _call([sys.executable, "run.py", *words], cores, **variables)


def _cells_took(output: Path) -> float:
    """Seconds from the beginning of the first cell to the end of the last one."""
    import pandas as pd

    (timings,) = output.glob("runs/*/timings.parquet")
    took = pd.read_parquet(timings).set_index("cell")["total"]
    ended = {
        path.parent.name: path.stat().st_mtime for path in output.glob("cells/*/manifest.json")
    }
    began = [end - took[name[: len(took.index[0])]] for name, end in ended.items()]
    return max(ended.values()) - min(began)


@contextmanager
def _clips(count: int) -> Iterator[tuple[Path, Path]]:
    """A folder of clips, CLIPS/GENERATOR/PAIR.mp4, and a folder to work in."""
    sys.path.insert(0, str(ROOT))
    from spf.video import write_mp4

    with tempfile.TemporaryDirectory(prefix="spf-bench-") as name:
        clips = Path(name) / "clips"
        for number in range(count):
            path = clips / f"generator-{number // PAIRS}" / f"pair-{number % PAIRS}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_mp4(path, crossing(number), 16)
        yield clips, Path(name)


def crossing(
    seed: int, shape: tuple[int, int] = (SIDE, SIDE), count: int = FRAMES
) -> Iterator[np.ndarray]:
    """`count` frames (H, W, 3) uint8: from one texture to another, along a power of time."""
    import cv2

    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (2, 9, 9, 3), dtype=np.uint8)
    first, last = (cv2.resize(one, shape[::-1], interpolation=cv2.INTER_CUBIC) for one in coarse)
    power = 2.0 ** random.uniform(-2, 2)
    for share in np.linspace(0, 1, count) ** power:
        yield cv2.addWeighted(first, 1 - share, last, share, 0)


def table_rows(sizes: Sizes, found: dict[str, dict[str, float]]) -> list[Row]:
    """The lines of the table."""
    start, again, two = (found[call.__name__] for call in WORKLOADS)
    rows = [
        Row(
            what,
            f"until it ends; bare Python {start['python']:.2f} s",
            f"{start[name]:.2f} s",
            f"below {bar:g} s",
            start[name] < bar,
        )
        for what, name, bar in (
            ("import spf", "import", IMPORT_BAR),
            ("spf --help", "spf", START_BAR),
            ("run.py --help", "run", START_BAR),
        )
    ]
    what = f"leaderboard of {sizes.measured} clips, {FRAMES} frames, tiny, 1 worker"
    for state, meaning in (("warm", "embeddings kept"), ("finished", "all clips finished")):
        compared = f"nothing kept {again['cold']:.1f} s, {meaning} {again[state]:.1f} s"
        gain = again["cold"] / again[state]
        rows.append(Row(what, compared, f"{gain:.1f} times faster", "-", None))
        what = ""
    what = f"2 workers on 2 cores, {4 * sizes.measured} clips"
    if not two:
        return [*rows, Row(what, "-", "not run: one core", f">= {SCALING_BAR}", None)]
    for part, meaning, bar in (("cells", "first cell to last", SCALING_BAR), ("all", "all", None)):
        one, both = two[f"{part}_1"], two[f"{part}_2"]
        share = one / both / 2
        compared = f"{meaning}: 1 on 1 core {one:.1f} s, 2 on 2 cores {both:.1f} s"
        bar_text, met = (f">= {bar}", share >= bar) if bar else ("-", None)
        rows.append(Row(what, compared, f"efficiency {share:.2f}", bar_text, met))
        what = ""
    return rows
