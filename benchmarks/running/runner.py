"""Settle the cells of a run: a failure is a row, an interruption loses nothing."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from benchmarks.running.cells import Watch
from benchmarks.running.crew import Crew, Rebuild, crew_size
from benchmarks.running.folder import DiskError
from benchmarks.running.records import FAILED, NOT_RUN, Record, make_record, timings_of
from benchmarks.running.workers import Job as Job
from benchmarks.running.workers import one_line as one_line
from benchmarks.running.workers import work

INTERRUPTED = "not run: the run was interrupted; start it again to go on"

ROUNDS = 3
"""A cell that was settled so often and then could not be read back means a disk that loses data."""


@dataclass
class Results:
    """Records in the order of the cells; `interrupted` where Ctrl-C left some not run."""

    records: list[Record] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)
    reused: int = 0
    interrupted: bool = False

    @property
    def failed(self) -> int:
        """Cells that failed."""
        return sum(record["status"] == FAILED for record in self.records)


@dataclass(frozen=True)
class Workers:
    """How many worker processes: `asked` by the user, `preferred` by the benchmark, and the GPUs
    that they share; see `crew_size`."""

    asked: int | None = None
    preferred: int | None = None
    gpus: Sequence[str] = ()


def run_cells(job: Job, rebuild: Rebuild, workers: Workers, unit: str) -> Results:
    """Settle all cells: those that are not finished yet are computed, here or by others.

    rebuild : makes the same job in another process (it must pickle). unit : what a cell is called
    on the progress bar.

    Failures are recorded as rows and tried again by the next run. DiskError ends the run;
    everything else that a cell raises becomes its row's reason, in one line.
    """
    cells, store, common = job
    records: dict[int, Record] = {}
    for index, cell in enumerate(cells):
        record = store.load(cell)
        if record is None and cell.not_run:
            record = make_record(cell, NOT_RUN, cell.not_run, common)
        elif record is None:
            store.forget(cell)  # damaged, failed, or of unknown inputs: it is tried again
            continue
        records[index] = record
    results = Results(reused=sum(record["status"] != NOT_RUN for record in records.values()))
    with tqdm(total=len(cells), initial=len(records), unit=unit, disable=None) as bar:
        try:
            for index, record in _settled(job, rebuild, workers, set(records)):
                records[index] = record
                if record["status"] == FAILED:
                    tqdm.write(f"failed: {record['reason']}", file=sys.stderr)
                bar.update()
        except KeyboardInterrupt:
            results.interrupted = True
    for index, cell in enumerate(cells):
        # A worker may have finished a cell after the interruption.
        kept = records.get(index) or store.load(cell)
        results.records.append(kept or make_record(cell, NOT_RUN, INTERRUPTED, common))
        results.timings.append({"cell": cell.identity, **timings_of(store.folder, cell.identity)})
    return results


def _settled(
    job: Job, rebuild: Rebuild, workers: Workers, finished: set[int]
) -> Iterator[tuple[int, Record]]:
    """The cells that are not finished, once each, with their records, as they are settled."""
    pending = [index for index in range(len(job.cells)) if index not in finished]
    for _ in range(ROUNDS):
        for index in _here_or_by_a_crew(job, rebuild, workers, pending):
            record = job.store.settle(job.cells[index])
            if record is None:
                job.store.forget(job.cells[index])
                continue
            finished.add(index)
            yield index, record
        pending = [index for index in pending if index not in finished]
        if not pending:
            return
    raise DiskError(
        f"{job.store.root}: what is written there cannot be read back; choose another folder with "
        "output=FOLDER"
    )


def _here_or_by_a_crew(
    job: Job, rebuild: Rebuild, workers: Workers, pending: list[int]
) -> Iterator[int]:
    cores = len(os.sched_getaffinity(0))
    count = crew_size(workers.asked, workers.preferred, workers.gpus, len(pending), cores)
    if count == 1:
        yield from work(job, pending, _frames_bar)
        return
    with Crew(job, rebuild, pending, count, workers.gpus) as crew:
        yield from crew.settled()


@contextmanager
def _frames_bar() -> Iterator[Watch]:
    with tqdm(unit="frames", leave=False, disable=None, position=1) as bar:
        yield lambda: _advance(bar)


def _advance(bar: "tqdm[Any]") -> None:
    bar.update()
