"""What a moving camera or light does to a clip's vectors, measured on the clip, and taken out.

Some frames of the clip are embedded again as a slightly other camera would see them. The
differences n_k (K, D) between such a view and its frame span the clip's nuisance directions: the
eigenvectors u of C = sum n_k n_k' / K. Each correction scales the vectors along them,

    z -> z - sum_k (1 - g_k) (u_k . z) u_k, to unit length,

with gain 0 for the first r and 1 for the others (projection, as in nuisance attribute projection,
Solomonoff et al. 2004), or g_k = (1 + strength c_k / c_1)^(-1/2) with c the eigenvalues (whitening,
as in within-class covariance normalisation, Hatch et al. 2006). Directions from small changes of
the picture itself are those of the tangent distance (Simard et al. 1998).

docs/concepts/nuisance.md says what is lost, and when. Nothing depends on the order of the views, on
a rotation of the embedding space or on the direction of time, beyond rounding.
"""

from dataclasses import dataclass, replace
from math import nan
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spf.progress.curve import Curve
from spf.progress.distances import Rows, as_embeddings
from spf.progress.fit import fit
from spf.progress.metrics import mean_absolute, unit_time
from spf.progress.noise import noise_margin

Array = NDArray[np.float64]
Method = Literal["projection", "whitening"]

METHOD: Method = "whitening"

ROUNDING = 1e-5
"""Length up to which a difference of two unit vectors is an embedder's rounding, not an answer."""

FLOOR = 0.1
"""Energy of a direction from which on it is nuisance, as a share of the clip's own energy in each
of the dimensions that its path fills."""

MOST = 1000.0
"""Ratio of the strongest direction's energy to the weakest one that is still nuisance."""

LEAST_LEFT = 0.01
"""Length left of a unit vector below which its direction means nothing."""

OWN_ERROR = 0.025
"""Time average of |S - truth| of rendered clips without motion, median: less says nothing."""

MOSTLY_MOTION = 2 / 3
"""`motion_share` from which a clip is flagged: less than half of what was taken out is left, so the
corrected curve says little of the clip, and a motion that is its meaning would look the same."""


@dataclass(frozen=True, eq=False)
class Directions:
    """Nuisance directions of a clip, the strongest first.

    axes : (R, D) float64, orthonormal rows, the eigenvectors of C. energies : (R,) float64, its
    eigenvalues, positive: mean squared length of a view's difference along each. R is at most
    min(K, D), and 0 where the embedder does not react to the views.
    """

    axes: Array
    energies: Array

    def __len__(self) -> int:
        return len(self.energies)


def nuisance_directions(differences: ArrayLike) -> Directions:
    """The eigenvectors and eigenvalues of C = sum n_k n_k' / K, without C itself.

    differences : (K, D), unit vector of a view minus that of its frame; K may be 0. Those no longer
    than `ROUNDING` count as 0.

    By the thin singular value decomposition: O(K D min(K, D)) time, O(K D) memory. Raises
    ValueError for another shape, and for NaN or infinity.
    """
    rows = np.array(differences, dtype=np.float64)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise ValueError(f"differences must be finite and (views, dimensions), not {rows.shape}")
    rows[np.linalg.norm(rows, axis=1) <= ROUNDING] = 0.0
    if not rows.any():
        return Directions(np.zeros((0, rows.shape[1])), np.zeros(0))
    _, sizes, axes = np.linalg.svd(rows, full_matrices=False)
    real = sizes > np.finfo(np.float64).eps * max(rows.shape) * sizes[0]
    return Directions(axes[real], sizes[real] ** 2 / len(rows))


def threshold(
    directions: Directions, vectors: ArrayLike, floor: float = FLOOR, most: float = MOST
) -> float:
    """Energy of a direction above which it is nuisance, chosen from the clip.

    With P the covariance of the clip's unit vectors (T, D) about their mean, outside the directions
    of at least 1 / `most` of the strongest energy (half of the dimensions at most), the clip's
    energy in each dimension that its path fills there is tr(P^2) / tr(P) (the mean eigenvalue,
    weighted by itself). A direction counts where a small camera motion has at least `floor` times
    that, and at least 1 / `most` of the strongest direction: a clip that stands still has no energy
    of its own. Inside the directions a moving camera would raise P, and the threshold.

    Returns the same unit as `Directions.energies`, at least 0; 0 without directions.
    """
    if not len(directions):
        return 0.0
    strong = int((directions.energies >= directions.energies[0] / most).sum())
    gains = projection(directions, min(strong, directions.axes.shape[1] // 2))
    rows = _scaled(as_embeddings(vectors), directions, gains)
    rows -= rows.mean(axis=0)
    total = float(np.einsum("ij,ij->", rows, rows))
    # tr(P^2) from whichever Gram matrix is the smaller one.
    gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    own = float(np.einsum("ij,ij->", gram, gram)) / total / len(rows) if total > 0 else 0.0
    return max(floor * own, float(directions.energies[0]) / most)


def projection(directions: Directions, rank: int) -> Array:
    """Gains (R,) that take the first `rank` directions out whole: 0, and 1 for the others."""
    if rank < 0:
        raise ValueError(f"rank must be at least 0, not {rank!r}")
    return (np.arange(len(directions)) >= rank).astype(np.float64)


def whitening(directions: Directions, strength: float) -> Array:
    """Gains (R,) of (I + strength C / c_1)^(-1/2), c_1 the largest eigenvalue; in 0 .. 1."""
    if not (np.isfinite(strength) and strength >= 0):
        raise ValueError(f"strength must be a finite number, at least 0, not {strength!r}")
    energies = directions.energies
    largest = energies[0] if len(energies) else 1.0
    return np.asarray(1.0 / np.sqrt(1.0 + strength * energies / largest), np.float64)


def chosen_gains(
    directions: Directions,
    vectors: ArrayLike,
    method: Method = METHOD,
    floor: float = FLOOR,
    most: float = MOST,
) -> Array:
    """Gains (R,) with the amount chosen from the clip by its `threshold` t.

    projection : the directions with more energy than t, at most half of the dimensions.
    whitening : strength c_1 / t, so that a direction of energy t keeps sqrt(1 / 2) of its length.
    """
    return _gains(directions, threshold(directions, vectors, floor, most), method)


def _gains(directions: Directions, level: float, method: Method) -> Array:
    if method == "projection":
        rank = int((directions.energies > level).sum())
        return projection(directions, min(rank, directions.axes.shape[1] // 2))
    if method == "whitening":
        return whitening(directions, directions.energies[0] / level if level > 0 else 0.0)
    raise ValueError(f"method must be projection or whitening, not {method!r}")


def corrected(vectors: ArrayLike, directions: Directions, gains: Array) -> Rows:
    """Unit vectors (T, D) float64 with the nuisance directions scaled by their gains.

    Where all gains are 1, or there are no directions, these are the vectors themselves, bit for
    bit. Where a row keeps less than `LEAST_LEFT` of its length the nuisance explains everything,
    and all rows are the mean direction of the clip: nothing changes.
    """
    rows = as_embeddings(vectors)
    if (gains == 1.0).all():
        return rows
    left = _scaled(rows, directions, gains)
    lengths = np.linalg.norm(left, axis=1, keepdims=True)
    if (lengths < LEAST_LEFT * np.linalg.norm(rows, axis=1, keepdims=True)).any():
        mean = rows.mean(axis=0)
        same = mean if np.linalg.norm(mean) > 0 else rows[0]
        return np.tile(same / np.linalg.norm(same), (len(rows), 1))
    return left / lengths


def motion_share(
    vectors: ArrayLike, directions: Directions, gains: Array, window: int, sigma: float
) -> float:
    """Share of the clip's change that its nuisance directions explain.

    1 - sum w (|a_i| |a_j|)^(1/2) |a_i / |a_i| - a_j / |a_j|| / sum w |z_i - z_j|, a = A z, over the
    pairs i < j <= i + window of the fit, with its weights w = exp(-(j - i)^2 / (2 sigma^2)); A
    scales the directions by their gains. The numerator is what of a_i - a_j turns the vector: its
    square is |a_i - a_j|^2 - (|a_i| - |a_j|)^2. A shortens, so the share is in 0 .. 1: 0 where
    nothing is taken out or nothing changes, 1 where nothing is left.

    O(T window D) time, O(T D) memory.
    """
    rows = as_embeddings(vectors)
    if (gains == 1.0).all():
        return 0.0
    left = _scaled(rows, directions, gains)
    lengths = np.linalg.norm(left, axis=1)
    left /= np.where(lengths > 0, lengths, 1.0)[:, None]
    whole = kept = 0.0
    for lag in range(1, min(window, len(rows) - 1) + 1):
        weight = np.exp(-(lag**2) / (2.0 * sigma**2))
        whole += weight * np.linalg.norm(rows[lag:] - rows[:-lag], axis=1).sum()
        turned = np.linalg.norm(left[lag:] - left[:-lag], axis=1)
        kept += weight * (np.sqrt(lengths[lag:] * lengths[:-lag]) * turned).sum()
    return float(np.clip(1.0 - kept / whole, 0.0, 1.0)) if whole > 0 else 0.0


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
        """Whether no more of the clip's change is left than of a camera's motion: nothing else."""
        return self.mostly_motion and 1.0 - self.motion_share <= self.unseen_left


def correct(
    plain: Curve, vectors: ArrayLike, differences: ArrayLike, method: Method = METHOD
) -> Corrected:
    """Fit a clip again without its nuisance, the amount chosen from the clip.

    plain : its curve, with the settings of the fit. vectors : (T, D), unit rows. differences :
    (F, V, D), V views of each of F frames minus the frame's own vector. Where nothing is taken out
    the curve is the plain one itself.
    """
    found = np.asarray(differences, dtype=np.float64)
    directions = nuisance_directions(found.reshape(-1, found.shape[-1]))
    level = threshold(directions, vectors)
    gains = _gains(directions, level, method)
    if (gains == 1.0).all():
        return Corrected(plain, 0.0, 1.0)
    settings = plain.settings
    share = motion_share(vectors, directions, gains, settings.window, settings.sigma)
    curve = fit(corrected(vectors, directions, gains), plain.times, **vars(settings))
    known = ("is_still", "flicker_share", "cut_angle")  # of the clip and of what measures it
    curve = replace(curve, **{name: getattr(plain, name) for name in known})
    made = Corrected(curve, share, unseen_left(found, level, method))
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


def unseen_left(differences: Array, level: float, method: Method) -> float:
    """How much of a frame's differences the directions of the other frames leave: sum |A n| /
    sum |n| over all views, A made without the frame. 0 .. 1; NaN with fewer than 2 frames.

    differences : (F, V, D). level : `threshold` of the clip.
    """
    if len(differences) < 2:
        return nan
    left = whole = 0.0
    for index, own in enumerate(differences):
        others = np.delete(differences, index, axis=0).reshape(-1, own.shape[-1])
        directions = nuisance_directions(others)
        rest = _scaled(own, directions, _gains(directions, level, method))
        left += np.linalg.norm(rest, axis=1).sum()
        whole += np.linalg.norm(own, axis=1).sum()
    return float(left / whole) if whole > 0 else 1.0


def _scaled(vectors: Rows, directions: Directions, gains: Array) -> Array:
    """The rows with their parts along the directions times the gains; not of unit length."""
    rows = np.asarray(vectors, dtype=np.float64)
    touched = gains != 1.0
    axes = directions.axes[touched]
    return rows - ((rows @ axes.T) * (1.0 - gains[touched])) @ axes
