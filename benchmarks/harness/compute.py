"""Compute a cell, here or in a worker process."""

import resource
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from benchmarks.harness.cells import Cell, Outcome, Watch
from benchmarks.harness.folder import DiskError
from benchmarks.harness.records import DONE, FAILED, make_record
from benchmarks.harness.store import CellStore, Settled
from spf.errors import SpfError
from spf.names import printable


class Job(NamedTuple):
    """Cells, where they are kept, and columns that every new record gets (provenance)."""

    cells: Sequence[Cell]
    store: CellStore
    common: dict[str, Any]

    def only(self, index: int) -> "Job":
        """The job of one of its cells."""
        return self._replace(cells=[self.cells[index]])


def settle(job: Job, index: int, watch: Watch = lambda: None) -> Settled | None:
    """Compute a cell, unless that was done meanwhile; None where another process is at it.

    watch : called once a frame. What a cell raises becomes its record's reason, in one line; only
    DiskError is raised, where nothing can be kept any more.
    """
    cell, store = job.cells[index], job.store
    with store.lock(cell) as held:
        if not held:
            return None
        return store.load(cell) or _compute(cell, store, job.common, watch)


def _compute(cell: Cell, store: CellStore, common: dict[str, Any], watch: Watch) -> Settled:
    started = time.perf_counter()
    outcome: Outcome | None = None
    try:
        # A matrix product may round otherwise with another number of threads.
        with threadpool_limits(1, user_api="blas"):
            outcome = cell.compute(watch)
        status, reason, values = DONE, outcome.reason, outcome.values | outcome.links
    except DiskError:
        raise
    except SpfError as error:
        status, reason, values = FAILED, one_line(error), {}
    except Exception as error:  # a bug of ours or a library's: it must not stop the others
        status, values = FAILED, {}
        what = f"unexpected {type(error).__name__}: {one_line(error)}"
        reason = f"{cell.key.model}/{cell.key.clip}: {what}"
    if outcome is not None:
        outcome.timings["total"] = time.perf_counter() - started
        outcome.timings["peak_memory_mb"] = peak_memory()
    return store.save(cell, make_record(cell, status, reason, values | common), outcome)


def peak_memory() -> float:
    """Largest resident memory of this process so far, megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one_line(error: BaseException) -> str:
    """An error as one line of text, without letters that a terminal would obey."""
    return printable(" ".join(str(error).split())) or type(error).__name__
