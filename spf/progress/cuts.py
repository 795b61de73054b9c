"""Hard cuts: steps across which every frame differs, between shots that hardly move beside them."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

REACH = 3
"""Frames on either side of a step that are compared across it, and steps on either side that a cut
must exceed: a flash of up to 2 frames, or motion of which each frame is held up to 3 times, is no
cut, and neither is the edge of a shot of fewer than 4 frames."""

ISOLATION = 2.5
"""How many times larger than each step near it a cut is: a dissolve or a fast move takes several
steps, a cut takes one."""

CUT_ANGLE = 0.4
"""Radians below which no step is a cut, for embedders that name no `cut_angle` of their own.
docs/concepts/cuts.md has what each of them shows in shots and at cuts, and how that is found."""


def separation(angles: Array) -> Array:
    """How far apart the frames on either side of each step are.

    s_i = min d(i - a, i + 1 + b) over 0 <= a, b < 3: the smallest angle between one of the last
    frames up to i and one of the first from i + 1 on. A flash has its own scene on either side, so
    that s stays small; at a cut all these angles are large.

    angles : (..., T, window) float64, radians, as `banded_angles` gives them. Pairs farther apart
        than the window are left out.

    Returns (..., T - 1) float64, radians. O(T).
    """
    length, window = angles.shape[-2:]
    found = np.full((*angles.shape[:-2], length - 1), np.inf)
    for before, after in np.ndindex(REACH, REACH):
        lag = before + after + 1
        if lag <= window and lag < length:
            part = found[..., before : length - 1 - after]
            np.minimum(part, angles[..., : length - lag, lag - 1], out=part)
    return found


def hard_cuts(separations: ArrayLike, least: float = CUT_ANGLE) -> list[int]:
    """Frames at which a new shot begins.

    Step i, between frames i and i + 1, is a hard cut where its `separation` is at least `least`, so
    that noise and motion within a shot are none, and at least 2.5 times that of each of the 3 steps
    on either side, so that a dissolve, a fade or a fast pan is none, however few of its frames are
    distinct. A cut to black or from black is one. A jump of the meaning within one step looks like
    a cut to any angle.

    separations : (T - 1,) radians, at least 0, as `separation` gives them (`Curve.separation`).
    least : radians.

    Returns increasing indices in 1 .. T - 1, each i + 1; none for fewer than 4 frames, where
    nothing surrounds a step. O(T).
    """
    steps = np.asarray(separations, dtype=np.float64)
    if steps.ndim != 1 or not (steps >= 0).all():  # so written, NaN counts too
        raise ValueError("separations must be (T - 1,) numbers, at least 0")
    if len(steps) < REACH:
        return []
    around = sliding_window_view(np.pad(steps, REACH), 2 * REACH + 1).copy()
    around[:, REACH] = 0.0
    found = (steps >= least) & (steps >= ISOLATION * around.max(axis=1))
    return (np.flatnonzero(found) + 1).tolist()
