"""Compute a cell, here or in a worker process."""

import resource
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from benchmarks.harness.cells import Cell, OnProgress, Outcome
from benchmarks.harness.folder import DiskError
from benchmarks.harness.records import DONE, FAILED, make_record
from benchmarks.harness.store import CellStore, CompletedCell
from spf import errors
from spf.errors import SpfError
from spf.names import printable


class Job(NamedTuple):
    """Cells, their store, and columns that every new record gets (provenance)."""

    cells: Sequence[Cell]
    store: CellStore
    common: dict[str, Any]

    def only(self, index: int) -> "Job":
        """The job of one of its cells."""
        return self._replace(cells=[self.cells[index]])

    def name(self, index: int) -> str:
        """A cell as messages name it."""
        key = self.cells[index].key
        return f"{key.model}/{key.clip}"

    def unfinished(self, index: int, status: str, reason: str) -> CompletedCell:
        """A cell that gave nothing, and why."""
        return CompletedCell(make_record(self.cells[index], status, reason, self.common), {})


def run_cell(
    job: Job, index: int = 0, on_progress: OnProgress = lambda: None
) -> CompletedCell | None:
    """Compute a cell, unless that was done meanwhile; None where another process is at it.

    on_progress : called once a frame. What a cell raises becomes its record's reason, in one line;
    only DiskError is raised, where nothing can be stored any more.
    """
    cell, store = job.cells[index], job.store
    with store.lock(cell) as held:
        if not held:
            return None
        if found := store.load(cell):
            return found
        started = time.perf_counter()
        outcome: Outcome | None = None
        values: dict[str, Any] = {}
        try:
            # A matrix product may round otherwise with another number of threads.
            with threadpool_limits(1, user_api="blas"):
                outcome = cell.compute(on_progress)
            status, reason, values = DONE, outcome.reason, outcome.values | outcome.links
            outcome.timings["total"] = time.perf_counter() - started
            outcome.timings["peak_memory_mb"] = peak_memory()
        except DiskError:
            raise
        except SpfError as error:
            status, reason = FAILED, one_line(error)
        except Exception as error:  # a bug of ours or a library's: it must not stop the others
            status = FAILED
            reason = f"{job.name(index)}: unexpected {type(error).__name__}: {one_line(error)}"
        return store.save(cell, make_record(cell, status, reason, values | job.common), outcome)


def peak_memory() -> float:
    """Largest resident memory of this process so far, megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one_line(error: BaseException) -> str:
    """An error as one line of text, without letters that a terminal would obey."""
    return printable(errors.one_line(error, None))
