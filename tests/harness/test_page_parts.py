"""What pages are made of: colours, digits, sheets of frames, players."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import browser
import numpy as np
import pandas as pd
import pytest
from harness import ROOT
from PIL import Image
from reports import HOSTILE, bright, player

from benchmarks.generated.strategies import FOR_GENERATED
from benchmarks.harness.cells import Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.printing import decimals, digits
from benchmarks.harness.report.columns import SHOWN, main_columns, ordered_columns, unit
from benchmarks.harness.report.page import TEMPLATES, shown_columns
from benchmarks.harness.report.players import (
    ACROSS,
    AUTHORS,
    METHOD,
    TILE,
    is_ours,
    kind_of,
    make_player,
    make_sheet,
    path_of,
)
from benchmarks.harness.report.reproduction_page import with_paper
from benchmarks.harness.reproduction.planning import NOT_RUN


def contrast(first: str, second: str) -> float:
    """Contrast ratio of WCAG 2.2 of two colours #rrggbb."""
    bright, dim = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_contrast_knows_its_ends() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


PALETTES = re.findall(r":root \{([^}]*)\}", (TEMPLATES / "page.css").read_text())


@pytest.mark.parametrize("palette", PALETTES, ids=["light", "dark", "print"])
def test_colours_have_enough_contrast(palette: str) -> None:
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", palette))
    for front, back in (
        ("text", "back"), ("text", "band"), ("soft", "back"), ("soft", "band"),
        ("accent", "back"), ("warn", "warnback"),
    ):  # fmt: skip
        assert contrast(colours[front], colours[back]) >= 4.5, (front, back)
    for line in ("first", "second", "third", "soft", "accent"):
        assert contrast(colours[line], colours["back"]) >= 3, line


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.123456, 0.04, None, float("nan")], ["0.123", "0.040", "", ""]),
        ([12.3456, 0.031], ["12.3", "0.031"]),  # not 0.0
        ([1234.567, 0.5], ["1235", "0.5"]),
        ([0.000312345], ["0.000312"]),
        ([0.05, 0.1, 0.3], ["0.05", "0.10", "0.30"]),
        ([3.0, 7, "word", True, -0.5], ["3", "7", "word", "True", "-0.5"]),
        ([float("inf"), 0.0], ["", "0"]),
        ([], []),
    ],
)  # fmt: skip
def test_pages_print_three_digits(values: list[Any], texts: list[str]) -> None:
    table = Table.of_rows("t", "t", ["x"], [{"x": value} for value in values])
    assert [digits(value, decimals(table)["x"]) for value in values] == texts


def test_the_papers_column_is_there_even_where_nothing_is_known() -> None:
    rows = [{"strategy": "flow (decay=1)", "x": 1.0}, {"strategy": "rope_flat", "x": 2.0}]
    known = with_paper(Table.of_rows("retiming", "t", ["strategy", "x"], rows))
    assert known.columns == ["strategy", "paper", "x"]
    assert known.rows[0]["paper"]
    assert known.rows[1]["paper"] == ""
    unknown = with_paper(Table.of_rows("other", "t", ["strategy", "x"], rows))
    assert [row["paper"] for row in unknown.rows] == ["", ""]
    assert "paper" in shown_columns(unknown)
    assert rows[0] == {"strategy": "flow (decay=1)", "x": 1.0}  # the table itself is untouched


def test_a_warp_is_the_papers_with_the_authors_settings_alone() -> None:
    names = [
        *AUTHORS,
        "rope (ours)",
        "rope",
        "rope (authors_code, decay=1)",
        "rope_iterative (ours)",
    ]
    rows = [{"strategy": name} for name in names]
    made = with_paper(Table.of_rows("retiming", "t", ["strategy"], rows)).rows
    assert {row["strategy"] for row in made if row["paper"]} == set(AUTHORS)
    assert not any(is_ours(row["strategy"]) for row in made if row["paper"])


def test_a_sheet_holds_every_frame() -> None:
    made = make_sheet(np.repeat(np.repeat(bright(), 8, axis=1), 8, axis=2))
    data = base64.b64decode(made.source.partition(",")[2])
    image = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    height, width = TILE, TILE * 32 // 24
    assert image.shape == (made.down * height, ACROSS * width)
    for frame, grey in enumerate(bright()[:, 0, 0, 0]):
        row, column = divmod(frame, ACROSS)
        middle = image[row * height + height // 2, column * width + width // 2]
        assert abs(int(middle) - int(grey)) < 5


def test_a_player_without_its_frames_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write("curve.csv", "u,time,before,progress,target\n0,0,0,0,0\n1,1,1,1,1\n")
    record = {
        "status": "done", "embedder": "e", "clip": "c", "seed": 0, "retime": "rope",
        "target": "linear", "target_mae": 0.1, "curve": "curve.csv", "file": "gone.npz",
        "before_file": "gone.npz",
    }  # fmt: skip
    assert make_player([record], folder, {}) is None
    assert make_player([], folder, {}) is None


def test_what_a_player_hands_to_the_script() -> None:
    data = json.loads(json.dumps(player().data()))
    assert data["first"] == ["none", METHOD]
    takes = data["pairs"][0]["takes"]
    assert set(takes) == {"none", METHOD, HOSTILE[1]}
    assert len(takes[METHOD]["line"]) == len(data["pairs"][0]["u"])
    assert player().shown == ["none", METHOD, HOSTILE[1]]


def test_a_take_that_a_pair_lacks_leaves_its_place_empty() -> None:
    made = player()
    takes = made.pairs[0].takes
    lacking = {name: takes[name] for name in takes if name != METHOD}
    made.pairs[0] = replace(made.pairs[0], takes=lacking)
    assert made.shown == ["none", METHOD, HOSTILE[1]]
    assert made.data()["first"] == ["none", METHOD]


def test_a_curve_is_a_path() -> None:
    assert path_of([0.0, 0.5, 1.0], [0.0, 0.25, 1.0]) == "M0.00,100.00 50.00,75.00 100.00,0.00"


def test_kinds_of_strategies_by_their_labels() -> None:
    kinds = {"none": "untouched", "wrong_map": "control"}
    kinds |= dict.fromkeys(("nearest", "blend", "flow"), "resampled")
    for name in FOR_GENERATED:
        label = f"{name} (alpha=0.5)"
        assert kind_of(label) == kinds.get(name, "steered")
        assert is_ours(label) == (name not in kinds)
    assert kind_of("regenerate (seed=1)") == "regenerated"
    assert not any(map(is_ours, AUTHORS))


def test_a_table_shows_few_columns_at_first() -> None:
    rows = [{"a": 1.0, "linearity_mae": 0.1, "empty": None} | {f"c{n}": n for n in range(20)}]
    other = Table.of_rows("other", "t", list(rows[0]), rows)
    assert main_columns(other) == ["a", "linearity_mae", "c0", "c1", "c2", "c3", "c4"]
    pairs = Table.of_rows("retimed_pairs_sine", "t", ["c0", "linearity_mae", "pair"], [
        {"c0": 1, "linearity_mae": 0.1, "pair": "p"}
    ])  # fmt: skip
    assert main_columns(pairs) == ["pair", "linearity_mae"]
    assert ordered_columns(pairs) == ["pair", "linearity_mae", "c0"]


def test_columns_that_are_named_exist() -> None:
    """In the committed tables, which hold every column of the runs that ship."""
    for name, columns in SHOWN.items():
        files = [
            file
            for file in (ROOT / "results" / "reference").glob(f"{name}*.csv")
            if max((x for x in SHOWN if file.stem.startswith(x)), key=len) == name
        ]
        known = {column for file in files for column in pd.read_csv(file, nrows=0).columns}
        known |= set(NOT_RUN) if name == "not_run" else set()  # of the page alone
        assert known
        assert set(columns) <= known, name


def test_units_of_columns() -> None:
    assert unit("before_true_target_mae") == unit("linearity_mae") == "of 1"
    assert unit("linearity_mae_95") == "95% interval"
    assert unit("peak_speed") == "x mean"
    assert unit("total_change") == "rad"
    assert unit("strategy") == ""


def test_axe_finds_faults_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text("<!doctype html><title>x</title><img src=data:,><p style='color:#ccc'>pale")
    with browser.open_page(path) as page:
        rules = {fault.partition(":")[0] for fault in browser.serious_faults(page)}
    assert {"image-alt", "color-contrast", "html-has-lang"} <= rules
