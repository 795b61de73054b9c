"""Finished cells are never computed again; failed, damaged and missing ones are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import pytest

from benchmarks import measuring, session
from benchmarks.folder import RunFolder, slug
from spf.errors import ConfigError, SpfError


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


def newest(folder: Path) -> list[Path]:
    return sorted((folder / "cells").glob("*.json"))


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


def test_a_passing_failure_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same bytes, same settings: the failure lay elsewhere and is gone."""
    clips = harness.two_generators(tmp_path / "clips", 1)
    with monkeypatch.context() as patch:
        patch.setattr(
            measuring, "measure_clip", lambda *_, **__: (_ for _ in ()).throw(OSError(5, "x"))
        )
        assert harness.run(clips, tmp_path / "out").code == 1
    run = harness.run(clips, tmp_path / "out")
    assert run.code == 0
    assert [record["status"] for record in run.results.records] == ["done", "done"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def alter(path: Path) -> None:
    """A valid file whose number was changed: its checksum no longer fits."""
    stored = json.loads(path.read_text())
    stored["record"]["linearity_mae"] += 0.25
    path.write_text(json.dumps(stored))


def no_object(path: Path) -> None:
    path.write_text("[1, 2]")


def no_record(path: Path) -> None:
    path.write_text("{}")


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")


def other_schema(path: Path) -> None:
    from benchmarks.records import _checksum

    stored = json.loads(path.read_text())
    stored["record"]["schema"] = -1
    stored["checksum"] = _checksum(stored["record"])
    path.write_text(json.dumps(stored))


@pytest.mark.parametrize(
    "damage", [truncate, empty, alter, no_object, no_record, no_text, other_schema]
)
def test_a_damaged_cell_is_computed_again(
    damage: Callable[[Path], None], tmp_path: Path, measured: list[str]
) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    first = harness.run(clips, tmp_path / "out")
    before = harness.tables(first.folder.root)
    damage(newest(first.folder.root)[0])
    measured.clear()
    second = harness.run(clips, tmp_path / "out")
    assert len(measured) == 1
    assert second.results.reused == 1
    assert harness.tables(second.folder.root) == before
    measured.clear()
    harness.run(clips, tmp_path / "out")
    assert measured == []  # mended


@pytest.mark.parametrize("column", ["curve", "plot"])
def test_a_cell_whose_files_are_gone_is_computed_again(
    column: str, tmp_path: Path, measured: list[str]
) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    run = harness.run(clips, tmp_path / "out")
    (run.folder.root / run.results.records[1][column]).unlink()
    measured.clear()
    again = harness.run(clips, tmp_path / "out")
    assert measured == ["jumpy/pair0.mp4"]
    assert (again.folder.root / again.results.records[1][column]).is_file()


def test_an_emptied_picture_is_made_again(tmp_path: Path, measured: list[str]) -> None:
    """As a full disk or a crash of the machine leaves it."""
    clips = harness.two_generators(tmp_path / "clips", 1)
    run = harness.run(clips, tmp_path / "out")
    for column in ("curve", "plot"):
        (run.folder.root / run.results.records[1][column]).write_bytes(b"")
    measured.clear()
    again = harness.run(clips, tmp_path / "out")
    assert again.code == 0
    assert measured == ["jumpy/pair0.mp4"]


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
    assert not list(root.rglob("*.tmp"))
    finished = harness.run(clips, tmp_path / "out")
    assert (finished.code, finished.results.reused) == (0, 1)
    assert harness.tables(root) == whole


def test_an_interruption_before_the_first_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = harness.two_generators(tmp_path / "clips")
    with monkeypatch.context() as patch:
        interrupt_at(patch, "even/pair0.mp4")
        stopped = harness.run(clips, tmp_path / "out")
    assert stopped.code == 130
    assert {record["status"] for record in stopped.results.records} == {"not_run"}
    assert harness.run(clips, tmp_path / "out").code == 0


def test_a_partial_page_says_that_it_is_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leaderboard of half of the clips must not be mistaken for the whole."""
    clips = harness.two_generators(tmp_path / "clips")
    interrupt_at(monkeypatch, "jumpy/pair1.mp4")
    run = harness.run(clips, tmp_path / "out")
    board = run.summary.sections[0].tables[0].rows
    assert [row["order"] for row in board] == [None, None]
    page = " ".join(harness.Page((run.folder.root / "index.html").read_text()).text)
    assert "interrupted" in page


# The run's folder


def test_the_name_does_not_depend_on_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    clips = harness.two_generators(tmp_path / "clips", 1)
    first = harness.run(clips, tmp_path / "out")
    later = time.time() + 1e7
    monkeypatch.setattr(time, "time", lambda: later)
    second = harness.run(clips, tmp_path / "out")
    assert second.folder.root == first.folder.root
    assert harness.only_run(tmp_path / "out") == first.folder.root
    assert first.folder.root.name.startswith("leaderboard-tiny-")


def test_a_given_name_is_the_folder(tmp_path: Path) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    run = harness.run(clips, tmp_path / "out", "name=mine")
    assert run.folder.root == tmp_path / "out" / "runs" / "mine"


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/absolute"])
def test_other_names_are_refused(name: str, tmp_path: Path) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    with pytest.raises(ConfigError):
        harness.run(clips, tmp_path / "out", f"name='{name}'")
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError) as error:
        harness.run(clips, tmp_path / "file" / "out")
    assert "output=" in harness.check_one_line(str(error.value))


def test_a_disk_that_fills_up_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = harness.two_generators(tmp_path / "clips")
    with monkeypatch.context() as patch:
        replace = os.replace
        count = [0]

        def full(source: Any, target: Any) -> None:
            count[0] += 1
            if count[0] > 6:
                raise OSError(28, "No space left on device")
            replace(source, target)

        patch.setattr(os, "replace", full)
        with pytest.raises(SpfError, match="No space left") as error:
            harness.run(clips, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "out").rglob("*.tmp"))
    run = harness.run(clips, tmp_path / "out")
    assert run.code == 0
    assert run.results.reused >= 1


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    for path in ("../x", "/x", "a/../../x", ".", ""):
        with pytest.raises(ValueError, match="outside"):
            folder.write(path, "x")
    folder.write("a/b", "x")
    assert (tmp_path / "run" / "a" / "b").read_text() == "x"


def test_slugs_are_safe_and_distinct() -> None:
    names = ["a", "a b", "a-b", "a/b", "..", ".", "-", "ä", "ö", "A" * 90, "A" * 91, "a\n"]
    slugs = [slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    for text in slugs:
        assert text == os.path.basename(text)
        assert text.strip(".-") == text != ""
        assert len(text) < 100
        assert text.isascii()
    assert slug("pair.v2_x-1") == "pair.v2_x-1"


def test_sessions_identity_leaves_out_where_results_go() -> None:
    plain = session.identity(harness.compose())
    moved = session.identity(harness.compose("output=o", "name=x", "logger=wandb", "workers=3"))
    assert plain == moved
    assert plain != session.identity(harness.compose("fit.window=5"))
