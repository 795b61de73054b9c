"""Measured against true pacing: the errors of a curve, and all results of a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from benchmarks.harness.cells import Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.measuring import read_curve
from benchmarks.harness.records import Record
from spf.progress import Curve
from spf.progress.curve import invert
from spf.progress.metrics import NO_CHANGE, STALL_SPEED, mean_absolute
from synthetic.laws import Law, steepest

Array = NDArray[np.float64]
Row = dict[str, Any]


def raw_errors(progress: Array, truth: Array, u: Array) -> dict[str, float]:
    """Raw errors |S - g| of a measured curve, all arrays (T,); and the true unevenness."""
    return {
        "raw_error": mean_absolute(progress - truth, u),
        "raw_error_max": float(np.abs(progress - truth).max()),
        "true_linearity_mae": mean_absolute(truth - u, u),
    }


SLOWEST = STALL_SPEED
"""Speed of L, as a share of its mean, below which it does not identify the parameter: there an
error of S counts more than tenfold, and a curve of the clip would count as standing still."""

MOST_UNIDENTIFIED = 0.5
"""Share of unidentified time above which a clip has no calibrated error."""


class Calibration(NamedTuple):
    """error : NaN where it cannot be stated, for the reason. unidentified : share of the time."""

    error: float
    unidentified: float
    reason: str = ""


def calibrate(
    progress: Array, truth: Array, u: Array, reference: Array, changes: bool = True
) -> Calibration:
    """Time average of |p - g| with p = L^-1(S): the embedder's own speed along the morph removed.

    reference : (R,) progress of the linearly paced, motionless clip of the same morph: its
    arc length L at the parameters 0 .. 1. progress, truth, u : (T,), S and g at the times u.
    changes : whether the reference changes at all.

    A frame is identified where L is at least `SLOWEST` as fast as in its mean, between the two
    parameters k / (R - 1) about the true one (on both sides of it where it is one of them). The
    average is over the identified time, by trapezoids; `unidentified` is the share of the rest.
    Where that is more than `MOST_UNIDENTIFIED`, or nothing changes, there is no error. The inverse
    is as `Curve.inverse`.
    """
    if not changes or reference[-1] <= reference[0]:
        return Calibration(nan, 1.0, f"{NO_CHANGE} along the morph")
    steps = len(reference) - 1
    speed = np.diff(reference) * steps / (reference[-1] - reference[0])
    # Between the same two parameters, but where it is one of them, up to rounding.
    sides = np.ceil(truth * steps - 1e-9) - 1, np.floor(truth * steps + 1e-9)
    around = [np.clip(side, 0, steps - 1).astype(np.intp) for side in sides]
    lasts = np.convolve(np.diff(u), [0.5, 0.5])  # the time of each frame, as trapezoids have it
    identified = lasts * (np.minimum(*(speed[one] for one in around)) >= SLOWEST)
    unidentified = float(1.0 - identified.sum() / lasts.sum())
    if unidentified > MOST_UNIDENTIFIED:
        reason = f"arc length stands still in {unidentified:.0%} of the time"
        return Calibration(nan, unidentified, reason)
    away = np.abs(invert(reference, progress) / steps - truth)
    return Calibration(float(away @ identified / identified.sum()), unidentified)


def jump_error(curve: Curve, pacing: Law) -> float:
    """Frames between the steepest measured step and the law's steepest place; NaN without one."""
    place = steepest(pacing)
    if not np.isfinite(place):
        return nan
    step = int(np.argmax(np.diff(curve.fitted)))
    found = (curve.times[step] + curve.times[step + 1]) / 2
    wanted = curve.times[0] + place * (curve.times[-1] - curve.times[0])
    return float(abs(found - wanted) / np.diff(curve.times).mean())


@dataclass(frozen=True)
class PacingResults:
    """Records as a table, with calibrated errors; the curves and strips of frames (PNG) by the
    clip's name."""

    table: pd.DataFrame
    curves: dict[str, pd.DataFrame]
    strips: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def read(cls, records: list[Record], folder: RunFolder) -> "PacingResults":
        curves = {record["clip"]: read_curve(folder, record) for record in records}
        table = pd.DataFrame(records)
        changing = {r["clip"]: r["reason"] != NO_CHANGE for r in records}
        plain, corrected = (
            [calibrated(record, curves, changing, source) for record in records]
            for source in ("progress", "corrected")
        )
        columns = ["calibrated_error", "unidentified", "calibrated_reason"]
        table[columns] = pd.DataFrame(plain)
        table["corrected_error"] = [one.error for one in corrected]
        table["unchanged"] = table["reason"] == NO_CHANGE
        table["unchanged_corrected"] = table["corrected_reason"] == NO_CHANGE
        table["jump_seconds"] = table["jump_error"] * table["duration"] / (table["frames"] - 1)
        change = table.set_index("clip")["total_change"]
        table["leakage"] = table["total_change"] / table["reference"].map(change)
        shown = [record for record in records if record.get("strip")]
        return cls(table, curves, {one["clip"]: folder.read(one["strip"]) for one in shown})

    def of(self, study: str) -> pd.DataFrame:
        """Rows of one study."""
        return self.table[[study in asked.split(";") for asked in self.table["studies"]]]


Statistic = str | Callable[[pd.Series, str], Any]
"""What pandas calls so, or a function of the values and the sample's name."""
Columns = Mapping[str, tuple[str, Statistic]]


def why(values: pd.Series, name: str) -> str:
    """The commonest reason; "" where one has none."""
    return "" if (values == "").any() else str(values.mode()[0])


def table_of(
    name: str, title: str, rows: Sequence[Row], note: str = "", timed: bool = False
) -> Table:
    """The table with all columns of its rows."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return Table.of_rows(name, title, columns, rows, note, timed)


def grouped(clips: pd.DataFrame, keys: Sequence[str], sample: str, columns: Columns) -> list[Row]:
    """A row for each combination of the keys, in the order in which they appear.

    columns : name in the row -> column of the clips and what is made of its values. sample : the
    samples' name, which the keys' values follow: the interval draws from it.
    """
    rows: list[Row] = []
    for key, group in clips.groupby(list(keys), sort=False):
        row: Row = dict(zip(keys, key, strict=True)) | {"clips": len(group)}
        name = " ".join([sample, *map(str, key)])
        for column, (source, how) in columns.items():
            values = group[source]
            row[column] = values.agg(how) if isinstance(how, str) else how(values, name)
        rows.append(row)
    return rows


def calibrated(
    record: Mapping[Any, Any],
    curves: dict[str, pd.DataFrame],
    changing: Mapping[Any, bool],
    source: str,
) -> Calibration:
    """The calibration of a record by a column of its curve and of its reference's."""
    reference = curves.get(record["reference"])
    if record["still"]:
        return Calibration(nan, nan, "nothing changes")
    if reference is None:
        return Calibration(nan, nan, "the linearly paced clip of the morph was not measured")
    curve = curves[record["clip"]]
    progress, truth, u = (curve[name].to_numpy() for name in (source, "truth", "u"))
    changes = changing[record["reference"]]
    return calibrate(progress, truth, u, reference[source].to_numpy(), changes)


def rank_correlation(group: pd.DataFrame, measure: str) -> float:
    """Spearman's, of a measure with the true unevenness; a clip without a value counts as even."""
    values = -group[measure] if measure.startswith("pacing_entropy") else group[measure]
    values = values.fillna(values.min())
    if values.nunique() < 2 or group["true_linearity_mae"].nunique() < 2:
        return float("nan")  # nothing to order
    return float(stats.spearmanr(values, group["true_linearity_mae"]).statistic)
