import csv
import re
from pathlib import Path

import harness
import pytest

from benchmarks.__main__ import main
from benchmarks.harness.verify import compare

COLUMNS = [
    "embedder", "motion", "law", "linearity_mae", "calibrated_95", "better", "status", "note",
]  # fmt: skip
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


ALLOWED = [  # small changes, and rows that the reference could not run
    (0, "note", "a, b"), (0, "linearity_mae", "0.1282"), (0, "calibrated_95", "0.105 .. 0.2"),
    (0, "better", "2 of 4"), (2, "note", "other"), (2, "status", "done"),
    (2, "linearity_mae", "0.5"),
]  # fmt: skip
DIFFERENT = [
    (0, "linearity_mae", "0.13"), (0, "linearity_mae", "0.11"), (0, "linearity_mae", ""),
    (0, "linearity_mae", "nan"), (0, "status", "failed"), (0, "calibrated_95", "0.1 .. 0.25"),
    (0, "calibrated_95", ""), (0, "better", "1 of 4"), (1, "calibrated_95", "0.1 .. 0.2"),
    (1, "note", "x"), (0, "better", "3 von 4"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "column", "value"), [*ALLOWED, *DIFFERENT])
def test_what_differs_is_named(tmp_path, row, column, value):
    more = ["clip", "none", "linear", "0.3", "", "", "done", ""]  # of other weights
    fresh = write(tmp_path / "fresh", [*altered(row, column, value), more][::-1])
    found = compare(write(tmp_path / "reference", ROWS), fresh)
    assert len(found) == ((row, column, value) in DIFFERENT)
    for one in found:
        before = ROWS[row][COLUMNS.index(column)]
        assert (one.column, one.reference, one.value) == (column, before, value)
        for part in ("pacing", f"law={ROWS[row][2]}", column, before or "empty", value or "empty"):
            assert part in str(one)


def test_rows_columns_and_tables_that_are_gone(tmp_path):
    reference = write(tmp_path / "reference", ROWS)
    (row,) = compare(reference, write(tmp_path / "a", ROWS[1:]))
    assert "law=linear" in row.row
    assert row.value == "gone"
    (column,) = compare(reference, write(tmp_path / "b", [x[:-1] for x in ROWS], COLUMNS[:-1]))
    assert (column.column, column.value) == ("note", "gone")
    longer = write(tmp_path / "c", [[*x, "1"] for x in ROWS], [*COLUMNS, "new"])
    (column,) = compare(reference, longer)
    assert (column.column, column.reference) == ("new", "gone")
    write(tmp_path / "d", ROWS).joinpath("pacing.csv").rename(tmp_path / "d" / "other.csv")
    (table,) = compare(reference, tmp_path / "d")
    assert (table.table, table.value) == ("pacing", "gone")
    nameless = [write(tmp_path / x, [["0.1"], [x], ["0.3"]], ["linearity_mae"]) for x in ("1", "2")]
    (found,) = compare(*nameless)
    assert found.row == "row #2"


def test_the_command(tmp_path, capsys):
    results, reference = tmp_path / "results", tmp_path / "reference"
    fresh = write(results / "tables", ROWS) / "pacing.csv"
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
    found, total = capsys.readouterr().out.splitlines()
    assert re.search("0.123456.*0.9", found)
    assert total.startswith("1 difference")

    for more in ([], ["--write"]):
        assert main([*words, f"--output={tmp_path / 'none'}", *more]) == 2
        assert "make reproduce-paper" in harness.check_one_line(capsys.readouterr().err)
    (reference / "old.csv").write_text("a\n1\n")
    assert main([*words, "--write"]) == 0  # which replaces what was there
    assert [path.name for path in reference.iterdir()] == ["pacing.csv"]
    before = fresh.read_bytes()
    write(results / "tables", ROWS)
    for name in ("notes.txt", "folder.csv/stored"):  # what holds other things is left alone
        other = harness.touch(reference, name) / name
        assert main([*words, "--write"]) == 2
        assert name.partition("/")[0] in harness.check_one_line(capsys.readouterr().err)
        assert other.read_text() == "x"
        assert (reference / "pacing.csv").read_bytes() == before != fresh.read_bytes()
        other.rename(tmp_path / "aside")
