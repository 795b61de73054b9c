"""Unit vectors -> Curve -> scores and segments: pure mathematics, NumPy and SciPy alone."""

from spf.progress.curve import Curve, Settings
from spf.progress.fit import fit, fit_many
from spf.progress.metrics import (
    METRICS,
    Metric,
    no_change_reason,
    score,
    target_mae,
    unranked_reason,
)  # fmt: skip
from spf.progress.segments import Segment, segment

__all__ = [
    "METRICS", "Curve", "Metric", "Segment", "Settings", "fit", "fit_many", "no_change_reason",
    "score", "segment", "target_mae", "unranked_reason",
]  # fmt: skip
