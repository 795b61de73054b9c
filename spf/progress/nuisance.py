"""What a moving camera or light does to a clip's vectors, measured on the clip, and taken out.

Some frames of the clip are embedded again as a slightly other camera would see them. The
differences n_k (K, D) between such a view and its frame span the clip's nuisance directions: the
eigenvectors u of C = sum n_k n_k' / K, with eigenvalues c. A direction is taken out,

    z -> z - sum (u . z) u, to unit length,

where a camera that moves `REACH` times as far as the views could make all of the clip's own
variance p along it: REACH^2 c > p. Along the others the clip moves further than a camera would.

Projecting out directions of nuisance is nuisance attribute projection (Solomonoff et al. 2004);
directions from small changes of the image itself are those of the tangent distance (Simard et
al. 1998). The choice by the clip's own variance is ours. docs/concepts/nuisance.md says what is
lost, when, and what else was tried. Nothing depends on the order of the views, on a rotation of the
embedding space or on the direction of time, beyond rounding.
"""

from dataclasses import dataclass, replace
from math import nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spf.progress.curve import Curve
from spf.progress.distances import Rows, as_embeddings
from spf.progress.fit import fit
from spf.progress.metrics import mean_absolute, unit_time
from spf.progress.noise import noise_margin

Array = NDArray[np.float64]

REACH = 5.0
"""How many times as far as the views a camera may have moved: 30% of the frame, as they shift by
6%. An embedder that is locally linear then answers with that many times their differences."""

ROUNDING = 1e-5
"""Length up to which a difference of two unit vectors is an embedder's rounding, not an answer."""

LEAST_LEFT = 0.01  # length left of a unit vector below which its direction means nothing

OWN_ERROR = 0.025
"""Time average of |S - truth| of rendered clips without motion, median: less says nothing."""

MOSTLY_MOTION = 2 / 3
"""`motion_share` from which a clip is flagged: less than half of what was taken out is left, so the
corrected curve says little of the clip, and a motion that is its meaning would look the same."""

EXPLAINED = 0.5
"""Share of `unseen_left` down to which the rest of a change may be meaning: a morph whose meaning
is small and looks like a motion is not to be called no semantic change where a camera moves too."""


def nuisance_directions(differences: ArrayLike, vectors: ArrayLike, reach: float = REACH) -> Array:
    """The directions to take out of a clip: orthonormal rows (R, D) float64, the strongest first.

    differences : (K, D), unit vector of a view minus that of its frame; K may be 0. Those no longer
    than `ROUNDING` count as 0. vectors : (T, D), the clip's unit vectors. R is at most min(K, D),
    and 0 where the embedder does not react to the views.

    By the thin singular value decomposition of the differences, never a D x D matrix: O(K D
    min(K, D) + T D R) time, O(K D) memory. Raises ValueError for another shape, for NaN or
    infinity, and for a reach that is not above 0.
    """
    rows = np.array(differences, dtype=np.float64)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise ValueError(f"differences must be finite and (views, dimensions), not {rows.shape}")
    if not (np.isfinite(reach) and reach > 0):
        raise ValueError(f"reach must be a finite number above 0, not {reach!r}")
    rows[np.linalg.norm(rows, axis=1) <= ROUNDING] = 0.0
    if not rows.any():
        return np.zeros((0, rows.shape[1]))
    _, sizes, axes = np.linalg.svd(rows, full_matrices=False)
    real = sizes > np.finfo(np.float64).eps * max(rows.shape) * sizes[0]
    energies, axes = sizes[real] ** 2 / len(rows), axes[real]
    own = (as_embeddings(vectors).astype(np.float64) @ axes.T).var(axis=0)
    return np.asarray(axes[reach**2 * energies > own])


def corrected(vectors: ArrayLike, axes: Array) -> Rows:
    """Unit vectors (T, D) float64 without the directions `axes` (R, D).

    Without directions these are the vectors themselves, bit for bit. Where less is left of a row
    than `LEAST_LEFT` of its length the nuisance explains everything, and all rows are the mean
    direction of the clip: nothing changes.
    """
    rows = as_embeddings(vectors)
    if not len(axes):
        return rows
    left = _without(rows, axes)
    lengths = np.linalg.norm(left, axis=1, keepdims=True)
    if (lengths < LEAST_LEFT * np.linalg.norm(rows, axis=1, keepdims=True)).any():
        mean = rows.mean(axis=0)
        same = mean if np.linalg.norm(mean) > 0 else rows[0]
        return np.tile(same / np.linalg.norm(same), (len(rows), 1))
    return left / lengths


def motion_share(vectors: ArrayLike, axes: Array, window: int, sigma: float) -> float:
    """Share of the clip's change that its nuisance directions explain.

    1 - sum w (|a_i| |a_j|)^(1/2) |a_i / |a_i| - a_j / |a_j|| / sum w |z_i - z_j|, a the vectors
    without `axes` before they are scaled again, over the pairs i < j <= i + window of the fit, with
    its weights w = exp(-(j - i)^2 / (2 sigma^2)). The numerator is what of a_i - a_j turns the
    vector: its square is |a_i - a_j|^2 - (|a_i| - |a_j|)^2. A projection shortens, so the share is
    in 0 .. 1: 0 where nothing is taken out or nothing changes, 1 where nothing is left.

    O(T window D) time, O(T D) memory.
    """
    rows = as_embeddings(vectors)
    if not len(axes):
        return 0.0
    left = _without(rows, axes)
    lengths = np.linalg.norm(left, axis=1)
    left /= np.where(lengths > 0, lengths, 1.0)[:, None]
    whole = rest = 0.0
    for lag in range(1, min(window, len(rows) - 1) + 1):
        weight = np.exp(-(lag**2) / (2.0 * sigma**2))
        whole += weight * np.linalg.norm(rows[lag:] - rows[:-lag], axis=1).sum()
        turned = np.linalg.norm(left[lag:] - left[:-lag], axis=1)
        rest += weight * (np.sqrt(lengths[lag:] * lengths[:-lag]) * turned).sum()
    return float(np.clip(1.0 - rest / whole, 0.0, 1.0)) if whole > 0 else 0.0


@dataclass(frozen=True, eq=False)
class Corrected:
    """A clip's curve without what its nuisance directions explain; the plain one stays beside it.

    curve : of the corrected vectors; it does not change where it is `explained`. motion_share :
    see there. unseen_left : share of the length of a view's difference that is left where its frame
    took no part in the directions, 0 .. 1; NaN where only one frame has views.
    """

    curve: Curve
    motion_share: float
    unseen_left: float

    @property
    def mostly_motion(self) -> bool:
        """Whether so much is explained that the motion may be the meaning: for a person to judge"""
        return self.motion_share >= MOSTLY_MOTION

    @property
    def explained(self) -> bool:
        """Whether far less of the clip's change is left than of a camera's motion: nothing else."""
        return self.mostly_motion and 1.0 - self.motion_share <= EXPLAINED * self.unseen_left


def correct(plain: Curve, vectors: ArrayLike, differences: ArrayLike) -> Corrected:
    """Fit a clip again without its nuisance.

    plain : its curve, with the settings of the fit. vectors : (T, D), unit rows. differences :
    (F, V, D), V views of each of F frames minus the frame's own vector. Where nothing is taken out,
    or nothing changes, the curve is the plain one itself.
    """
    found = np.asarray(differences, dtype=np.float64)
    axes = nuisance_directions(found.reshape(-1, found.shape[-1]), vectors)
    if not (len(axes) and plain.changes):
        return Corrected(plain, 0.0, 1.0)
    settings = plain.settings
    share = motion_share(vectors, axes, settings.window, settings.sigma)
    curve = fit(corrected(vectors, axes), plain.times, **vars(settings)).of_clip(plain)
    made = Corrected(curve, share, unseen_left(found, vectors))
    return replace(made, curve=replace(curve, is_explained=True)) if made.explained else made


def disagree(plain: Curve, other: Curve) -> bool:
    """Whether two curves of one clip differ by more than noise and the method itself would make.

    The time average of |S - S'| is compared with `OWN_ERROR` and the share of the change by which
    noise exceeds its floor by chance. True where one of them changes and the other doesn't.
    """
    if not (plain.changes and other.changes):
        return plain.changes != other.changes
    noise = plain.noise_share * noise_margin(len(plain), plain.noise_spread)
    apart = mean_absolute(plain.progress - other.progress, unit_time(plain.times))
    return apart > OWN_ERROR + noise


def unseen_left(differences: Array, vectors: ArrayLike) -> float:
    """How much of a frame's differences the directions of the other frames leave: sum |n without
    them| / sum |n| over all views. 0 .. 1; NaN with fewer than 2 frames.

    differences : (F, V, D). vectors : (T, D), of the clip.
    """
    if len(differences) < 2:
        return nan
    left = whole = 0.0
    for index, own in enumerate(differences):
        others = np.delete(differences, index, axis=0).reshape(-1, own.shape[-1])
        rest = _without(own, nuisance_directions(others, vectors))
        left += np.linalg.norm(rest, axis=1).sum()
        whole += np.linalg.norm(own, axis=1).sum()
    return float(left / whole) if whole > 0 else 1.0


def _without(vectors: Rows, axes: Array) -> Array:
    """The rows without their parts along the axes; not of unit length."""
    rows = np.asarray(vectors, dtype=np.float64)
    return rows - (rows @ axes.T) @ axes
