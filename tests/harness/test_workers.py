import sys
import threading
import time
from types import SimpleNamespace
from unittest.mock import Mock

import harness
import jobs
import pytest

from benchmarks.harness import pool
from benchmarks.harness.cells import Outcome
from benchmarks.harness.pool import pool_size, visible_gpus
from benchmarks.harness.records import DONE, make_record
from benchmarks.harness.runner import Job, Results, Workers, run_cells


def run(job: Job, workers: int, gpus: tuple[str, ...] = ()) -> Results:
    return run_cells(job, Workers(workers, gpus=gpus))


@pytest.mark.parametrize("workers", [1, 2])
def test_each_cell_is_computed_once_and_its_files_are_in_the_run(tmp_path, workers):
    names = ["a", "bb", "ccc", "bad"]
    found = run(jobs.make(tmp_path, names), workers)
    assert jobs.statuses(found) == ["done", "done", "done", "failed"]
    assert [record.get("linearity_mae") for record in found.records] == [1.0, 2.0, 3.0, None]
    assert found.records[3]["reason"].startswith("bad: it cannot be measured")
    assert [(tmp_path / f"run/curves/{name}.csv").read_text() for name in names[:3]] == names[:3]
    again = run(jobs.make(tmp_path, names), workers)
    assert (again.records, again.reused) == (found.records, 3)
    assert [jobs.begun(tmp_path, name) for name in names] == [1, 1, 1, 2]  # a failure: once more
    assert not list((tmp_path / "cells").glob("*.lock"))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_another_command_computes_is_left_for_later(tmp_path, monkeypatch, workers):
    job = jobs.make(tmp_path, ["a", "aa", "b"])
    start = Mock(wraps=pool.ProcessPoolExecutor)
    monkeypatch.setattr(pool, "ProcessPoolExecutor", start)
    held = threading.Event()

    def compute_elsewhere() -> None:
        with job.store.lock(job.cells[0]) as one, job.store.lock(job.cells[1]) as other:
            assert (one, other) == (True, True)
            held.set()
            while not jobs.begun(tmp_path, "b"):
                time.sleep(0.05)
            time.sleep(1.0)
            for cell in job.cells[:2]:
                record = make_record(cell, DONE, "", {"linearity_mae": 9.0})
                job.store.save(cell, record, Outcome({}))

    other = threading.Thread(target=compute_elsewhere)
    other.start()
    held.wait(10)
    found = run(jobs.make(tmp_path, ["a", "aa", "b"]), workers)
    other.join()
    assert [record["linearity_mae"] for record in found.records] == [9.0, 9.0, 1.0]
    assert [jobs.begun(tmp_path, name) for name in ("a", "aa", "b")] == [0, 0, 1]
    assert start.call_count == (workers > 1)


def test_who_kills_workers_is_found_out_and_nobody_else_pays(tmp_path, capsys):
    names = ["poison", "slow", "weak", "good"]
    found = run(jobs.make(tmp_path, names), 2)
    assert jobs.statuses(found) == ["failed", "done", "done", "done"]
    assert "two processes died on it" in found.records[0]["reason"]
    assert jobs.begun(tmp_path, "poison") in (2, 3)  # the other death may have found it at work
    assert jobs.begun(tmp_path, "weak") == 2
    assert "are tried again, one at a time" in capsys.readouterr().err
    assert run(jobs.make(tmp_path, names[1:]), 1).reused == 3


def test_workers_that_are_replaced_take_up_the_work_and_see_one_gpu_each(tmp_path):
    names = ["slow 1", "slow 2", *(f"leaky {number}" for number in range(6))]
    assert jobs.statuses(run(jobs.make(tmp_path, names), 2, ("4", "7"))) == ["done"] * 8
    lines = [(tmp_path / f"{name}.log").read_text().split() for name in names]
    assert len({process for process, _ in lines}) > 2
    assert {gpu for _, gpu in lines[:2]} == {gpu for _, gpu in lines} == {"4", "7"}


@pytest.mark.parametrize(
    ("asked", "preferred", "gpus", "pending", "expected"),
    [
        (3, 1, 2, 100, 3),  # the user has the last word
        (None, None, 2, 100, 2),  # one a GPU
        (None, 1, 4, 100, 4),  # a benchmark's wish is for one GPU
        (None, None, 0, 100, 7),  # one for each 16 cells
        (None, None, 0, 1000, 8),  # one a core
    ],
)
def test_size_of_a_pool(asked, preferred, gpus, pending, expected):
    assert pool_size(asked, preferred, ["0"] * gpus, pending, cores=8) == expected


@pytest.mark.parametrize(
    ("named", "expected"),  # what does not exist is not counted by the driver
    [("", "0 1 2"), ("2, 5,6", "2 5 6"), ("GPU-8f,GPU-7,MIG-0", "GPU-8f GPU-7 MIG-0"),
     ("0,1,2,9", "0 1 2")],
)  # fmt: skip
def test_visible_gpus_are_named_as_the_environment_names_them(named, expected, monkeypatch):
    cuda = SimpleNamespace(device_count=lambda: 3)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(pool, "choose_device", lambda _: "cuda:0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus("auto") == expected.split()
    assert visible_gpus("cuda:1") == []  # the user's choice is for all workers


@pytest.mark.slow
@pytest.mark.parametrize(("what", "kills"), [("run", 2), ("four", 3)])
def test_a_run_survives_kills(what, kills, tmp_path):
    """The short version of scripts/kill_harness.py, which kills 50 times."""
    script = [sys.executable, str(harness.ROOT / "scripts" / "kill_harness.py")]
    words = [f"what={what}", f"kills={kills}", "seed=3", f"folder={tmp_path}", "--"]
    done = harness.command(*script, *words, *harness.TINY, "workers=1", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "nothing lost, changed or done twice"
