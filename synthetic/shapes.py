"""Silhouettes as closed contours (360, 2), and morphs between them.

A contour is sampled evenly along its length, clockwise from its top, about its centroid, and has
the area of the unit circle: shapes differ by their class, not by their size or place.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

POINTS = 360
_AROUND = np.linspace(0, 2 * np.pi, 720, endpoint=False)


def _regular(corners: int) -> FloatArray:
    angle = 2 * np.pi * np.arange(corners) / corners - np.pi / 2
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _polar(radius: Callable[[FloatArray], FloatArray]) -> FloatArray:
    away = radius(_AROUND)
    return np.stack([away * np.sin(_AROUND), -away * np.cos(_AROUND)], axis=1)


def _heart() -> FloatArray:
    t = _AROUND
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -y], axis=1)


def _leaf() -> FloatArray:
    t = np.linspace(-1, 1, 360, endpoint=False)
    side = np.stack([0.52 * (1 - t**2), t], axis=1)
    return np.concatenate([side, -side])


def _crescent() -> FloatArray:
    tip, centre = np.deg2rad(50), 0.55
    outer = np.linspace(tip, 2 * np.pi - tip, 400)
    radius = np.hypot(np.sin(tip), np.cos(tip) - centre)
    turn = np.arctan2(np.sin(tip), np.cos(tip) - centre)
    inner = np.linspace(2 * np.pi - turn, turn, 400)
    arcs = [
        np.stack([np.cos(outer), np.sin(outer)], axis=1),
        np.stack([centre + radius * np.cos(inner), radius * np.sin(inner)], axis=1),
    ]
    return np.concatenate(arcs)


def _corners(*values: float) -> FloatArray:
    return np.array(values, float).reshape(-1, 2)


_OUTLINES: dict[str, FloatArray] = {
    "circle": _polar(np.ones_like),
    "square": _corners(-1, -1, 1, -1, 1, 1, -1, 1),
    "triangle": _regular(3),
    "star": _regular(10) * np.where(np.arange(10) % 2 == 0, 1.0, 0.42)[:, None],
    "heart": _heart(),
    "flower": _polar(lambda angle: 1 + 0.32 * np.cos(6 * angle)),
    "cross": _corners(
        -0.35, -1, 0.35, -1, 0.35, -0.35, 1, -0.35, 1, 0.35, 0.35, 0.35,
        0.35, 1, -0.35, 1, -0.35, 0.35, -1, 0.35, -1, -0.35, -0.35, -0.35,
    ),
    "leaf": _leaf(),
    "arrow": _corners(
        0, -1.1, 0.85, -0.1, 0.36, -0.1, 0.36, 1, -0.36, 1, -0.36, -0.1, -0.85, -0.1
    ),
    "gear": _polar(lambda angle: 1 + 0.15 * np.tanh(5 * np.cos(9 * angle))),
    "drop": np.stack(
        [0.75 * np.sin(_AROUND) * np.sin(_AROUND / 2) ** 1.6, -np.cos(_AROUND)], axis=1
    ),
    "crescent": _crescent(),
    "bolt": _corners(
        0.25, -1.2, 0.75, -1.2, 0.25, -0.25, 0.75, -0.25, -0.45, 1.25, -0.1, 0.2, -0.6, 0.2
    ),
    "hexagon": _regular(6),
}  # fmt: skip
SHAPES = tuple(_OUTLINES)
HELD_OUT_SHAPES = ("gear", "drop", "crescent", "bolt", "hexagon")


@lru_cache(maxsize=64)
def contour(name: str) -> FloatArray:
    """The shape's contour (360, 2) in world coordinates (y down); read-only."""
    corners = _OUTLINES[name]
    if _signed_area(corners) < 0:
        corners = corners[::-1]
    corners = corners - _centroid(corners)
    closed = np.concatenate([corners, corners[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])

    def along(places: FloatArray) -> FloatArray:
        places = np.mod(places, length[-1])
        return np.stack([np.interp(places, length, closed[:, axis]) for axis in (0, 1)], axis=1)

    # The top is where the contour meets the vertical through its centroid, highest up.
    fine = np.linspace(0.0, length[-1], 7200, endpoint=False)
    points = along(fine)
    upright = np.abs(np.arctan2(points[:, 0], -points[:, 1])) < 0.01
    start = fine[upright][np.argmin(points[upright, 1])] if upright.any() else 0.0
    even = along(start + length[-1] * np.arange(POINTS) / POINTS)
    even = unit_area(even)
    even.setflags(write=False)
    return even


def morph(first: str, second: str, p: float) -> FloatArray:
    """The contour (360, 2) between two shapes: points interpolated, area kept."""
    return unit_area((1.0 - p) * contour(first) + p * contour(second))


def reach(outline: FloatArray) -> float:
    """The farthest point of an outline (N, 2) from its centre."""
    return float(np.hypot(*outline.T).max())


def rotation(angle: float) -> FloatArray:
    """Matrix (2, 2) that turns the points of an outline (N, 2), from the right, by an angle."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def unit_area(points: FloatArray) -> FloatArray:
    """The outline (N, 2) scaled to the area of the unit circle."""
    return points * np.sqrt(np.pi / abs(_signed_area(points)))


def _signed_area(points: FloatArray) -> float:
    x, y = points.T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def _centroid(points: FloatArray) -> FloatArray:
    x, y = points.T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    centre = np.array([np.sum((x + np.roll(x, -1)) * cross), np.sum((y + np.roll(y, -1)) * cross)])
    return centre / (3 * np.sum(cross))
