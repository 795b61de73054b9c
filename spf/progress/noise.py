"""What embedding noise alone does to a curve, so that a static clip is not called evenly paced."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from spf.progress.solver import System

Array = NDArray[np.float64]

FLICKER_SHARE = 0.6
"""Noise share above which a clip flickers, for an embedder that was not measured."""

FLICKER_LEVEL = 0.3
"""Noise level, radians, of clips whose neighbouring frames differ as different images do."""

LAGS = 3  # lags, in frames, from which the noise is extrapolated to lag 0
STROBES = (2, 3)  # frames for which a strobe may hold each of its images
RISE = 0.25  # rise of d^2 from lag 1 to 2, as a share, that is no chance of a static clip's noise

FLOOR_MARGIN = 6.0  # about four standard errors (see `noise_margin`)

SPREAD_GUESS = 0.2
SPREAD_WEIGHT = 10
"""Spread of equal distances that is assumed before any is seen (that of noise in 12 dimensions),
and the number of distances that it counts as: clips of a few frames show none of their own."""

SPREAD_MOST = 0.3  # a larger spread is not noise's but an uneven pace's


AFFINE_AFTER = 12
"""Windows after which the response grows by a constant per frame (the ends no longer meet)."""


def noise_level(distances: Array) -> Array:
    """Angle between two frames that is due to noise alone; radians.

    Independent noise of size n makes squared distances n^2 + (true distance)^2. Where the meaning
    changes steadily the second part grows as the lag squared, so n^2 is the intercept of d^2
    against h^2 (as the nugget is the intercept of a variogram). The median over frames leaves a few
    jumps or cuts out. Least squares over lags 1 .. 3; a negative intercept means none.

    Noise and steady change together make d^2 convex in h. Where it rises but is not convex
    (distances that saturate, a path that keeps turning) that line would take change for noise, so
    its intercept is at most that of the line of d^2 against h through lags 1 and 2.

    A strobe that shows each of its images for s frames is back at the first one after 2 s: where
    the median at lag 2 s is less than half of that at lag s, the same is asked of lags s, 2 s, 3 s,
    for s = 2 and 3, and the largest answer counts.

    distances : (..., T, window) float64, plain angles as `banded_angles` returns them.

    Returns (...,) float64, at least 0; 0 where fewer than 2 lags exist.
    """
    window = distances.shape[-1]
    lags = np.arange(1, min(LAGS, window) + 1)
    if len(lags) < 2:
        return np.zeros(distances.shape[:-2])
    level = _intercept(_squared_medians(distances, lags))
    for hold in STROBES:
        if LAGS * hold <= window:
            squared = _squared_medians(distances, hold * lags)
            returns = squared[..., 1] < squared[..., 0] / 2
            level = np.where(returns, np.maximum(level, _intercept(squared)), level)
    return level


def _squared_medians(distances: Array, lags: Array) -> Array:
    """Median over the frames (..., len(lags)) of d^2 at some lags."""
    medians = [np.median(distances[..., :-lag, lag - 1], axis=-1) for lag in lags]
    return np.stack(medians, axis=-1) ** 2


def _intercept(squared: Array) -> Array:
    """Square root of the intercept (...,) of d^2 (..., 2 or 3) at lags 1, 2, 3 times a constant."""
    lags = np.arange(1, squared.shape[-1] + 1)
    x = lags.astype(np.float64) ** 2
    # Weights of the least-squares intercept: sum over lags of weight * d^2.
    centred = x - x.mean()
    weights = 1.0 / len(x) - x.mean() * centred / (centred @ centred)
    intercept = squared @ weights
    if len(lags) > 2:
        bend = squared[..., 2] - 2.0 * squared[..., 1] + squared[..., 0]
        straight = 2.0 * squared[..., 0] - squared[..., 1]
        saturates = (bend <= 0.0) & (straight < (1.0 - RISE) * squared[..., 0])
        intercept = np.where(saturates, np.minimum(intercept, straight), intercept)
    # Rounding leaves 1e-16 of the largest value where the true intercept is 0.
    return np.sqrt(np.where(intercept > 1e-12 * squared[..., -1], intercept, 0.0))


def noise_spread(distances: Array) -> Array:
    """How much distances of equal lag differ from each other, as a share of their median.

    It says how well the noise is known: sqrt(1 / 2D) for noise that is independent in D dimensions
    and equal in all frames, more where few dimensions matter or the noise comes and goes. From
    the median absolute deviation at lags 1 .. 3 (1.4826 times it is the standard deviation of a
    Gaussian), so that a few jumps do not count; averaged as squares, with a guess beside them.

    distances : (..., T, window) float64, plain angles as `banded_angles` returns them.

    Returns (...,) float64, in 0 .. `SPREAD_MOST`.
    """
    length, window = distances.shape[-2:]
    total = np.full(distances.shape[:-2], SPREAD_WEIGHT * SPREAD_GUESS**2)
    count = SPREAD_WEIGHT
    for lag in range(1, min(LAGS, window) + 1):
        equal = distances[..., :-lag, lag - 1]
        middle = np.median(equal, axis=-1, keepdims=True)
        deviation = 1.4826 * np.median(np.abs(equal - middle), axis=-1)
        middle = middle[..., 0]
        share = np.divide(deviation, middle, out=np.zeros_like(deviation), where=middle > 0)
        total += (length - lag) * share**2
        count += length - lag
    return np.minimum(np.sqrt(total / count), SPREAD_MOST)


def noise_margin(length: int, spread: float) -> float:
    """Share by which the total change of a static clip may exceed its noise floor by chance.

    6 s / sqrt(T) + s^2, s the `noise_spread`. For static noise total / floor - 1 has a standard
    error of about 1.4 s / sqrt(T); and where noise comes and goes, the mean distance, which makes
    the total, is above the median, which makes the floor, by about s^2 / 2.

    Of the static clips of 3 to 1000 frames that we drew, 99% or more stay below it in 64 and 768
    dimensions (84% or more in 8), and 90% or more where the noise of each frame is another (a
    lognormal factor of sigma 0.4) or ebbs and flows by half along the clip.
    """
    return float(FLOOR_MARGIN * spread / np.sqrt(length) + spread**2)


@lru_cache(maxsize=256)
def constant_response(length: int, window: int, sigma: float) -> float:
    """Total change that the fit reports when all frames are 1 apart.

    Equal distances have no order in time, yet their best curve is nearly straight and its total
    grows with the number of frames: 5.1 at T = 81 and 78 at T = 1394 for window 30, sigma 20.
    Away from the ends its slope is sum(w h) / sum(w h^2) a frame, so beyond `AFFINE_AFTER`
    windows the rest is added in closed form: O(window^3) for any length.
    """
    solved = min(length, AFFINE_AFTER * window)
    system = System.build(solved, window, sigma, ridge=0.0)
    lags = np.arange(1, len(system.weights) + 1)
    ones = (np.arange(solved)[:, None] + lags < solved).astype(np.float64)
    fitted = system.solve(ones)
    slope = system.weights @ lags / (system.weights @ lags**2)
    return float(fitted[-1] - fitted[0] + slope * (length - solved))
