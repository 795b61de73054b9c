"""Slow, obviously right versions of what is computed fast, written from the formulas alone: nothing
is shared with the library. Clips whose answer is known in closed form are made here too."""

import math

import numpy as np
import scipy.optimize
import scipy.sparse
import scipy.sparse.linalg

STEPS = 64  # equal steps of time on which clips of different length are compared


def between(a, b):
    """Angles (N,) of rows (N, D): 2 atan2(|a - b|, |a + b|) of unit rows, exact near 0 and pi."""
    a, b = (rows / np.sqrt((rows**2).sum(axis=1, keepdims=True)) for rows in (a, b))
    return 2 * np.arctan2(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))


# The fit


def pairs(length, window):
    """Every i < j with j - i <= window."""
    both = [(i, j) for i in range(length) for j in range(i + 1, min(i + window, length - 1) + 1)]
    return tuple(np.array(both).T)


def solve(length, window, sigma, ridge, b):
    """(T,) solution of (A'WA + ridge I) S = A'W b: a row of A reads S_j - S_i for each of the
    pairs, w_ij = exp(-(i - j)^2 / (2 sigma^2)).

    Without a ridge constants are the null space: S_0 = 0, and the mean is subtracted afterwards.
    """
    i, j = pairs(length, window)
    rows, ones = np.arange(len(i)), np.ones(len(i))
    entries = np.concatenate([ones, -ones]), (np.tile(rows, 2), np.concatenate([j, i]))
    A = scipy.sparse.coo_array(entries, shape=(len(i), length)).tocsc()
    if ridge == 0:
        A = A[:, 1:]
    W = scipy.sparse.diags_array(np.exp(-((j - i) ** 2) / (2 * sigma**2)))
    normal = (A.T @ W @ A + ridge * scipy.sparse.eye_array(A.shape[1])).tocsc()
    S = np.atleast_1d(scipy.sparse.linalg.spsolve(normal, A.T @ (W @ b)))
    if ridge == 0:
        S = np.concatenate([[0.0], S])
        S -= S.mean()
    return np.asarray(S)


def raw_fit(z, window=30, sigma=20.0, ridge=1e-5, power=1.0):
    """Raw progress function S (T,) of the rows (T, D): b holds d_ij ** power."""
    rows = np.asarray(z, dtype=np.float64)
    i, j = pairs(len(rows), window)
    return solve(len(rows), window, sigma, ridge, between(rows[i], rows[j]) ** power)


def constant_response(length, window, sigma):
    """Raw S (T,) of a clip whose frames are all 1 radian apart: what pure noise looks like."""
    return solve(length, window, sigma, 1e-5, np.ones(len(pairs(length, window)[0])))


def monotone(S, how):
    """Non-decreasing curve (T,) starting at 0, not scaled, from a raw fit S (T,)."""
    if how == "isotonic":
        nearest = scipy.optimize.isotonic_regression(S).x
        return nearest - nearest[0]
    slope = [max(0.0, g) for g in np.gradient(S)]
    out = np.zeros(len(S))
    for t in range(1, len(S)):
        step = {
            "gradient": (slope[t - 1] + slope[t]) / 2,
            "peer": slope[t],
            "increments": max(0.0, S[t] - S[t - 1]),
        }[how]
        out[t] = out[t - 1] + step
    return out


# Metrics


def _speeds(share, du):
    """Peak, time-weighted standard deviation, entropy and stalled time of steps of progress."""
    speed = [s / d for s, d in zip(share, du, strict=True)]
    mean = sum(d * v for d, v in zip(du, speed, strict=True))
    variance = sum(d * (v - mean) ** 2 for d, v in zip(du, speed, strict=True))
    entropy = -sum(s * math.log(s) for s in share if s > 0)
    stalled = sum(d for d, v in zip(du, speed, strict=True) if v < 0.1)
    return max(speed), math.sqrt(variance), entropy / math.log(len(share)), stalled


def metrics(S, progress, times, points=1000):
    """Shape metrics of a curve: raw fit S (T,), normalised progress (T,), time stamps (T,).

    u is time scaled to 0..1; s are the clipped forward differences of S, scaled to sum 1;
    v = s / du. `points` midpoints per step integrate abs(progress - u).
    """
    u = (times - times[0]) / (times[-1] - times[0])
    fraction = (np.arange(points) + 0.5) / points
    off, area = progress - u, 0.0
    for t in range(len(u) - 1):
        gap = off[t] + fraction * (off[t + 1] - off[t])
        area += float(np.abs(gap).mean()) * (u[t + 1] - u[t])
    clipped = [max(0.0, S[t + 1] - S[t]) for t in range(len(S) - 1)]
    share = [c / sum(clipped) for c in clipped]
    at = np.interp(np.arange(STEPS + 1) / STEPS, u, np.concatenate([[0.0], np.cumsum(share)]))
    even = [at[k + 1] - at[k] for k in range(STEPS)]
    names = "peak_speed", "speed_cv", "pacing_entropy", "stall_fraction"
    found = {"linearity_mae": area, "linearity_max": max(abs(x) for x in off)}
    found |= zip(names, _speeds(share, np.diff(u)), strict=True)
    resampled = zip(names[:3], _speeds(even, [1 / STEPS] * STEPS), strict=False)
    return found | {f"{name}_64": value for name, value in resampled}


# Segmentation


def line(x, y):
    """Slope, intercept and squared error of the least-squares line, by one call to `lstsq`."""
    slope, intercept = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
    residual = y - (slope * x + intercept)
    return float(slope), float(intercept), float(residual @ residual)


def brute_segmentation(x, y, penalty=0.0, n_segments=None, min_length=2):
    """Stops of the best disjoint straight pieces that cover all frames, and their cost.

    The cost is the sum of squared residuals, plus `penalty` per piece; `n_segments` asks for that
    many exactly. Each (start, stop) is fitted separately; then dynamic programming, by count.
    """
    stops = range(min_length, len(y) + 1)
    error = {(i, j): line(x[i:j], y[i:j])[2] for j in stops for i in range(j - min_length + 1)}
    best = {0: (0.0, [])}  # stop -> cost, stops
    found = []
    for count in range(1, (n_segments or len(y) // min_length) + 1):
        options = {j: [i for i in best if i + min_length <= j] for j in stops}
        best = {
            j: min((best[i][0] + error[i, j], [*best[i][1], j]) for i in starts)
            for j, starts in options.items()
            if starts
        }
        cost, pieces = best[len(y)]
        found.append((cost + penalty * count, pieces))
    cost, pieces = found[-1] if n_segments else min(found)
    return pieces, cost


# Clips with a known answer


def great_circle(positions, dim=32, seed=0, noise=0.0):
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
    rows = np.cos(where)[:, None] * plane[:, 0] + np.sin(where)[:, None] * plane[:, 1]
    if noise > 0:
        rows = rows + random.standard_normal(rows.shape) * (noise / math.sqrt(dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_walk(length, dim=16, step=0.3, seed=0):
    """Unit rows (T, dim) float32 that wander: neighbours are about `step` radians apart."""
    random = np.random.default_rng(seed)
    rows = np.empty((length, dim))
    row = random.standard_normal(dim)
    for t in range(length):
        row = row / np.linalg.norm(row) + random.standard_normal(dim) * step / math.sqrt(dim)
        rows[t] = row / np.linalg.norm(row)
    return rows.astype(np.float32)


def jump(length, at, angle=1.0, seed=0, noise=0.0):
    """A static clip (T, 32) that jumps by `angle` radians between frames at-1 and at."""
    return great_circle(np.where(np.arange(length) < at, 0.0, angle), 32, seed, noise)


def alpha(rank, bands, low, high, decay):
    """The authors' formula; rank 0 is the highest frequency."""
    return high + (low - high) * np.exp(-decay * rank / (bands - 1))


def wan_angles(positions, height, width, head_dim):
    """Angles (N, head_dim) of Wan's tables; positions (F, B) by temporal band, highest first."""
    spatial = 2 * (head_dim // 6)
    dims = head_dim - 2 * spatial, spatial, spatial
    return axes_angles(positions, height, width, dims, 10000.0)


def axes_angles(positions, height, width, dims, theta):
    """Angles (N, sum of dims) of tables of time, rows and columns, with dims channels each."""
    rows = []
    for t, y, x in np.ndindex(len(positions), height, width):
        row = []
        for axis, dim in enumerate(dims):
            for i in range(dim // 2):
                row += [(positions[t][i], y, x)[axis] * theta ** (-2 * i / dim)] * 2
        rows.append(row)
    return np.array(rows)


def ltx2_angles(coords, times, rope):
    """As above, of LTX-2, (heads, N, head_dim / 2) or (N, dim), or of LTX-Video, (N, dim)."""
    extents = (rope.base_num_frames, rope.base_height, rope.base_width)
    bands = rope.dim // 6
    flat = np.zeros((coords.shape[1], rope.dim // 2))
    padding = rope.dim // 2 - 3 * bands
    for k in range(bands):
        rate = np.float32(rope.theta ** (k / (bands - 1)) * np.pi / 2)
        for axis in range(3):
            place = times[:, k] if axis == 0 else coords[axis]
            flat[:, padding + 3 * k + axis] = (2 * place / extents[axis] - 1) * float(rate)
    if getattr(rope, "rope_type", "interleaved") == "interleaved":
        return flat.repeat(2, axis=1)
    heads = rope.num_attention_heads
    return flat.reshape(len(flat), heads, -1).transpose(1, 0, 2)
