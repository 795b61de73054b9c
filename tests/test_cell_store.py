"""The store of cells: a cell is there whole or not at all, and the first result stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.running.cells import Cell, Key, Outcome
from benchmarks.running.folder import DiskError, RunFolder
from benchmarks.running.records import DONE, FAILED, make_record
from benchmarks.running.store import CellStore


def test_a_row_has_the_config_of_its_own_run(tmp_path: Path) -> None:
    """Also where another run computed it: tables must not tell who was first."""
    root, cell = tmp_path / "cells", a_cell()
    stores = [CellStore(root, RunFolder(tmp_path / name), name) for name in ("first", "second")]
    stores[0].save(cell, make_record(cell, DONE, "", {"config_hash": "first"}), None)
    for store in stores:
        record = store.load(cell)
        assert record is not None
        assert record["config_hash"] == store.config_hash


def test_of_two_results_the_first_one_stays(tmp_path: Path) -> None:
    """As where a claim expired although its holder was at work."""
    store, cell = a_store(tmp_path), a_cell()
    for number, value in enumerate((1.0, 2.0)):
        outcome = Outcome({}, files={"curves/a.csv": b"%d" % number})
        store.save(cell, make_record(cell, DONE, "", {"linearity_mae": value}), outcome)
    record = store.load(cell)
    assert record is not None
    assert record["linearity_mae"] == 1.0
    assert store.folder.read("curves/a.csv") == b"0"
    assert sorted(path.name for path in store.root.iterdir()) == [cell.identity]


def test_a_result_takes_the_place_of_a_failure_and_of_damage(tmp_path: Path) -> None:
    store, cell = a_store(tmp_path), a_cell()
    store.save(cell, make_record(cell, FAILED, "it rained", {}), None)
    assert store.settled(cell)
    assert store.load(cell) is None
    store.save(cell, make_record(cell, DONE, "", {"linearity_mae": 1.0}), None)
    assert store.load(cell) is not None
    (store.root / cell.identity / "record.json").write_bytes(b"{")
    store.save(cell, make_record(cell, DONE, "", {"linearity_mae": 2.0}), None)
    record = store.load(cell)
    assert record is not None
    assert record["linearity_mae"] == 2.0


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, cell = a_store(tmp_path), a_cell()
    outcome = Outcome({}, files={"curves/a.csv": b"0"})
    for call in ("fsync", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(
                os, call, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
            )
            with pytest.raises(DiskError, match="No space left"):
                store.save(cell, make_record(cell, DONE, "", {}), outcome)
        assert list(store.root.iterdir()) == []
    assert store.load(cell) is None


def a_store(folder: Path) -> CellStore:
    return CellStore(folder / "cells", RunFolder(folder / "run"), "hash")


def a_cell(clip: str = "pair", compute: Callable[..., Outcome] | None = None) -> Cell:
    key = Key("leaderboard", clip, "tiny", "even")
    return Cell(key, {"clip": clip}, compute or (lambda _: Outcome({"linearity_mae": 0.5})))
