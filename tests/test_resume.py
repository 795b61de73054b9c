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

from benchmarks.harness import measuring, prune
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


def test_finished_cells_are_taken_over(tmp_path: Path, measured: list[str]) -> None:
    clips = harness.two_generators(tmp_path / "clips")
    first = harness.run(clips, tmp_path / "out")
    assert len(measured) == 4
    measured.clear()
    second = harness.run(clips, tmp_path / "out")
    assert measured == []
    assert second.results.reused == 4
    assert second.results.records == first.results.records


def test_failed_cells_are_tried_again(tmp_path: Path, measured: list[str]) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    bad = clips / "even" / "bad.mp4"
    bad.write_bytes(b"")
    assert harness.run(clips, tmp_path / "out").code == 1
    measured.clear()
    assert harness.run(clips, tmp_path / "out").code == 1
    assert measured == ["even/bad.mp4"]
    measured.clear()
    harness.save(bad, harness.steady(seed=5))
    run = harness.run(clips, tmp_path / "out")
    assert measured == ["even/bad.mp4"]
    assert run.code == 0
    assert len(harness.read_records(run.folder.root)) == 3
    assert "failed" not in set(harness.read_records(run.folder.root)["status"])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def alter(path: Path) -> None:
    """A valid file whose number was changed: its checksum no longer fits."""
    stored = json.loads(path.read_text())
    stored["about"]["record"]["linearity_mae"] += 0.25
    path.write_text(json.dumps(stored))


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")


def other_files(path: Path) -> None:
    """The checksum covers what is beside the record, too."""
    stored = json.loads(path.read_text())
    stored["files"] = {}
    path.write_text(json.dumps(stored))


def other_schema(path: Path) -> None:
    stored = json.loads(path.read_text())
    del stored["checksum"]
    stored["about"]["record"]["schema"] = -1
    path.write_text(json.dumps(stored | {"checksum": _checksum(stored)}))


@pytest.mark.parametrize("damage", [empty, alter, no_text, other_files, other_schema])
def test_a_damaged_cell_is_computed_again(
    damage: Callable[[Path], None],
    tmp_path: Path,
    measured: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    first = harness.run(clips, tmp_path / "out")
    before = harness.tables(first.folder.root)
    damage(records(tmp_path / "out")[0])
    measured.clear()
    capsys.readouterr()
    second = harness.run(clips, tmp_path / "out")
    said = harness.check_one_line(capsys.readouterr().err)
    assert "its record is damaged" in said
    assert "/pair0" in said
    assert len(measured) == 1
    assert second.results.reused == 1
    assert harness.tables(second.folder.root) == before
    measured.clear()
    harness.run(clips, tmp_path / "out")
    assert measured == []  # mended


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


def test_fresh_computes_everything_once_more(tmp_path: Path, measured: list[str]) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    first = harness.run(clips, tmp_path / "out")
    before = harness.tables(first.folder.root)
    (first.folder.root / "left.txt").write_text("of the earlier one")
    mine = harness.touch(tmp_path / "out" / "runs", "mine/notes.txt") / "mine"  # which is no run
    for word, count in (("a", 2), ("a", 0), ("b", 2)):
        measured.clear()
        run = harness.run(clips, tmp_path / "out", f"fresh={word}")
        assert len(measured) == count
        assert run.folder.root == first.folder.root
        assert harness.tables(run.folder.root) == before
        assert not (run.folder.root / "left.txt").exists()
    measured.clear()
    harness.run(clips, tmp_path / "out")
    assert measured == []  # what is there counts again
    assert (mine / "notes.txt").exists()


def test_fresh_goes_on_where_it_was_interrupted(
    tmp_path: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = harness.two_generators(tmp_path / "clips")
    harness.run(clips, tmp_path / "out")
    with monkeypatch.context() as patch:
        interrupt_at(patch, "jumpy/pair0.mp4")
        assert harness.run(clips, tmp_path / "out", "fresh=a").code == 130
    measured.clear()
    assert harness.run(clips, tmp_path / "out", "fresh=a").code == 0
    assert measured == ["jumpy/pair0.mp4", "jumpy/pair1.mp4"]


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
    assert prune.prune(output) == (0, 0)  # a run may be at work on them
    long_ago = time.time() - 100_000
    for path in (output / "cells").iterdir():
        os.utime(path, (long_ago, long_ago))
    assert prune.main([f"output={output}"]) == 0
    assert "3 cells removed" in capsys.readouterr().out
    assert {path.parent.name for path in records(output)} == {
        record["cell"] for record in keep.results.records
    }
    assert harness.run(clips, output, "name=keep").results.reused == 2
    assert prune.main(["out"]) == 2


def interrupt_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Ctrl-C while this clip is being measured."""
    original = measuring.measure_clip

    def measure_clip(source: Path, *rest: Any, **more: Any) -> Any:
        if str(source).endswith(name):
            raise KeyboardInterrupt
        return original(source, *rest, **more)

    monkeypatch.setattr(measuring, "measure_clip", measure_clip)


def test_an_interruption_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = harness.two_generators(tmp_path / "clips")
    whole = harness.tables(harness.run(clips, tmp_path / "whole").folder.root)
    with monkeypatch.context() as patch:
        interrupt_at(patch, "even/pair1.mp4")
        stopped = harness.run(clips, tmp_path / "out")
    root = stopped.folder.root
    assert stopped.code == 130
    assert list(harness.read_records(root)["status"]) == ["done", *["not_run"] * 3]
    reasons = [record["reason"] for record in stopped.results.records]
    assert reasons[0] == ""
    assert all(reason.startswith("not run: ") for reason in reasons[1:])
    assert (root / "index.html").is_file()
    assert len(harness.cell_files(root)) == 1
    assert len(records(tmp_path / "out")) == 1
    assert not list(root.rglob("*.tmp"))
    finished = harness.run(clips, tmp_path / "out")
    assert (finished.code, finished.results.reused) == (0, 1)
    assert harness.tables(root) == whole


def test_a_partial_page_says_that_it_is_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leaderboard of half of the clips must not be mistaken for the whole."""
    clips = harness.two_generators(tmp_path / "clips")
    interrupt_at(monkeypatch, "jumpy/pair1.mp4")
    run = harness.run(clips, tmp_path / "out")
    board, left_out = run.summary.sections[0].tables
    assert list(board.data["pairs"]) == [1, 1]
    assert list(left_out.data["reason"]) == ["not run: jumpy"]
    page = " ".join(harness.Page((run.folder.root / "index.html").read_text()).text)
    assert "interrupted" in page
