"""The table and the history of `make bench`; what it measures is no test's business."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


def test_history_is_appended_under_one_heading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import bench

    path = tmp_path / "bench" / "history.csv"
    bench.append_history(path, {"start_up": {"run": 0.5, "spf": 0.25}}, "a machine, a load")
    bench.append_history(path, {"start_up": {"run": 2.0}, "not_run": {}}, "another")
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [(row["workload"], row["figure"], row["value"], row["machine"]) for row in rows]
    assert kept == [
        ("start_up", "run", "0.5", "a machine, a load"),
        ("start_up", "spf", "0.25", "a machine, a load"),
        ("start_up", "run", "2", "another"),
    ]
