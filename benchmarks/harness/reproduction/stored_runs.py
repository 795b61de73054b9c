"""Finished runs, stored whole: one whose every input is unchanged is read, not made again.

Cells are never computed twice; this spares their figures, films and tables too. A run is an entry
of the store of cells: what its summary says, and all files that it wrote beside its cells. Its key
is a hash of the cells (each a hash of its inputs) and of the code. A benchmark whose summary reads
more than its cells says `volatile = True`, and is always run.
"""

import json
import operator
from dataclasses import replace

from omegaconf import DictConfig

from benchmarks.harness import session
from benchmarks.harness.cells import Summary
from benchmarks.harness.records import NOT_RUN, Record
from benchmarks.harness.report.page import TEMPLATES
from benchmarks.harness.runner import Job, Results
from benchmarks.harness.session import Run
from benchmarks.harness.store import CellStore
from spf.identity import code_hash, digest, file_digest


def run(config: DictConfig) -> Run:
    """`session.run`, or what it gave the last time where that still holds."""
    benchmark, job = session.make_job(session.resolved(config))
    if benchmark.volatile:
        return session.run(config)
    key = _key(job, type(benchmark))
    return load_run(job, key) or store_run(session.run(config), job.store, key)


def store_run(made: Run, store: CellStore, key: str) -> Run:
    """Store a run, unless cells failed or are missing; the run, as it will be read."""
    numbers = operator.methodcaller("item")  # NumPy's as Python's
    summary = json.loads(json.dumps(made.summary.plain(), default=numbers))
    if made.code == 0:
        folder = made.folder
        paths = [figure.path for section in made.summary.sections for figure in section.figures]
        paths += [path.name for path in folder.root.iterdir() if path.is_file()]
        store.put(key, summary, {path: folder.path(path) for path in sorted({*paths})})
    return replace(made, summary=Summary.of_plain(summary))


def load_run(job: Job, key: str) -> Run | None:
    """The run of a job, with its files, where it is stored under its key, unchanged."""
    entry, records = job.store.get(key), _records(job)
    if entry is None or records is None:
        return None
    results = Results(records, reused=len(records))
    return Run(job.store.folder, 0, results, Summary.of_plain(entry.about))


def _key(job: Job, kind: type) -> str:
    cells = [[cell.identity, cell.not_run] for cell in job.cells]
    page = [file_digest(path) for path in sorted(TEMPLATES.iterdir()) if path.is_file()]
    return digest([cells, job.store.fresh, page, code_hash(kind, session.__name__)])


def _records(job: Job) -> list[Record] | None:
    """Of every cell, from its own file; None where one is gone."""
    found = []
    for index, cell in enumerate(job.cells):
        one = job.store.load(cell)
        if one is None and cell.not_run:
            one = job.unfinished(index, NOT_RUN, cell.not_run)
        if one is None:
            return None
        found.append(one.record)
    return found
