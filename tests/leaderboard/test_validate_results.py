import os
from pathlib import Path

import pytest
from rows import board, failed, row, stored

from benchmarks.__main__ import main
from benchmarks.leaderboard.inputs import COMMUNITY, checked


def validated(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    code = main(["validate", str(folder)])
    lines = capsys.readouterr().out.splitlines()
    assert code == int(lines != ["no problems"])
    return lines


def test_what_is_committed_and_other_good_results_pass(tmp_path, capsys):
    assert list(checked(COMMUNITY)) == []
    for name, rows in {
        "one": [*board("a", 3), failed("a", "p9")],
        "two": board("b", 3, embedder="siglip"),  # another board, not this one's
        "board/tiny": board("a", 3),  # a collection, by embedders
    }.items():
        (stored(tmp_path / name, rows) / "records.csv").unlink()  # for people: stays at home
    for name in ("README.md", "two/README.md", "board/tiny/leaderboard_metrics.csv"):
        (tmp_path / name).write_text("hello")
    assert validated(tmp_path, capsys) == ["no problems"]
    assert "there is no such folder" in validated(tmp_path / "none", capsys)[0]


def test_every_problem_has_its_line(tmp_path, capsys):
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
    for name in ("a-empty", "h-damaged", "i-more", "l-board/tiny/more", "m-empty/within"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("h-damaged/records.parquet", "i-more/run.sh", "k.txt", "l-board/leaderboard.html"):
        (tmp_path / name).write_text("text")
    (tmp_path / "l-board" / "README.md").write_text("x" * 1_000_001)
    for name in ("j-link", "l-board/link", "a-empty/records.parquet"):
        os.symlink("/etc/passwd", tmp_path / name)
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
    for line, start in zip(validated(tmp_path, capsys), expected, strict=True):
        assert line.startswith(start)
