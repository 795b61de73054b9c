import os
import signal
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import harness
import jobs
import psutil
import pytest

from benchmarks.harness.runner import Results, Workers, run_cells
from spf.cluster import Pool
from spf.errors import SpfError

ray = pytest.importorskip("ray", reason="engine=ray needs the extra corpus")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")]
PATH = os.pathsep.join([str(harness.ROOT), str(harness.ROOT / "tests" / "helpers")])


@pytest.fixture(scope="module")
def local_ray():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATH)  # workers import the jobs
        with Pool(2).started():
            yield


def run(folder: Path, names: list[str], engine: str = "ray") -> Results:
    return run_cells(jobs.make(folder, names), Workers(2, engine=engine))


def test_cells_are_computed_as_here_and_a_death_costs_one_more_try(local_ray, tmp_path):
    names = ["a", "bb", "ccc", "bad"]
    here, there = run(tmp_path / "here", names, "local"), run(tmp_path, names)
    assert there.records == here.records
    assert [(tmp_path / f"run/curves/{name}.csv").read_text() for name in names[:3]] == names[:3]
    assert run(tmp_path, names).reused == 3
    assert [jobs.begun(tmp_path, name) for name in names] == [1, 1, 1, 2]
    assert not list((tmp_path / "cells").glob("*.lock"))

    names = ["poison", "slow", "weak", "good"]
    found = run(tmp_path, names)
    assert jobs.statuses(found) == ["failed", "done", "done", "done"]
    assert "two processes died on it" in found.records[0]["reason"]
    assert [jobs.begun(tmp_path, name) for name in names] == [2, 1, 2, 1]


def test_memory_that_never_suffices_is_tried_twice_and_then_fails(tmp_path):
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


def test_tables_are_those_of_one_worker_and_ctrl_c_loses_nothing(tmp_path):
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


def test_a_failure_of_ray_is_one_line(local_ray, tmp_path, monkeypatch):
    lost = ray.exceptions.NodeDiedError("the machine is gone")
    monkeypatch.setattr(ray, "get", Mock(side_effect=lost))
    with pytest.raises(SpfError, match=r"Ray failed \(.*the machine is gone"):
        run(tmp_path, ["a"])
