"""Hard cuts: single steps whose angle stands far above their surroundings."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spf.progress.curve import Curve

Array = NDArray[np.float64]

REACH = 12
"""Steps on either side that are a step's surroundings."""

DEVIATIONS = 10.0
"""Robust standard deviations by which a cut exceeds the median of its surroundings."""

ISOLATION = 3.0
"""How many times larger than both its neighbours a cut is: a dissolve or a fast move takes
several steps, a cut takes one."""

LEAST_ANGLE = 0.3
"""Radians below which no step is a cut: two pictures of one scene are nearer than that, pictures
of different scenes are farther apart in every embedder of the project."""

TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def hard_cuts(angles: ArrayLike) -> list[int]:
    """Frames at which a new shot begins.

    Step i, between frames i and i + 1, is a hard cut where its angle

    - exceeds m + 10 * 1.4826 * MAD, with m the median and MAD the median absolute deviation of the
      up to 12 steps on either side (without itself), so that steady motion, however fast, is none;
    - is at least 3 times both its neighbours, so that a dissolve or a fast pan is none;
    - is at least 0.3 rad, so that noise in a still clip is none.

    The statistic is local and robust: a cut nearby changes neither m nor MAD by much. Two cuts in
    consecutive steps (a shot of one frame) count as fast motion, and a jump of the meaning within
    one step cannot be told from a cut by its angle.

    Parameters
    ----------
    angles : (T - 1,) angles between consecutive frames, radians, at least 0.

    Returns
    -------
    Increasing indices in 1 .. T - 1, each i + 1. O(T).
    """
    steps = np.asarray(angles, dtype=np.float64)
    if steps.ndim != 1 or not (steps >= 0).all():  # so written, NaN counts too
        raise ValueError("angles must be (T - 1,) numbers, at least 0")
    if len(steps) < 3:
        return []  # nothing surrounds a step
    beside = np.pad(steps, 1)
    neighbours = np.maximum(beside[:-2], beside[2:])
    large = (steps >= LEAST_ANGLE) & (steps >= ISOLATION * neighbours)
    return [int(step) + 1 for step in np.flatnonzero(large) if _stands_out(steps, int(step))]


def cuts_of(curve: Curve) -> list[int]:
    """`hard_cuts` of a curve: its unsmoothed steps, in radians (their power undone)."""
    steps = np.clip(np.diff(curve.fitted), 0.0, None)
    return hard_cuts(steps ** (1.0 / curve.settings.power))


def _stands_out(steps: Array, step: int) -> bool:
    around = np.delete(steps[max(step - REACH, 0) : step + REACH + 1], min(step, REACH))
    median = float(np.median(around))
    spread = TO_SIGMA * float(np.median(np.abs(around - median)))
    return bool(steps[step] > median + DEVIATIONS * spread)
