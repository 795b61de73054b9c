import json
import os
import shutil
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import harness
import pytest

from benchmarks.__main__ import main
from benchmarks.harness import measuring, session
from spf.devices import choose_device
from spf.store import MANIFEST, _checksum


@pytest.fixture
def measured(monkeypatch):
    """Names GENERATOR/FILE of the clips that were measured, in order; one ends in Ctrl-C where the
    list ends with its name and an exclamation mark."""
    harness.without_plots(monkeypatch)
    seen: list[str] = []
    original = measuring.measure_clip

    def measure_clip(source: Path, *rest: Any, **more: Any) -> Any:
        name = "/".join(Path(source).parts[-2:])
        if seen[:1] == [f"{name}!"]:
            raise KeyboardInterrupt
        seen.append(name)
        return original(source, *rest, **more)

    monkeypatch.setattr(measuring, "measure_clip", measure_clip)
    return seen


@pytest.fixture
def clips(tmp_path, measured):
    return harness.two_generators(tmp_path / "clips", 1)


def run(clips: Path, output: Path, *more: str) -> session.Run:
    return harness.run(clips, output, "embedder=pixels", *more)


def altered(stored: dict[str, Any]) -> str:
    stored["about"]["record"]["linearity_mae"] += 0.25
    return json.dumps(stored)


def other_schema(stored: dict[str, Any]) -> str:
    del stored["checksum"]
    stored["about"]["record"]["schema"] = -1
    return json.dumps(stored | {"checksum": _checksum(stored)})


def test_a_damaged_cell_is_computed_again(clips, tmp_path, measured, capsys):
    before = harness.tables(run(clips, tmp_path / "out").folder.root)
    for damage in (lambda stored: "", altered, lambda stored: "[1, 2]", other_schema):
        path = min((tmp_path / "out" / "cells").glob(f"*/{MANIFEST}"))
        path.write_text(damage(json.loads(path.read_text())))
        measured.clear()
        capsys.readouterr()
        again = run(clips, tmp_path / "out")
        assert "/pair0: its record is damaged" in harness.check_one_line(capsys.readouterr().err)
        assert (len(measured), again.results.reused) == (1, 1)
        assert harness.tables(again.folder.root) == before
    assert run(clips, tmp_path / "out").results.reused == 2


def test_a_file_that_is_gone_is_put_there_and_an_emptied_one_made_again(clips, tmp_path, measured):
    made = run(clips, tmp_path / "out")
    paths = [made.folder.root / made.results.records[1][column] for column in ("curve", "plot")]
    before = [path.read_bytes() for path in paths]
    for emptied in (False, True):
        for path in paths:
            if emptied:
                path.write_bytes(b"")  # as a full disk leaves the cell's own file: a link
            else:
                path.unlink()
        assert run(clips, tmp_path / "out").code == 0
        assert measured[2:] == ["jumpy/pair0.mp4"] * emptied
        assert [path.read_bytes() for path in paths] == before


def test_a_run_without_links_copies(clips, tmp_path, measured, monkeypatch):
    whole = harness.tables(run(clips, tmp_path / "whole").folder.root)
    monkeypatch.setattr(os, "link", Mock(side_effect=PermissionError(1, "not permitted")))
    for _ in range(2):
        made = run(clips, tmp_path / "out")
        assert harness.tables(made.folder.root) == whole
    assert len(measured) == 4
    assert (made.folder.root / made.results.records[0]["curve"]).stat().st_nlink == 1


def test_another_run_takes_over_the_cells_that_it_shares_and_prune_removes_the_rest(
    clips, tmp_path, measured, capsys
):
    output = tmp_path / "out"
    first = run(clips, output, "name=first")
    harness.save(clips / "even" / "more.mp4", harness.still())
    second = run(clips, output, "name=second")
    assert measured[2:] == ["even/more.mp4"]
    alone = run(clips, tmp_path / "alone", "name=second")
    assert harness.tables(second.folder.root) == harness.tables(alone.folder.root)
    shared = first.results.records[0]["curve"]
    assert os.path.samefile(first.folder.root / shared, second.folder.root / shared)

    shutil.rmtree(second.folder.root)
    (output / "cells" / "dead.lock").write_text("")
    for removed in (0, 2):
        assert main(["prune", f"--output={output}"]) == 0
        assert f"{removed} cells removed" in capsys.readouterr().out  # none that may be in use
        for path in (output / "cells").iterdir():
            os.utime(path, (0, 0))  # long ago
    cells = {record["cell"] for record in first.results.records}
    assert {path.parent.name for path in (output / "cells").glob(f"*/{MANIFEST}")} == cells
    assert main(["prune", "--output=nowhere"]) == 2


def test_fresh_computes_everything_once_more(clips, tmp_path, measured):
    first = run(clips, tmp_path / "out")
    before = harness.tables(first.folder.root)
    (first.folder.root / "left.txt").write_text("of the earlier one")
    measured[:] = ["jumpy/pair0.mp4!"]
    assert run(clips, tmp_path / "out", "fresh=a").code == 130
    for words, count in ((["fresh=a"], 1), (["fresh=a"], 0), (["fresh=b"], 2), ([], 0)):
        measured.clear()
        made = run(clips, tmp_path / "out", *words)
        assert len(measured) == count
        assert made.folder.root == first.folder.root
        assert harness.tables(made.folder.root) == before
        assert not (made.folder.root / "left.txt").exists()
    mine = harness.touch(tmp_path / "out" / "runs", "mine/notes.txt") / "mine"  # which is no run
    run(clips, tmp_path / "out", "name=mine", "fresh=c")
    assert (mine / "notes.txt").exists()


def test_an_interruption_keeps_what_is_finished(tmp_path, measured):
    clips = harness.two_generators(tmp_path / "clips")
    whole = harness.tables(run(clips, tmp_path / "whole").folder.root)
    measured[:] = ["jumpy/pair1.mp4!"]
    stopped = run(clips, tmp_path / "out")
    measured.clear()
    root = stopped.folder.root
    assert stopped.code == 130
    assert list(harness.read_records(root)["status"]) == [*["done"] * 3, "not_run"]
    assert stopped.results.records[3]["reason"].startswith("not run: ")
    board, left_out = stopped.summary.sections[0].tables
    assert list(board.data["pairs"]) == [1, 1]
    assert list(left_out.data["reason"]) == ["not run: jumpy"]
    assert "interrupted" in " ".join(harness.Page((root / "index.html").read_text()).text)
    files = [path.suffix for path in (tmp_path / "out").rglob("*")]
    assert not {".tmp", ".lock"} & {*files}
    finished = run(clips, tmp_path / "out")
    assert (finished.code, finished.results.reused) == (0, 3)
    assert harness.tables(root) == whole


def test_what_is_measured_names_the_run_and_neither_the_clock_nor_how_it_is_typed(
    tmp_path, monkeypatch
):
    here = f"device={choose_device('auto')}"
    names = []
    for words in ([], ["fit.window=30", "fit.sigma=20", here, "workers=2"], ["fit.window=5"]):
        monkeypatch.chdir(tmp_path if words else harness.ROOT)
        config = harness.compose("benchmark=synthetic_pacing", *words)
        names.append(session.make_job(config)[1].store.folder.root.name)
        monkeypatch.setattr(time, "time", lambda: 1e10)
    assert names[0].startswith("synthetic_pacing-tiny-")
    assert names[0] == names[1] != names[2]
