import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import harness
import jobs
import psutil
import pytest

from benchmarks.harness import pool
from benchmarks.harness.cells import Outcome
from benchmarks.harness.pool import pool_size, visible_gpus
from benchmarks.harness.records import DONE, make_record
from benchmarks.harness.runner import Job, Results, Workers, run_cells
from spf.cluster import Pool
from spf.errors import SpfError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")


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


@pytest.mark.parametrize(("asked", "preferred", "gpus", "pending", "expected"), [
    (3, 1, 2, 100, 3),  # the user has the last word
    (None, None, 2, 100, 2), (None, 1, 4, 100, 4),  # one a GPU; a benchmark's wish is for one
    (None, None, 0, 100, 7), (None, None, 0, 1000, 8),  # one for each 16 cells, one a core
])  # fmt: skip
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


# On Ray

PATH = os.pathsep.join([str(harness.ROOT), str(harness.ROOT / "tests" / "helpers")])


def on_ray(folder: Path, names: list[str]) -> Results:
    return run_cells(jobs.make(folder, names), Workers(2, engine="ray"))


@pytest.fixture(scope="module")
def ray():
    return pytest.importorskip("ray", reason="engine=ray needs the extra corpus")


@pytest.fixture(scope="module")
def local_ray(ray):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATH)  # workers import the jobs
        with Pool(2).started():
            yield ray


@pytest.mark.slow
def test_cells_are_computed_as_here_and_a_death_costs_one_more_try(
    local_ray, tmp_path, monkeypatch
):
    names = ["a", "bb", "ccc", "bad"]
    here = run(jobs.make(tmp_path / "here", names), 2)
    assert on_ray(tmp_path, names).records == here.records
    assert [(tmp_path / f"run/curves/{name}.csv").read_text() for name in names[:3]] == names[:3]
    assert on_ray(tmp_path, names).reused == 3
    assert [jobs.begun(tmp_path, name) for name in names] == [1, 1, 1, 2]
    assert not list((tmp_path / "cells").glob("*.lock"))

    names = ["poison", "slow", "weak", "good"]
    found = on_ray(tmp_path, names)
    assert jobs.statuses(found) == ["failed", "done", "done", "done"]
    assert "two processes died on it" in found.records[0]["reason"]
    assert [jobs.begun(tmp_path, name) for name in names] == [2, 1, 2, 1]

    lost = local_ray.exceptions.NodeDiedError("the machine is gone")
    monkeypatch.setattr(local_ray, "get", Mock(side_effect=lost))
    with pytest.raises(SpfError, match=r"Ray failed \(.*the machine is gone"):
        on_ray(tmp_path, ["other"])


@pytest.mark.slow
def test_memory_that_never_suffices_is_tried_twice_and_then_fails(ray, tmp_path):
    script = (
        "from pathlib import Path; import jobs; "
        "from benchmarks.harness.runner import Workers, run_cells; "
        f"job = jobs.make(Path({str(tmp_path)!r}), ['slow']); "
        "print(run_cells(job, Workers(1, engine='ray')).failed)"
    )
    limits = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "50"}
    done = harness.command(sys.executable, "-c", script, timeout=60, PYTHONPATH=PATH, **limits)
    assert done.stdout.split()[-1] == "1", done.stderr


def tables(output: Path) -> dict[str, bytes]:
    folder = harness.only_run(output)
    found = [*folder.glob("*.csv"), *folder.glob("*.md"), folder / "records.parquet"]
    return {path.name: path.read_bytes() for path in found}


@pytest.mark.slow
def test_tables_are_those_of_one_worker_and_ctrl_c_loses_nothing(ray, tmp_path):
    done = harness.command(*harness.RUN, *harness.TINY, "workers=1", f"output={tmp_path / '1'}")
    assert done.returncode == 0, done.stderr
    words = [*harness.RUN, *harness.TINY, "engine=ray", "workers=2", f"output={tmp_path / 'ray'}"]
    process = harness.start(*words)
    cells = tmp_path / "ray" / "cells"
    while not list(cells.glob("*/manifest.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    process.communicate(timeout=120)
    assert process.returncode in (130, 0)  # 0: it had ended just before
    assert not psutil.wait_procs(children, timeout=60)[1]
    before = {path: path.stat().st_mtime_ns for path in cells.glob("*/manifest.json")}
    done = harness.command(*words, timeout=300)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert tables(tmp_path / "ray") == tables(tmp_path / "1")
