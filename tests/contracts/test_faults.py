"""What a run calls may die, hang or give nonsense, and every file operation may fail: a line says
so, nothing finished is lost, and the next start ends with the tables of an undisturbed run. Other
faults: docs/development/reliability.md."""

import errno
import io
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from unittest.mock import MagicMock

import harness
import jobs
import numpy as np
import pytest
import wandb

from benchmarks.harness import commandline, measuring, records, session
from benchmarks.harness.cells import Outcome
from benchmarks.harness.folder import DiskError, RunFolder
from benchmarks.harness.records import DONE, make_record
from benchmarks.harness.report import trackers
from benchmarks.leaderboard import cells
from spf import cli
from spf.cache import ARRAYS, user_cache
from spf.child import Child
from spf.embedders.histogram import Histogram
from spf.quality import vbench
from spf.store import Store

pytestmark = pytest.mark.usefixtures("no_plots")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    pairs = {"even": {"p": harness.steady()}, "late": {"p": harness.steady(20, power=3)}}
    return harness.layout(tmp_path_factory.mktemp("calls") / "clips", pairs)


@pytest.fixture(scope="module")
def whole(clips, no_plots):
    return harness.tables(run(clips, clips.parent / "out").folder.root)


def run(clips, output, *more):
    return harness.run(clips, output, "embedder=histogram", *more)


def failed(first):
    assert first.code == 1
    assert [record["status"] for record in first.results.records] == ["done", "failed"]
    return harness.check_one_line(first.results.records[1]["reason"])


def check_next_start(whole, clips, output, *more):
    """It computes what failed, and no more. whole : None for those of an undisturbed run now."""
    second = run(clips, output, *more)
    assert (second.code, second.results.reused) == (0, 1)
    if whole is None:
        whole = harness.tables(run(clips, output.with_name("undisturbed"), *more).folder.root)
    assert harness.tables(second.folder.root) == whole


def decoder_gets(number):
    def arrange(patch):
        ask, line = Child.ask, Child.line
        struck = []

        def strike(self, request):
            if "late" in str(request.get("path")):
                self.process.send_signal(number)
                struck.append(self)
            ask(self, request)

        def impatient(self, seconds):
            return line(self, 1 if self in struck else seconds)

        patch.setattr(Child, "ask", strike)
        patch.setattr(Child, "line", impatient)

    return arrange


def embedder_does(what):
    def arrange(patch):
        encode = Histogram.encode
        seen = itertools.count(1)  # frames

        def struck(self, batch):
            vectors = encode(self, batch)
            late = any(next(seen) > 12 for _ in batch)
            return what(vectors) if late else vectors

        patch.setattr(Histogram, "encode", struck)

    return arrange


def raises(error):
    def raised(*_, **__):
        raise error

    return raised


def after(place, name, then):
    def arrange(patch):
        call = getattr(place, name)

        def struck(*args, **more):
            found = call(*args, **more)
            if any("late" in str(value) for value in args):
                then()
            return found

        patch.setattr(place, name, struck)

    return arrange


BUGS = [RuntimeError("two\nlines"), MemoryError()]
BUGS = [after(measuring, "measure_clip", raises(error)) for error in BUGS]
CALLS = {
    "decoder dies": (decoder_gets(signal.SIGKILL), "its decoder was killed (SIGKILL)"),
    "decoder hangs": (decoder_gets(signal.SIGSTOP), "its decoder hung: no frame within 60 s"),
    "embedder gives NaN": (embedder_does(lambda x: x * np.nan), "gave NaN or zeros for frame 0"),
    "GPU lost": (embedder_does(raises(RuntimeError("CUDA error: x"))), "the GPU failed (CUDA err"),
    "bug": (BUGS[0], "unexpected RuntimeError: two lines"),
    "no memory": (BUGS[1], "unexpected MemoryError"),
}


@pytest.mark.parametrize("what", CALLS)
def test_a_call_that_fails_is_a_row_and_passes(what, clips, whole, tmp_path, monkeypatch):
    arrange, reason = CALLS[what]
    with monkeypatch.context() as patch:
        arrange(patch)
        first = run(clips, tmp_path / "out", "cache=false")
    assert reason in failed(first)
    assert "late/p" in failed(first)
    check_next_start(whole, clips, tmp_path / "out", "cache=false")


@pytest.mark.parametrize(("body", "reason"), [
    ("echo 'no memory' >&2; exit 3", "the process died (exit code 3: no memory)"),
    ("sleep 300", "it took longer than 2 s; raise quality.time_limit"),
])  # fmt: skip
def test_vbench_that_breaks_down_is_a_row_and_passes(body, reason, clips, tmp_path, monkeypatch):
    """A shell script stands in for its process, which takes seconds to start."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # the script removes no folder
    script = tmp_path / "python"
    script.touch(0o755)

    def stand_in(*args, **more):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(script))
            return Child(*args, **more)

    monkeypatch.setattr(vbench, "Child", stand_in)
    replies = """echo '{"value": 0.5}'"""
    strikes = f"""case "$line" in *late*) {body};; *) {replies};; esac"""
    script.write_text(f"#!/bin/sh\nwhile read line; do {strikes}; done\n")
    options = ["quality=vbench", "quality.dimensions=[temporal_flickering]", "quality.time_limit=2"]
    first = run(clips, tmp_path / "out", *options)
    assert f"VBench's temporal_flickering broke down: {reason}" in failed(first)
    script.write_text(f"#!/bin/sh\nwhile read line; do {replies}; done\n")
    check_next_start(None, clips, tmp_path / "out", *options)


REFUSES = (raises(ConnectionError("no route\nto host")), "no route to host")
HANGS = (lambda *_, **__: time.sleep(60), "no answer within")


@pytest.mark.parametrize(("call", "how"), [
    ("init", REFUSES), ("log", REFUSES), ("finish", REFUSES), ("init", HANGS), ("log", HANGS),
], ids=["init", "log", "finish", "init hangs", "log hangs"])  # fmt: skip
def test_an_outage_of_wandb_at_any_call_fails_nothing(
    call, how, clips, whole, tmp_path, monkeypatch, capsys
):
    service = MagicMock(url="", dir=str(tmp_path / "wandb" / "files"))
    service.__enter__.return_value, service.__exit__.return_value = service, None
    calls = {"init": MagicMock(), "log": service.log, "finish": service.__exit__}
    calls["init"].return_value = service
    calls[call].side_effect, warning = how
    monkeypatch.setattr(wandb, "init", calls["init"])
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(trackers, "PATIENCE", 1.0)
    options = harness.leaderboard_words(clips, tmp_path / "out", "embedder=histogram")
    done = session.run(harness.compose(*options, "logger=wandb"))
    lines = [line for line in capsys.readouterr().err.splitlines() if "W&B" in line]
    assert done.code == 0
    assert warning in harness.check_one_line("\n".join(lines))
    assert harness.tables(done.folder.root) == whole


def test_without_git_the_commit_is_unknown(clips, tmp_path, monkeypatch):
    records.commit.cache_clear()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path / "empty"))
        done = run(clips, tmp_path / "out")
    assert {record["commit"] for record in done.results.records} == {"unknown"}
    records.commit.cache_clear()


def test_clocks_that_jump_change_nothing(clips, whole, tmp_path, monkeypatch):
    real, looks = time.time, itertools.count()
    monkeypatch.setattr(time, "time", lambda: max(0.0, real() + 1e9 * (-1) ** next(looks)))
    for reused in (0, 2):
        done = run(clips, tmp_path / "out")
        assert (done.code, done.results.reused) == (0, reused)
        assert harness.tables(done.folder.root) == whole
        assert harness.only_run(tmp_path / "out") == done.folder.root  # its name has no time
    assert next(looks) > 0


@pytest.mark.parametrize(("place", "name"), [(measuring, "measure_clip"), (cells, "clip_columns")])
def test_a_clip_that_changes_during_a_run_is_a_row_and_measured_anew(
    place, name, clips, tmp_path, monkeypatch
):
    """Its row must not have the numbers of other bytes than its identity tells of."""
    clips = Path(shutil.copytree(clips, tmp_path / "clips"))
    change = partial(harness.save, clips / "late" / "p.mp4", harness.jumping())
    with monkeypatch.context() as patch:
        after(place, name, change)(patch)
        first = run(clips, tmp_path / "out")
    assert "it changed while it was read; start again" in failed(first)
    check_next_start(None, clips, tmp_path / "out")


def test_nan_in_the_cache_is_damage(clips, whole, tmp_path, capsys):
    run(clips, tmp_path / "first")
    store = Store(user_cache().folder)
    key, _ = store.entries()[0]
    entry = store.get(key)
    with np.load(entry.path(ARRAYS)) as stored:
        arrays = dict(stored)
    arrays["vectors"][3] = np.nan
    np.savez(buffer := io.BytesIO(), **arrays)
    store.remove(key)
    store.put(key, entry.about, {ARRAYS: buffer.getvalue()})
    capsys.readouterr()
    again = run(clips, tmp_path / "out")
    assert "is damaged and removed" in harness.check_one_line(capsys.readouterr().err)
    assert harness.tables(again.folder.root) == whole


def refuse(*_, **__):
    raise OSError(errno.EIO, "Input/output error", "/disk/file")


@pytest.mark.parametrize("number", [1, 2])
def test_what_cannot_be_read_is_not_taken_for_damaged(number, tmp_path, monkeypatch):
    """Neither the record nor a file of the cell: it would be removed and computed again."""
    (cell,), store, _ = jobs.make(tmp_path, ["a"])
    outcome = Outcome({}, files={"curves/a.csv": b"0"})
    store.save(cell, make_record(cell, DONE, "", {}), outcome)
    read, calls = Path.read_bytes, itertools.count(1)

    def struck(path):
        if path.is_relative_to(store.root) and next(calls) == number:
            refuse()
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", struck)
        with pytest.raises(DiskError, match="cannot be read") as error:
            store.load(cell)
    assert next(calls) > number
    harness.check_one_line(str(error.value))
    assert store.load(cell) is not None


def test_what_cannot_be_removed_fails_nothing(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.write_text("new")
    folder = RunFolder(tmp_path / "run")
    with monkeypatch.context() as patch:
        for name in ("unlink", "remove", "rmdir"):
            patch.setattr(os, name, refuse)
        folder.write("written", "new")
        folder.place(source, "placed")
    assert folder.read("written") == folder.read("placed") == b"new"


def test_refusals_of_the_disk_are_one_line(tmp_path, monkeypatch, capsys):
    clips = harness.two_generators(tmp_path / "clips", 1)
    monkeypatch.setattr(Store, "entries", refuse)
    assert harness.run(clips, tmp_path / "out", "embedder=histogram").code == 0
    assert "going on without it" in harness.check_one_line(capsys.readouterr().err)
    assert cli.main(["cache"]) == 2
    assert "/disk/file: Input/output error" in harness.check_one_line(capsys.readouterr().err)
    monkeypatch.setattr(session, "render_page", refuse)
    options = harness.leaderboard_words(clips, tmp_path / "out", "embedder=pixels", "cache=false")
    assert commandline.run(harness.compose(*options)) == (1, "")
    errors = capsys.readouterr().err
    assert "/disk/file: Input/output error" in errors.splitlines()[-1]
    assert "Traceback" not in errors


SMALL_DISK = """
mount -t tmpfs -o size=$1 none disk || exit 99
shift
"$@"; echo "ended with $?"
find disk -name '.spf-*' | sed 's/^/left behind: /'
mount -o remount,size=100m disk
"$@"; echo "ended with $?"
cp -r disk/out whole
"""


@pytest.mark.parametrize(
    "size", [pytest.param(f"{size}k", marks=pytest.mark.slow) for size in (8, 60, 150, 250)]
)
def test_a_small_disk_fills_up_and_the_run_goes_on_when_there_is_room(size, tmp_path):
    (tmp_path / "disk").mkdir()
    unshare = ["unshare", "-rm"]
    mount = [*unshare, "mount", "-t", "tmpfs", "none", str(tmp_path / "disk")]
    if not shutil.which("unshare") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a user may not mount a tmpfs here (unshare -rm)")
    clips = harness.two_generators(tmp_path / "clips", 1)
    more = ("embedder=histogram", "logger=csv", "workers=1")
    options = harness.leaderboard_words(clips, "disk/out", *more)
    script = [*unshare, "sh", "-c", SMALL_DISK, "sh", size, *harness.RUN, *options]
    done = harness.command(*script, cwd=tmp_path)
    ends = [line for line in done.stdout.splitlines() if line.startswith(("ended", "left"))]
    assert ends == ["ended with 1", "ended with 0"], done.stdout + done.stderr
    assert done.stderr.count("No space left on device") == 1
    whole = harness.run(clips, tmp_path / "out", "embedder=histogram")
    assert harness.tables(harness.only_run(tmp_path / "whole")) == harness.tables(whole.folder.root)
