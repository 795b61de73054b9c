"""Which columns of a table a report shows before its reader asks for all, and in what unit."""

from benchmarks.harness.cells import Table
from benchmarks.harness.records import number
from spf.progress import METRICS
from spf.quality.fidelity import FIDELITY

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

SHARE, TIMES = "of 1", "× mean"
UNITS: dict[str, str] = {
    "motion_share": SHARE, "remaining": SHARE,
    "linearity_mae": SHARE, "linearity_max": SHARE, "target_mae": SHARE, "stall_fraction": SHARE,
    "noise_share": SHARE, "raw_error": SHARE, "calibrated_error": SHARE, "corrected_error": SHARE,
    "unidentified": SHARE, "leakage": SHARE, "leakage_10": SHARE, "leakage_30": SHARE,
    "error_0": SHARE, "error_10": SHARE, "error_30": SHARE, "same_colours_0": SHARE,
    "same_colours_10": SHARE, "same_colours_30": SHARE, "shift": SHARE, "shift_worst": SHARE,
    "repeated_frames": SHARE, "rate": SHARE, "low_95": SHARE, "high_95": SHARE, "camera": SHARE,
    "drift": SHARE, "background": SHARE, "strength": SHARE, "plain_target_mae": SHARE,
    "source_distance": SHARE, "residual": "mean square",
    "residual_ratio": "× plain", "peak_step": TIMES, "error_frames": "frames",
    "error_seconds": "s", "frames_per_second": "frames/s", "static": "rad", "moving": "rad",
    "predicted_static": "rad", "smallest_change": "rad", "in_noises": "× noise",
    "effect": "Hedges' g", "gpu_hours": "h",
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
    if not begun:
        return holding(table)[:FEW]
    return [name for name in SHOWN[max(begun, key=len)] if name in holding(table)][: FEW + 1]


def holding(table: Table) -> list[str]:
    """Columns that hold something."""
    return [name for name in table.columns if any(map(number, table.data[name]))]
