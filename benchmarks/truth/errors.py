"""Measured against true pacing: the errors of a curve, and all results of a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.running.folder import RunFolder
from benchmarks.running.records import Record
from benchmarks.scoring.measuring import read_curve
from spf.progress import Curve
from spf.progress.curve import invert
from spf.progress.metrics import NO_CHANGE, mean_absolute
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


def calibrated_error(progress: Array, truth: Array, u: Array, reference: Array) -> float:
    """Time average of |p - g| with p = L^-1(S): the embedder's own speed along the morph removed.

    reference : (R,) progress of the linearly paced, motionless clip of the same morph: its
    arc length L at the parameters 0 .. 1. On a plateau of L the inverse is as `Curve.inverse`.
    NaN where L does not change at all.
    """
    if reference[-1] <= reference[0]:
        return nan
    return mean_absolute(invert(reference, progress) / (len(reference) - 1) - truth, u)


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
class Results:
    """Records as a table, with calibrated errors, and the curves (by the clip's name)."""

    table: pd.DataFrame
    curves: dict[str, pd.DataFrame]

    @classmethod
    def read(cls, records: list[Record], folder: RunFolder) -> "Results":
        curves = {record["clip"]: read_curve(folder, record) for record in records}
        table = pd.DataFrame(records)
        for column, source in (("calibrated_error", "progress"), ("corrected_error", "corrected")):
            table[column] = [_calibrated(record, curves, source) for record in records]
        table["unchanged"] = table["reason"] == NO_CHANGE
        table["unchanged_corrected"] = table["corrected_reason"] == NO_CHANGE
        table["jump_seconds"] = table["jump_error"] * table["duration"] / (table["frames"] - 1)
        change = table.set_index("clip")["total_change"]
        table["leakage"] = table["total_change"] / table["reference"].map(change)
        return cls(table, curves)

    def of(self, study: str) -> pd.DataFrame:
        """Rows of one study."""
        return self.table[[study in words.split(";") for words in self.table["studies"]]]


Statistic = Callable[[pd.Series, str], Any]


def median(values: pd.Series, name: str) -> float:
    """The median of the finite values."""
    return values.median()


def count(values: pd.Series, name: str) -> int:
    """How many are true."""
    return int(values.sum())


def grouped(
    table: pd.DataFrame,
    keys: Sequence[str],
    name: str,
    columns: Mapping[str, tuple[str, Statistic]],
) -> list[Row]:
    """A row for each combination of the keys, in the order in which they appear.

    columns : name in the row -> column of the table and what is made of its values. name : of the
    samples, with the keys' values: the interval draws from it.
    """
    rows: list[Row] = []
    for values, group in table.groupby(list(keys), sort=False):
        row: Row = dict(zip(keys, values, strict=True)) | {"clips": len(group)}
        sample = " ".join([name, *map(str, values)])
        for column, (source, statistic) in columns.items():
            row[column] = statistic(group[source], sample)
        rows.append(row)
    return rows


def _calibrated(record: Record, curves: dict[str, pd.DataFrame], source: str) -> float:
    reference = curves.get(record["reference"])
    if record["still"] or reference is None:
        return nan
    curve = curves[record["clip"]]
    u = curve["u"].to_numpy()
    return calibrated_error(
        curve[source].to_numpy(), curve["truth"].to_numpy(), u, reference[source].to_numpy()
    )
