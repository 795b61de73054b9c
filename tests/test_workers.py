"""Workers share cells without a server: claims, deaths, replacements, GPUs, and sudden kills."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from textwrap import indent
from types import SimpleNamespace

import crews
import harness
import pytest

from benchmarks.running import crew
from benchmarks.running.crew import crew_size, gpu_of, visible_gpus
from benchmarks.running.records import DONE, make_record
from benchmarks.running.runner import Workers, run_cells
from benchmarks.running.workers import Job, work
from spf.cache import claims
from spf.cache.claims import Claim

HARNESS = [sys.executable, str(harness.ROOT / "scripts" / "kill_harness.py")]
TINY = [
    "benchmark=synthetic_pacing",
    "benchmark.contents=[shape-drop-gear]",
    "benchmark.seeds=[1000]",
    "benchmark.studies=[floor]",
    "benchmark.num_frames=11",
    "benchmark.size=[32,32]",
    "embedder=histogram",
    "logger=csv",
    "workers=1",
]


def statuses(job: Job, workers: int, rebuild: partial[Job]) -> list[str]:
    results = run_cells(job, rebuild, Workers(workers), "cell")
    return [record["status"] for record in results.records]


# The protocol


def test_a_cell_that_another_computes_is_waited_for(tmp_path: Path) -> None:
    job = crews.make(tmp_path, ["a", "b"])
    claim = job.store.claim(job.cells[0])
    assert claim.take()

    def finish() -> None:
        time.sleep(0.3)
        record = make_record(job.cells[0], DONE, "", {"linearity_mae": 9.0})
        job.store.save(job.cells[0], record, None)
        claim.release()

    other = threading.Thread(target=finish)
    other.start()
    assert list(work(job, [0, 1])) == [1, 0]  # what is free comes first
    other.join()
    assert crews.begun(tmp_path, "a") == 0
    record = job.store.load(job.cells[0])
    assert record is not None
    assert record["linearity_mae"] == 9.0
    assert not list(job.store.root.glob("*.claim"))


def test_a_claim_without_a_heartbeat_expires_and_the_first_result_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "VOID_AFTER", 0.2)
    job = crews.make(tmp_path, ["a"])
    path = job.store.claim(job.cells[0]).path
    path.parent.mkdir()
    path.write_text(json.dumps({"host": "elsewhere", "boot": "", "container": "", "pid": 1}))
    assert list(work(job, [0])) == [0]
    assert crews.begun(tmp_path, "a") == 1
    # The one whose claim expired was only slow, and ends now with a result of its own.
    late = make_record(job.cells[0], DONE, "", {"linearity_mae": 9.0})
    job.store.save(job.cells[0], late, None)
    record = job.store.load(job.cells[0])
    assert record is not None
    assert record["linearity_mae"] == 1.0


@pytest.mark.parametrize("step", [-3600.0, 3600.0, 0.001])
def test_a_heartbeat_counts_by_its_progress_not_by_its_clock(
    step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder's clock is a year behind, and jumps."""
    monkeypatch.setattr(claims, "VOID_AFTER", 0.3)
    path, moment = tmp_path / "a.claim", time.time() - 3e7
    path.write_text('{"host": "elsewhere", "boot": "", "container": "", "pid": 1}')
    mine = Claim(path)
    for beat in range(8):
        os.utime(path, (moment + beat * step,) * 2)
        assert not mine.take()
        time.sleep(0.1)
    assert path.exists()
    until = time.monotonic() + 10  # it stops
    while not mine.take():
        assert time.monotonic() < until
        time.sleep(0.05)
    mine.release()
    assert not path.exists()


def test_a_process_number_of_another_boot_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.claim"
    dead = {**claims._home(), "pid": 2**22 + 1}
    path.write_text(json.dumps(dead | {"boot": "another"}))
    mine = Claim(path)
    for _ in range(3):
        assert not mine.take()
    path.write_text(json.dumps(dead))
    assert not mine.take()  # this one is gone, and its claim with it
    assert mine.take()
    mine.release()


def test_a_claim_that_was_renewed_is_not_removed_for_void(tmp_path: Path) -> None:
    """Two find the same claim void; the slower one must not remove what the faster one took."""
    path = tmp_path / "a.claim"
    faster, slower = Claim(path), Claim(path)
    assert faster.take()
    held = path.read_bytes()
    slower._remove(b"what was void")
    assert path.read_bytes() == held
    assert [found.name for found in tmp_path.iterdir()] == ["a.claim"]
    faster.release()
    assert not list(tmp_path.iterdir())


def test_a_failure_is_computed_once_by_all_workers_together(tmp_path: Path) -> None:
    job = crews.make(tmp_path, ["bad"])
    assert list(work(job, [0])) == [0]
    assert list(work(crews.make(tmp_path, ["bad"]), [0])) == [0]  # a second worker of this run
    assert crews.begun(tmp_path, "bad") == 1
    assert statuses(job, 1, partial(crews.make, tmp_path, ["bad"])) == ["failed"]
    assert crews.begun(tmp_path, "bad") == 2  # the next run tries again


def test_an_interruption_gives_the_claim_back(tmp_path: Path) -> None:
    job = crews.make(tmp_path, ["a"])

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    job.cells[0] = crews.Cell(job.cells[0].key, job.cells[0].inputs, interrupt)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        list(work(job, [0]))
    assert [path.name for path in job.store.root.iterdir()] == ["computations.log"]


# A crew


def test_a_crew_replaces_the_dead_and_fails_what_kills_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = crews.make(tmp_path, ["poison", "good"])
    rebuild = partial(crews.make, tmp_path, ["poison", "good"])
    with crew.Crew(job, rebuild, [0, 1], 1, []) as workers:
        assert sorted(workers.settled()) == [0, 1]
    assert "worker process died (signal 9); another one takes its place" in capsys.readouterr().err
    first, second = map(job.store.settle, job.cells)
    assert first is not None
    assert second is not None
    assert (first["status"], second["status"]) == ("failed", "done")
    assert "2 processes died on it (signal 9" in first["reason"]
    assert [crews.begun(tmp_path, clip) for clip in ("poison", "good")] == [2, 1]
    assert (tmp_path / "run" / "curves" / "good.csv").read_bytes() == b"good"
    assert not list(job.store.root.glob("*.claim"))


def test_a_worker_that_is_leaving_is_not_interrupted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It has finished; the signal that ends the crew finds it in the functions at exit."""
    job = crews.make(tmp_path, ["slow to leave"])
    with crew.Crew(job, partial(crews.make, tmp_path, ["slow to leave"]), [0], 1, []) as workers:
        assert list(workers.settled()) == [0]
        until = time.monotonic() + 30
        while not (tmp_path / "leaving").exists():
            assert time.monotonic() < until
            time.sleep(0.01)
    assert (tmp_path / "left").exists()
    assert capfd.readouterr().err == ""


BLOCKED = """
import sys, pathlib, functools, crews
from benchmarks.running.crew import Crew
folder = pathlib.Path(sys.argv[1])
with Crew(crews.make(folder, ["a"]), functools.partial(crews.make, folder, ["a"]), [0], 2, []) as c:
    for worker in c.workers:
        print(pathlib.Path(f"/proc/{worker.process.pid}/status").read_text())
"""


def test_ctrl_c_reaches_no_worker(tmp_path: Path) -> None:
    """Not even the first, with which multiprocessing starts a process of its own."""
    (tmp_path / "start.py").write_text(f"if __name__ == '__main__':\n{indent(BLOCKED, '    ')}")
    path = f"{harness.ROOT}:{harness.ROOT / 'tests'}"
    words = [sys.executable, str(tmp_path / "start.py"), str(tmp_path)]
    done = harness.command(*words, PYTHONPATH=path)
    masks = re.findall(r"^SigBlk:\s+(\w+)$", done.stdout, re.MULTILINE)
    assert [bool(int(mask, 16) & 1 << (signal.SIGINT - 1)) for mask in masks] == [True, True]


def stopped(worker: partial[Job], job: Job, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a worker says that stops; it runs in this process."""
    monkeypatch.setattr(crew.signal, "signal", lambda *_: None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    hears, says = multiprocessing.Pipe(duplex=False)
    crew._be_worker(worker, [(0, job.cells[0].identity)], None, says)
    says.close()
    return hears.recv()


def test_a_worker_with_other_cells_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the code changes while worker processes start."""
    job = crews.make(tmp_path, ["a"])
    said = stopped(partial(crews.make, tmp_path, ["a"], "other"), job, monkeypatch)
    assert "changed while the run started" in said
    assert crews.begun(tmp_path, "a") == 0


def test_a_disk_that_refuses_a_worker_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = crews.make(tmp_path, ["a"])
    (job.store.root / "computations.log").mkdir(parents=True)  # even root cannot write it
    said = stopped(partial(crews.make, tmp_path, ["a"]), job, monkeypatch)
    assert re.search("computations.log: cannot be written .* finished cells are kept", said)


@pytest.mark.parametrize(
    ("asked", "preferred", "gpus", "pending", "expected"),
    [
        (3, 1, ["0", "1"], 100, 3),  # the user has the last word
        (None, None, ["0", "1"], 100, 2),  # one a GPU
        (None, 1, ["0", "1", "2", "3"], 100, 4),  # a benchmark's wish is for one GPU
        (None, None, ["0", "1", "2", "3"], 2, 2),
        (None, None, ["0", "1"], 0, 1),
        (None, 1, ["0"], 100, 1),
        (None, None, [], 100, 7),  # one for each 16 cells
        (None, None, [], 1000, 8),  # one a core
        (None, None, ["0"], 5, 1),
    ],
)
def test_size_of_a_crew(
    asked: int | None, preferred: int | None, gpus: list[str], pending: int, expected: int
) -> None:
    assert crew_size(asked, preferred, gpus, pending, cores=8) == expected


def test_workers_take_turns_at_the_gpus() -> None:
    assert [gpu_of(worker, ["4", "7"]) for worker in range(5)] == ["4", "7", "4", "7", "4"]
    assert [gpu_of(worker, ["4"]) for worker in range(2)] == [None, None]
    assert gpu_of(3, []) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ["0", "1", "2"]),
        ("", ["0", "1", "2"]),
        ("2, 5,6", ["2", "5", "6"]),
        ("GPU-8f3a,GPU-77b1,MIG-0c", ["GPU-8f3a", "GPU-77b1", "MIG-0c"]),
        ("0,1,2,9", ["0", "1", "2"]),  # what does not exist is not counted by the driver
    ],
)
def test_visible_gpus_are_named_as_the_environment_names_them(
    given: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = SimpleNamespace(device_count=lambda: 3)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(crew, "choose_device", lambda _: "cuda:0")
    if given is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_gpus("auto") == expected
    assert visible_gpus("cuda:1") == []  # the user's choice is for all workers


def test_each_worker_sees_its_own_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []
    monkeypatch.setattr(crew.Crew, "_start", lambda self, gpu: seen.append(gpu))
    job = crews.make(tmp_path, ["a"])
    with crew.Crew(job, partial(crews.make, tmp_path, ["a"]), [0], 3, ["0", "1"]):
        assert seen == ["0", "1", "0"]


# Killed


def killed(folder: Path, what: str, kills: int) -> str:
    words = [f"what={what}", f"kills={kills}", "seed=3", f"folder={folder}", "--", *TINY]
    done = harness.command(*HARNESS, *words, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def test_a_run_survives_kills(tmp_path: Path) -> None:
    """The short version of scripts/kill_harness.py, which kills 50 times."""
    said = killed(tmp_path, "run", 4)
    assert said.startswith("survived 4 of 4 kills")
    assert "computed twice 0, problems 0" in said


@pytest.mark.slow
def test_four_processes_share_cells_though_two_are_killed(tmp_path: Path) -> None:
    said = killed(tmp_path, "four", 1)
    kills, survived = re.match(r"survived (\d+) of (\d+) kills", said).groups()  # type: ignore[union-attr]
    assert kills == survived != "0"
    assert "computed twice 0, problems 0" in said
