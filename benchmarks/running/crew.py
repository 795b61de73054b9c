"""Worker processes on this machine, started by a run that watches what they finish.

A worker that dies is replaced; a cell on which two died is recorded as failed, so that one bad cell
does not end a night's work.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import NamedTuple

from benchmarks.running.records import FAILED, make_record
from benchmarks.running.workers import Job, one_line, work
from spf.cache.claims import tell
from spf.devices import choose_device
from spf.errors import SpfError

CELLS_PER_WORKER = 16
"""Fewer pending cells than this are not worth the seconds that another process takes to start."""

DEATHS = 2
"""Workers that may die on one cell before it is recorded as failed."""

LOOK = 0.2  # seconds between two looks at what was finished

Rebuild = Callable[[], Job]


class Worker(NamedTuple):
    """A process, its GPU, and where it says in one line why it stopped."""

    process: multiprocessing.process.BaseProcess
    gpu: str | None
    said: Connection


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


def crew_size(
    asked: int | None, preferred: int | None, gpus: Sequence[str], pending: int, cores: int
) -> int:
    """How many workers: as many as `asked` (by the user); else one a GPU where there are several;
    else as many as the benchmark prefers; else one a core, as far as there is work for them."""
    if asked:
        return max(1, min(asked, pending))
    if len(gpus) > 1:
        return max(1, min(len(gpus), pending))
    return preferred or min(cores, 1 + pending // CELLS_PER_WORKER)


def gpu_of(worker: int, gpus: Sequence[str]) -> str | None:
    """The GPU of the worker of this number: they take turns; None leaves all of them visible."""
    return gpus[worker % len(gpus)] if len(gpus) > 1 else None


class Crew:
    """`count` worker processes on the pending cells of a job; a context that ends them.

    rebuild : makes the same job in another process (it must pickle).
    """

    def __init__(
        self, job: Job, rebuild: Rebuild, pending: Sequence[int], count: int, gpus: Sequence[str]
    ) -> None:
        self.job = job
        self.rebuild = rebuild
        self.pending = list(pending)
        self.deaths: Counter[int] = Counter()
        self.workers: list[Worker] = []
        self.wanted = [gpu_of(number, gpus) for number in range(count)]

    def __enter__(self) -> "Crew":
        for gpu in self.wanted:
            self._start(gpu)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.process.terminate()  # it gives its claim back; a finished cell is whole
        for worker in self.workers:
            worker.process.join(10)
            worker.process.kill()

    def settled(self) -> Iterator[int]:
        """Indices of the pending cells as they are settled, by whomever; ends with the last one,
        or when no worker has anything left to do. Raises SpfError where the crew cannot go on."""
        left = dict.fromkeys(self.pending)
        while left:
            working = self._look_after(list(left))
            there = self.job.store.recorded()
            for index in list(left):
                cell = self.job.cells[index]
                if cell.identity in there and self.job.store.settled(cell):
                    del left[index]
                    yield index
            if not working:
                return
            time.sleep(LOOK)

    def _start(self, gpu: str | None) -> None:
        tasks = [(index, self.job.cells[index].identity) for index in self.pending]
        context = multiprocessing.get_context("spawn")  # forking a process with threads may hang
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_be_worker, args=(self.rebuild, tasks, gpu, theirs))
        with _interrupts_kept_from_children():
            process.start()
        theirs.close()
        self.workers.append(Worker(process, gpu, ours))

    def _look_after(self, left: list[int]) -> bool:
        """Replace workers that died; whether any is still at work."""
        for worker in [one for one in self.workers if not one.process.is_alive()]:
            self.workers.remove(worker)
            code = worker.process.exitcode
            if reason := _said(worker):
                raise SpfError(reason)
            if code != 0:
                self._replace(worker, left, f"signal {-code}" if code and code < 0 else f"{code}")
        return bool(self.workers)

    def _replace(self, dead: Worker, left: list[int], how: str) -> None:
        store, cells = self.job.store, self.job.cells
        held = [i for i in left if store.claim(cells[i]).held_by(dead.process.pid or 0)]
        if not held and not self.workers:
            raise SpfError(
                f"the worker processes died ({how}: killed, or out of memory); start again with "
                "workers=1: finished cells are kept"
            )
        for index in held:
            self.deaths[index] += 1
            if self.deaths[index] >= DEATHS:
                why = f"{DEATHS} processes died on it ({how}: killed, or out of memory)"
                reason = f"{cells[index].key.model}/{cells[index].key.clip}: {why}; try workers=1"
                record = make_record(cells[index], FAILED, reason, self.job.common)
                store.save(cells[index], record, None)
                store.claim(cells[index]).remove_void()
        if held:
            tell(f"a worker process died ({how}); another one takes its place")
            self._start(dead.gpu)


def _said(worker: Worker) -> str:
    """Why a worker that ended stopped; empty where it said nothing."""
    try:
        return worker.said.recv()
    except EOFError:
        return ""


@contextmanager
def _interrupts_kept_from_children() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal, but it is for the parent, which ends the others.

    Processes inherit the signals that are blocked. The first `start` would start the resource
    tracker too, which unblocks them.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _be_worker(
    rebuild: Rebuild, tasks: list[tuple[int, str]], gpu: str | None, say: Connection
) -> None:
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"  # the other cores have workers of their own
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    import cv2

    cv2.setNumThreads(1)
    try:
        job = rebuild()
        for index, identity in tasks:
            if index >= len(job.cells) or job.cells[index].identity != identity:
                raise SpfError("the clips or the code changed while the run started; start again")
        for _ in work(job, [index for index, _ in tasks]):
            pass
    except SpfError as error:
        say.send(one_line(error))
    except Exception as error:
        say.send(f"unexpected {type(error).__name__} in a worker: {one_line(error)}")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is leaving


def _leave(*_: object) -> None:
    """End by way of what gives claims back; once: in the functions at exit there is no way out."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers; they would go on for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
