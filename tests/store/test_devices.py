"""What commands do to their process, by the kernel's own count."""

from __future__ import annotations

import os
import sys

import harness
import pytest

FAULTS = """
import resource, sys
import numpy as np
from spf.devices import keep_freed_memory
if sys.argv[1]:
    keep_freed_memory()
np.ones(2**22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**22)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: str, **environment: str) -> int:
    """Page faults of asking twenty times for 32 MB that were freed before."""
    return int(harness.command(sys.executable, "-c", FAULTS, keep, **environment).stdout)


@pytest.mark.skipif(
    sys.platform != "linux" or "glibc" not in os.confstr("CS_GNU_LIBC_VERSION"),  # type: ignore[operator]
    reason="of glibc",
)
def test_freed_memory_is_not_faulted_in_again(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    few = faults("keep")
    assert faults("") > 10 * few
    assert faults("keep", MALLOC_MMAP_THRESHOLD_="1000000") > 10 * few  # the user's own setting
