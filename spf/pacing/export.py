"""The time map for other programs: a table, and an expression for FFmpeg's `setpts`."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TOLERANCE = 0.1
"""Frames of the result by which FFmpeg's polyline may be off the map."""


def as_csv(times: Array, positions: Array, source_times: Array) -> str:
    """A line for each frame k of the result: k, its time in seconds, which frame of the clip it
    shows (with fractions, from 0), and the time of that in seconds.

    times, positions : (N,) float64. source_times : (T,) float64 of the clip, from 0.
    """
    shown = np.interp(positions, np.arange(len(source_times)), source_times)
    rows = zip(times.tolist(), positions.tolist(), shown.tolist(), strict=True)
    lines = ["frame,time,source_frame,source_time"]
    lines += [f"{k},{t:.6f},{p:.6f},{s:.6f}" for k, (t, p, s) in enumerate(rows)]
    return "\n".join(lines) + "\n"


def as_filter(times: Array, positions: Array, source_times: Array, fps: float) -> str:
    """A filter chain that has FFmpeg show the clip along the map, each frame the latest one.

    `setpts` gives each frame of the clip the time at which the map shows it: a polyline through the
    map, thinned to `TOLERANCE`, as nested comparisons of few levels however long it is. `fps` then
    repeats and drops frames. Parameters as in `as_csv`; fps : frames a second of the result.
    """
    shown = np.interp(positions, np.arange(len(source_times)), source_times)
    # The clip stands still where the map repeats a time: the last one holds, as FFmpeg would.
    last = np.append(np.diff(shown) > 0, True)
    x, y = shown[last], times[last]
    x[0], y[0] = shown[0], times[0]
    knots = thinned(x, y, TOLERANCE / fps)
    tree = _pieces(x[knots], y[knots])
    return f"setpts='st(0,T-STARTT);({tree})/TB',fps={fps:.10g}\n"


def thinned(x: Array, y: Array, tolerance: float) -> NDArray[np.intp]:
    """Indices of the points (n,) that a polyline needs to stay within a tolerance of all of them in
    y, ends included (Douglas and Peucker 1973, with distances along y)."""
    kept = {0, len(x) - 1}
    waiting = [(0, len(x) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        inner = slice(first + 1, last)
        line = np.interp(x[inner], x[[first, last]], y[[first, last]])
        away = np.abs(y[inner] - line)
        if away.max() > tolerance:
            middle = first + 1 + int(away.argmax())
            kept.add(middle)
            waiting += [(first, middle), (middle, last)]
    return np.array(sorted(kept))


def _pieces(x: Array, y: Array) -> str:
    """The polyline of ld(0) through points (n,), n >= 2, halved until one piece is left."""
    if len(x) == 2:
        slope = (y[1] - y[0]) / (x[1] - x[0])
        return f"{y[0]:.9g}+(ld(0)-{x[0]:.9g})*{slope:.9g}"
    middle = len(x) // 2
    before, after = _pieces(x[: middle + 1], y[: middle + 1]), _pieces(x[middle:], y[middle:])
    return f"if(lt(ld(0),{x[middle]:.9g}),{before},{after})"
