"""Finished runs, kept whole: one whose every input is unchanged is read, not made again.

Cells are never computed twice; this spares their figures, films and tables too. A run's folder has
a `finished.json` with what its summary says, the hashes of all that it wrote, and a key: a hash of
the cells (each a hash of its inputs) and of the code. Where anything differs or is gone, the run is
made anew. A benchmark whose summary reads more than its cells says `volatile = True`, and is always
run.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from benchmarks.harness import session
from benchmarks.harness.cells import Summary
from benchmarks.harness.compute import Job
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.provenance import digest, file_digest
from benchmarks.harness.records import NOT_RUN, Record, make_record
from benchmarks.harness.report.page import TEMPLATES
from benchmarks.harness.runner import Results
from benchmarks.harness.session import Run
from spf.identity import code_hash

FILE = "finished.json"


def run(config: DictConfig) -> Run:
    """`session.run`, or what it gave the last time where that still holds."""
    benchmark, job = session.make_job(session.resolved(config))
    if getattr(benchmark, "volatile", False):
        return session.run(config)
    key = _key(job, type(benchmark))
    return recall(job, key) or keep(session.run(config), key)


def keep(made: Run, key: str) -> Run:
    """Keep a run in its folder, unless cells failed or are missing; the run, as it will be read."""
    folder, plain = made.folder, json.dumps(made.summary.plain(), default=_plain)
    made = replace(made, summary=Summary.of_plain(json.loads(plain)))
    if made.code == 0:
        stored = {"key": key, "summary": json.loads(plain), "files": _files(made)}
        folder.write(FILE, json.dumps(stored, indent=1))
    return made


def recall(job: Job, key: str) -> Run | None:
    """The run of a job, where it was kept, its key is the same and its files are untouched."""
    folder = job.store.folder
    try:
        stored = json.loads(folder.read(FILE))
        if stored["key"] != key:
            return None
        if any(_hash(folder, path) != known for path, known in stored["files"].items()):
            return None
        summary = Summary.of_plain(stored["summary"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    records = _records(job)
    if records is None:
        return None
    return Run(folder, 0, Results(records, reused=len(records)), summary)


def _key(job: Job, kind: type) -> str:
    cells = [[cell.identity, cell.not_run] for cell in job.cells]
    page = [file_digest(path) for path in sorted(TEMPLATES.iterdir()) if path.is_file()]
    return digest([cells, job.store.fresh, page, code_hash(kind, session.__name__)])


def _records(job: Job) -> list[Record] | None:
    """Of every cell, from its own file; None where one is gone."""
    cells, store, common = job
    found = []
    for cell in cells:
        if settled := store.load(cell):
            found.append(settled.record)
        elif cell.not_run:
            found.append(make_record(cell, NOT_RUN, cell.not_run, dict(common)))
        else:
            return None
    return found


def _files(made: Run) -> dict[str, str]:
    """Hashes of what a run wrote beside its cells, by path."""
    root = made.folder.root
    figures = [figure.path for section in made.summary.sections for figure in section.figures]
    top = [path.name for path in root.iterdir() if path.is_file() and path.name != FILE]
    return {path: _hash(made.folder, path) for path in sorted({*figures, *top})}


def _hash(folder: RunFolder, path: str) -> str:
    return hashlib.sha256(folder.read(path)).hexdigest()


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's; nothing else is in a summary."""
    if isinstance(value, Path):
        return str(value)
    return value.item()
