"""A curve as a few straight pieces: where it stands still, where it moves, where it jumps."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spf.progress.curve import Curve
from spf.progress.metrics import unit_time

Array = NDArray[np.float64]

PENALTY = 0.02
MIN_LENGTH = 2
BLOCK = 1 << 15  # entries of run errors computed at a time: they stay in the cache
MAX_TABLE = 1 << 31  # bytes of back pointers that an exact-K segmentation may take


@dataclass(frozen=True)
class Segment:
    """Frames start .. stop - 1, on which progress is about slope * time + intercept.

    `slope` is in progress per unit of the curve's times (seconds, or frames without a rate).
    """

    start: int
    stop: int
    slope: float
    intercept: float


def segment(
    curve: Curve,
    penalty: float = PENALTY,
    n_segments: int | None = None,
    scale: Literal["sum", "mean"] = "sum",
    min_length: int = MIN_LENGTH,
) -> list[Segment]:
    """Segmented least squares: the exactly optimal split of a curve into straight pieces.

    Minimises  sum over segments of (sum of squared residuals of its line) + penalty * segments,
    over all splits into runs of frames (the paper's segmentation; method, section 4). Segments
    are fitted on disjoint runs, so a jump may lie between two of them.

    curve : its `progress` is fitted against its `times`.
    penalty : at least 0; what one more segment must save.
    n_segments : exactly so many segments instead; the penalty is then not used.
    scale : what the penalty is compared with. "sum" is the authors': the sum of squared residuals,
        which grows with the number of frames, so the same shape at twice the frame rate splits
        more readily. "mean": the mean squared residual, which does not depend on the number of
        frames; 0.02 / T there is 0.02 here.
    min_length : frames in the shortest segment, at least 1; a line needs 2.

    Returns the segments in order, `stop` exclusive, covering 0 .. T.

    Raises ValueError for settings out of range and for more segments than the frames allow.

    Bellman's dynamic programme with the error of every run from prefix sums, one vectorised row
    a frame: time O(T^2), or O(K T^2) for exactly K; memory O(T), or O(K T).
    """
    length = len(curve)
    if not (np.isfinite(penalty) and penalty >= 0):
        raise ValueError(f"penalty must be a finite number, at least 0, not {penalty!r}")
    if scale not in ("sum", "mean"):
        raise ValueError(f"scale must be sum or mean, not {scale!r}")
    if not (isinstance(min_length, int | np.integer) and min_length >= 1):
        raise ValueError(f"min_length must be a whole number, at least 1, not {min_length!r}")
    most = length // min_length
    if most < 1:
        raise ValueError(f"min_length {min_length} is more than the {length} frames of the curve")
    if n_segments is None:
        weight = penalty * (length if scale == "mean" else 1)
        stops = _best_split(_RunErrors(curve), weight, min_length)
    else:
        if not (isinstance(n_segments, int | np.integer) and 1 <= n_segments <= most):
            raise ValueError(
                f"n_segments must lie between 1 and {most} for {length} frames in segments of "
                f"at least {min_length}, not {n_segments!r}"
            )
        stops = _best_split_into(_RunErrors(curve), int(n_segments), min_length)
    return [
        Segment(start, stop, *line(curve.times[start:stop], curve.progress[start:stop]))
        for start, stop in zip([0, *stops[:-1]], stops, strict=True)
    ]


def line(x: Array, y: Array) -> tuple[float, float]:
    """Slope and intercept of the least-squares line through points; slope 0 through one point."""
    centre, mean = x.mean(), y.mean()
    spread = ((x - centre) ** 2).sum()
    slope = float((x - centre) @ (y - mean) / spread) if spread > 0 else 0.0
    return slope, float(mean - slope * centre)


class _RunErrors:
    """Sum of squared residuals of the line through any run of frames, in O(1) each.

    For a run with sums n, Sx, Sy, Sxx, Sxy, Syy the error is  Cyy - Cxy^2 / Cxx  with
    C.. the centred sums, all from prefix sums. Time is scaled to 0 .. 1 and the diagonal taken
    out of the progress (a line, so no error changes), to lose few digits to cancellation.
    """

    def __init__(self, curve: Curve) -> None:
        x = unit_time(curve.times) - 0.5
        y = curve.progress - (x + 0.5)
        columns = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])
        self.sums = np.pad(np.cumsum(columns, axis=1), ((0, 0), (1, 0)))
        self.length = len(x)

    def rows(self, min_length: int) -> Iterator[tuple[int, Array]]:
        """For each stop from `min_length` to T: the errors of its runs start .. stop - 1, from
        start 0 to stop - min_length.

        Computed for several stops at once: fewer calls for short clips, few megabytes for long.
        """
        block = max(1, BLOCK // (self.length + 1))
        for begin in range(min_length, self.length + 1, block):
            stops = np.arange(begin, min(begin + block, self.length + 1))
            n, sx, sy, sxx, sxy, syy = self.sums[:, stops, None] - self.sums[:, None, : stops[-1]]
            with np.errstate(divide="ignore", invalid="ignore"):  # empty runs and single frames
                cxx, cxy, cyy = sxx - sx * sx / n, sxy - sx * sy / n, syy - sy * sy / n
                errors = np.maximum(cyy - cxy * cxy / cxx, 0.0)
            errors[n < 2.5] = 0.0  # a line through one or two frames has no error
            errors[n < 0.5] = np.inf
            for stop, row in zip(stops.tolist(), errors, strict=True):
                yield stop, row[: stop - min_length + 1]


def _best_split(errors: _RunErrors, penalty: float, min_length: int) -> list[int]:
    """Stops of the split with the smallest total error + penalty per segment."""
    length = errors.length
    cost = np.full(length + 1, np.inf)
    cost[0] = 0.0
    previous = np.zeros(length + 1, dtype=np.intp)
    for stop, row in errors.rows(min_length):
        total = cost[: len(row)] + row
        best = total.argmin()
        previous[stop] = best
        cost[stop] = total[best] + penalty
    stops = [length]
    while previous[stops[-1]] > 0:
        stops.append(int(previous[stops[-1]]))
    return stops[::-1]


def _best_split_into(errors: _RunErrors, count: int, min_length: int) -> list[int]:
    """Stops of the split into exactly `count` segments with the smallest total error."""
    length = errors.length
    if 4 * count * (length + 1) > MAX_TABLE:
        raise ValueError(f"{count} segments of {length} frames need too much memory; use a penalty")
    cost = np.full((count + 1, length + 1), np.inf)
    cost[0, 0] = 0.0
    previous = np.zeros((count + 1, length + 1), dtype=np.int32)
    for stop, row in errors.rows(min_length):
        total = cost[:-1, : len(row)] + row
        best = np.argmin(total, axis=1)
        previous[1:, stop] = best
        cost[1:, stop] = np.take_along_axis(total, best[:, None], axis=1)[:, 0]
    stops = [length]
    for left in range(count, 1, -1):
        stops.append(int(previous[left, stops[-1]]))
    return stops[::-1]
