"""Finished runs that are read instead of made again: only where nothing has changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import pytest
from omegaconf import DictConfig

from benchmarks.harness import session
from benchmarks.harness.cells import Interval, Section, Summary, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.report.tables import table_as_csv
from benchmarks.harness.reproduction import stored_runs
from benchmarks.harness.runner import Results
from benchmarks.harness.store import CellStore
from benchmarks.known_pacing import tables as truth_tables
from spf.store import MANIFEST


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
    part = truth_tables.Topic("Pictures", [], ("truth.png",), lambda embedder: embedder)
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


def stored(root: Path) -> list[Path]:
    """Manifests of the store's entries that are runs: those that hold tables."""
    found = root.parents[1].glob(f"cells/*/{MANIFEST}")
    return [path for path in found if "index.html" in json.loads(path.read_text())["files"]]


CHANGES: dict[str, tuple[Callable[[Path], object], int]] = {
    "figure": (lambda root: (root / "truth.png").unlink(), 1),
    "table": (lambda root: (root / "noise_floor.csv").write_text("altered"), 2),
    "cell": (lambda root: shutil.rmtree(root.parents[1] / "cells"), 2),
    "manifest": (lambda root: stored(root)[0].write_text("{"), 2),
    "key": (lambda root: stored(root)[0].parent.rename(root.parents[1] / "cells" / "other"), 2),
}
"""What is done to a run, and how many runs are made in all."""


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_touched_is_as_before(tmp_path: Path, counted: list[bool], change: str) -> None:
    root = stored_runs.run(config(tmp_path)).folder.root
    assert len(stored(root)) == 1
    before = everything(root)
    touch, runs = CHANGES[change]
    touch(root)
    stored_runs.run(config(tmp_path))
    assert len(counted) == runs
    after = everything(root)
    assert after.keys() == before.keys()
    same = (".csv", ".md", ".png", "records.parquet")
    assert all(after[name] == before[name] for name in after if name.endswith(same))


def test_failures_are_not_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    made = session.Run(folder, 1, Results(), Summary("done", []))
    stored_runs.store_run(made, CellStore(tmp_path / "cells", folder), "key")
    assert not (tmp_path / "cells").exists()


def test_intervals_come_back_as_numbers() -> None:
    row = {"clip": "a", "error_95": Interval(-0.25, 0.5), "blank": None}
    table = Table.of_rows("t", "title", list(row), [row])
    made = Summary("headline", [Section("s", tables=[table])])
    (again,) = Summary.of_plain(json.loads(json.dumps(made.plain()))).sections[0].tables
    assert again.rows == [row]
    assert again.rows[0]["error_95"].sign == 0
    assert table_as_csv(again) == "clip,error_95,blank\na,-0.2500 .. 0.5000,\n"
