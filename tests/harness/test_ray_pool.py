"""`engine=ray`: the same tables as here, deaths that cost one cell, and a cluster that is there."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import harness
import jobs
import psutil
import pytest

from benchmarks.harness.runner import Results, Workers, run_cells
from spf.cluster import Pool
from spf.errors import SpfError

pytest.importorskip("ray", reason="engine=ray needs the extra corpus")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")]


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    path = os.pathsep.join([str(harness.ROOT), str(harness.ROOT / "tests" / "helpers")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)  # workers import the jobs
        with Pool(2).started():
            yield


def settled(folder: Path, names: list[str], engine: str) -> Results:
    return run_cells(jobs.make(folder, names), Workers(2, engine=engine), "cell")


def test_cells_are_computed_as_here_and_found_again(local_ray: None, tmp_path: Path) -> None:
    names = ["a", "bb", "ccc", "bad"]
    here, there = settled(tmp_path / "here", names, "local"), settled(tmp_path, names, "ray")
    assert there.records == here.records
    assert [record["status"] for record in there.records] == ["done", "done", "done", "failed"]
    assert [(tmp_path / f"run/curves/{name}.csv").read_text() for name in names[:3]] == names[:3]
    assert settled(tmp_path, names, "ray").reused == 3
    assert [jobs.begun(tmp_path, name) for name in names] == [1, 1, 1, 2]
    assert not list((tmp_path / "cells").glob("*.lock"))


def test_a_death_costs_one_more_try_and_no_other_cell(local_ray: None, tmp_path: Path) -> None:
    names = ["poison", "slow", "weak", "good"]
    found = settled(tmp_path, names, "ray")
    assert [record["status"] for record in found.records] == ["failed", "done", "done", "done"]
    assert "two processes died on it" in found.records[0]["reason"]
    assert [jobs.begun(tmp_path, name) for name in names] == [2, 1, 2, 1]


def test_memory_that_never_suffices_is_tried_twice_and_then_fails(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; import jobs; "
        "from benchmarks.harness.runner import Workers, run_cells; "
        f"job = jobs.make(Path({str(tmp_path)!r}), ['slow']); "
        "print(run_cells(job, Workers(1, engine='ray'), 'cell').failed)"
    )
    path = os.pathsep.join([str(harness.ROOT), str(harness.ROOT / "tests" / "helpers")])
    limits = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "50"}
    done = harness.command(sys.executable, "-c", script, timeout=60, PYTHONPATH=path, **limits)
    assert done.stdout.split()[-1] == "1", done.stderr


def test_a_failure_of_ray_is_told_in_one_line(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    def lost(_: object) -> None:
        raise ray.exceptions.NodeDiedError("the machine is gone")

    monkeypatch.setattr(ray, "get", lost)
    with pytest.raises(SpfError, match=r"Ray failed \(.*the machine is gone"):
        settled(tmp_path, ["a"], "ray")


TINY = [
    "benchmark=synthetic_pacing",
    "benchmark.contents=[shape-drop-gear]",
    "benchmark.seeds=[1000]",
    "benchmark.studies=[floor]",
    "benchmark.num_frames=11",
    "benchmark.size=[32,32]",
    "embedder=histogram",
    "logger=csv",
]


def tables(output: Path) -> dict[str, bytes]:
    """The files of the run that are compared: records and tables."""
    run = harness.only_run(output)
    found = [*run.glob("*.csv"), *run.glob("*.md"), run / "records.parquet"]
    return {path.name: path.read_bytes() for path in found}


def test_tables_are_those_of_one_and_two_workers_and_ctrl_c_loses_nothing(tmp_path: Path) -> None:
    for name, engine in (("one", ["workers=1"]), ("two", ["workers=2"])):
        done = harness.command(*harness.RUN, *TINY, *engine, f"output={tmp_path / name}")
        assert done.returncode == 0, done.stderr
    assert tables(tmp_path / "one") == tables(tmp_path / "two")
    command = [*harness.RUN, *TINY, "engine=ray", "workers=2", f"output={tmp_path / 'ray'}"]
    process = harness.start(*command)
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
    done = harness.command(*command, timeout=300)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert tables(tmp_path / "ray") == tables(tmp_path / "one")


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    done = harness.command(*harness.RUN, *TINY, "engine=dask", f"output={tmp_path}")
    assert done.returncode == 2
    assert "unknown engine 'dask'" in harness.check_one_line(done.stderr)
