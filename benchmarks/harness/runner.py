"""Settle the cells of a run: a failure is a row, an interruption loses nothing."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.harness.compute import Job, settle
from benchmarks.harness.pool import Found, compute_in_pool, pool_size
from benchmarks.harness.records import FAILED, NOT_RUN, Record, make_record
from benchmarks.harness.store import Settled
from benchmarks.harness.terminal import CellBar
from spf.store import WARN_AFTER, warn

INTERRUPTED = "not run: the run was interrupted; start it again to go on"


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
    that they share; see `pool_size`. engine : local, or ray for a Ray cluster."""

    asked: int | None = None
    preferred: int | None = None
    gpus: Sequence[str] = ()
    engine: str = "local"


def run_cells(
    job: Job,
    workers: Workers,
    unit: str,
    on_start: Callable[[Mapping[int, Settled]], None] = lambda found: None,
    on_settled: Callable[[Settled], None] = lambda settled: None,
) -> Results:
    """Settle all cells: those that are not finished yet are computed, here or by others.

    unit : what a cell is called on the progress bar. on_start : called with the cells, by index,
    that need no computing. on_settled : called with each of the others once it is settled. Failures
    are recorded as rows and tried again by the next run. DiskError ends the run; everything else
    that a cell raises becomes its row's reason, in one line.
    """
    found: dict[int, Settled] = {}
    for index, cell in enumerate(job.cells):
        if kept := job.store.load(cell):
            found[index] = kept
        elif cell.not_run:
            found[index] = Settled(make_record(cell, NOT_RUN, cell.not_run, job.common), {})
    results = Results(reused=sum(one.record["status"] != NOT_RUN for one in found.values()))
    on_start(found)
    pending = [index for index in range(len(job.cells)) if index not in found]
    with CellBar(len(job.cells), len(found), unit) as bar:
        try:
            for index, settled in _settled(job, pending, workers, bar):
                found[index] = settled
                bar.settled(settled)
                on_settled(settled)
        except KeyboardInterrupt:
            results.interrupted = True
    for index, cell in enumerate(job.cells):
        # A worker may have finished a cell after the interruption.
        kept = found.get(index) or job.store.load(cell)
        if kept is None:
            kept = Settled(make_record(cell, NOT_RUN, INTERRUPTED, job.common), {})
        results.records.append(kept.record)
        results.timings.append({"cell": cell.identity, **kept.timings})
    return results


def _settled(
    job: Job, pending: list[int], workers: Workers, bar: CellBar
) -> Iterator[tuple[int, Settled]]:
    """Each pending cell, once it is settled; those that another command computes come last.

    A pool starts again only for cells that another command has left unfinished.
    """
    held: list[int] = []
    while pending or held:
        for index, settled in _computed(job, pending, workers, bar) if pending else ():
            if settled is None:
                held.append(index)
            else:
                yield index, settled
        pending, waited = [], 0.0
        while held and not pending:
            waited = _wait(waited, len(held))
            for index in list(held):
                with job.store.lock(job.cells[index]) as free:
                    if not free:
                        continue
                    settled = job.store.load(job.cells[index])
                held.remove(index)
                if settled is None:
                    pending.append(index)
                else:
                    waited = 0.0
                    yield index, settled


def _computed(job: Job, pending: list[int], workers: Workers, bar: CellBar) -> Iterator[Found]:
    cores = len(os.sched_getaffinity(0))
    count = pool_size(workers.asked, workers.preferred, workers.gpus, len(pending), cores)
    if workers.engine == "ray":
        from benchmarks.harness.ray_pool import compute_on_ray

        yield from compute_on_ray(job, pending, count, workers.gpus)
        return
    if count > 1:
        yield from compute_in_pool(job, pending, count, workers.gpus)
        return
    for index in pending:
        yield index, settle(job, index, bar.frame)


def _wait(waited: float, count: int) -> float:
    """Sleep a moment, longer each time; say so once, where it takes long."""
    moment = min(0.5, 0.02 + waited / 4)
    time.sleep(moment)
    if waited <= WARN_AFTER < waited + moment:
        warn(f"waiting for {count} cell(s) that other processes compute")
    return waited + moment
