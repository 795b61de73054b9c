"""Who measures: actors of Ray Data."""

from __future__ import annotations

import logging
import os
import platform
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spf.cluster import Pool, ray_failed
from spf.corpus.rows import Measurer
from spf.errors import SpfError

if TYPE_CHECKING:
    import pyarrow as pa


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
    context.target_max_block_size = None  # else Ray splits the rows of a task where they are large
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
        raise ray_failed(error) from None


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
