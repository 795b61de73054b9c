"""The protocol of workers: take cells that nobody else computes until all are settled.

A worker is any process that runs `work` on a job: run.py itself, the processes that it starts
(crew.py), another terminal, another machine that shares the output folder. They know of each other
by claims and finished cells alone (store.py); none is a server.
"""

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from benchmarks.running.cells import Cell, Outcome, Watch
from benchmarks.running.folder import DiskError, disk_refuses
from benchmarks.running.records import DONE, FAILED, Record, make_record
from benchmarks.running.store import CellStore
from spf.cache.claims import TELL_AFTER, Claim, tell
from spf.errors import SpfError
from spf.words import printable


class Job(NamedTuple):
    """Cells, where they are kept, and columns that every new record gets (provenance)."""

    cells: list[Cell]
    store: CellStore
    common: dict[str, Any]


Watching = Callable[[], AbstractContextManager[Watch]]


def unwatched() -> AbstractContextManager[Watch]:
    """Nobody is told of the frames."""
    return nullcontext(lambda: None)


def work(job: Job, pending: Sequence[int], watching: Watching = unwatched) -> Iterator[int]:
    """Settle cells, here or by waiting for those who compute them; yields each index once settled.

    watching : a context for each computation, which gives a function to call once a frame.
    Raises DiskError where cells cannot be kept.
    """
    claims = {index: job.store.claim(job.cells[index]) for index in pending}
    waited = 0.0
    while claims:
        before = len(claims)
        for index, claim in list(claims.items()):
            if _settle(job, job.cells[index], claim, watching):
                del claims[index]
                yield index
        waited = _wait(waited, len(claims)) if len(claims) == before else 0.0


def _wait(waited: float, count: int) -> float:
    """Sleep a moment, longer each time; say so once, where it takes long."""
    moment = min(0.5, 0.02 + waited / 4)
    time.sleep(moment)
    if waited <= TELL_AFTER < waited + moment:
        tell(f"waiting for {count} cell(s) that other processes compute")
    return waited + moment


def _settle(job: Job, cell: Cell, claim: Claim, watching: Watching) -> bool:
    """Whether the cell is settled now; it is computed where nobody else does."""
    if job.store.settled(cell):
        return True
    try:
        if not claim.take():
            return False
    except OSError as error:
        raise disk_refuses(claim.path, error) from None
    try:
        if not job.store.settled(cell):  # it may have been finished just before the claim was free
            job.store.forget(cell)
            with watching() as watch:
                compute_cell(cell, job.store, job.common, watch)
    finally:
        claim.release()
    return True


def compute_cell(cell: Cell, store: CellStore, common: dict[str, Any], watch: Watch) -> Record:
    """Compute a cell and keep its record; `watch` is called once a frame."""
    store.log(cell)
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
    record = make_record(cell, status, reason, values | common)
    store.save(cell, record, outcome)
    return record


def peak_memory() -> float:
    """Largest resident memory of this process so far, megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one_line(error: BaseException) -> str:
    """An error as one line of text, without letters that a terminal would obey."""
    return printable(" ".join(str(error).split())) or type(error).__name__
