"""Every file operation of a run may fail: nothing finished is lost, and one line says what it was.

docs/development/reliability.md names the other tests of faults.
"""

import errno
import itertools
import os
import shutil
import subprocess
from pathlib import Path

import harness
import jobs
import pytest

from benchmarks.harness import commandline, session
from benchmarks.harness.cells import Outcome
from benchmarks.harness.folder import DiskError, RunFolder
from benchmarks.harness.records import DONE, make_record
from spf import cli
from spf.store import Store


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
    harness.without_plots(monkeypatch)
    clips = harness.two_generators(tmp_path / "clips", 1)
    monkeypatch.setattr(Store, "entries", refuse)
    assert harness.run(clips, tmp_path / "out", "embedder=histogram").code == 0
    assert "going on without it" in harness.check_one_line(capsys.readouterr().err)
    assert cli.main(["cache"]) == 2
    assert "/disk/file: Input/output error" in harness.check_one_line(capsys.readouterr().err)
    monkeypatch.setattr(session, "render_page", refuse)
    options = harness.leaderboard_words(clips, tmp_path / "out", "embedder=pixels", "cache=false")
    assert commandline.run(harness.compose(*options)) == (1, "")
    *plan, error = capsys.readouterr().err.splitlines()
    assert "/disk/file: Input/output error" in error
    assert not any("Traceback" in line for line in plan)


SMALL_DISK = """
mount -t tmpfs -o size=$1 none disk || exit 99
shift
"$@" output=disk/out; echo "ended with $?"
find disk -name '.spf-*' | sed 's/^/left behind: /'
mount -o remount,size=100m disk
"$@" output=disk/out; echo "ended with $?"
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
    options = ["benchmark=leaderboard", "model=folder", f"model.path={clips}"]
    options += ["embedder=histogram", "logger=csv", "workers=1"]
    script = [*unshare, "sh", "-c", SMALL_DISK, "sh", size, *harness.RUN, *options]
    done = harness.command(*script, cwd=tmp_path)
    ends = [line for line in done.stdout.splitlines() if line.startswith(("ended", "left"))]
    assert ends == ["ended with 1", "ended with 0"], done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("No space left on device") == 1
    whole = harness.run(clips, tmp_path / "out", "embedder=histogram")
    assert harness.tables(harness.only_run(tmp_path / "whole")) == harness.tables(whole.folder.root)
