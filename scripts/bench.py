"""Speed and memory of everything whose speed matters, as ratios measured side by side.

`python scripts/bench.py` prints one table: what was compared, what was measured, the bar, and
whether it is met. `--quick` is a smoke test of a minute on small sizes, which no bar judges;
`--out FILE` writes the table as Markdown too. Every figure is also appended to a history,
results/bench/history.csv, with the commit, the machine and its load.

How it measures. Every workload runs in a fresh process, so that none inherits another's memory,
caches or threads. Competitors take turns within one process, after a warm-up, and the median of
their times counts. Peak memory is the resident high-water mark of the process during the call,
less what was resident just before it (interpreter, libraries and input). Absolute times move with
the machine and with what else it does; ratios are the result.
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
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import bench_embed
import bench_fit
import bench_resample
import bench_retime
import bench_runs
import bench_stages
import psutil
from bench_tools import QUICK, Row, Sizes

ROOT = Path(__file__).resolve().parent.parent
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
HISTORY = ROOT / "results" / "bench" / "history.csv"
MODULES = (bench_fit, bench_embed, bench_retime, bench_resample, bench_stages, bench_runs)
WORKLOADS: dict[str, Callable[[Sizes], dict[str, float]]] = {
    call.__name__: call for module in MODULES for call in module.WORKLOADS
}
ONE_CORE = bench_fit.ONE_CORE


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


def machine(threads: int) -> str:
    """One line about what was measured on."""
    cores = psutil.cpu_count(logical=False) or os.cpu_count()
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "spf"))
    return (
        f"{platform.machine()}, {cores} cores, {threads} threads where not one, "
        f"{psutil.virtual_memory().total / 1e9:.0f} GB; Python {platform.python_version()}, "
        f"{packages}; embeddings of {bench_fit.DIM} dimensions, float32; load before "
        f"{psutil.getloadavg()[0]:.1f}"
    )


def append_history(path: Path, found: dict[str, dict[str, float]], about: str) -> None:
    """A line of CSV for each figure: when, of which commit, what, on what machine.

    A commit of files that were changed has a plus sign.
    """
    sys.path.insert(0, str(ROOT))
    from benchmarks.harness.provenance import commit

    name, dirty = commit()
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", newline="") as file:
        lines = csv.writer(file)
        if not file.tell():
            lines.writerow(["time", "commit", "workload", "figure", "value", "machine"])
        for workload, figures in found.items():
            for figure, value in figures.items():
                what = [workload, figure, f"{value:.6g}"]
                lines.writerow([when, name + "+" * dirty, *what, about])


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

    sys.path.insert(0, str(ROOT))
    from spf.devices import keep_freed_memory, let_idle_threads_sleep

    let_idle_threads_sleep()  # every workload runs as the commands do
    keep_freed_memory()
    sizes = QUICK if arguments.quick else Sizes()
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = threads or 1
    if arguments.only:
        for name in arguments.only:
            print(name, json.dumps(measure(name, sizes, threads)))
        return 0
    about = machine(threads)
    found = {name: measure(name, sizes, threads) for name in WORKLOADS}
    if not arguments.quick:
        append_history(HISTORY, found, about)
    rows = [row for module in MODULES for row in module.table_rows(sizes, found)]
    table = render(rows, about, judged=not arguments.quick)
    print(table)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
