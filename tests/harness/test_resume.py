"""Finished cells are never computed again, in no run; failed, damaged and missing ones are."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import pytest

from benchmarks.__main__ import main
from benchmarks.harness import measuring, session
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.prune import prune
from spf.devices import choose_device
from spf.errors import ConfigError
from spf.store import MANIFEST, _checksum


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    harness.without_plots(monkeypatch)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names GENERATOR/FILE of the clips that were measured, in order."""
    seen: list[str] = []
    original = measuring.measure_clip

    def measure_clip(source: Path, *rest: Any, **more: Any) -> Any:
        seen.append("/".join(Path(source).parts[-2:]))
        return original(source, *rest, **more)

    monkeypatch.setattr(measuring, "measure_clip", measure_clip)
    return seen


def records(output: Path) -> list[Path]:
    return sorted((output / "cells").glob(f"*/{MANIFEST}"))


def interrupt_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Ctrl-C while this clip is being measured."""
    original = measuring.measure_clip

    def measure_clip(source: Path, *rest: Any, **more: Any) -> Any:
        if str(source).endswith(name):
            raise KeyboardInterrupt
        return original(source, *rest, **more)

    monkeypatch.setattr(measuring, "measure_clip", measure_clip)


def test_failed_cells_are_tried_again(tmp_path: Path, measured: list[str]) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    bad = clips / "even" / "bad.mp4"
    bad.write_bytes(b"")
    for _ in range(2):
        measured.clear()
        assert harness.run(clips, tmp_path / "out").code == 1
    assert measured == ["even/bad.mp4"]
    measured.clear()
    harness.save(bad, harness.steady(seed=5))
    run = harness.run(clips, tmp_path / "out")
    assert measured == ["even/bad.mp4"]
    assert run.code == 0
    assert list(harness.read_records(run.folder.root)["status"]) == ["done"] * 3


def altered(stored: dict[str, Any]) -> str:
    """A valid file whose number was changed: its checksum no longer fits."""
    stored["about"]["record"]["linearity_mae"] += 0.25
    return json.dumps(stored)


def other_schema(stored: dict[str, Any]) -> str:
    del stored["checksum"]
    stored["about"]["record"]["schema"] = -1
    return json.dumps(stored | {"checksum": _checksum(stored)})


DAMAGES: dict[str, Callable[[dict[str, Any]], str]] = {
    "empty": lambda stored: "",
    "altered": altered,
    "no object": lambda stored: "[1, 2]",
    "other files": lambda stored: json.dumps(stored | {"files": {}}),
    "other schema": other_schema,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cell_is_computed_again(
    damage: str, tmp_path: Path, measured: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    before = harness.tables(harness.run(clips, tmp_path / "out").folder.root)
    path = records(tmp_path / "out")[0]
    path.write_text(DAMAGES[damage](json.loads(path.read_text())))
    measured.clear()
    capsys.readouterr()
    second = harness.run(clips, tmp_path / "out")
    said = harness.check_one_line(capsys.readouterr().err)
    assert "its record is damaged" in said
    assert "/pair0" in said
    assert (len(measured), second.results.reused) == (1, 1)
    assert harness.tables(second.folder.root) == before
    assert harness.run(clips, tmp_path / "out").results.reused == 2


@pytest.mark.parametrize("column", ["curve", "plot"])
def test_a_file_that_is_gone_from_the_run_is_put_there_again(
    column: str, tmp_path: Path, measured: list[str]
) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    run = harness.run(clips, tmp_path / "out")
    path = run.folder.root / run.results.records[1][column]
    before = path.read_bytes()
    path.unlink()
    measured.clear()
    harness.run(clips, tmp_path / "out")
    assert measured == []
    assert path.read_bytes() == before


def test_an_emptied_picture_is_made_again(
    tmp_path: Path, measured: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As a full disk or a crash of the machine leaves it."""
    clips = harness.two_generators(tmp_path / "clips", 1)
    run = harness.run(clips, tmp_path / "out")
    for column in ("curve", "plot"):
        (run.folder.root / run.results.records[1][column]).write_bytes(b"")
    measured.clear()
    again = harness.run(clips, tmp_path / "out")
    assert again.code == 0
    assert measured == ["jumpy/pair0.mp4"]
    assert "leaderboard jumpy/pair0: its record is damaged" in capsys.readouterr().err


def test_a_run_without_links_copies(
    tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on disks of other systems."""
    clips = harness.two_generators(tmp_path / "clips", 1)
    whole = harness.tables(harness.run(clips, tmp_path / "whole").folder.root)
    measured.clear()

    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    for _ in range(2):
        run = harness.run(clips, tmp_path / "out")
        assert harness.tables(run.folder.root) == whole
    assert len(measured) == 2
    curve = run.folder.root / run.results.records[0]["curve"]
    assert curve.stat().st_nlink == 1


# Cells are shared by the runs of an output folder


def test_another_run_takes_over_the_cells_that_it_shares(
    tmp_path: Path, measured: list[str]
) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    first = harness.run(clips, tmp_path / "out", "name=first")
    harness.save(clips / "even" / "more.mp4", harness.still())
    measured.clear()
    second = harness.run(clips, tmp_path / "out", "name=second")
    assert measured == ["even/more.mp4"]
    alone = harness.run(clips, tmp_path / "alone", "name=second")
    assert harness.tables(second.folder.root) == harness.tables(alone.folder.root)
    for record in second.results.records:
        path = second.folder.root / record["curve"]
        assert path.read_bytes() == (alone.folder.root / record["curve"]).read_bytes()
    shared = first.results.records[0]["curve"]
    assert os.path.samefile(first.folder.root / shared, second.folder.root / shared)


# Starting over


def test_fresh_computes_everything_once_more(
    tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    first = harness.run(clips, tmp_path / "out")
    before = harness.tables(first.folder.root)
    (first.folder.root / "left.txt").write_text("of the earlier one")
    with monkeypatch.context() as patch:
        interrupt_at(patch, "jumpy/pair0.mp4")
        assert harness.run(clips, tmp_path / "out", "fresh=a").code == 130
    for words, count in ((["fresh=a"], 1), (["fresh=a"], 0), (["fresh=b"], 2), ([], 0)):
        measured.clear()
        run = harness.run(clips, tmp_path / "out", *words)
        assert len(measured) == count
        assert run.folder.root == first.folder.root
        assert harness.tables(run.folder.root) == before
        assert not (run.folder.root / "left.txt").exists()
    mine = harness.touch(tmp_path / "out" / "runs", "mine/notes.txt") / "mine"  # which is no run
    harness.run(clips, tmp_path / "out", "name=mine", "fresh=c")
    assert (mine / "notes.txt").exists()


# Pruning


def test_prune_removes_what_no_run_refers_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    output = tmp_path / "out"
    keep = harness.run(clips, output, "name=keep")
    drop = harness.run(clips, output, "name=drop", "fit.window=5")
    shutil.rmtree(drop.folder.root)
    (output / "cells" / "dead.lock").write_text("")
    assert prune(output) == (0, 0)  # a run may be at work on them
    long_ago = time.time() - 100_000
    for path in (output / "cells").iterdir():
        os.utime(path, (long_ago, long_ago))
    assert main(["prune", f"--output={output}"]) == 0
    assert "3 cells removed" in capsys.readouterr().out
    assert {path.parent.name for path in records(output)} == {
        record["cell"] for record in keep.results.records
    }
    assert harness.run(clips, output, "name=keep").results.reused == 2
    assert main(["prune", "--output=nowhere"]) == 2


def test_an_interruption_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a leaderboard of a part of the clips is not to be mistaken for the whole."""
    clips = harness.two_generators(tmp_path / "clips")
    whole = harness.tables(harness.run(clips, tmp_path / "whole").folder.root)
    with monkeypatch.context() as patch:
        interrupt_at(patch, "jumpy/pair1.mp4")
        stopped = harness.run(clips, tmp_path / "out")
    root = stopped.folder.root
    assert stopped.code == 130
    assert list(harness.read_records(root)["status"]) == [*["done"] * 3, "not_run"]
    assert stopped.results.records[3]["reason"].startswith("not run: ")
    board, left_out = stopped.summary.sections[0].tables
    assert list(board.data["pairs"]) == [1, 1]
    assert list(left_out.data["reason"]) == ["not run: jumpy"]
    page = harness.Page((root / "index.html").read_text())
    assert "interrupted" in " ".join(page.text)
    assert not list(root.rglob("*.tmp"))
    finished = harness.run(clips, tmp_path / "out")
    assert (finished.code, finished.results.reused) == (0, 3)
    assert harness.tables(root) == whole


# The run's folder


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/absolute"])
def test_other_names_are_refused(name: str, tmp_path: Path) -> None:
    clips = harness.touch(tmp_path / "clips", "a/p.mp4")
    with pytest.raises(ConfigError):
        harness.run(clips, tmp_path / "out", f"name={name}")
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    clips = harness.touch(tmp_path / "clips", "a/p.mp4")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError) as error:
        harness.run(clips, tmp_path / "file" / "out")
    assert "output=" in harness.check_one_line(str(error.value))


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    for path in ("../x", "/x", "a/../../x", ".", ""):
        with pytest.raises(ValueError, match="outside"):
            folder.write(path, "x")
    folder.write("a/b", "x")
    assert (tmp_path / "run" / "a" / "b").read_text() == "x"


def test_the_settings_name_the_run_and_neither_the_clock_nor_how_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    first = harness.run(clips, tmp_path / "out")
    assert first.folder.root.name.startswith("leaderboard-tiny-")
    later = time.time() + 1e7
    monkeypatch.setattr(time, "time", lambda: later)
    here = f"device={choose_device('auto')}"
    harness.run(clips, tmp_path / "out", "fit.window=30", "fit.sigma=20", here, "workers=1")
    assert harness.only_run(tmp_path / "out") == first.folder.root
    other = harness.run(clips, tmp_path / "out", "fit.window=5")
    assert other.folder.root != first.folder.root


def test_the_name_does_not_depend_on_where_the_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = harness.compose("benchmark=synthetic_pacing")
    names = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        names.append(session.make_job(config)[1].store.folder.root.name)
    assert names[0] == names[1]
