"""Compute cells, in one process or several: a failure is a row, an interruption loses nothing."""

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.cells import Cell, Outcome
from benchmarks.folder import DiskError
from benchmarks.records import DONE, FAILED, NOT_RUN, CellStore, Record, make_record, timings_of
from spf.errors import SpfError

CELLS_PER_WORKER = 16
"""Fewer pending cells than this are not worth the seconds that another process takes to start."""

INTERRUPTED = "not run: the run was interrupted; start it again to go on"

Job = tuple[list[Cell], CellStore, dict[str, Any]]


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


def run_cells(job: Job, rebuild: Callable[[], Job], workers: int | None, unit: str) -> Results:
    """Compute the cells that are not finished yet.

    job : the cells, where they are kept, and columns that every new record gets (provenance).
    rebuild : makes the same job in another process (it must pickle). workers : processes; None
    takes one for each core, as far as there is work for them. unit : what a cell is called on the
    progress bar.

    Failures are recorded as rows and tried again by the next run. DiskError ends the run;
    everything else that a cell raises becomes its row's reason, in one line.
    """
    cells, store, common = job
    found = {index: store.load(cell) for index, cell in enumerate(cells)}
    records: dict[int, Record] = {index: record for index, record in found.items() if record}
    pending = [index for index in range(len(cells)) if index not in records]
    results = Results(reused=len(records))
    count = workers or min(len(os.sched_getaffinity(0)), 1 + len(pending) // CELLS_PER_WORKER)
    computed = _here(job, pending) if count == 1 else _elsewhere(job, rebuild, pending, count)
    with tqdm(total=len(cells), initial=len(records), unit=unit, disable=None) as bar:
        try:
            for index, record in computed:
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


def _here(job: Job, pending: list[int]) -> Iterator[tuple[int, Record]]:
    cells, store, common = job
    for index in pending:
        with tqdm(unit="frames", leave=False, disable=None, position=1) as frames:
            yield index, compute_cell(cells[index], store, common, lambda: _advance(frames))


def _elsewhere(
    job: Job, rebuild: Callable[[], Job], pending: list[int], count: int
) -> Iterator[tuple[int, Record]]:
    """Records as they are finished, by processes that each make the job anew and take indices."""
    context = multiprocessing.get_context("spawn")  # forking a process with threads may hang it
    pool = ProcessPoolExecutor(count, context, initializer=_start_worker, initargs=(rebuild,))
    tasks = [(index, job[0][index].identity) for index in pending]
    try:
        for future in as_completed([pool.submit(_compute_in_worker, *task) for task in tasks]):
            yield future.result()
    except BrokenProcessPool:
        raise SpfError(
            "a worker process died (killed, or out of memory); start again with workers=1: "
            "finished cells are kept"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_job: Job | None = None


def _start_worker(rebuild: Callable[[], Job]) -> None:
    global _job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the pool
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"  # the other cores have workers of their own
    import cv2

    cv2.setNumThreads(1)
    _job = rebuild()


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _compute_in_worker(index: int, identity: str) -> tuple[int, Record]:
    assert _job is not None
    cells, store, common = _job
    if index >= len(cells) or cells[index].identity != identity:
        raise SpfError("the clips or the code changed while the run was starting; start again")
    return index, compute_cell(cells[index], store, common, lambda: None)


def compute_cell(
    cell: Cell, store: CellStore, common: dict[str, Any], watch: Callable[[], None]
) -> Record:
    """Compute a cell and keep its record; `watch` is called once a frame."""
    if cell.not_run:
        return make_record(cell, NOT_RUN, cell.not_run, dict(common))
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


def _advance(bar: "tqdm[Any]") -> None:
    bar.update()


def peak_memory() -> float:
    """Largest resident memory of this process so far, megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one_line(error: BaseException) -> str:
    """An error as one line of text."""
    return " ".join(str(error).split()) or type(error).__name__
