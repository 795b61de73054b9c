"""Finished runs that are read instead of made again: only where nothing has changed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest
from omegaconf import DictConfig

from benchmarks.harness import session
from benchmarks.harness.cells import Figure, Section, Summary, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.reproduction import kept_runs
from benchmarks.harness.runner import Results
from benchmarks.known_pacing import tables as truth_tables


def config(output: Path, *more: str) -> DictConfig:
    words = [
        "benchmark=synthetic_pacing", "embedder=histogram", "benchmark.studies=[floor]",
        "benchmark.num_frames=8", "benchmark.size=[32,32]", "benchmark.seeds=[1000]",
        "benchmark.laws=[linear]", "benchmark.contents=[brick-cat-warp]",
    ]  # fmt: skip
    return harness.compose(*words, f"output={output}", *more)


@pytest.fixture(autouse=True)
def _one_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots, which take most of the time, are not the subject; that there is a picture is."""
    drawn = {"truth.png": (harness.blank(), "a picture")}
    monkeypatch.setattr("benchmarks.known_pacing.experiment.draw_figures", lambda *_: drawn)
    part = truth_tables.Part("Pictures", [], ("truth.png",), lambda embedder: embedder)
    parts = truth_tables.parts
    monkeypatch.setattr(truth_tables, "parts", lambda *given: [part, *parts(*given)])


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One entry for each run that is made, and not read."""
    made: list[bool] = []
    real = session.run

    def run(*given: Any, **more: Any) -> session.Run:
        made.append(True)
        return real(*given, **more)

    monkeypatch.setattr(session, "run", run)
    return made


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_run_is_read(tmp_path: Path, counted: list[bool]) -> None:
    first = kept_runs.run(config(tmp_path))
    before = everything(tmp_path)
    again = kept_runs.run(config(tmp_path))
    assert len(counted) == 1
    assert everything(tmp_path) == before
    assert again.summary.plain() == first.summary.plain()
    assert list(map(str, again.results.records)) == list(map(str, first.results.records))
    assert again.results.reused == len(first.results.records)
    assert (again.code, again.folder.root) == (0, first.folder.root)


@pytest.mark.parametrize("change", ["figure", "table", "cell", "kept", "key"])
def test_what_was_touched_is_made_again(tmp_path: Path, counted: list[bool], change: str) -> None:
    first = kept_runs.run(config(tmp_path))
    root, before = first.folder.root, everything(first.folder.root)
    if change == "figure":
        (root / first.summary.sections[0].figures[0].path).unlink()
    if change == "table":
        (root / "noise_floor.csv").write_text("altered")
    if change == "cell":
        shutil.rmtree(tmp_path / "cells")
    if change == "kept":
        (root / kept_runs.FILE).write_text("{")
    if change == "key":
        text = (root / kept_runs.FILE).read_text()
        (root / kept_runs.FILE).write_text(text.replace('"key": "', '"key": "0'))
    kept_runs.run(config(tmp_path))
    assert len(counted) == 2
    after = everything(root)
    assert after.keys() == before.keys()
    mended = (".csv", ".md", ".png", "records.parquet")
    assert all(after[name] == before[name] for name in after if name.endswith(mended))


def test_failures_are_not_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    made = session.Run(folder, 1, Results(), Summary("done", []))
    kept_runs.keep(made, "key")
    assert not (tmp_path / kept_runs.FILE).exists()


def test_a_summary_comes_back_as_it_was(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"a": np.float64(0.1), "b": np.int64(3), "c": None, "d": "x", "e": np.bool_(True)},
        {"a": float("nan"), "b": 4, "c": 1e-300, "d": "é", "e": False},
    ]
    table = Table.of_rows("t", "T", list("abcde"), rows, "note", timed=True)
    figure = Figure("f.png", "alt", "caption")
    RunFolder(tmp_path).write("f.png", b"x")
    summary = Summary("h", [Section("s", ["p"], [table], [figure])])
    made = session.Run(RunFolder(tmp_path), 0, Results(), summary)
    read = kept_runs.keep(made, "key").summary
    (back,) = read.sections[0].tables
    assert back.rows[0] == {"a": 0.1, "b": 3, "c": None, "d": "x", "e": True}
    assert [type(value) for value in back.rows[0].values()] == [float, int, type(None), str, bool]
    assert np.isnan(back.rows[1]["a"])
    assert (back.name, back.note, back.timed) == ("t", "note", True)
    assert read.sections[0].figures == [figure]
