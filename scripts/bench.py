"""Speed and memory of everything whose speed matters, as ratios measured side by side.

`python scripts/bench.py` prints one table: what was compared, what was measured, the bar, and
whether it is met. `--quick` is a smoke test on small sizes, which no bar judges; `--only WORKLOAD
...` measures a part. Every figure of a whole run is also appended to a history,
results/bench/history.csv, with the commit, the machine and its load.

Every workload (bench_workloads.py, bench_clips.py) runs in a fresh process, so that none inherits
another's memory, caches or threads. Absolute times move with the machine and with what else it
does; ratios are the result.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import bench_clips  # noqa: E402
import bench_workloads  # noqa: E402
from bench_workloads import ONE_CORE, Row, Sizes  # noqa: E402

WORKLOADS = {call.__name__: call for call in (*bench_workloads.WORKLOADS, *bench_clips.WORKLOADS)}

THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
)
HISTORY = ROOT / "results" / "bench" / "history.csv"


def measure(name: str, quick: bool, threads: int) -> list[Row]:
    """Run one workload in a fresh process, on one core if it is of `ONE_CORE`."""
    threads = 1 if name in ONE_CORE else threads
    print(f"measuring {name}, {threads} thread(s)", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--workload", name, *["--quick"] * quick]
    env = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def machine(threads: int) -> str:
    """One line about what was measured on."""
    cores = psutil.cpu_count(logical=False) or os.cpu_count()
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "torch"))
    return (
        f"{platform.machine()}, {cores} cores, {threads} threads where not one, "
        f"{psutil.virtual_memory().total / 1e9:.0f} GB; Python {platform.python_version()}, "
        f"{packages}; load before {psutil.getloadavg()[0]:.1f}"
    )


def append_history(found: dict[str, list[Row]], about: str) -> None:
    """A line of CSV for each figure: when, of which commit (with a plus sign where files were
    changed), what, on what machine."""
    from benchmarks.harness.records import commit

    name, dirty = commit()
    start = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), name + "+" * dirty]
    HISTORY.parent.mkdir(parents=True, exist_ok=True)
    with open(HISTORY, "a", newline="") as file:
        lines = csv.writer(file)
        if not file.tell():
            lines.writerow(["time", "commit", "workload", "figure", "value", "machine"])
        for workload, row in ((name, row) for name, rows in found.items() for row in rows):
            value = "" if row.value is None else f"{row.value:.6g}"
            figure = f"{row.what}: {row.compared} ({row.unit})"
            lines.writerow([*start, workload, figure, value, about])


def render(rows: list[Row], about: str, judged: bool) -> str:
    """The table as Markdown, its columns aligned for reading as plain text."""
    cells = [["workload", "compared", "measured", "bar", "verdict"]]
    cells += [[row.what, row.compared, *row.verdict(judged)] for row in rows]
    width = [max(len(line[k]) for line in cells) for k in range(5)]
    lines = [" | ".join(text.ljust(width[k]) for k, text in enumerate(line)) for line in cells]
    lines.insert(1, " | ".join("-" * w for w in width))
    note = "" if judged else "Quick run on small sizes: a smoke test, which no bar judges.\n\n"
    return note + "\n".join(f"| {text} |" for text in lines) + f"\n\nMeasured on: {about}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, no verdicts")
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, help="a part, without history")
    parser.add_argument("--workload", choices=WORKLOADS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.workload:  # in the child: print the rows as one line of JSON
        if args.workload in ONE_CORE and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        rows = WORKLOADS[args.workload](Sizes.quick() if args.quick else Sizes())
        print(json.dumps([asdict(row) for row in rows]))
        return
    from spf.devices import let_idle_threads_sleep, reuse_freed_memory

    let_idle_threads_sleep()  # every workload runs as the commands do
    reuse_freed_memory()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
    about = machine(len(cores))
    found = {name: measure(name, args.quick, len(cores)) for name in args.only or WORKLOADS}
    if not (args.quick or args.only):
        append_history(found, about)
    print(render([row for rows in found.values() for row in rows], about, not args.quick))


if __name__ == "__main__":
    main()
