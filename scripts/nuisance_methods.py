"""Distances between frames that a camera is not to fool: ours, and what it was compared with.

Each method takes what `study_nuisance.py embed` stored of a clip: unit vectors z (T, D) of its
frames, v (F, V, D) of the views of the frames `at` (F,), and zs (T, D) of the stabilised clip.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spf.embedders.views import CAMERA, FRAMES, LIGHT
from spf.progress.distances import stacked_angles, unit_rows
from spf.progress.nuisance import corrected, nuisance_directions
from spf.progress.solver import WINDOW

Array = NDArray[np.float64]
Data = dict[str, Any]
Method = Callable[[Data], Array | None]
"""Stored vectors of a clip -> angles (T, window); None where it has no views of every frame."""


def band(z: Array) -> Array:
    """Angles (T, window) of vectors (T, D)."""
    return stacked_angles(np.asarray(z, np.float64)[None], WINDOW)[0]


def banded(matrix: Array) -> Array:
    """The band (T, window) of distances (T, T)."""
    found = np.zeros((len(matrix), min(WINDOW, len(matrix) - 1)))
    for lag in range(1, found.shape[1] + 1):
        found[: len(found) - lag, lag - 1] = np.diagonal(matrix, lag)
    return found


def differences(data: Data, places: Any = slice(None), views: Any = slice(None)) -> Array:
    """Differences (K, D) of the views of some frames."""
    own = data["z"][data["at"]][places, None]
    found = data["v"][places][:, views].astype(np.float64) - own
    return found.reshape(-1, found.shape[-1])


def nine(data: Data) -> NDArray[np.intp]:
    return np.linspace(0, len(data["at"]) - 1, FRAMES).round().astype(int)


def spectrum(rows: Array) -> tuple[Array, Array]:
    _, sizes, axes = np.linalg.svd(rows, full_matrices=False)
    return sizes**2 / len(rows), axes


def without(z: Array, axes: Array) -> Array:
    return z - (z @ axes.T) @ axes


def projected(rank: int) -> Method:
    def angles(data: Data) -> Array:
        return band(without(data["z"], spectrum(differences(data, nine(data)))[1][:rank]))

    return angles


def whitened(strength: float) -> Method:
    """(I + strength C / c_1)^(-1/2)."""

    def angles(data: Data) -> Array:
        energies, axes = spectrum(differences(data, nine(data)))
        gains = 1 / np.sqrt(1 + strength * energies / energies[0])
        return band(data["z"] - ((data["z"] @ axes.T) * (1 - gains)) @ axes)

    return angles


def cross_validated(data: Data) -> Array:
    """The rank that takes most out of views of a kind that was left out, against the path."""
    z, places, ranks = data["z"].astype(np.float64), nine(data), (0, 2, 4, 8, 16, 24, 32, 48)
    path = np.diff(z[data["at"][places]], axis=0)
    lost = np.zeros(len(ranks))
    for first in range(0, len(CAMERA + LIGHT), 2):
        kind = [first, first + 1]
        rest = [k for k in range(len(CAMERA + LIGHT)) if k not in kind]
        axes = spectrum(differences(data, places, rest))[1]
        unseen = differences(data, places, kind)
        for n, rank in enumerate(ranks):
            sizes = [max((x**2).sum(), 1e-12) for x in (unseen, path)]  # a still path has none
            left = [
                (without(x, axes[:rank]) ** 2).sum() / size
                for x, size in zip((unseen, path), sizes, strict=True)
            ]
            lost[n] += np.log(max(left[0], 1e-12)) - np.log(max(left[1], 1e-12))
    return projected(ranks[int(np.argmin(lost))])(data)


def softened(data: Data) -> Array:
    """Gains p / (p + 30 c) in place of none and all."""
    z = data["z"].astype(np.float64)
    energies, axes = spectrum(differences(data, nine(data)))
    own = (z @ axes.T).var(axis=0)
    return band(z - ((z @ axes.T) * (1 - own / (own + 30 * energies + 1e-18))) @ axes)


def chosen(reach: float, source: str = "z", views: Any = slice(None)) -> Method:
    """`spf.progress.nuisance`, on the frames ("z") or on the stabilised ones ("zs")."""

    def angles(data: Data) -> Array:
        axes = nuisance_directions(differences(data, nine(data), views), data[source], reach)
        return band(corrected(data[source], axes))

    return angles


def in_windows(data: Data, rank: int = 16, half: int = 8) -> Array | None:
    """Directions of the frames about the middle of each pair."""
    z = data["z"].astype(np.float64)
    count = len(z)
    if len(data["at"]) < count:
        return None
    found = np.zeros((count, count))
    for middle in range(2 * count - 1):
        start, stop = max(0, middle // 2 - half), min(count, middle // 2 + half + 1)
        places = np.unique(np.linspace(start, stop - 1, FRAMES).round().astype(int))
        near = unit_rows(without(z, spectrum(differences(data, places))[1][:rank]))
        for i in range(max(0, middle - count + 1), (middle + 1) // 2):
            j = middle - i
            found[i, j] = 2 * np.arcsin(min(1.0, np.linalg.norm(near[i] - near[j]) / 2))
    return banded(found)


def nearest_views(data: Data) -> Array | None:
    """The least angle between a camera's view of the one frame and one of the other."""
    if len(data["at"]) < len(data["z"]):
        return None
    seen = np.concatenate([data["z"][:, None], data["v"][:, : len(CAMERA)]], axis=1)
    cosines = np.einsum("iad,jbd->ijab", seen, seen, optimize=True).max(axis=(2, 3))
    return banded(np.arccos(np.clip(cosines, -1.0, 1.0)))


def tangent(data: Data) -> Array | None:
    """Two-sided tangent distance: what of z_j - z_i no small motion of either frame explains."""
    z = data["z"].astype(np.float64)
    if len(data["at"]) < len(z):
        return None
    own = data["v"][:, : len(CAMERA)].astype(np.float64) - z[:, None]
    found = np.zeros((len(z), len(z)))
    for i in range(len(z)):
        for j in range(i + 1, min(i + WINDOW, len(z) - 1) + 1):
            axes, step = np.concatenate([own[i], own[j]]), z[j] - z[i]
            gram = axes @ axes.T
            gram += 0.01 * np.trace(gram) / len(gram) * np.eye(len(gram))
            left = step - np.linalg.solve(gram, axes @ step) @ axes
            found[i, j] = 2 * np.arcsin(min(1.0, np.linalg.norm(left) / 2))
    return banded(found)


def averaged(data: Data) -> Array | None:
    """The mean of a frame and its views by a camera."""
    if len(data["at"]) < len(data["z"]):
        return None
    return band(data["z"] + data["v"][:, : len(CAMERA)].sum(axis=1))


METHODS: dict[str, Method] = {
    "plain (the paper's)": lambda data: band(data["z"]),
    "projection, 4": projected(4),
    "projection, 16": projected(16),
    "projection, 32": projected(32),
    "projection, cross-validated": cross_validated,
    "whitening, 100": whitened(100.0),
    "whitening, 1000": whitened(1000.0),
    "by the clip, gains": softened,
    "by the clip, reach 2.2": chosen(5**0.5),
    "**by the clip, reach 5** (`camera+light`)": chosen(5.0),
    "by the clip, reach 10": chosen(10.0),
    "by the clip, reach 5, `camera`": chosen(5.0, views=slice(0, len(CAMERA))),
    "projection, 16, by windows": in_windows,
    "nearest of all views": nearest_views,
    "tangent distance": tangent,
    "mean of 9 views": averaged,
    "stabilised (ECC)": lambda data: band(data["zs"]) if "zs" in data else None,
    "stabilised, then reach 5": lambda data: chosen(5.0, "zs")(data) if "zs" in data else None,
}
