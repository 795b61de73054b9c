"""Procedural scenes whose meaning changes with p: the registry, and the scenes of silhouettes.

What a scene leaves open (colours, sizes, places, background) is drawn from its name and the seed.
A scene is painted in two layers, so that a camera can move the foreground past the background.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from spf.errors import ConfigError
from spf.names import choose
from synthetic import landscapes, surfaces
from synthetic.checks import check_size
from synthetic.drawing import (
    Canvas,
    Float32,
    LayerPainter,
    Painter,
    background,
    flattened,
    mix,
    oklab_to_rgb,
    oklch,
    oklch_to_oklab,
    solids,
)
from synthetic.seeds import generator_for
from synthetic.shapes import HELD_OUT_SHAPES, SHAPES, contour, morph

COLOURS = {
    "red": (0.60, 0.21, 27),
    "orange": (0.72, 0.17, 55),
    "yellow": (0.85, 0.17, 95),
    "lime": (0.80, 0.20, 125),
    "green": (0.60, 0.16, 148),
    "teal": (0.66, 0.11, 190),
    "blue": (0.55, 0.18, 258),
    "purple": (0.52, 0.20, 300),
    "pink": (0.74, 0.16, 355),
    "brown": (0.45, 0.09, 55),
}
"""Oklab lightness, chroma and hue in degrees."""

ARRANGEMENTS = ("ring", "grid", "line", "pyramid", "spiral", "cross", "scatter")
MIN_RADIUS = 0.6
"""Smallest radius in pixels of an object that still shows as a dot."""


@dataclass(frozen=True)
class Kind:
    """How a kind of scene is painted, and the words between which it changes."""

    layers: Callable[["Scene", Canvas, np.random.Generator], LayerPainter]
    # The valid words; empty where they are numbers of objects.
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """Content of one kind whose meaning goes from one word (p = 0) to another (p = 1)."""

    kind: str
    first: str
    second: str
    objects: int = 9
    held_out: bool = False

    def __post_init__(self) -> None:
        words = KINDS[choose(self.kind, KINDS, "kind of scene")].words
        for word in (self.first, self.second):
            if words:
                choose(word, words, f"{self.kind} of a scene")
            elif not (word.isdecimal() and int(word) >= 1):
                raise ConfigError(f"scene {self.kind}: {word!r} is no number of objects from 1 on")
        if self.objects < 1:
            raise ConfigError(f"objects={self.objects} is impossible; use 1 or more")

    @property
    def name(self) -> str:
        """The content's word: shape-circle-star."""
        return f"{self.kind}-{self.first}-{self.second}"

    def identity(self) -> dict[str, Any]:
        """Everything but seed and size that determines the pixels."""
        drawn_from = "held out" if self.held_out else "shown"
        return {
            "content": "scenes",
            "name": self.name,
            "objects": self.objects,
            "silhouettes": drawn_from,
        }

    def layers(self, size: tuple[int, int], margin: int = 0, seed: int = 0) -> LayerPainter:
        """p -> background and foreground on a canvas with margins about the frame."""
        canvas = Canvas(*check_size(size), margin)
        return KINDS[self.kind].layers(self, canvas, generator_for("scene", self.name, seed))

    def painter(self, size: tuple[int, int], margin: int = 0, seed: int = 0) -> Painter:
        """p in [0, 1] -> (H + 2 margin, W + 2 margin, 3) uint8, RGB."""
        return flattened(self.layers(size, margin, seed))


def _silhouettes(scene: Scene) -> tuple[str, ...]:
    return tuple(name for name in SHAPES if (name in HELD_OUT_SHAPES) == scene.held_out)


def _one(scene: Scene, canvas: Canvas, generator: np.random.Generator, change: str) -> LayerPainter:
    """One large object; its silhouette or its colour changes."""
    hue = generator.uniform(0, 360)
    size, turn = generator.uniform(0.24, 0.28), np.deg2rad(generator.uniform(-12, 12))
    place = generator.uniform(-0.06, 0.06, 2)
    spin = size * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    if change == "shape":
        avoid = [hue]
        shapes = scene.first, scene.second
        colours = (oklch_to_oklab(0.64, 0.17, hue),) * 2
    else:
        avoid = [COLOURS[word][2] for word in (scene.first, scene.second)]
        shapes = (str(generator.choice(_silhouettes(scene))),) * 2
        colours = oklch_to_oklab(*COLOURS[scene.first]), oklch_to_oklab(*COLOURS[scene.second])

    back = background(canvas, generator, avoid)

    def paint(p: float) -> tuple[Float32, Float32]:
        colour = oklab_to_rgb(mix(colours[0], colours[1], p))
        outline = morph(*shapes, p) @ spin + place
        return back, solids(canvas, [(outline, colour)], 0.10)

    return paint


def _count(scene: Scene, canvas: Canvas, generator: np.random.Generator) -> LayerPainter:
    """Objects appear (or go) one after the other, each growing in its cell of a jittered grid."""
    first, second = int(scene.first), int(scene.second)
    most = max(first, second)
    height, width = np.array([canvas.height, canvas.width]) / canvas.unit
    columns = int(np.ceil(np.sqrt(most * width / height)))
    rows = int(np.ceil(most / columns))
    cell = 0.92 * min(height / rows, width / columns)
    name = str(generator.choice(_silhouettes(scene)))
    radius = cell * min(0.36, 0.46 / _reach(name))
    _check_fit(most, radius, canvas)
    cells = generator.permutation(rows * columns)[:most]
    centres = np.stack([cells % columns - (columns - 1) / 2, cells // columns - (rows - 1) / 2], 1)
    centres = centres * cell + generator.uniform(-0.08, 0.08, (most, 2)) * cell
    hue = generator.uniform(0, 360)
    colours = [oklch(0.64, 0.16, hue + generator.uniform(-22, 22)) for _ in range(most)]
    turns = np.deg2rad(generator.uniform(-15, 15, most))
    back = background(canvas, generator, [hue])
    outlines = [contour(name) @ _turn(angle) for angle in turns]

    def paint(p: float) -> tuple[Float32, Float32]:
        present = mix(first, second, p)
        # Each object's area, not its radius, grows evenly, so that the covered area does.
        radii = radius * np.sqrt(np.clip(present - np.arange(most), 0.0, 1.0))
        objects = outlines, radii, centres, colours
        shapes = [
            (outline * scale + centre, colour)
            for outline, scale, centre, colour in zip(*objects, strict=True)
            if scale > 0
        ]
        return back, solids(canvas, shapes, 0.4 * radius)

    return paint


def _arrangement(scene: Scene, canvas: Canvas, generator: np.random.Generator) -> LayerPainter:
    """The same objects move from one arrangement to another along straight lines."""
    starts, ends = (_places(word, scene.objects, generator) for word in (scene.first, scene.second))
    # Each object takes the nearest free place: the least sum of squared ways.
    ways = ((starts[:, None] - ends[None]) ** 2).sum(axis=2)
    ends = ends[linear_sum_assignment(ways)[1]]
    # They keep apart on the way, too.
    closest = min(_closest(mix(starts, ends, p)) for p in np.linspace(0.0, 1.0, 17))
    name = str(generator.choice(_silhouettes(scene)))
    radius = min(0.10, 0.48 * closest / _reach(name))
    _check_fit(scene.objects, radius, canvas)
    hue = generator.uniform(0, 360)
    colours = [
        oklch(0.66, 0.16, hue + 100 * index / scene.objects) for index in range(scene.objects)
    ]
    back = background(canvas, generator, [hue, hue + 50, hue + 100])
    outline = radius * contour(name)

    def paint(p: float) -> tuple[Float32, Float32]:
        centres = mix(starts, ends, p)
        shapes = [(outline + at, colour) for at, colour in zip(centres, colours, strict=True)]
        return back, solids(canvas, shapes, 0.4 * radius)

    return paint


def _places(arrangement: str, objects: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Centres (objects, 2) of an arrangement, within 0.36 of the frame's centre."""
    index = np.arange(objects)
    reach = 0.36
    side = int(np.ceil(np.sqrt(objects)))
    if arrangement == "ring":
        angle = 2 * np.pi * index / objects - np.pi / 2
        places = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    elif arrangement == "grid":
        places = np.stack([index % side, index // side], axis=1).astype(float)
    elif arrangement == "line":
        places = np.stack([index, np.zeros(objects)], axis=1).astype(float)
    elif arrangement == "pyramid":
        row = ((np.sqrt(8 * index + 1) - 1) // 2).astype(int)
        within = index - row * (row + 1) // 2
        places = np.stack([within - row / 2, row * 0.87], axis=1)
    elif arrangement == "spiral":
        turns = np.sqrt(index + 0.3)
        places = turns[:, None] * np.stack([np.cos(2.4 * index), np.sin(2.4 * index)], axis=1)
    elif arrangement == "cross":
        arm, away = index % 4, (index + 3) // 4
        directions = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]])
        places = directions[arm] * away[:, None].astype(float)
    else:
        # Jittered cells: scattered to the eye, yet never one upon the other.
        cells = generator.permutation(side * side)[:objects]
        places = np.stack([cells % side, cells // side], axis=1)
        places = places + generator.uniform(-0.28, 0.28, (objects, 2))
    places = places - 0.5 * (places.min(axis=0) + places.max(axis=0))
    return reach * places / max(np.abs(places).max(), 1e-9) if objects > 1 else 0.0 * places


def _closest(places: NDArray) -> float:
    if len(places) < 2:
        return np.inf
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    return float(apart[np.triu_indices(len(places), 1)].min())


def _reach(name: str) -> float:
    """The contour's farthest point from its centre."""
    return float(np.hypot(*contour(name).T).max())


def _check_fit(objects: int, radius: float, canvas: Canvas) -> None:
    if radius * canvas.unit < MIN_RADIUS:
        raise ConfigError(
            f"{objects} objects do not fit into {canvas.height}x{canvas.width} pixels; "
            "use fewer objects or a larger size"
        )


def _turn(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _surface(
    scene: Scene, canvas: Canvas, generator: np.random.Generator, kind: str
) -> LayerPainter:
    maker = {"material": surfaces.material, "texture": surfaces.texture}[kind]
    return maker(scene.first, scene.second, canvas, generator)


def _composition(scene: Scene, canvas: Canvas, generator: np.random.Generator) -> LayerPainter:
    return landscapes.landscape(scene.first, scene.second, canvas, generator)


KINDS: dict[str, Kind] = {
    "shape": Kind(partial(_one, change="shape"), SHAPES),
    "colour": Kind(partial(_one, change="colour"), tuple(COLOURS)),
    "material": Kind(partial(_surface, kind="material"), tuple(surfaces.MATERIALS)),
    "texture": Kind(partial(_surface, kind="texture"), tuple(surfaces.TEXTURES)),
    "count": Kind(_count),
    "arrangement": Kind(_arrangement, ARRANGEMENTS),
    "composition": Kind(_composition, tuple(landscapes.PLACES)),
}

SCENES: tuple[Scene, ...] = (
    Scene("shape", "circle", "star"),
    Scene("shape", "square", "heart"),
    Scene("shape", "triangle", "flower"),
    Scene("shape", "leaf", "cross"),
    Scene("colour", "red", "blue"),
    Scene("colour", "yellow", "purple"),
    Scene("colour", "green", "orange"),
    Scene("material", "plaster", "gold"),
    Scene("material", "rubber", "marble"),
    Scene("material", "wood", "steel"),
    Scene("texture", "stripes", "dots"),
    Scene("texture", "checks", "rings"),
    Scene("texture", "bricks", "clouds"),
    Scene("count", "1", "9"),
    Scene("count", "3", "16"),
    Scene("count", "12", "2"),
    Scene("arrangement", "ring", "grid"),
    Scene("arrangement", "line", "spiral", objects=6),
    Scene("composition", "meadow", "city"),
    Scene("composition", "desert", "sea"),
    Scene("composition", "city", "desert"),
    Scene("shape", "drop", "gear", held_out=True),
    Scene("shape", "crescent", "bolt", held_out=True),
    Scene("colour", "pink", "teal", held_out=True),
    Scene("material", "jade", "copper", held_out=True),
    Scene("texture", "waves", "cells", held_out=True),
    Scene("count", "4", "11", held_out=True),
    Scene("arrangement", "scatter", "pyramid", objects=10, held_out=True),
    Scene("composition", "snow", "volcano", held_out=True),
)
"""Named scenes. Words of a held-out scene (shapes, colours, ...) are in no other scene."""
