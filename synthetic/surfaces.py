"""Scenes of one surface: a sphere whose material changes, and a panel whose texture changes."""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synthetic.drawing import (
    Canvas,
    Float32,
    LayerPainter,
    background,
    cover,
    mix,
    oklab_to_rgb,
    oklch,
    oklch_to_oklab,
    over,
    shadow,
)


@dataclass(frozen=True)
class Material:
    """Blinn-Phong material with a mirrored surrounding and two patterns in its colour."""

    lightness: float
    chroma: float
    hue: float
    diffuse: float
    specular: float
    log_shininess: float
    mirror: float
    veins: float
    rings: float


MATERIALS = {
    "plaster": Material(0.93, 0.01, 80, 1.0, 0.02, 1.0, 0.0, 0.05, 0.0),
    "gold": Material(0.80, 0.15, 85, 0.35, 0.9, 4.0, 0.75, 0.0, 0.0),
    "rubber": Material(0.42, 0.15, 28, 1.0, 0.18, 2.2, 0.0, 0.0, 0.0),
    "marble": Material(0.90, 0.02, 260, 0.9, 0.55, 4.2, 0.12, 1.0, 0.0),
    "wood": Material(0.58, 0.09, 60, 1.0, 0.12, 2.5, 0.0, 0.15, 1.0),
    "steel": Material(0.72, 0.01, 250, 0.2, 0.9, 4.4, 0.85, 0.0, 0.0),
    "jade": Material(0.62, 0.12, 158, 0.9, 0.5, 3.8, 0.1, 0.6, 0.0),
    "copper": Material(0.66, 0.12, 45, 0.35, 0.8, 3.6, 0.7, 0.0, 0.0),
}


def material(
    first: str, second: str, canvas: Canvas, generator: np.random.Generator
) -> LayerPainter:
    """A sphere whose reflectance parameters go from one material's to another's.

    The light is fixed. Lightness, chroma and hue mix as Oklab colours, the other parameters
    linearly (shininess by its logarithm).
    """
    radius = generator.uniform(0.29, 0.33)
    place = generator.uniform(-0.05, 0.05, 2)
    ends = [MATERIALS[name] for name in (first, second)]
    back = background(canvas, generator, [end.hue for end in ends])
    grid_x, grid_y = canvas.grid
    x, y = (grid_x - place[0]) / radius, (grid_y - place[1]) / radius
    distance = np.hypot(x, y)
    alpha = np.clip((1.0 - distance) * radius * canvas.unit + 0.5, 0.0, 1.0).astype(np.float32)
    z = np.sqrt(np.clip(1.0 - distance**2, 0.0, 1.0))
    light = _normalised(np.array([-0.5, -0.65, 0.6]))
    half = _normalised(light + np.array([0.0, 0.0, 1.0]))
    toward = np.clip(x * light[0] + y * light[1] + z * light[2], 0.0, 1.0)
    gloss = np.clip(x * half[0] + y * half[1] + z * half[2], 0.0, 1.0)
    # The surrounding seen in the mirror: bright sky above a dark ground, and the light's box.
    reflected_y = 2 * z * y
    sky = 0.18 + (0.95 - 0.35 * np.clip(-reflected_y, 0, 1)) / (1 + np.exp(14 * reflected_y))
    sky += 0.2 * np.clip(reflected_y, 0, 1)
    rim = (1.0 - z) ** 3
    clouds = canvas.noise(generator, 7.0) + 0.6 * canvas.noise(generator, 15.0)
    veins = np.exp(-np.abs(clouds) / 0.22)
    rings = 0.5 + 0.5 * np.sin(26 * (0.6 * x + 0.1 * y + 0.12 * canvas.noise(generator, 3.0)))
    cast = cover(BLACK, shadow(alpha, canvas, 0.22))
    colours = [oklch_to_oklab(end.lightness, end.chroma, end.hue) for end in ends]

    def paint(p: float) -> tuple[Float32, Float32]:
        looks = mix(astuple(ends[0]), astuple(ends[1]), p)[3:]
        diffuse, specular, log_shininess, mirror, vein, ring = looks
        colour = oklab_to_rgb(mix(colours[0], colours[1], p))
        pattern = 1.0 - 0.55 * vein * veins - 0.45 * ring * rings
        matte = diffuse * pattern * (0.30 + 0.80 * toward)
        amount = matte + mirror * sky * (1.0 + 0.4 * rim)
        shine = 255.0 * specular * gloss ** np.exp(log_shininess)
        picture = amount[..., None] * colour + shine[..., None]
        return back, over(cover(np.clip(picture, 0, 255), alpha), cast)

    return paint


def _normalised(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)


Noise = Callable[[float], Float32]
Field = Callable[[Float32, Float32, np.random.Generator, Noise], NDArray]
TURN = 2 * np.pi
BLACK = np.zeros(3)


def _bricks(x: Float32, y: Float32, *_: Any) -> NDArray:
    row = np.floor(9 * y)
    across = np.abs((4 * x + 0.5 * np.mod(row, 2)) % 1 - 0.5) / 4
    along = np.abs((9 * y) % 1 - 0.5) / 9
    return 30 * np.minimum(0.5 / 4 - across, 0.5 / 9 - along) - 0.5


def _cells(x: Float32, y: Float32, generator: np.random.Generator, *_: Any) -> NDArray:
    steps = np.arange(-9, 10)
    points = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) / 9.0
    points = points + generator.uniform(-0.045, 0.045, points.shape)
    near = np.full(x.shape, np.inf, np.float32)
    second = near.copy()
    for px, py in points:
        distance = np.hypot(x - px, y - py).astype(np.float32)
        second = np.minimum(second, np.maximum(near, distance))
        near = np.minimum(near, distance)
    return 40 * (second - near) - 0.9


TEXTURES: dict[str, Field] = {
    "stripes": lambda x, y, *_: np.sin(TURN * 9 * x),
    "checks": lambda x, y, *_: np.sin(TURN * 5 * x) * np.sin(TURN * 5 * y),
    "dots": lambda x, y, *_: np.cos(TURN * 8 * x) + np.cos(TURN * 8 * y) - 0.6,
    "rings": lambda x, y, *_: np.sin(TURN * 9 * np.hypot(x, y)),
    "waves": lambda x, y, *_: np.sin(TURN * (8 * y + 0.5 * np.sin(TURN * 3 * x))),
    "clouds": lambda x, y, generator, noise: noise(8.0) + 0.4 * noise(17.0),
    "bricks": _bricks,
    "cells": _cells,
}


def texture(
    first: str, second: str, canvas: Canvas, generator: np.random.Generator
) -> LayerPainter:
    """A panel in two colours, divided by the sign of a field that mixes those of two textures."""
    hue = generator.uniform(0, 360)
    colours = [oklch(0.80, 0.11, hue), oklch(0.42, 0.12, hue + generator.uniform(20, 60))]
    back = background(canvas, generator, [hue, hue + 40])
    turn = np.deg2rad(generator.uniform(-25, 25))
    place = generator.uniform(-0.04, 0.04, 2)
    grid_x, grid_y = canvas.grid
    x = np.cos(turn) * (grid_x - place[0]) + np.sin(turn) * (grid_y - place[1])
    y = np.cos(turn) * (grid_y - place[1]) - np.sin(turn) * (grid_x - place[0])
    noise = partial(canvas.noise, generator)
    fields = [TEXTURES[name](x, y, generator, noise) for name in (first, second)]
    within = tuple(slice(canvas.margin, side - canvas.margin) for side in canvas.shape)
    fields = [(field / np.std(field[within])).astype(np.float32) for field in fields]
    # A rounded panel: the signed distance to a square of half side 0.36 with corners of 0.08.
    away = [np.abs(axis - at) - 0.28 for axis, at in zip((grid_x, grid_y), place, strict=True)]
    outside = np.hypot(np.maximum(away[0], 0), np.maximum(away[1], 0))
    inside = np.minimum(np.maximum(away[0], away[1]), 0)
    edge = (0.08 - outside - inside) * canvas.unit
    alpha = np.clip(edge + 0.5, 0.0, 1.0).astype(np.float32)
    sheen = (1.04 - 0.22 * (grid_y + 0.5 * grid_x))[..., None].astype(np.float32)
    cast = cover(BLACK, shadow(alpha, canvas, 0.14))
    bright, dark = (np.asarray(colour, np.float32) for colour in colours)

    def paint(p: float) -> tuple[Float32, Float32]:
        field = np.float32(1.0 - p) * fields[0] + np.float32(p) * fields[1]
        # The slope across an edge, about one pixel wide, antialiases it at every size.
        slope_x = cv2.Scharr(field, cv2.CV_32F, 1, 0, scale=1 / 32)
        slope_y = cv2.Scharr(field, cv2.CV_32F, 0, 1, scale=1 / 32)
        slope = np.sqrt(slope_x**2 + slope_y**2) + np.float32(0.02)
        share = np.clip(field / slope + 0.5, 0.0, 1.0)[..., None]
        picture = (dark + (bright - dark) * share) * sheen
        return back, over(cover(np.clip(picture, 0, 255), alpha), cast)

    return paint
