"""Who measures: actors of Ray Data, on this machine or on a cluster."""

from __future__ import annotations

import logging
import math
import os
import platform
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.corpus.rows import Measurer, one_line
from spf.errors import SpfError, UnavailableError

if TYPE_CHECKING:
    import pyarrow as pa

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on every system: listen on the loopback alone
}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
STORE = 256 * 2**20
"""Bytes of shared memory for a local Ray, which holds names and rows."""


@dataclass(frozen=True)
class Pool:
    """`workers` processes, which share `gpus` GPUs evenly where there are some. address : of a Ray
    cluster (HOST:PORT, or auto for one that runs here); None starts Ray on this machine."""

    workers: int
    gpus: int = 0
    address: str | None = None

    @property
    def gpu_share(self) -> float:
        """GPUs of a process: a part of one."""
        return 1 / math.ceil(self.workers / self.gpus) if self.gpus else 0

    @contextmanager
    def started(self) -> Iterator[None]:
        """The pool's Ray; one of this process that is there already stays. The files of a local one
        lie in a temporary folder. Raises UnavailableError where Ray does not start."""
        os.environ.update(SETTINGS)  # Ray alone reads them
        import ray

        if ray.is_initialized():
            yield
            return
        logging.getLogger("ray").setLevel(logging.CRITICAL)
        usual: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        usual["runtime_env"] = {"env_vars": ONE_THREAD}  # other cores have workers of their own
        with tempfile.TemporaryDirectory(  # a short path, for the names of sockets
            prefix="spf-ray-", dir="/tmp", ignore_cleanup_errors=True
        ) as folder:
            if self.address is None:
                usual |= {"num_cpus": self.workers, "num_gpus": self.gpus, "_temp_dir": folder}
                usual |= {"object_store_memory": STORE, "include_dashboard": False}
            try:
                _start(self.address, usual)
                yield
            finally:
                ray.shutdown()


def _start(address: str | None, settings: dict[str, Any]) -> None:
    import ray

    for last in (address is not None, True):  # on a busy machine a local Ray gives up after 30 s
        try:
            ray.init(address or "local", **settings)
            return
        except Exception as error:  # Ray raises plain ones
            ray.shutdown()
            if last:
                what = one_line(f"{type(error).__name__}: {error}"[:200])
                remedy = "check the cluster" if address else "make room in /tmp"
                text = f"Ray does not start ({what}); {remedy}, or start again later"
                raise UnavailableError(text) from None


def measured(
    tasks: Sequence[range],
    names: Sequence[str],
    base: Path,
    measurer: Measurer,
    pool: Pool,
    alone: bool = False,
) -> Iterator[pa.Table]:
    """Rows of the clips (indices) of each task, in any order of the tasks. Those of a task on which
    a worker dies are missing; Ray starts the worker again. alone : no task waits at a worker that
    has one. base : folder that names start from.

    Raises SpfError where a worker cannot begin, or Ray fails.
    """
    import pyarrow as pa
    import ray
    import ray.data

    if not tasks:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = context.max_errored_blocks = -1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    blocks = [
        pa.table({"index": list(task), "name": [os.fsencode(names[index]) for index in task]})
        for task in tasks
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the way to give the last option
        rows = ray.data.from_arrow(blocks).map_batches(
            Worker,
            fn_constructor_args=(measurer, base, measurer.identity()),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                size=min(pool.workers, len(tasks)),
                max_tasks_in_flight_per_actor=1 if alone else None,
            ),
            num_cpus=1,
            num_gpus=pool.gpu_share,
            max_task_retries=0,
        )
    try:
        yield from rows.iter_batches(batch_size=None, batch_format="pyarrow")
    except ray.exceptions.RayError as error:
        last = [line for line in str(error).splitlines() if line.strip()][-1]  # of a traceback
        remedy = "start again: finished shards are kept"
        raise SpfError(f"Ray failed ({one_line(last)[:300]}); {remedy}") from None


class Worker:
    """An actor with the embedder loaded; it measures the clips of a task, one after the other.

    expected : identity of the measuring where the corpus was begun; one that differs here (other
    code, libraries or weights on this machine) raises SpfError.
    """

    def __init__(self, measurer: Measurer, base: Path, expected: dict[str, object]) -> None:
        import cv2

        cv2.setNumThreads(1)
        found = measurer.identity()
        if found != expected:
            parts = ", ".join(name for name in found if found[name] != expected.get(name))
            text = f"{platform.node()}: {parts} differ from those where the corpus was begun"
            raise SpfError(f"{text}; install the same on all machines")
        self._measurer, self._base = measurer, base

    def __call__(self, task: pa.Table) -> pa.Table:
        """Columns index and name (bytes) -> rows."""
        clips = [(clip["index"], os.fsdecode(clip["name"])) for clip in task.to_pylist()]
        row, base = self._measurer.row, self._base
        return self._measurer.table(row(index, name, base / name) for index, name in clips)
