"""Cells on a Ray cluster: the one that is there (RAY_ADDRESS, or it runs here), or a local one."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice

from benchmarks.harness.runner import Computed, Job, run_cell
from benchmarks.harness.store import CompletedCell
from spf.cluster import Pool, ray_failed
from spf.devices import reuse_freed_memory
from spf.errors import SpfError, UnavailableError

SUBMITTED = 1000
"""Cells that Ray has at a time: more than a cluster's cores."""


def compute_on_ray(
    job: Job, pending: Sequence[int], count: int, gpus: Sequence[str] = ()
) -> Iterator[Computed]:
    """Compute cells on a cluster, or on `count` processes of a Ray that is started here; yields
    each as it is completed. A cell has a core, and a GPU to itself where the job's device is one.

    A process that dies costs its cell one more try; where it dies again, the cell has failed.
    Raises UnavailableError where Ray does not start, SpfError where it fails.
    """
    on_gpu = "cuda" in job.common.get("device", "")
    cluster = Pool(count, address=os.environ.get("RAY_ADDRESS", "auto"))
    with ExitStack() as stack:
        try:
            stack.enter_context(cluster.started())
        except UnavailableError:
            if "RAY_ADDRESS" in os.environ:
                raise
            stack.enter_context(Pool(count, max(1, len(gpus)) * on_gpu).started())
        import ray

        remote = ray.remote(num_cpus=1, num_gpus=int(on_gpu), max_retries=1)(_run_cell)
        left = iter(pending)
        running = {remote.remote(job.only(index)): index for index in islice(left, SUBMITTED)}
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            index = running.pop(done)
            running |= {remote.remote(job.only(another)): another for another in islice(left, 1)}
            try:
                yield index, ray.get(done)
            except ray.exceptions.RayTaskError as error:
                known = isinstance(error.cause, SpfError)
                raise (error.cause if known else ray_failed(error)) from None
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
                yield index, job.died(index)
            except ray.exceptions.RayError as error:  # a machine is gone, or there is no place
                raise ray_failed(error) from None


def _run_cell(job: Job) -> CompletedCell | None:
    import cv2

    cv2.setNumThreads(1)
    reuse_freed_memory()
    return run_cell(job)
