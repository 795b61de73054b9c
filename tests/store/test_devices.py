"""What commands do to their process, by the kernel's own count."""

from __future__ import annotations

import os
import subprocess
import sys

import harness
import pytest

FAULTS = """
import resource
import numpy as np
from spf.devices import keep_freed_memory
if {keep}:
    keep_freed_memory()
np.ones(2**22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**22)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool, **environment: str) -> int:
    """Page faults of asking twenty times for 32 MB that were freed before."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    made = subprocess.run(
        [sys.executable, "-c", FAULTS.format(keep=keep)],
        env={**plain, "PYTHONPATH": str(harness.ROOT), **environment},
        capture_output=True,
        check=True,
        text=True,
    )
    return int(made.stdout)


@pytest.mark.skipif(
    sys.platform != "linux" or "glibc" not in os.confstr("CS_GNU_LIBC_VERSION"),  # type: ignore[operator]
    reason="of glibc",
)
def test_freed_memory_is_not_faulted_in_again() -> None:
    kept = faults(keep=True)
    assert faults(keep=False) > 10 * kept
    assert faults(keep=True, MALLOC_MMAP_THRESHOLD_="1000000") > 10 * kept  # the user's own word
