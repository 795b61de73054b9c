import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import harness
import pandas as pd
import pytest

from spf.names import printable


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return harness.two_generators(tmp_path_factory.mktemp("run") / "clips", 4)


@pytest.fixture(scope="module")
def whole(clips, tmp_path_factory):
    return harness.tables(harness.run(clips, tmp_path_factory.mktemp("whole")).folder.root)


def test_a_read_only_output_exits_2(tmp_path, clips):
    (tmp_path / "out").write_text("a file where the folder would be")
    words = harness.leaderboard_words(clips, Path("out"), "embedder=pixels")
    done = harness.command(*harness.RUN, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "output=" in harness.check_one_line(done.stderr)


def test_a_sweep_runs_every_word_and_adds_up_the_codes(tmp_path):
    folder = harness.two_generators(tmp_path / "clips", 1)
    (folder / "even" / "bad.mp4").write_bytes(b"")
    (tmp_path / "null").symlink_to(folder)
    words = harness.leaderboard_words("null", "'o,u\\'t\udcff'", "-m", "logger=csv")
    out = tmp_path / "o,u't\udcff"
    words.append("embedder=pixels,histogram")
    done = harness.command(*harness.RUN, *words, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("bad.mp4: the file is empty") == 2
    names = [Path(line).name for line in done.stdout.splitlines()]
    assert [name.split("-")[1] for name in names] == ["pixels", "histogram"]
    assert {path.name for path in (out / "runs").iterdir()} == set(names)
    assert {path.name for path in tmp_path.iterdir()} == {"clips", "null", out.name}
    (table,) = out.glob("sweeps/*/sweep.csv")
    place = printable(str(table.parent.relative_to(tmp_path)))
    assert f"0 of 2 jobs without a failure; see {place}/index.html" in done.stderr
    assert list(pd.read_csv(table)["failed"]) == [1, 0] * 2  # of even and of jumpy


# Ctrl-C, sudden death, two at once: with two workers, `whole` used none


@contextmanager
def started(cwd: Path, clips: Path) -> Iterator[subprocess.Popen[str]]:
    more = ("embedder=tiny", "logger=csv", "cache=false", "workers=2")
    words = harness.leaderboard_words(clips, Path("out"), *more)
    process = harness.start(*harness.RUN, *words, cwd=cwd)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def disturb(process, folder, count, number):
    while len(list(folder.glob("out/cells/[0-9a-f]*/manifest.json"))) < count:
        assert process.poll() is None, "it ended before it could be disturbed"
        time.sleep(0.02)
    os.killpg(process.pid, number)


@pytest.mark.slow
def test_ctrl_c_and_sudden_death_lose_nothing_that_is_finished(tmp_path, clips, whole):
    with started(tmp_path, clips) as process:
        disturb(process, tmp_path, 1, signal.SIGKILL)
        process.wait()
    with started(tmp_path, clips) as process:
        disturb(process, tmp_path, 3, signal.SIGINT)  # as a terminal does
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    folder = harness.only_run(tmp_path / "out")
    status = harness.read_records(folder)["status"].value_counts().to_dict()
    assert status["done"] + status["not_run"] == 8
    cells = tmp_path / "out" / "cells"
    assert not [*cells.glob(".spf-*"), *cells.glob("*.lock")]  # nor what SIGKILL had left

    with started(tmp_path, clips) as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert f"{status['done']} taken from an earlier run" in errors
    assert harness.tables(folder) == whole
