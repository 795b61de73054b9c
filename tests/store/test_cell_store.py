"""The stores: an entry is there whole or not at all, and the first result stays."""

import os
import subprocess
import sys
from unittest.mock import Mock

import harness
import jobs
import pytest

from benchmarks.harness.cells import Outcome
from benchmarks.harness.folder import DiskError
from benchmarks.harness.records import DONE, FAILED, make_record
from spf.store import Store


def test_an_entry_comes_back_as_it_was_put(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"two")
    made = Store(tmp_path / "store").put("key", {"a": [1, None]}, {"x/1": b"one", "2": source})
    found = Store(tmp_path / "store").get("key")
    assert found == made
    assert found.about == {"a": [1, None]}
    assert [found.read("x/1"), found.read("2")] == [b"one", b"two"]
    assert found.path("2").samefile(source)  # a link
    assert Store(tmp_path / "store").get("another") is None


def test_a_lock_is_free_where_its_holder_died(tmp_path):
    code = (
        "import sys, os; from pathlib import Path; from spf.store import Store\n"
        "with Store(Path(sys.argv[1])).lock('key') as held:\n"
        "    os._exit(0 if held else 1)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
    store = Store(tmp_path)
    assert store.lock_file("key").exists()
    with store.lock("key") as held, Store(tmp_path).lock("key") as also:
        assert (held, also) == (True, False)
    assert list(tmp_path.iterdir()) == []


def test_of_two_results_the_first_one_stays(tmp_path):
    (cell,), store, _ = jobs.make(tmp_path, ["a"])
    failed = store.save(cell, make_record(cell, FAILED, "it rained", {}), Outcome({}))
    assert failed.record["reason"] == "it rained"
    assert store.load(cell) is None
    for number in (0, 1):
        outcome = Outcome({}, files={"curves/a.csv": b"%d" % number})
        found = store.save(cell, make_record(cell, DONE, "", {"linearity_mae": number}), outcome)
        assert found.record["linearity_mae"] == 0
    assert store.folder.read("curves/a.csv") == b"0"
    assert [path.name for path in store.root.iterdir()] == [cell.identity]


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_write_that_fails_leaves_nothing(call, tmp_path, monkeypatch):
    (cell,), store, _ = jobs.make(tmp_path, ["a"])

    monkeypatch.setattr(os, call, Mock(side_effect=OSError(28, "No space left on device")))
    outcome = Outcome({}, files={"curves/a.csv": b"0"})
    with pytest.raises(DiskError, match="No space left"):
        store.save(cell, make_record(cell, DONE, "", {}), outcome)
    assert list(store.root.iterdir()) == []
    assert store.load(cell) is None


FAULTS = """
import resource
import numpy as np
from spf.devices import reuse_freed_memory
if {reuse}:
    reuse_freed_memory()
np.ones(2**22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**22)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(reuse, **environment):
    """Page faults of asking twenty times for 32 MB that were freed before."""
    environment |= {"PYTHONPATH": str(harness.ROOT)}
    return int(
        harness.command(sys.executable, "-c", FAULTS.format(reuse=reuse), **environment).stdout
    )


@pytest.mark.skipif("glibc" not in os.confstr("CS_GNU_LIBC_VERSION"), reason="of glibc")
def test_freed_memory_is_not_faulted_in_again():
    reused = faults(True)
    assert faults(False) > 10 * reused
    assert faults(True, MALLOC_MMAP_THRESHOLD_="1000000") > 10 * reused  # the user's own choice
