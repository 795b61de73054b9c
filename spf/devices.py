"""Where a model runs: its device, its threads and memory, and its way to other processes."""

import ctypes
import os
import re
from pathlib import Path
from typing import Any, Self

from spf.errors import UnavailableError

FREED = 256 * 2**20
"""Freed bytes that a process holds for reuse: more than a network's largest layer."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt(3)
DRIVER = Path("/dev/nvidiactl")  # importing torch takes seconds: it is asked where a driver is


def check_device(device: object) -> str:
    """The name itself. Raises ValueError unless it is auto, cpu, cuda or cuda:N."""
    if not isinstance(device, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, not {device!r}")
    return device


def choose_device(device: str) -> str:
    """ "cpu", or "cuda:N" of a device that is here; "auto" takes the first GPU where there is one.
    Raises ValueError for other names, UnavailableError for a GPU that is not here."""
    if check_device(device) == "cpu":
        return "cpu"
    count = cuda_devices()
    if device == "auto":
        return "cuda:0" if count else "cpu"
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        found = f"{count} CUDA device{'s' * (count > 1)}" if count else "no CUDA device"
        raise UnavailableError(f"device {device}: this machine has {found}; choose auto")
    return f"cuda:{index}"


def cuda_devices() -> int:
    """How many GPUs are here."""
    if not DRIVER.exists():
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def let_idle_threads_sleep() -> None:
    """Have the threads of OpenMP sleep while they wait, unless the environment says otherwise: they
    would hold the cores that the decoder needs. To be called before torch is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def reuse_freed_memory() -> None:
    """Have the C library hold up to `FREED` bytes for reuse, unless the environment says otherwise.

    A network asks in each batch for the memory that it gave back in the last one; glibc hands that
    to the system, and every page of it is faulted in again: a third of EfficientNet's time on the
    CPU. For commands and their workers; nothing happens where the C library has no mallopt.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None and not any(name.startswith("MALLOC_") for name in os.environ):
        for threshold in (MMAP_THRESHOLD, TRIM_THRESHOLD):
            mallopt(threshold, FREED)


_loaded: dict[str, Any] = {}
"""The objects that were unpickled in this process, by class and arguments."""


class PickledByArguments:
    """A base of embedders and generators, whose weights are too large to be sent: pickled as the
    arguments that they were made with, and made once in a process for equal ones."""

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        made = super().__new__(cls)
        made._arguments = args, settings
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _load, (type(self), *self._arguments)


def _load(kind: type, args: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    key = repr((kind, args, sorted(settings.items())))
    if key not in _loaded:
        _loaded[key] = kind(*args, **settings)
    return _loaded[key]
