"""What a sweep's jobs report, wherever they run, and what they found together.

OUTPUT/sweeps/NAME/ holds jobs/NUMBER.json, jobs.csv, sweep.csv and index.html. Hydra keeps no
job's exit code, and a launcher may start jobs on other machines that share the output folder. NAME
is a hash of the sweep's settings, so that a sweep that is started again is the same sweep.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.harness.folder import RunFolder
from benchmarks.harness.records import as_csv
from spf.errors import one_line
from spf.files import write_atomic
from spf.identity import digest
from spf.names import printable, shell_quoted

SIDE_BY_SIDE = ("joblib", "submitit_local")
"""Launchers whose jobs share this machine: each is one worker, unless the user says otherwise."""

COLUMNS = ["job", "code", "options", "folder"]


def folder_of(output: str | Path, overrides: Sequence[str]) -> Path:
    """The folder of the sweep of these overrides, in any order."""
    return Path(output) / "sweeps" / digest(sorted(overrides))


def run(folder: Path, launch: Callable[[], None]) -> set[int]:
    """Launch a sweep; the exit codes of its jobs, with 1 for those that ended without one."""
    # Launchers' errors come here, not to the terminal; the warning is filtered as in run.py, in
    # the processes that joblib starts.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.process")
    lost: set[int] = set()
    marker = folder / "launched"
    write_atomic(marker, "")
    since = marker.stat().st_mtime  # by the clock of the disk, which other machines' jobs share
    try:
        launch()
    except Exception as error:  # joblib's, submitit's, Hydra's: a job died, or was never started
        lost = {1}
        what = f"{type(error).__name__}: {one_line(error, 300)}"
        print(f"a job ended without a result ({what}); start again to go on", file=sys.stderr)
    found, line = summarise(folder, since)
    print(printable(line), file=sys.stderr)
    return (found | lost) or {1}


def report(sweep: Path, job: int, code: int, options: Sequence[str], folder: str) -> None:
    """Note how a job ended. options : as they are typed. folder : of its run."""
    ended = {"job": job, "code": code, "options": list(options), "folder": folder}
    with suppress(OSError):  # the job has printed it, and a missing report counts as a failure
        write_atomic(sweep / "jobs" / f"{job}.json", json.dumps(ended))


def summarise(sweep: Path, since: float = 0.0) -> tuple[set[int], str]:
    """Exit codes of the jobs that ended since a moment, and a line for the person.

    Writes jobs.csv, sweep.csv and index.html, and prints the table. Raises SpfError where the disk
    refuses.
    """
    from benchmarks.harness.report.sweep import write_sweep

    ended: list[dict[str, Any]] = []
    for path in (sweep / "jobs").glob("*.json"):
        with suppress(OSError, ValueError):
            if path.stat().st_mtime >= since:
                ended.append(json.loads(path.read_bytes()))
    ended.sort(key=lambda job: job["job"])
    folder = RunFolder(sweep)
    rows = [  # a table holds no bytes of names that are not UTF-8
        job
        | {"options": " ".join(map(shell_quoted, job["options"]))}
        | {"folder": printable(job["folder"])}
        for job in ended
    ]
    folder.write("jobs.csv", as_csv(pd.DataFrame(rows, columns=COLUMNS)))
    done = sum(job["code"] == 0 for job in ended)
    headline = f"{done} of {len(ended)} jobs without a failure"
    if ended:
        write_sweep(folder, ended, headline)
    return {job["code"] for job in ended}, f"sweep: {headline}; see {sweep / 'index.html'}"
