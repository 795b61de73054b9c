"""Angular distances between the embeddings of neighbouring frames."""

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.floating]

TILE = 16  # frames per matrix product: few, so that little is computed outside the band

WORKSPACE = 4 << 20
"""Bytes of float64 rows converted at a time: they stay in the cache while the tiles use them."""

NEARLY_EQUAL = 1e-10
"""Below this 1 - cos the product has lost its digits and the chord is measured directly."""


def as_embeddings(z: ArrayLike) -> Rows:
    """Embeddings as a float array (T, D), without a copy where possible; else ValueError."""
    rows = np.asarray(z)
    if rows.ndim != 2 or rows.shape[1] < 1:
        raise ValueError(f"embeddings must have shape (frames, dimensions), not {rows.shape}")
    if rows.shape[0] < 2:
        raise ValueError(f"at least 2 frames are needed to measure a change, not {rows.shape[0]}")
    return rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float64)


def banded_angles(z: ArrayLike, window: int = 30) -> Array:
    """Angles between every two frames at most `window` apart.

    d[i, h - 1] = arccos(z_i . z_{i+h} / |z_i||z_{i+h}|), for h = 1 .. window (method, section 1).

    z : (T, D) float32 or float64, rows of any positive length.
    window : largest distance in frames, at least 1; larger than T - 1 means T - 1.

    Returns (T, min(window, T - 1)) float64 in radians, 0 .. pi; entries past the last frame are 0.

    Cosines come from float64 matrix products of tiles of frames. Where two frames nearly agree
    the cosine has no digits left (1e-16 in the cosine is 1e-8 rad), so those angles are measured
    by the chord |a - b|, which preserves them: identical rows are exactly 0 apart. Time
    O(T window D); memory O(T window), beside a workspace of a few megabytes.

    Raises ValueError for a wrong shape, fewer than 2 frames, and rows with NaN or only zeros.
    """
    return stacked_angles(as_embeddings(z)[None], window)[0]


def stacked_angles(stack: Rows, window: int) -> Array:
    """`banded_angles` of B clips of equal length: (B, T, D) -> (B, T, window) radians."""
    length = stack.shape[1]
    window = min(window, length - 1)
    cosines, norms = banded_cosines(stack, window)
    bad = ~(np.isfinite(norms) & (norms > 0))
    if bad.any():
        clip, row = np.argwhere(bad)[0]
        what = "is all zeros" if norms[clip, row] == 0 else "holds NaN or infinity"
        raise ValueError(f"embedding of frame {row} {what} ({bad[clip].sum()} such frames)")
    inside = np.arange(length)[:, None] + np.arange(1, window + 1) < length
    angles = np.arccos(np.clip(cosines, -1.0, 1.0))
    angles[:, ~inside] = 0.0
    clip, first, lag = np.nonzero((1.0 - cosines < NEARLY_EQUAL) & inside)
    if len(clip):
        angles[clip, first, lag] = tiny_angles(stack, clip, first, first + lag + 1)
    return angles


def banded_cosines(stack: Rows, window: int) -> tuple[Array, Array]:
    """Cosines (B, T, window) between frames 1 .. window apart, and the norms (B, T) of the rows.

    Cosines past the last frame are not defined.
    """
    clips, length, dimensions = stack.shape
    cosines = np.ones((clips, length, window))
    norms = np.empty((clips, length))
    frames = min(length, max(TILE, WORKSPACE // (8 * dimensions)))
    group = max(1, min(clips, WORKSPACE // (8 * dimensions * frames)))
    workspace = np.empty(group * min(length, frames + window) * dimensions)
    products = np.zeros((group, TILE, TILE + window))
    # Entry [i, i + h] of a tile is entry [i, h] of the band: a view with a slanted stride.
    clip_step, row_step, step = products.strides
    slanted = (clip_step, row_step + step, step)
    for clip in range(0, clips, group):
        for start in range(0, length, frames):
            part = stack[clip : clip + group, start : start + frames + window]
            rows = workspace[: part.size].reshape(part.shape)
            np.copyto(rows, part)
            for offset in range(0, min(frames, part.shape[1]), TILE):
                right = rows[:, offset : offset + TILE + window]
                here, count = len(rows), min(TILE, right.shape[1])
                tile = products[:here, :count]
                np.matmul(
                    right[:, :count], right.transpose(0, 2, 1), out=tile[..., : right.shape[1]]
                )
                band = as_strided(tile, (here, count, window + 1), slanted, writeable=False)
                where = np.s_[clip : clip + here, start + offset : start + offset + count]
                norms[where] = np.sqrt(band[..., 0])
                cosines[where] = band[..., 1:]
    with np.errstate(invalid="ignore", divide="ignore"):  # the caller checks the norms
        cosines /= norms[..., None]
        for lag in range(1, window + 1):
            cosines[:, : length - lag, lag - 1] /= norms[:, lag:]
    return cosines, norms


def tiny_angles(
    stack: Rows, clip: NDArray[np.intp], first: NDArray[np.intp], second: NDArray[np.intp]
) -> Array:
    """Angles of listed pairs of nearly equal frames, by their chord; radians.

    At such angles (below 1.5e-5 rad) the chord |a - b| of unit rows is the angle to 1e-11 of it.
    Frozen stretches are common in video: equal neighbours make a run, apart by exactly 0.
    """
    changes = np.any(stack[:, 1:] != stack[:, :-1], axis=2)
    run = np.pad(np.cumsum(changes, axis=1), ((0, 0), (1, 0)))
    angles = np.zeros(len(clip))
    moved = np.flatnonzero(run[clip, first] != run[clip, second])
    for pairs in np.array_split(moved, 1 + len(moved) // 1024):
        c = clip[pairs]
        difference = unit_rows(stack[c, first[pairs]]) - unit_rows(stack[c, second[pairs]])
        angles[pairs] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return angles


def unit_rows(rows: Rows) -> Array:
    """Rows of float64 and length 1."""
    exact = np.asarray(rows, dtype=np.float64)
    return exact / np.sqrt(np.einsum("...j,...j->...", exact, exact))[..., None]
