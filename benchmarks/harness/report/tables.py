"""How a report shows a table: its columns, their units, numbers to sort by, CSV and Markdown."""

import math
import re
from typing import Any

from benchmarks.harness.cells import Table
from benchmarks.harness.records import as_csv, number
from spf.progress import METRICS
from spf.quality.fidelity import FIDELITY

PAPER = "paper"
FEW, NARROW = 7, 4
"""Columns of a table at first, and of those on a phone."""

SHOWN: dict[str, tuple[str, ...]] = {
    "retiming": (
        "strategy", "measure", "before_linearity_mae", "linearity_mae", "true_linearity_mae",
        "before_target_mae", "target_mae", "true_target_mae", "better", "repeated_frames",
    ),
    "retimed_pairs": (
        "pair", "strategy", "linearity_mae", "target_mae", "true_target_mae", "measure", "reason",
    ),
    "existing": (
        "category", "strategy", "before_target_mae", "target_mae", "true_target_mae", "better",
        "repeated_frames",
    ),
    "existing_clips": (
        "clip", "strategy", "before_target_mae", "target_mae", "true_target_mae", "status",
    ),
    "vbench": ("dimension", "strategy", "original", "retimed", "difference_95", "steered_by"),
    "pacing_by_motion": ("motion", "raw_error", "calibrated_error", "calibrated_95", "clips"),
    "synthetic_pacing": (
        "motion", "law", "raw_error", "calibrated_error", "true_linearity_mae", "linearity_mae",
    ),
    "leakage": ("motion", "strength", "leakage", "leakage_95", "flagged"),
    "invariance": (
        "motion", "strength", "leakage", "leakage_corrected", "motion_share", "flagged",
        "flagged_explained",
    ),
    "invariance_ladder": (
        "motion", "spearman", "spearman_corrected", "raw_error", "raw_error_corrected",
        "calibrated_error", "calibrated_error_corrected",
    ),
    "invariance_remaining": (
        "group", "clips", "remaining", "motion_share", "flagged", "flagged_explained",
    ),
    "jumps": ("motion", "steepness", "error_frames", "error_seconds", "error_95"),
    "measures": (
        "measure", "none", "translation-moderate", "translation-strong", "reason",
    ),
    "ablation": (
        "embedder", "error_0", "error_10", "error_30", "leakage_30", "shift", "reason",
    ),
    "colours": ("embedder", "colours", "none", "drift", "camera", "background"),
    "preferences": ("first", "second", "choices", "rate", "low_95", "high_95", "note"),
    "faults": ("fault", "strength", "linearity_mae", "stall_fraction", "noise_share"),
    "growth": ("factor", "value", "calibrated_error", "corrected_error", "calibrated_95"),
    "noise_floor": ("noise", "total_change", "noise_floor", "flagged", "clips"),
    "sphere": ("law", "increments", "gradient", "peer", "isotonic"),
    "sphere_noise": ("noise", "static", "noise_floor", "moving", "predicted_static"),
    "sphere_power": ("frames", "noise", "smallest_change", "in_noises", "false_alarms"),
    "sphere_long": ("frames", "linearity_mae"),
    "agreement": ("first", "second", "pace", "order", "count"),
    "not_run": ("what", "experiments", "reason", "gpu_hours"),
}  # fmt: skip
"""Table, or what its name begins with -> its columns; others show the first that hold something."""

UNITS = {
    **dict.fromkeys([
        "linearity_mae", "linearity_max", "target_mae", "plain_target_mae", "stall_fraction",
        "noise_share", "raw_error", "calibrated_error", "corrected_error", "unidentified",
        "leakage", "leakage_10", "leakage_30", "error_0", "error_10", "error_30",
        "same_colours_0", "same_colours_10", "same_colours_30", "shift", "shift_worst",
        "repeated_frames", "rate", "low_95", "high_95", "camera", "drift", "background",
        "strength", "source_distance", "motion_share", "remaining",
    ], "of 1"),
    "residual": "mean square", "residual_ratio": "× plain", "peak_step": "× mean",
    "error_frames": "frames", "error_seconds": "s", "frames_per_second": "frames/s",
    **dict.fromkeys(["static", "moving", "predicted_static", "smallest_change"], "rad"),
    "in_noises": "× noise", "effect": "Hedges' g", "gpu_hours": "h",
}  # fmt: skip
"""Column -> unit; `before_`, `true_` and `_corrected` change none. Words, ranks and correlations
have none."""


def unit(column: str) -> str:
    """Unit of a column; "" where it has none. An interval has that of what it bounds."""
    plain = column.removesuffix("_corrected")
    for prefix in ("before_", "true_"):
        plain = plain.removeprefix(prefix)
    if plain.endswith("_95") and plain not in UNITS:
        return "95% interval"
    known = METRICS | FIDELITY
    return UNITS.get(plain) or (known[plain].unit if plain in known else "")


def ordered_columns(table: Table) -> list[str]:
    """Columns that hold something, those that are shown at first in front."""
    return list(dict.fromkeys([*main_columns(table), *holding(table)]))


def main_columns(table: Table) -> list[str]:
    """Columns that are shown at first: the named ones that hold something."""
    begun = [name for name in SHOWN if table.name.startswith(name)]
    held = holding(table)
    if not begun:
        return held[:FEW]
    return [name for name in SHOWN[max(begun, key=len)] if name in held][: FEW + 1]


def holding(table: Table) -> list[str]:
    """Columns that hold something."""
    return [name for name in table.columns if any(map(number, table.data[name]))]


def sort_key(value: Any) -> str:
    """What a column is sorted by: numbers as numbers, nothing last."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(value) if isinstance(value, int | float) else str(value)


def shown_columns(table: Table) -> list[str]:
    """Columns of a table that hold something; the files keep the empty ones too."""
    held = {PAPER, *holding(table)}
    return [name for name in table.columns if name in held]


def numeric(table: Table, column: str) -> bool:
    """Whether a column holds numbers and nothing else."""
    values = [value for value in table.data[column].tolist() if number(value)]
    return bool(values) and all(isinstance(value, int | float) for value in values)


ARROWS = {"lower": " ↓", "higher": " ↑", "none": ""}


SPECIAL = re.compile(r"[\\|`\[\]<>]")
"""What means something in a cell of Markdown; emphasis is harmless, and names are full of it."""


def heading(column: str) -> str:
    """A column's name with the direction in which it is better."""
    return column + (ARROWS[METRICS[column].direction] if column in METRICS else "")


def table_as_csv(table: Table) -> str:
    """CSV with the plain names of the columns."""
    return as_csv(table.data.infer_objects())


def markdown_text(text: str) -> str:
    """Text as a cell of a Markdown table shows it: no end of the cell, link, code or HTML."""
    return SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def table_as_markdown(table: Table) -> str:
    """GitHub-flavoured Markdown."""
    lines = [
        f"# {markdown_text(table.title)}",
        "",
        "| " + " | ".join(map(heading, table.columns)) + " |",
        "|" + " --- |" * len(table.columns),
    ]
    for row in table.rows:
        cells = (markdown_text(number(value)) for value in row.values())
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, *(["", markdown_text(table.note)] if table.note else []), ""])
