from dataclasses import replace

import pandas as pd
import pytest
from harness import ROOT
from reports import HOSTILE, player

from benchmarks.generated.strategies import FOR_GENERATED
from benchmarks.harness.cells import Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.records import decimals, digits
from benchmarks.harness.report import players
from benchmarks.harness.report.players import AUTHORS, METHOD, is_ours, kind_of
from benchmarks.harness.report.reproduction_page import with_paper
from benchmarks.harness.report.tables import SHOWN, shown_columns, unit
from benchmarks.harness.reproduction.planning import NOT_RUN


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.123456, 0.04, None, float("nan")], ["0.123", "0.040", "", ""]),
        ([12.3456, 0.031], ["12.3", "0.031"]),  # not 0.0
        ([1234.567, 0.5], ["1235", "0.5"]),
        ([0.05, 0.1, 0.3], ["0.05", "0.10", "0.30"]),
        ([3.0, 7, "word", True, -0.5], ["3", "7", "word", "True", "-0.5"]),
        ([float("inf"), 0.0], ["", "0"]),
        ([], []),
    ],
)
def test_pages_print_three_digits(values, texts):
    table = Table.of_rows("t", "t", ["x"], [{"x": value} for value in values])
    assert [digits(value, decimals(table)["x"]) for value in values] == texts


def test_the_papers_column_knows_the_authors_settings_alone():
    names = [*AUTHORS, "flow (decay=1)", "rope_flat", "rope", "rope (authors_code, decay=1)"]
    table = Table.of_rows("retiming", "t", ["strategy"], [{"strategy": name} for name in names])
    known = with_paper(table)
    assert known.columns == ["strategy", "paper"]
    assert [row["strategy"] for row in known.rows if row["paper"]] == names[: len(AUTHORS) + 1]
    assert not any(map(is_ours, names[: len(AUTHORS) + 1]))
    unknown = with_paper(replace(table, name="other"))
    assert {row["paper"] for row in unknown.rows} == {""}
    assert "paper" in shown_columns(unknown)
    assert table.columns == ["strategy"]


def test_kinds_of_strategies_by_their_labels():
    kinds = {"none": "untouched", "wrong_map": "control"}
    kinds |= dict.fromkeys(("nearest", "blend", "flow"), "resampled")
    for name in FOR_GENERATED:
        label = f"{name} (alpha=0.5)"
        assert kind_of(label) == kinds.get(name, "steered")
        assert is_ours(label) == (name not in kinds)
    assert kind_of("regenerate (seed=1)") == "regenerated"
    assert not any(map(is_ours, AUTHORS))


def test_a_player_without_its_frames_is_left_out(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write("curve.csv", "u,time,before,progress,target\n0,0,0,0,0\n1,1,1,1,1\n")
    record = {
        "status": "done", "embedder": "e", "clip": "c", "seed": 0, "retime": "rope",
        "target": "linear", "target_mae": 0.1, "curve": "curve.csv", "file": "gone.npz",
        "before_file": "gone.npz",
    }  # fmt: skip
    assert players.make_player([record], folder, {}) is None
    assert players.make_player([], folder, {}) is None


def test_a_take_that_a_pair_lacks_leaves_its_place_empty():
    made = player()
    fewer = {name: take for name, take in made.pairs[0].takes.items() if name != METHOD}
    made.pairs[0] = replace(made.pairs[0], takes=fewer)
    assert made.shown == ["none", METHOD, HOSTILE[1]]
    assert made.data()["first"] == player().data()["first"] == ["none", METHOD]


def test_units_of_columns():
    columns = ("before_true_target_mae", "linearity_mae_95", "peak_speed", "total_change", "pair")
    assert [*map(unit, columns)] == ["of 1", "95% interval", "x mean", "rad", ""]


def test_columns_that_are_named_exist():
    """In the committed tables, which hold every column of the runs that ship."""
    for name, columns in SHOWN.items():
        known = set(NOT_RUN) if name == "not_run" else set()  # of the page alone
        for file in (ROOT / "results" / "reference").glob(f"{name}*.csv"):
            if max((x for x in SHOWN if file.stem.startswith(x)), key=len) == name:
                known |= set(pd.read_csv(file, nrows=0).columns)
        assert known
        assert set(columns) <= known, name
