"""Every file operation of a run may fail: nothing finished is lost, and one line says what it was.

docs/development/reliability.md tells which other tests are about faults.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import subprocess
from pathlib import Path

import harness
import pytest

from benchmarks.harness import commandline, session
from benchmarks.harness.cells import Cell, Key, Outcome
from benchmarks.harness.folder import DiskError, RunFolder
from benchmarks.harness.records import DONE, make_record
from benchmarks.harness.store import CellStore
from spf import cli
from spf.cache import user_cache
from spf.store import Store


def kept(folder: Path) -> tuple[CellStore, Cell]:
    """A store with a finished cell that has a file."""
    store = CellStore(folder / "cells", RunFolder(folder / "run"), "hash")
    cell = Cell(Key("test", "clip", "tiny", "even"), {"clip": 1}, lambda _: Outcome({}))
    store.save(cell, make_record(cell, DONE, "", {}), Outcome({}, files={"curves/a.csv": b"0"}))
    return store, cell


@pytest.mark.parametrize("number", [1, 2])
def test_what_cannot_be_read_is_not_taken_for_damaged(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the record nor a file of the cell: it would be removed and computed again."""
    store, cell = kept(tmp_path)
    read, calls = Path.read_bytes, itertools.count(1)

    def struck(path: Path) -> bytes:
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


def test_what_cannot_be_removed_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_text("new")
    folder = RunFolder(tmp_path / "run")
    with monkeypatch.context() as patch:
        for name in ("unlink", "remove", "rmdir"):
            patch.setattr(os, name, refuse)
        folder.write("written", "new")
        folder.place(source, "placed")
    assert folder.read("written") == folder.read("placed") == b"new"


def test_a_cache_that_cannot_be_listed_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.without_plots(monkeypatch)
    clips = harness.two_generators(tmp_path / "clips", 1)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "entries", refuse)
        assert harness.run(clips, tmp_path / "out").code == 0
    assert "going on without it" in harness.check_one_line(capsys.readouterr().err)


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EIO, "Input/output error", "/disk/file")


def test_other_refusals_of_the_disk_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where a page cannot read a plot that was written a moment before."""
    monkeypatch.setattr(session, "render_page", refuse)
    harness.without_plots(monkeypatch)
    clips = harness.two_generators(tmp_path / "clips", 1)
    words = harness.leaderboard_words(clips, tmp_path / "out", "embedder=histogram")
    assert commandline.run(harness.compose(*words)) == (1, "")
    *plan, said = capsys.readouterr().err.splitlines()
    assert "/disk/file: Input/output error" in said
    assert not any("Traceback" in line for line in plan)
    monkeypatch.setattr(type(user_cache()), "entries", refuse)
    assert cli.main(["cache"]) == 2
    assert "/disk/file: Input/output error" in harness.check_one_line(capsys.readouterr().err)


SMALL_DISK = """
mount -t tmpfs -o size=$1 none disk || exit 99
shift
"$@" output=disk/out; echo "ended with $?"
find disk -name '.spf-*' | sed 's/^/left behind: /'
mount -o remount,size=100m disk
"$@" output=disk/out; echo "ended with $?"
cp -r disk/out whole
"""


def may_mount(folder: Path) -> bool:
    """Whether this user may mount a file system in a namespace of its own."""
    if shutil.which("unshare") is None:
        return False
    words = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(folder)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "size",
    ["150k", *(pytest.param(f"{size}k", marks=pytest.mark.slow) for size in (8, 60, 250, 400))],
)
def test_a_small_disk_fills_up_and_the_run_goes_on_when_there_is_room(
    size: str, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if not may_mount(disk):
        pytest.skip("a user may not mount a tmpfs here (unshare -rm)")
    clips = harness.two_generators(tmp_path / "clips", 1)
    words = ["benchmark=leaderboard", "model=folder", f"model.path={clips}"]
    words += ["embedder=histogram", "logger=csv", "workers=1"]
    script = ["unshare", "-rm", "sh", "-c", SMALL_DISK, "sh", size, *harness.RUN, *words]
    done = harness.command(*script, cwd=tmp_path)
    assert [line for line in done.stdout.splitlines() if line.startswith(("ended", "left"))] == [
        "ended with 1",
        "ended with 0",
    ], done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("No space left on device") == 1
    whole = harness.run(clips, tmp_path / "out", "embedder=histogram")
    assert harness.tables(harness.only_run(tmp_path / "whole")) == harness.tables(whole.folder.root)
