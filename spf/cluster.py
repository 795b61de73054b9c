"""Ray for the time of a command: a cluster that is there, or one on this machine."""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from spf.errors import SpfError, UnavailableError, one_line
from spf.names import printable

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on every system: listen on the loopback alone
    "RAY_task_oom_retries": "1",  # Ray counts these apart, and tries for ever
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
        """The pool's Ray, or one that this process has already; UnavailableError where it does not
        start."""
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
                what = printable(one_line(f"{type(error).__name__}: {error}"))
                remedy = "check the cluster" if address else "make room in /tmp"
                text = f"Ray does not start ({what}); {remedy}, or start again later"
                raise UnavailableError(text) from None


def ray_failed(error: Exception) -> SpfError:
    """An error of Ray as one line: the last one of its traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    what = printable(lines[-1].strip())[:300]
    return SpfError(f"Ray failed ({what}); start again: what is finished is stored")
