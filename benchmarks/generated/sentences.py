"""What a table of retiming strategies says, in sentences."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.harness.cells import Table, sign
from benchmarks.harness.records import printer
from benchmarks.harness.report.players import (
    AUTHORS,
    CONTROL,
    METHOD,
    OUR_BEST,
    RESAMPLED,
    STEERED,
    WORKFLOW,
    kind_of,
)

Row = Mapping[str, Any]
Text = Callable[[Row, str], str]


def sentences(table: Table, measure: str, metric: str, target: str) -> list[str]:
    """What the rows of one measure say: first the pacing before and after, by the paper's own
    method and by the best others beside it; then what the pacing hides; then the control."""
    text = printer(table)
    own = [row for row in table.rows if row["measure"] == measure and row["difference"] is not None]
    shown = _shown(own)
    paragraphs = []
    if any(shown.values()):
        found = "; ".join(f"{who} {_pacing(row, metric, text)}" for who, row in shown.items())
        paragraphs.append(
            f"Median {metric} of the clips of {own[0]['generator']}, target {target}, measured by "
            f"{measure}: {found}."
        )
    hidden = [line for row in shown.values() if row and (line := _hidden(row, text))]
    paragraphs += [f"What this pacing hides, by {measure}: {'; '.join(hidden)}."] * bool(hidden)
    for row in own:
        if kind_of(row["strategy"]) == CONTROL:
            paragraphs.append(
                f"Control by {measure}: with another pair's map {metric} is {text(row, metric)} "
                f"against {text(row, f'before_{metric}')} before, {_verdict(row)}."
            )
    return paragraphs


def _shown(rows: Sequence[Row]) -> dict[str, Row | None]:
    """The rows that are named, by what they are called; the paper's always, None if not run."""
    by_name = {row["strategy"]: row for row in rows}
    found: dict[str, Row | None] = {"the paper's method,": by_name.get(METHOD)}
    if WORKFLOW in by_name:
        found["with the settings of their workflow, which refines,"] = by_name[WORKFLOW]
    for who, kind in (
        (f"{OUR_BEST},", STEERED),
        ("the best resampling of the clip itself,", RESAMPLED),
    ):
        others = [row for row in rows if kind_of(row["strategy"]) == kind]
        others = [row for row in others if row["strategy"] not in AUTHORS]
        if others:
            found[who] = min(others, key=lambda row: row["difference"])
    return found


def _pacing(row: Row | None, metric: str, text: Text) -> str:
    if row is None:
        return f"{METHOD}, has no value"  # not run, or nothing changed
    lower = row["difference"] < 0
    way = "lowers it" if lower else "does not lower it"
    doubt = ", not beyond doubt" if lower and sign(row["difference_95"]) == 0 else ""
    sentence = (
        f"{row['strategy']}, {way}, {_change(row, metric, text)}, better on {row['better']}{doubt}"
    )
    true = _change(row, f"true_{metric}", text)
    return f"{sentence}, by the renderer's parameter {true}" if true else sentence


def _hidden(row: Row, text: Text) -> str:
    """What an even curve may be bought with: frames that go back and forth, stand still, or are
    cross-fades, and end frames that are not those asked for."""
    known = {"repeated_frames": "repeated frames", "residual": "distance to true renders"}
    known |= {"first_psnr": "dB of the first frame", "last_psnr": "dB of the last"}
    changes = {phrase: _change(row, name, text) for name, phrase in known.items()}
    listed = ", ".join(f"{phrase} {change}" for phrase, change in changes.items() if change)
    return f"{row['strategy']}, {listed}" if listed else ""


def _change(row: Row, name: str, text: Text) -> str:
    """A value before and after; "" where either is missing."""
    if row.get(f"before_{name}") is None or row.get(name) is None:
        return ""
    return f"{text(row, f'before_{name}')} to {text(row, name)}"


def _verdict(row: Row) -> str:
    """What the interval of the control's difference shows."""
    if not row["difference_95"]:
        return "too few pairs for an interval"
    verdicts = {0: "no clear difference", 1: "worse, so the map matters"}
    return verdicts.get(row["difference_95"].sign, "better: the map does NOT matter")
