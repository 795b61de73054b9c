"""Speed and memory of everything whose speed matters, as ratios measured side by side.

`python scripts/bench.py` prints one table: what was compared, what was measured, the bar, and
whether it is met; `--only WORKLOAD ...` measures a part. Every figure of a whole run is also
appended to results/bench/history.csv, with the commit, the machine and its load.

Every workload (bench_workloads.py, bench_clips.py) runs in a fresh process, so that none inherits
another's memory, caches or threads. Absolute times move with the machine and with what else it
does; ratios are the result.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import psutil
from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import bench_clips  # noqa: E402
import bench_workloads  # noqa: E402
from bench_workloads import ONE_CORE, Row  # noqa: E402

from benchmarks.harness.records import commit  # noqa: E402
from spf.devices import let_idle_threads_sleep  # noqa: E402

WORKLOADS = {call.__name__: call for call in (*bench_workloads.WORKLOADS, *bench_clips.WORKLOADS)}
THREADS = ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM")
HISTORY = ROOT / "results" / "bench" / "history.csv"


def measure(name: str, threads: int) -> list[Row]:
    """Run one workload in a fresh process, on one core if it is of `ONE_CORE`."""
    threads = 1 if name in ONE_CORE else threads
    print(f"measuring {name}, {threads} thread(s)", file=sys.stderr, flush=True)
    env = os.environ | {f"{library}_NUM_THREADS": str(threads) for library in THREADS}
    command = [sys.executable, __file__, "--workload", name]
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
    """A line for each figure; the commit with a plus sign where files were changed."""
    name, dirty = commit()
    figures = [
        {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "commit": name + "+" * dirty,
            "workload": workload,
            "figure": f"{row.what}: {row.compared} ({row.unit})",
            "value": row.value,
            "machine": about,
        }
        for workload, rows in found.items()
        for row in rows
    ]
    HISTORY.parent.mkdir(parents=True, exist_ok=True)
    lines = pd.DataFrame(figures)
    lines.to_csv(HISTORY, mode="a", header=not HISTORY.exists(), index=False, float_format="%.6g")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, help="a part, without history")
    parser.add_argument("--workload", choices=WORKLOADS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.workload:  # in the child: print the rows as one line of JSON
        if args.workload in ONE_CORE:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(json.dumps([asdict(row) for row in WORKLOADS[args.workload]()]))
        return
    let_idle_threads_sleep()  # every workload runs as the commands do
    threads = len(os.sched_getaffinity(0))
    about = machine(threads)
    found = {name: measure(name, threads) for name in args.only or WORKLOADS}
    if not args.only:
        append_history(found, about)
    table = Table("workload", "compared", "measured", "bar", "verdict", box=box.MARKDOWN)
    for row in (row for rows in found.values() for row in rows):
        table.add_row(row.what, row.compared, *row.verdict())
    Console(width=200, markup=False).print(table, f"\nMeasured on: {about}")


if __name__ == "__main__":
    main()
