"""Run the cells of a run: a failure is a row, an interruption loses nothing."""

import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from threadpoolctl import threadpool_limits

from benchmarks.harness.cells import Cell, OnProgress, Outcome
from benchmarks.harness.folder import DiskError
from benchmarks.harness.records import DONE, FAILED, NOT_RUN, Record, make_record
from benchmarks.harness.store import CellStore, CompletedCell
from spf import errors
from spf.commands.output import console
from spf.errors import SpfError
from spf.names import printable
from spf.store import WARN_AFTER, warn

INTERRUPTED = "not run: the run was interrupted; start it again to go on"

Computed = tuple[int, CompletedCell | None]
"""A cell's index, and what it gave; None where another command computes it."""


class Job(NamedTuple):
    """Cells, their store, and columns that every new record gets (provenance)."""

    cells: Sequence[Cell]
    store: CellStore
    common: dict[str, Any]

    def only(self, index: int) -> "Job":
        """The job of one of its cells."""
        return self._replace(cells=[self.cells[index]])

    def completed(self) -> dict[int, CompletedCell]:
        """The cells that need no computing, by index: finished earlier, or known not to run."""
        found: dict[int, CompletedCell] = {}
        for index, cell in enumerate(self.cells):
            if stored := self.store.load(cell):
                found[index] = stored
            elif cell.not_run:
                found[index] = self.unfinished(index, NOT_RUN, cell.not_run)
        return found

    def unfinished(self, index: int, status: str, reason: str) -> CompletedCell:
        """A cell that gave nothing, and why."""
        return CompletedCell(make_record(self.cells[index], status, reason, self.common), {})

    def died(self, index: int) -> CompletedCell:
        """A cell on which two processes died."""
        reason = "two processes died on it (killed, or out of memory); try workers=1"
        return self.unfinished(index, FAILED, f"{self.cells[index].key.name}: {reason}")


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


class CellBar(Progress):
    """A bar of the cells of a run, so many in all and done before, where the error stream is a
    terminal."""

    def __init__(self, total: int, done: int) -> None:
        stream = console(stderr=True)
        super().__init__(
            TextColumn("{task.completed:.0f} of {task.total:.0f} cells"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=stream,
            disable=not stream.is_terminal,
            speed_estimate_period=3600.0,  # cells take long, and not equally long
        )
        self._cells = self.add_task("", total=total, completed=done, detail="")
        self._failed = self._frames = 0

    def on_frame(self) -> None:
        """A frame of the cell that is computed in this process."""
        self._frames += 1
        self._show()

    def on_completed(self, one: CompletedCell) -> None:
        """A cell is completed; why one failed is printed above the bar."""
        self._frames = 0
        if one.record["status"] == FAILED:
            self._failed += 1
            reason = printable(f"failed: {one.record['reason']}")
            self.console.print(reason, soft_wrap=True)
        self._show(advance=1)

    def _show(self, advance: int = 0) -> None:
        failed = f"{self._failed} failed" if self._failed else ""
        frames = f"frame {self._frames}" if self._frames else ""
        detail = ", ".join(filter(None, [failed, frames]))
        self.update(self._cells, advance=advance, detail=detail)


def run_cells(
    job: Job,
    workers: Workers,
    on_start: Callable[[Mapping[int, CompletedCell]], None] = lambda found: None,
    on_completed: Callable[[CompletedCell], None] = lambda completed: None,
) -> Results:
    """Complete all cells: those that are not finished yet are computed, here or by others.

    on_start : called with the cells, by index, that need no computing. on_completed : called with
    each of the others. Failures are rows, tried again by the next run; DiskError ends the run.
    """
    found = job.completed()
    results = Results(reused=sum(one.record["status"] != NOT_RUN for one in found.values()))
    on_start(found)
    pending = [index for index in range(len(job.cells)) if index not in found]
    with CellBar(len(job.cells), len(found)) as bar:
        try:
            for index, completed in _complete(job, pending, workers, bar):
                found[index] = completed
                bar.on_completed(completed)
                on_completed(completed)
        except KeyboardInterrupt:
            results.interrupted = True
    for index, cell in enumerate(job.cells):
        # A worker may have finished a cell after the interruption.
        one = found.get(index) or job.store.load(cell)
        one = one or job.unfinished(index, NOT_RUN, INTERRUPTED)
        results.records.append(one.record)
        results.timings.append({"cell": cell.identity, **one.timings})
    return results


def _complete(
    job: Job, pending: list[int], workers: Workers, bar: CellBar
) -> Iterator[tuple[int, CompletedCell]]:
    """Each pending cell, once it is completed; those that another command computes come last."""
    held: list[int] = []
    while pending or held:
        for index, completed in _compute(job, pending, workers, bar) if pending else ():
            if completed is None:
                held.append(index)
            else:
                yield index, completed
        pending, waited = [], 0.0
        while held and not pending:
            moment = min(0.5, 0.02 + waited / 4)  # longer each time
            time.sleep(moment)
            if waited <= WARN_AFTER < waited + moment:
                warn(f"waiting for {len(held)} cell(s) that other processes compute")
            waited += moment
            for index in list(held):
                with job.store.lock(job.cells[index]) as free:
                    if not free:
                        continue
                    completed = job.store.load(job.cells[index])
                held.remove(index)
                if completed is None:
                    pending.append(index)
                else:
                    waited = 0.0
                    yield index, completed


def _compute(job: Job, pending: list[int], workers: Workers, bar: CellBar) -> Iterator[Computed]:
    from benchmarks.harness.pool import compute_in_pool, pool_size

    cores = len(os.sched_getaffinity(0))
    count = pool_size(workers.asked, workers.preferred, workers.gpus, len(pending), cores)
    if workers.engine == "ray":
        from benchmarks.harness.ray_pool import compute_on_ray

        return compute_on_ray(job, pending, count, workers.gpus)
    if count > 1:
        return compute_in_pool(job, pending, count, workers.gpus)
    return ((index, run_cell(job, index, bar.on_frame)) for index in pending)


def run_cell(
    job: Job, index: int = 0, on_progress: OnProgress = lambda: None
) -> CompletedCell | None:
    """Compute a cell, unless that was done meanwhile; None where another process is at it.

    on_progress : called once a frame. What a cell raises becomes its record's reason, in one line,
    but for DiskError: nothing can be stored any more.
    """
    cell, store = job.cells[index], job.store
    with store.lock(cell) as held:
        if not held:
            return None
        if found := store.load(cell):
            return found
        started = time.perf_counter()
        outcome = Outcome({})
        status, reason = FAILED, ""
        try:
            # A matrix product may round otherwise with another number of threads.
            with threadpool_limits(1, user_api="blas"):
                outcome = cell.compute(on_progress)
            status, reason = DONE, outcome.reason
            outcome.timings["total"] = time.perf_counter() - started
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of this process so far, KiB
            outcome.timings["peak_memory_mb"] = peak / 1024
        except DiskError:
            raise
        except SpfError as error:
            reason = one_line(error)
        except Exception as error:  # a bug of ours or a library's: it must not stop the others
            reason = f"{cell.key.name}: unexpected {type(error).__name__}: {one_line(error)}"
        values = outcome.values | outcome.links | job.common
        return store.save(cell, make_record(cell, status, reason, values), outcome)


def one_line(error: BaseException) -> str:
    """An error as one line of text, without letters that a terminal would obey."""
    return printable(errors.one_line(error, None))
