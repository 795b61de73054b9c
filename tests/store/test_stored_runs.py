"""Finished runs that are read instead of made again: only where nothing has changed."""

import json
import shutil

import harness

from benchmarks.harness import session
from benchmarks.harness.cells import Interval, Section, Summary, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.report.tables import table_as_csv
from benchmarks.harness.reproduction import stored_runs
from benchmarks.harness.runner import Results
from benchmarks.harness.store import CellStore
from benchmarks.known_pacing import tables as truth_tables
from spf.store import MANIFEST


def run(output):
    """The folder of a small run."""
    options = [*harness.TINY, "benchmark.laws=[linear]"]
    return stored_runs.run(harness.compose(*options, f"output={output}")).folder.root


def stored(root):
    """Manifest of the store's only entry that is a run: that holds tables."""
    found = root.parents[1].glob(f"cells/*/{MANIFEST}")
    (manifest,) = (x for x in found if "index.html" in json.loads(x.read_text())["files"])
    return manifest


def test_what_was_touched_is_as_before(tmp_path, monkeypatch):
    drawn = {"truth.png": (harness.blank(), "an image")}
    monkeypatch.setattr("benchmarks.known_pacing.experiment.draw_figures", lambda *_: drawn)
    part = truth_tables.Topic("Images", [], ("truth.png",), lambda embedder: embedder)
    parts = truth_tables.parts
    monkeypatch.setattr(truth_tables, "parts", lambda *args: [part, *parts(*args)])
    made, real = [], session.run
    monkeypatch.setattr(session, "run", lambda config: made.append(real(config)) or made[-1])

    def everything():
        return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    root = run(tmp_path)
    before = everything()
    for touch, runs in (
        (lambda: (root / "truth.png").unlink(), 1),
        (lambda: (root / "noise_floor.csv").write_text("altered"), 2),
        (lambda: shutil.rmtree(tmp_path / "cells"), 3),
        (lambda: stored(root).write_text("{"), 4),
    ):
        touch()
        run(tmp_path)
        assert len(made) == runs
        after = everything()
        assert after.keys() == before.keys()
        same = (".csv", ".md", ".png", "records.parquet")
        assert all(after[name] == before[name] for name in after if name.endswith(same))


def test_failures_are_not_kept(tmp_path):
    folder = RunFolder(tmp_path / "run")
    made = session.Run(folder, 1, Results(), Summary("done", []))
    stored_runs.store_run(made, CellStore(tmp_path / "cells", folder), "key")
    assert not (tmp_path / "cells").exists()


def test_intervals_come_back_as_numbers():
    row = {"clip": "a", "error_95": Interval(-0.25, 0.5), "blank": None}
    table = Table.of_rows("t", "title", list(row), [row])
    made = Summary("headline", [Section("s", tables=[table])])
    (again,) = Summary.of_plain(json.loads(json.dumps(made.plain()))).sections[0].tables
    assert again.rows == [row]
    assert again.rows[0]["error_95"].sign == 0
    assert table_as_csv(again) == "clip,error_95,blank\na,-0.2500 .. 0.5000,\n"
