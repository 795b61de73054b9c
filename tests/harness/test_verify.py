"""`make verify-results`: it finds what differs, and nothing else."""

from __future__ import annotations

import csv
from pathlib import Path

import harness
import pytest

from benchmarks.__main__ import main
from benchmarks.harness.verify import compare

COLUMNS = [
    "embedder",
    "motion",
    "law",
    "linearity_mae",
    "calibrated_95",
    "better",
    "status",
    "note",
]
ROWS = [
    ["tiny", "none", "linear", "0.123456", "0.1 .. 0.2", "3 of 4", "done", "a, b"],
    ["tiny", "none", "ease_in", "0.2", "", "4 of 4", "done", ""],
    ["siglip", "", "", "", "", "", "not_run", "weights absent"],
]


def write(folder: Path, rows: list[list[str]], columns: list[str] = COLUMNS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "pacing.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return folder


def altered(row: int, column: str, value: str) -> list[list[str]]:
    rows = [list(one) for one in ROWS]
    rows[row][COLUMNS.index(column)] = value
    return rows


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return write(tmp_path / "reference", ROWS)


def test_equal_tables_agree(reference: Path, tmp_path: Path) -> None:
    assert compare(reference, write(tmp_path / "fresh", ROWS)) == []
    assert compare(reference, write(tmp_path / "turned", ROWS[::-1])) == []
    more = [*ROWS, ["clip", "none", "linear", "0.3", "", "", "done", ""]]  # of other weights
    assert compare(reference, write(tmp_path / "more", more)) == []


ALLOWED = [  # small changes, and rows that the reference could not run
    (0, "linearity_mae", "0.1282"), (0, "calibrated_95", "0.105 .. 0.2"), (0, "better", "2 of 4"),
    (2, "note", "other words"), (2, "status", "done"), (2, "linearity_mae", "0.5"),
]  # fmt: skip
DIFFERENT = [
    (0, "linearity_mae", "0.13"), (0, "linearity_mae", "0.11"), (0, "linearity_mae", ""),
    (0, "linearity_mae", "nan"), (0, "linearity_mae", "-0.123456"), (0, "status", "failed"),
    (0, "calibrated_95", "0.1 .. 0.25"), (0, "calibrated_95", ""), (0, "better", "1 of 4"),
    (1, "calibrated_95", "0.1 .. 0.2"), (1, "note", "x"), (0, "better", "3 von 4"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "column", "value"), [*ALLOWED, *DIFFERENT])
def test_what_differs_is_named(
    reference: Path, tmp_path: Path, row: int, column: str, value: str
) -> None:
    found = compare(reference, write(tmp_path / "fresh", altered(row, column, value)))
    assert len(found) == ((row, column, value) in DIFFERENT)
    for one in found:
        before = ROWS[row][COLUMNS.index(column)]
        assert (one.table, one.column, one.reference, one.value) == (
            "pacing", column, before, value,
        )  # fmt: skip
        for part in ("pacing", f"law={ROWS[row][2]}", column, before or "empty", value or "empty"):
            assert part in str(one)


def test_rows_columns_and_tables_that_are_gone(reference: Path, tmp_path: Path) -> None:
    (row,) = compare(reference, write(tmp_path / "a", ROWS[1:]))
    assert "law=linear" in row.row
    assert row.value == "gone"
    short = [one[:-1] for one in ROWS]
    (column,) = compare(reference, write(tmp_path / "b", short, COLUMNS[:-1]))
    assert (column.column, column.value) == ("note", "gone")
    longer = [[*one, "1"] for one in ROWS]
    (column,) = compare(reference, write(tmp_path / "c", longer, [*COLUMNS, "new"]))
    assert (column.column, column.reference) == ("new", "gone")
    write(tmp_path / "d", ROWS).joinpath("pacing.csv").rename(tmp_path / "d" / "other.csv")
    (table,) = compare(reference, tmp_path / "d")
    assert (table.table, table.value) == ("pacing", "gone")


def test_rows_of_one_name_are_told_apart(tmp_path: Path) -> None:
    rows = [["0.1"], ["0.2"], ["0.3"]]
    reference = write(tmp_path / "a", rows, ["linearity_mae"])
    (found,) = compare(
        reference, write(tmp_path / "b", [["0.1"], ["0.9"], ["0.3"]], ["linearity_mae"])
    )
    assert found.row == "row #2"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, reference = tmp_path / "results", tmp_path / "reference"
    write(results / "tables", ROWS)
    (results / "tables" / "plan.csv").write_text("experiment\n1\n")
    words = ["verify", f"--output={results}", f"--reference={reference}"]
    assert main(words) == 2  # there is no reference yet
    assert "make reference-results" in harness.check_one_line(capsys.readouterr().err)
    assert main([*words, "--write"]) == 0
    assert [path.name for path in reference.iterdir()] == ["pacing.csv"]  # the plan is no result
    assert main(words) == 0
    write(results / "tables", altered(0, "linearity_mae", "0.9"))
    capsys.readouterr()
    assert main(words) == 1
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    assert "0.123456" in out[0]
    assert "0.9" in out[0]
    assert out[1].startswith("1 difference")

    for more in ([], ["--write"]):
        assert main([*words, f"--output={tmp_path / 'none'}", *more]) == 2
        assert "make reproduce-paper" in harness.check_one_line(capsys.readouterr().err)
    assert list(reference.iterdir())  # nothing was lost
    (reference / "old.csv").write_text("a\n1\n")
    assert main([*words, "--write"]) == 0  # which replaces what was there
    assert [path.name for path in reference.iterdir()] == ["pacing.csv"]
    fresh = results / "tables" / "pacing.csv"
    assert (reference / "pacing.csv").read_bytes() == fresh.read_bytes()


@pytest.mark.parametrize("name", ["notes.txt", "folder/kept.csv", "folder.csv/kept"])
def test_a_reference_that_holds_other_things_is_left_alone(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "results" / "tables", ROWS)
    reference = write(tmp_path / "reference", ROWS[1:])
    other = reference / name
    other.parent.mkdir(exist_ok=True)
    other.write_text("kept")
    before = (reference / "pacing.csv").read_bytes()
    words = ["verify", f"--output={tmp_path / 'results'}", f"--reference={reference}", "--write"]
    assert main(words) == 2
    assert name.partition("/")[0] in harness.check_one_line(capsys.readouterr().err)
    assert other.read_text() == "kept"
    assert (reference / "pacing.csv").read_bytes() == before
