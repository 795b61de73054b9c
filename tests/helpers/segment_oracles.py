"""Slow, obviously right versions of segmentation: each piece is fitted by itself.

Nothing is shared with the library; see `oracles`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """A straight piece y ~ slope x + intercept over frames start..stop-1, and its squared error."""

    start: int
    stop: int
    slope: float
    intercept: float
    error: float


def line(x: Floats, y: Floats, start: int, stop: int) -> Line:
    """Least-squares line through frames start..stop-1, by one call to `lstsq`."""
    design = np.column_stack([x[start:stop], np.ones(stop - start)])
    slope, intercept = np.linalg.lstsq(design, y[start:stop], rcond=None)[0]
    residual = y[start:stop] - (slope * x[start:stop] + intercept)
    return Line(start, stop, float(slope), float(intercept), float(residual @ residual))


def brute_segmentation(
    x: ArrayLike,
    y: ArrayLike,
    penalty: float | None = None,
    n_segments: int | None = None,
    min_length: int = 2,
) -> tuple[list[Line], float]:
    """Best disjoint straight pieces covering all frames, and their cost.

    The cost is the sum of squared residuals, plus `penalty` per piece unless `n_segments` asks for
    that many pieces exactly. Each (start, stop) is fitted separately; then dynamic programming.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    length = len(y)
    lines = {
        (i, j): line(x, y, i, j) for i in range(length) for j in range(i + min_length, length + 1)
    }
    best: dict[tuple[int, int], tuple[float, int]] = {}  # (stop, pieces) -> (cost, start)
    if n_segments is None:
        assert penalty is not None
        cost = {0: 0.0}
        start_of: dict[int, int] = {}
        for j in range(min_length, length + 1):
            options = [
                (cost[i] + lines[i, j].error + penalty, i)
                for i in range(j - min_length + 1)
                if i in cost
            ]
            if options:
                cost[j], start_of[j] = min(options)
        found: list[Line] = []
        stop = length
        while stop > 0:
            found.insert(0, lines[start_of[stop], stop])
            stop = start_of[stop]
        return found, cost[length]

    best[0, 0] = (0.0, 0)
    for k in range(1, n_segments + 1):
        for j in range(min_length, length + 1):
            options = [
                (best[i, k - 1][0] + lines[i, j].error, i)
                for i in range(j - min_length + 1)
                if (i, k - 1) in best
            ]
            if options:
                best[j, k] = min(options)
    found, stop = [], length
    for k in range(n_segments, 0, -1):
        start = best[stop, k][1]
        found.insert(0, lines[start, stop])
        stop = start
    return found, best[length, n_segments][0]
