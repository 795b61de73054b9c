"""What the jobs of a sweep found, side by side: one table of settings and metrics, and its page."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.harness.cells import Section, Summary, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.printing import printer
from benchmarks.harness.records import DONE, FAILED, FIRST, NOT_RUN, number
from benchmarks.harness.report.page import render_page
from benchmarks.harness.report.tables import table_as_csv
from benchmarks.harness.runner import Results
from benchmarks.harness.terminal import GROUPS
from spf.commands.output import WIDTH, print_table
from spf.names import printable
from spf.progress import METRICS

STATUS = {0: "done", 1: "some failed", 2: "bad setting", 3: "cannot run here", 130: "interrupted"}
COUNTS = ("clips", "no pacing", "failed", "not run")
LONGEST = 32
"""Letters of a cell in the terminal."""

Job = dict[str, Any]
"""How a job ended: job (its number), code, options (as typed), folder (of its run)."""


def write_sweep(folder: RunFolder, jobs: Sequence[Job], headline: str) -> None:
    """Write sweep.csv and index.html, and print the table as far as a terminal is wide."""
    runs = [_records(job) for job in jobs]
    table = joint_table(jobs, runs)
    folder.write("sweep.csv", table_as_csv(table))
    links = {
        f"Run {job['job']}: {', '.join(f'{name}={value}' for name, value in chosen.items())}": path
        for job, chosen in zip(jobs, _settings(jobs), strict=True)
        if job["folder"] and printable(path := _page(folder, job)) == path
    }
    sections = [
        Section("What the jobs found", [], [table]),
        Section("Runs", links=links),
    ]
    whole = pd.concat(runs)
    again = whole.duplicated(["model", "clip", "reason"]) & (whole["status"] == FAILED)
    records: Any = whole[~again].to_dict("records")  # a broken clip is named once
    page = render_page("Sweep", Summary(headline, sections), Results(records), folder)
    folder.write("index.html", page)
    _print(table)


def joint_table(jobs: Sequence[Job], runs: Sequence[pd.DataFrame]) -> Table:
    """A row for each job and each embedder, model, strategy and target in it.

    runs : the records of each job. Columns: the settings that differ between jobs; how many clips
    have a pacing, and the mean of each metric over these; how many show no change or flicker, which
    are in no mean; the note says what is the same in all rows.
    """
    settings = _settings(jobs)
    rows: list[dict[str, Any]] = []
    clips: set[frozenset[str]] = set()
    for job, chosen, records in zip(jobs, settings, runs, strict=True):
        start = {"job": job["job"], **chosen, "status": STATUS.get(job["code"], "failed")}
        for group, part in records.groupby(list(GROUPS), sort=False):
            status, paced = part["status"], part["reason"] == ""
            done = part[(status == DONE) & paced]
            clips.add(frozenset(done["clip"]))
            unpaced = (status == DONE) & ~paced
            kinds = (status == DONE) & paced, unpaced, status == FAILED, status == NOT_RUN
            counts = {name: int(kind.sum()) for name, kind in zip(COUNTS, kinds, strict=True)}
            key = {f"of {name}": value for name, value in zip(GROUPS, group, strict=True)}
            means = done.select_dtypes("float").drop(columns=FIRST, errors="ignore").mean()
            metrics = {str(name): float(mean) for name, mean in means.items()}
            rows.append({**start, **key, **counts, **metrics})
        if records.empty:
            rows.append(start)
    data = pd.DataFrame(rows)
    note = []
    for name in GROUPS:
        column = f"of {name}"
        values = list(data[column].dropna().unique()) if column in data else []
        if len(values) == 1:
            note.append(f"{name} {values[0]}")
        if len(values) <= 1 or (name in data and data.groupby("job")[column].nunique().max() == 1):
            data = data.drop(columns=column, errors="ignore")  # the setting says it
        elif name not in data:
            data = data.rename(columns={column: name})
    text = f"In all rows: {', '.join(note)}. " if note else ""
    if len(clips) > 1:
        text += "Rows are means of different clips: only those of the same clips can be compared."
    idle = [name for name in COUNTS[1:] if name in data and not data[name].any()]
    return Table("sweep", "Settings and metrics", _ordered(data.drop(columns=idle)), text.strip())


def _ordered(data: pd.DataFrame) -> pd.DataFrame:
    """The columns: job, settings, status, counts, metrics; other numbers where they differ."""
    numbers = [str(name) for name in data.select_dtypes("float") if name not in COUNTS]
    leading = ("linearity_mae", "target_mae")
    metrics = [name for name in dict.fromkeys((*leading, *METRICS)) if name in numbers]
    others = [name for name in numbers if name not in METRICS and data[name].nunique() > 1]
    first = [name for name in data if name not in numbers and name != "status"]
    counts = [name for name in first if name in COUNTS]
    settings = [name for name in first if name not in counts]
    whole = data[[*settings, "status", *counts, *metrics, *others]]
    return whole.astype(dict.fromkeys(counts, "Int64")).astype(object).where(whole.notna(), None)


def _settings(jobs: Sequence[Job]) -> list[dict[str, str]]:
    """Of each job, the settings that are not the same in all of them."""
    typed = [dict(option.partition("=")[::2] for option in job["options"]) for job in jobs]
    names = dict.fromkeys(name for options in typed for name in options)
    differ = [name for name in names if len({options.get(name) for options in typed}) > 1]
    return [{name: options.get(name, "") for name in differ} for options in typed]


def _records(job: Job) -> pd.DataFrame:
    """The records of a job's run; none where it ended before there were any."""
    try:
        data = (Path(job["folder"]) / "records.parquet").read_bytes()
        return pd.read_parquet(io.BytesIO(data))  # Arrow opens no path that is not UTF-8
    except (OSError, ValueError):
        return pd.DataFrame(columns=[*FIRST])


def _page(folder: RunFolder, job: Job) -> str:
    return os.path.join(os.path.relpath(job["folder"], folder.root), "index.html")


def _print(table: Table) -> None:
    """In the terminal: the metrics that fit beside the settings."""
    text = printer(table)
    columns: dict[str, list[str]] = {}
    width = 0
    for name in table.columns:
        cells = [
            number(row[name]) if name not in METRICS else text(row, name) for row in table.rows
        ]
        cells = [cell if len(cell) <= LONGEST else f"{cell[: LONGEST - 3]}..." for cell in cells]
        width += 2 + max(map(len, [name, *cells]))
        if name in METRICS and (width > WIDTH or not any(cells)):
            break
        columns[name] = cells
    numeric = [name for name in columns if name in METRICS or name in COUNTS]
    lines = zip(*columns.values(), strict=True)
    rows = [dict(zip(columns, line, strict=True)) for line in lines]
    print_table(rows, dict.fromkeys(numeric, ""), stderr=True)
