"""The validator of results that others add: quiet about good ones, a line for each problem."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import harness
import pytest
from rows import board, failed, row, stored

from benchmarks.__main__ import main
from benchmarks.leaderboard.community import COMMUNITY, checked

sys.path.insert(0, str(harness.ROOT / "scripts"))


def said(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    code = main(["validate", str(folder)])
    lines = capsys.readouterr().out.splitlines()
    assert code == int(lines != ["no problems"])
    return lines


def test_what_is_committed_is_valid() -> None:
    assert list(checked(COMMUNITY)) == []


def test_good_results_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(tmp_path / "one", [*board("a", 3), failed("a", "p9")])
    stored(tmp_path / "two", board("b", 3, embedder="siglip"))  # another board, not this one's
    stored(tmp_path / "board" / "tiny", board("a", 3))  # a collection, by embedders
    (tmp_path / "board" / "tiny" / "leaderboard_metrics.csv").write_text("generator")
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / "two" / "README.md").write_text("hello")
    for name in ("one", "two", "board/tiny"):
        (tmp_path / name / "records.csv").unlink()  # the table for people stays at home
    assert said(tmp_path, capsys) == ["no problems"]


def test_every_problem_has_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rows in {
        "b-range": [row(error=0.7), row(clip="p1", speed_cv_64=-1.0)],
        "c-dirty": board("a", 2, dirty=True),
        "d-mixed": [row(), row(clip="p1", weights_hash="f" * 64)],
        "e-schema": board("a", 2, schema=99),
        "f name": board("a", 2),
        "g-origin": board("a", 2, commit=""),
        "l-board/tiny": board("a", 2),
        "l-board/dirty": board("a", 2, dirty=True),
    }.items():
        (stored(tmp_path / name, rows) / "records.csv").unlink()
    (tmp_path / "a-empty").mkdir()
    (tmp_path / "h-damaged").mkdir()
    (tmp_path / "h-damaged" / "records.parquet").write_bytes(b"PAR1 and so on")
    (tmp_path / "i-more").mkdir()
    (tmp_path / "i-more" / "run.sh").write_text("echo")
    os.symlink("/etc", tmp_path / "j-link")
    (tmp_path / "k.txt").write_text("text")
    (tmp_path / "l-board" / "README.md").write_bytes(b"x" * 1_000_001)
    (tmp_path / "l-board" / "tiny" / "more").mkdir()
    (tmp_path / "l-board" / "leaderboard.html").write_text("<p>")
    os.symlink("/etc", tmp_path / "l-board" / "link")
    (tmp_path / "m-empty" / "within").mkdir(parents=True)
    os.symlink("/etc/passwd", tmp_path / "a-empty" / "records.parquet")
    lines = said(tmp_path, capsys)
    expected = [
        "a-empty: records.parquet does not belong here",
        "a-empty: there is no records.parquet",
        "b-range: linearity_mae is outside 0 .. 0.5 in 1 row(s), first row 1",
        "b-range: speed_cv_64 is outside",
        "c-dirty: dirty",
        "d-mixed: weights_hash differs",
        "e-schema: schema is not",
        "f name: name it by",
        "g-origin: commit is missing in 2 row(s)",
        "h-damaged: it cannot be read as records",
        "i-more: run.sh does not belong here",
        "i-more: there is no records.parquet",
        "j-link: this is a link",
        "k.txt: this file does not belong here",
        "l-board: README.md is larger than 1,000,000 bytes",
        "l-board: dirty: dirty",
        "l-board: leaderboard.html does not belong here",
        "l-board: link does not belong here",
        "l-board: tiny: more does not belong here",
        "m-empty: within: there is no records.parquet",
    ]
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)


def test_no_folder_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no such folder" in said(tmp_path / "none", capsys)[0]
