"""Which source frame each frame of the retimed clip shows."""

from collections.abc import Sequence
from math import nan

import numpy as np
from numpy.typing import NDArray

from spf.pacing.shots import shot_map
from spf.pacing.targets import Target, make_target, pinned
from spf.progress import Curve, no_change_reason
from spf.progress.metrics import target_mae, unit_time

Array = NDArray[np.float64]


def time_map(
    curve: Curve,
    target: str | Target | Curve = "linear",
    num_frames: int | None = None,
    cuts: Sequence[int] = (),
) -> Array:
    """Source positions tau_k = S^-1(g(k / (N - 1))) that give a clip the pacing g (method, 2).

    Parameters
    ----------
    curve : of the source clip, T frames.
    target : a name of `TARGETS`, an increasing function g on 0 .. 1 with g(0) = 0, g(1) = 1, or
        the curve of a clip whose pacing is wanted.
    num_frames : N, at least 2; None is T.
    cuts : frames that begin a shot (such as `curve.cuts`), increasing, in 1 .. T - 1. Nothing is
        shown between two shots, each of which gets its share of the frames: `shot_map`.

    Returns
    -------
    (N,) float64 in frames, non-decreasing, from 0 to T - 1; plateaus by `Curve.inverse`.

    Raises ConfigError for an unknown name, ValueError for a target that is not such a function,
    for N below 2, and for a curve without semantic change, which has no inverse.
    """
    count = len(curve) if num_frames is None else num_frames
    if count < 2:
        raise ValueError(f"num_frames must be at least 2, not {num_frames!r}")
    if cuts:
        return shot_map(curve, make_target(target), count, cuts)
    return curve.inverse(pinned(make_target(target), np.linspace(0.0, 1.0, count)))


def source_times(positions: Array, times: Array) -> Array:
    """The times (N,), seconds, of the source at positions (N,) in frames. times : (T,) of its
    frames; between two frames it is linear."""
    return np.interp(positions, np.arange(len(times)), times)


def distance_to_target(curve: Curve, target: str | Target | Curve = "linear") -> float:
    """target_mae: the time average of |S - g(u)|, 0 .. 1; for `linear` it is linearity_mae. NaN
    where the curve shows no change."""
    if no_change_reason(curve) is not None:
        return nan
    return target_mae(curve, pinned(make_target(target), unit_time(curve.times)))
