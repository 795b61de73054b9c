"""What the jobs of a sweep found, side by side: one table of settings and metrics, and its page."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.harness.cells import Section, Summary, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.records import DONE, FAILED, FIRST, NOT_RUN, number, printer
from benchmarks.harness.report.page import render_page
from benchmarks.harness.report.tables import table_as_csv
from benchmarks.harness.runner import Results
from benchmarks.harness.session import GROUPS
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
    # Tables hold UTF-8 alone, which names of files need not be.
    options = ([printable(option).partition("=") for option in job["options"]] for job in jobs)
    typed = pd.DataFrame([{key: value for key, _, value in parts} for parts in options])
    settings = typed.loc[:, typed.nunique(dropna=False) > 1].fillna("")
    runs = [_records(job) for job in jobs]
    records = pd.concat(runs, ignore_index=True)
    names = dict.fromkeys(str(name) for run in runs for name in run.select_dtypes("float"))
    table = joint_table(jobs, settings, records, [name for name in names if name not in FIRST])
    folder.write("sweep.csv", table_as_csv(table))
    links = {}
    for job, chosen in zip(jobs, settings.to_dict("records"), strict=True):
        page = os.path.join(os.path.relpath(job["folder"] or ".", folder.root), "index.html")
        if job["folder"] and printable(page) == page:
            words = ", ".join(f"{name}={value}" for name, value in chosen.items())
            links[f"Run {job['job']}: {words}"] = page
    sections = [Section("What the jobs found", [], [table]), Section("Runs", links=links)]
    again = records.duplicated(["model", "clip", "reason"]) & (records["status"] == FAILED)
    rows: Any = records[~again].to_dict("records")  # a broken clip is named once
    page = render_page("Sweep", Summary(headline, sections), Results(rows), folder)
    folder.write("index.html", page)
    _print(table)


def _records(job: Job) -> pd.DataFrame:
    """The records of a job's run; none where it ended before there were any."""
    try:
        data = (Path(job["folder"]) / "records.parquet").read_bytes()
        found = pd.read_parquet(io.BytesIO(data))  # Arrow opens no path that is not UTF-8
    except (OSError, ValueError):
        found = pd.DataFrame(columns=[*FIRST])
    return found.assign(job=job["job"])


def joint_table(
    jobs: Sequence[Job], settings: pd.DataFrame, records: pd.DataFrame, metrics: Sequence[str]
) -> Table:
    """A row for each job and each embedder, model, strategy and target in it.

    settings : a row for each job, the settings that are not the same in all. records : of all jobs.
    metrics : the columns that are averaged. Columns: the settings; how many clips have a pacing,
    and the mean of each metric over these; how many show no change or flicker, which are in no
    mean; the note says what is the same in all rows.
    """
    status, paced = records["status"], records["reason"] == ""
    done = status == DONE
    kinds = (done & paced, done & ~paced, status == FAILED, status == NOT_RUN)
    counts = pd.DataFrame(dict(zip(COUNTS, kinds, strict=True)))
    by = [records["job"].astype(int), *(records[name].rename(f"of {name}") for name in GROUPS)]
    means = records[metrics].astype(float).where(done & paced).groupby(by, sort=False).mean()
    found = counts.groupby(by, sort=False).sum().join(means).reset_index()
    numbered = settings.assign(status=[STATUS.get(job["code"], "failed") for job in jobs])
    numbered.insert(0, "job", [job["job"] for job in jobs])
    data = numbered.merge(found, on="job", how="left")
    note = []
    for name in GROUPS:
        column = f"of {name}"
        values = list(data[column].dropna().unique())
        if len(values) == 1:
            note.append(f"{name} {values[0]}")
        if len(values) <= 1 or (name in data and data.groupby("job")[column].nunique().max() == 1):
            data = data.drop(columns=column)  # the setting says it
        elif name not in data:
            data = data.rename(columns={column: name})
    text = f"In all rows: {', '.join(note)}. " if note else ""
    clips = records["clip"].where(done & paced).groupby(by)
    if len({frozenset(own.dropna()) for _, own in clips}) > 1:
        text += "Rows are means of different clips: only those of the same clips can be compared."
    idle = [name for name in COUNTS[1:] if not data[name].any()]
    return Table("sweep", "Settings and metrics", _ordered(data.drop(columns=idle)), text.strip())


def _ordered(data: pd.DataFrame) -> pd.DataFrame:
    """The columns: job, settings, status, counts, metrics; other numbers where they differ."""
    numbers = [str(name) for name in data.select_dtypes("float") if name not in COUNTS]
    leading = ("linearity_mae", "target_mae")
    metrics = [name for name in dict.fromkeys((*leading, *METRICS)) if name in numbers]
    others = [name for name in numbers if name not in METRICS and data[name].nunique() > 1]
    counts = [name for name in COUNTS if name in data]
    settings = [name for name in data if name not in (*numbers, *counts, "status")]
    whole = data[[*settings, "status", *counts, *metrics, *others]]
    return whole.astype(dict.fromkeys(counts, "Int64")).astype(object).where(whole.notna(), None)


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
    rows: Any = pd.DataFrame(columns).to_dict("records")
    print_table(rows, dict.fromkeys(numeric, ""), stderr=True)
