"""Cells on several processes of this machine, by loky's pool."""

import os
import signal
import threading
import time
import warnings
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from loky import ProcessPoolExecutor, as_completed
from loky.backend import get_context
from loky.process_executor import BrokenProcessPool

from benchmarks.harness.runner import Computed, Job, run_cell
from spf.devices import choose_device, reuse_freed_memory
from spf.errors import SpfError
from spf.store import warn

CELLS_PER_WORKER = 16
"""Fewer pending cells than this are not worth the seconds that another process takes to start."""


def visible_gpus(device: str) -> list[str]:
    """The GPUs that workers share out among them, as CUDA_VISIBLE_DEVICES names them; none where
    the user named one: `device` other than auto is for all workers."""
    if device != "auto" or choose_device(device) == "cpu":
        return []
    import torch

    count, named = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    names = named.split(",") if named else map(str, range(count))
    return [name.strip() for name in names][:count]


def pool_size(
    asked: int | None, preferred: int | None, gpus: Sequence[str], pending: int, cores: int
) -> int:
    """How many workers: as many as `asked` (by the user); else one a GPU where there are several;
    else as many as the benchmark prefers; else one a core, as far as there is work for them."""
    if asked or len(gpus) > 1:
        return max(1, min(asked or len(gpus), pending))
    return preferred or min(cores, 1 + pending // CELLS_PER_WORKER)


def compute_in_pool(
    job: Job, pending: Sequence[int], count: int, gpus: Sequence[str] = ()
) -> Iterator[Computed]:
    """Compute cells on `count` processes; yields each as it is completed. Raises SpfError where
    processes die before they begin a cell, and what a cell raises."""
    try:
        yield from _with_retries(job, sorted(pending), count, gpus)
    finally:  # Ctrl-C ends processes in the middle of a cell
        for index in pending:
            if job.store.was_begun(job.cells[index]):
                with job.store.lock(job.cells[index]):
                    pass  # frees it, and removes what is half-written


def _with_retries(job: Job, left: list[int], count: int, gpus: Sequence[str]) -> Iterator[Computed]:
    """A process that dies takes the pool with it: the cells that were begun are tried once more,
    each in a pool of its own, and one that dies there too has failed."""
    while left:
        left = yield from _compute(job, left, count, gpus)
        suspects = [index for index in left if job.store.was_begun(job.cells[index])]
        if left and not suspects:
            raise SpfError(
                "the worker processes died (killed, or out of memory); start again with "
                "workers=1: finished cells are stored"
            )
        if suspects:
            warn(f"a worker process died; {len(suspects)} cell(s) are tried again, one at a time")
        for index in suspects:
            if (yield from _compute(job, [index], 1, gpus)):
                yield index, job.died(index)
        left = [index for index in left if index not in suspects]


def _compute(
    job: Job, indices: Sequence[int], count: int, gpus: Sequence[str]
) -> Generator[Computed, None, list[int]]:
    """Compute cells until all are completed, or a process died; returns those that are left."""
    context = get_context("loky")
    turns: Any = context.SimpleQueue() if len(gpus) > 1 else None
    if turns is not None:
        for gpu in gpus:
            turns.put(gpu)
    pool = ProcessPoolExecutor(
        min(count, len(indices)),
        context=context,
        initializer=_begin,
        initargs=(turns, os.getpid()),
        env={"OMP_NUM_THREADS": "1"},  # the other cores have workers of their own
    )
    left = dict.fromkeys(indices)
    # A worker that holds a model is replaced now and then; that concerns nobody.
    warnings.filterwarnings("ignore", "A worker was restarted", UserWarning)
    finished = False
    try:
        futures = {pool.submit(run_cell, job.only(index)): index for index in indices}
        for future in as_completed(futures):
            completed = future.result()
            del left[futures[future]]
            yield futures[future], completed
        finished = True
    except BrokenProcessPool:
        pass
    finally:
        pool.shutdown(wait=True, kill_workers=not finished)
    return list(left)


def _begin(turns: Any, parent: int) -> None:
    """What a worker does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the others
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    reuse_freed_memory()
    if turns is not None:  # each takes the next GPU, and puts it behind the others
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu = turns.get()
        turns.put(gpu)
    import cv2

    cv2.setNumThreads(1)


def _end_with(parent: int) -> None:
    """A parent that was killed cannot end its workers; they would go on for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
