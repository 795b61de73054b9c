"""Slow, obviously right versions of what `spf.progress` computes fast.

Everything here is written from the formulas alone: matrices are built literally, sums are loops,
least squares is `numpy.linalg.lstsq`. Nothing is shared with the library, so that a mistake made
there cannot be repeated here. Clips whose answer is known in closed form are made here too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

STEPS = 64  # equal steps of time on which clips of different length are compared


# ---------------------------------------------------------------------------- distances


def unit_rows(z: ArrayLike) -> Floats:
    """Rows of (T, D) `z` scaled to length 1 in float64."""
    rows = np.asarray(z, dtype=np.float64)
    return np.stack([row / math.sqrt(float(row @ row)) for row in rows])


def angles(z: ArrayLike) -> Floats:
    """All-pairs angles (T, T) in radians: 2 atan2(|a - b|, |a + b|), exact near 0 and near pi."""
    rows = unit_rows(z)
    out = np.zeros((len(rows), len(rows)))
    for i, a in enumerate(rows):
        difference = np.sqrt(((rows - a) ** 2).sum(axis=1))
        total = np.sqrt(((rows + a) ** 2).sum(axis=1))
        out[i] = 2 * np.arctan2(difference, total)
    return out


# --------------------------------------------------------------------------------- fit


def pairs(length: int, window: int) -> list[tuple[int, int]]:
    """Every (i, j) with i < j and j - i <= window."""
    return [(i, j) for i in range(length) for j in range(i + 1, min(i + window, length - 1) + 1)]


def fit_system(
    distance: Floats, window: int, sigma: float, power: float
) -> tuple[Floats, Floats, Floats]:
    """The system of the progress function: A (pairs, T), weights (pairs,), b (pairs,).

    A row of A reads S_j - S_i, b holds d_ij ** power, w_ij = exp(-(i - j)^2 / (2 sigma^2)).
    """
    length = len(distance)
    chosen = pairs(length, window)
    A = np.zeros((len(chosen), length))
    b = np.zeros(len(chosen))
    weight = np.zeros(len(chosen))
    for row, (i, j) in enumerate(chosen):
        A[row, j] = 1.0
        A[row, i] = -1.0
        b[row] = distance[i, j] ** power
        weight[row] = math.exp(-((i - j) ** 2) / (2 * sigma**2))
    return A, weight, b


def solve_ridge(A: Floats, weight: Floats, b: Floats, ridge: float) -> Floats:
    """(T,) solution of (A'WA + ridge I) S = A'W b."""
    weighted = weight[:, None] * A
    normal = A.T @ weighted + ridge * np.eye(A.shape[1])
    return np.asarray(np.linalg.solve(normal, weighted.T @ b), dtype=np.float64)


def solve_pinned(A: Floats, weight: Floats, b: Floats) -> Floats:
    """(T,) minimiser of (A S - b)' W (A S - b) whose mean is 0.

    Constants are the null space, and the solution of least norm has no part in the null space.
    """
    root = np.sqrt(weight)
    solution = np.linalg.lstsq(root[:, None] * A, root * b, rcond=None)[0]
    return np.asarray(solution, dtype=np.float64)


def dense_fit(
    z: ArrayLike, window: int = 30, sigma: float = 20.0, ridge: float = 1e-5, power: float = 1.0
) -> Floats:
    """Raw progress function S (T,) of unit rows (T, D), with the ridge as given."""
    return solve_ridge(*fit_system(angles(z), window, sigma, power), ridge)


def dense_fit_pinned(
    z: ArrayLike, window: int = 30, sigma: float = 20.0, power: float = 1.0
) -> Floats:
    """As `dense_fit` without a ridge, the mean of S pinned to 0."""
    return solve_pinned(*fit_system(angles(z), window, sigma, power))


def constant_response(length: int, window: int, sigma: float, ridge: float = 1e-5) -> Floats:
    """Raw S (T,) of a clip whose frames are all 1 radian apart: what pure noise looks like."""
    distance = np.ones((length, length)) - np.eye(length)
    return solve_ridge(*fit_system(distance, window, sigma, 1.0), ridge)


def sparse_fit(
    z: ArrayLike, window: int = 30, sigma: float = 20.0, ridge: float = 0.0, power: float = 1.0
) -> Floats:
    """`dense_fit` for clips too long for a dense matrix: the same A, stored sparsely.

    ridge 0 takes the first column of A away (S_0 = 0) and subtracts the mean afterwards.
    """
    rows = unit_rows(z)
    length = len(rows)
    chosen = np.array(pairs(length, window))
    a, b = rows[chosen[:, 0]], rows[chosen[:, 1]]
    distance = 2 * np.arctan2(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))
    index = np.arange(len(chosen))
    A = scipy.sparse.coo_array(
        (
            np.concatenate([np.ones(len(chosen)), -np.ones(len(chosen))]),
            (np.concatenate([index, index]), np.concatenate([chosen[:, 1], chosen[:, 0]])),
        ),
        shape=(len(chosen), length),
    ).tocsc()
    if ridge == 0:
        A = A[:, 1:]
    lag = chosen[:, 1] - chosen[:, 0]
    W = scipy.sparse.diags_array(np.exp(-(lag**2) / (2 * sigma**2)))
    normal = (A.T @ W @ A + ridge * scipy.sparse.eye_array(A.shape[1])).tocsc()
    solution = scipy.sparse.linalg.spsolve(normal, A.T @ (W @ distance**power))
    if ridge == 0:
        solution = np.concatenate([[0.0], solution])
        solution -= solution.mean()
    return np.asarray(solution)


# ------------------------------------------------------------------------------- curve


def isotonic(y: ArrayLike) -> Floats:
    """Non-decreasing (T,) vector nearest to `y` in least squares: pool adjacent violators."""
    blocks: list[list[float]] = []
    for value in np.asarray(y, dtype=np.float64):
        blocks.append([float(value)])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] = blocks[-1] + last
    return np.concatenate([np.full(len(block), np.mean(block)) for block in blocks])


def monotone(S: ArrayLike, how: str) -> Floats:
    """Non-decreasing curve (T,) starting at 0, not scaled, from a raw fit S (T,)."""
    S = np.asarray(S, dtype=np.float64)
    out = np.zeros(len(S))
    if how in ("gradient", "peer"):
        slope = [max(0.0, g) for g in np.gradient(S)]
        for t in range(1, len(S)):
            if how == "gradient":
                out[t] = out[t - 1] + (slope[t - 1] + slope[t]) / 2
            else:
                out[t] = out[t - 1] + slope[t]
    elif how == "increments":
        for t in range(1, len(S)):
            out[t] = out[t - 1] + max(0.0, S[t] - S[t - 1])
    elif how == "isotonic":
        out = isotonic(S)
        out = out - out[0]
    else:
        raise ValueError(how)
    return out


def progress(S: ArrayLike, how: str) -> Floats:
    """`monotone` scaled to run from 0 to 1 (all zeros where nothing changes)."""
    curve = monotone(S, how)
    return curve / curve[-1] if curve[-1] > 0 else np.zeros(len(curve))


# ----------------------------------------------------------------------------- metrics


def _speeds(share: Sequence[float], du: Sequence[float]) -> tuple[float, float, float, float]:
    """Peak, time-weighted standard deviation, entropy and stalled time of steps of progress."""
    speed = [s / d for s, d in zip(share, du, strict=True)]
    mean = sum(d * v for d, v in zip(du, speed, strict=True))
    variance = sum(d * (v - mean) ** 2 for d, v in zip(du, speed, strict=True))
    entropy = -sum(s * math.log(s) for s in share if s > 0)
    stalled = sum(d for d, v in zip(du, speed, strict=True) if v < 0.1)
    return (
        max(speed),
        math.sqrt(variance),
        entropy / math.log(len(share)) if len(share) > 1 else math.nan,
        stalled,
    )


def metrics(
    S: ArrayLike, progress: ArrayLike, times: ArrayLike, points: int = 1000
) -> dict[str, float]:
    """Shape metrics of a curve: raw fit S (T,), normalised progress (T,), time stamps (T,).

    u is time scaled to 0..1; s are the clipped forward differences of S, scaled to sum 1;
    v = s / du. `points` midpoints per step integrate abs(progress - u).
    """
    S, progress = np.asarray(S, dtype=np.float64), np.asarray(progress, dtype=np.float64)
    times = np.asarray(times, dtype=np.float64)
    u = (times - times[0]) / (times[-1] - times[0])
    area, furthest = 0.0, 0.0
    for t in range(len(u) - 1):
        fraction = (np.arange(points) + 0.5) / points
        gap = (progress[t] - u[t]) + fraction * (
            (progress[t + 1] - progress[t]) - (u[t + 1] - u[t])
        )
        area += float(np.abs(gap).mean()) * (u[t + 1] - u[t])
    for t in range(len(u)):
        furthest = max(furthest, abs(progress[t] - u[t]))

    clipped = [max(0.0, S[t + 1] - S[t]) for t in range(len(S) - 1)]
    share = [c / sum(clipped) for c in clipped]
    peak, cv, entropy, stalled = _speeds(share, [u[t + 1] - u[t] for t in range(len(u) - 1)])

    at = np.interp(np.arange(STEPS + 1) / STEPS, u, np.concatenate([[0.0], np.cumsum(share)]))
    even = [at[k + 1] - at[k] for k in range(STEPS)]
    peak_64, cv_64, entropy_64, _ = _speeds(even, [1 / STEPS] * STEPS)
    return {
        "linearity_mae": area,
        "linearity_max": furthest,
        "peak_speed": peak,
        "speed_cv": cv,
        "pacing_entropy": entropy,
        "stall_fraction": stalled,
        "peak_speed_64": peak_64,
        "speed_cv_64": cv_64,
        "pacing_entropy_64": entropy_64,
    }


# ----------------------------------------------------------- clips with a known answer


def great_circle(
    positions: ArrayLike, dim: int = 32, seed: int = 0, noise: float = 0.0
) -> NDArray[np.float32]:
    """Unit rows (T, dim) float32 on a great circle, frame t at the angle positions[t] (radians).

    Angles within half a turn add up along the circle, so the progress function without a ridge is
    `positions` up to a constant. `noise` is the length, in radians, of an independent random step
    away from the circle that each frame takes.
    """
    where = np.asarray(positions, dtype=np.float64)
    if np.ptp(where) >= math.pi / 2:
        raise ValueError("positions must span less than pi/2")
    random = np.random.default_rng(seed)
    plane, _ = np.linalg.qr(random.standard_normal((dim, 2)))
    out = np.empty((len(where), dim), dtype=np.float32)
    for start in range(0, len(where), 4096):  # blocks: a long clip must not double its memory
        angle = where[start : start + 4096, None]
        rows = np.cos(angle) * plane[:, 0] + np.sin(angle) * plane[:, 1]
        if noise > 0:
            rows = rows + random.standard_normal(rows.shape) * (noise / math.sqrt(dim))
        out[start : start + 4096] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return out


def random_walk(
    length: int, dim: int = 16, step: float = 0.3, seed: int = 0
) -> NDArray[np.float32]:
    """Unit rows (T, dim) float32 that wander: neighbours are about `step` radians apart."""
    random = np.random.default_rng(seed)
    rows = np.empty((length, dim))
    row = random.standard_normal(dim)
    for t in range(length):
        row = row / np.linalg.norm(row) + random.standard_normal(dim) * step / math.sqrt(dim)
        rows[t] = row / np.linalg.norm(row)
    return rows.astype(np.float32)


def static_noise(
    length: int, dim: int = 64, noise: float = 0.05, seed: int = 0
) -> NDArray[np.float32]:
    """One and the same frame (T, dim), seen with independent noise of `noise` radians."""
    return great_circle(np.zeros(length), dim, seed, noise)


def jump(
    length: int, at: int, angle: float = 1.0, dim: int = 32, seed: int = 0, noise: float = 0.0
) -> NDArray[np.float32]:
    """A static clip (T, dim) that jumps by `angle` radians between frames at-1 and at."""
    return great_circle(np.where(np.arange(length) < at, 0.0, angle), dim, seed, noise)
