"""Cells on several processes of this machine, by loky's pool."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from loky import ProcessPoolExecutor, as_completed
from loky.backend import get_context
from loky.process_executor import BrokenProcessPool

from benchmarks.harness.compute import Job, settle
from benchmarks.harness.records import FAILED, make_record
from benchmarks.harness.store import Settled
from spf.devices import choose_device, keep_freed_memory
from spf.errors import SpfError
from spf.store import warn

CELLS_PER_WORKER = 16
"""Fewer pending cells than this are not worth the seconds that another process takes to start."""

Found = tuple[int, Settled | None]
"""A cell's index, and what it gave; None where another command computes it."""


def visible_gpus(device: str) -> list[str]:
    """The GPUs that workers share out among them, as CUDA_VISIBLE_DEVICES names them.

    Empty without any, and where the user named one: `device` other than auto is for all workers.
    """
    if device != "auto" or choose_device(device) == "cpu":
        return []
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = given.split(",") if given else map(str, range(torch.cuda.device_count()))
    return [name.strip() for name in names][: torch.cuda.device_count()]


def pool_size(
    asked: int | None, preferred: int | None, gpus: Sequence[str], pending: int, cores: int
) -> int:
    """How many workers: as many as `asked` (by the user); else one a GPU where there are several;
    else as many as the benchmark prefers; else one a core, as far as there is work for them."""
    if asked:
        return max(1, min(asked, pending))
    if len(gpus) > 1:
        return max(1, min(len(gpus), pending))
    return preferred or min(cores, 1 + pending // CELLS_PER_WORKER)


def compute_in_pool(
    job: Job, pending: Sequence[int], count: int, gpus: Sequence[str] = ()
) -> Iterator[Found]:
    """Compute cells on `count` processes; yields each as it is settled.

    A process that dies takes the pool with it: the cells that were begun are tried once more, each
    in a pool of its own, and one that dies there too has failed.

    Raises SpfError where processes die before they begin a cell, and what a cell raises.
    """
    left, alone = set(pending), list[int]()
    while left:
        suspects = [index for index in alone if index in left]
        batches = [[index] for index in suspects] or [sorted(left)]
        for batch in batches:
            for index, settled in _compute(job, batch, 1 if suspects else count, gpus):
                left.discard(index)
                yield index, settled
            died = [index for index in batch if index in left]
            if not died:
                continue
            if suspects:
                left.discard(batch[0])
                yield batch[0], failed(job, batch[0])
                continue
            alone = [index for index in died if job.store.was_begun(job.cells[index])]
            if not alone:
                raise SpfError(
                    "the worker processes died (killed, or out of memory); start again with "
                    "workers=1: finished cells are kept"
                )
            warn(f"a worker process died; {len(alone)} cell(s) are tried again, one at a time")


def _compute(job: Job, indices: Sequence[int], count: int, gpus: Sequence[str]) -> Iterator[Found]:
    """Until all are settled, or a process died."""
    context = get_context("loky")
    turns: Any = context.SimpleQueue() if len(gpus) > 1 else None
    for gpu in gpus if turns is not None else ():
        turns.put(gpu)
    pool = ProcessPoolExecutor(
        min(count, len(indices)),
        context=context,
        initializer=_begin,
        initargs=(turns, os.getpid()),
        env={"OMP_NUM_THREADS": "1"},  # the other cores have workers of their own
    )
    finished = False
    try:
        futures = {pool.submit(_settle, job.only(index)): index for index in indices}
        for future in as_completed(futures):
            yield futures[future], future.result()
        finished = True
    except BrokenProcessPool:
        return
    finally:
        pool.shutdown(wait=True, kill_workers=not finished)


def _settle(job: Job) -> Settled | None:
    return settle(job, 0)


def _begin(turns: Any, parent: int) -> None:
    """What a worker does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the others
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    keep_freed_memory()
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


def failed(job: Job, index: int) -> Settled:
    """What a cell gave on which two processes died."""
    key = job.cells[index].key
    reason = f"{key.model}/{key.clip}: two processes died on it (killed, or out of memory)"
    record = make_record(job.cells[index], FAILED, f"{reason}; try workers=1", job.common)
    return Settled(record, {})
