"""Procedural scenes whose meaning changes with p: the registry, and the scenes of silhouettes.

What a scene leaves open (colours, sizes, places, background) is drawn from its name and the seed.
A scene is painted in two layers, so that a camera can move the foreground past the background.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import pdist

from spf.errors import ConfigError
from spf.names import choose
from synthetic import landscapes, surfaces
from synthetic.drawing import (
    Canvas,
    Content,
    Float32,
    LayerPainter,
    background,
    check_size,
    mix,
    oklab_to_rgb,
    oklch,
    oklch_to_oklab,
    solids,
)
from synthetic.seeds import generator_for
from synthetic.shapes import HELD_OUT_SHAPES, SHAPES, contour, morph, reach, rotation

COLOURS = {
    "red": (0.60, 0.21, 27), "orange": (0.72, 0.17, 55), "yellow": (0.85, 0.17, 95),
    "lime": (0.80, 0.20, 125), "green": (0.60, 0.16, 148), "teal": (0.66, 0.11, 190),
    "blue": (0.55, 0.18, 258), "purple": (0.52, 0.20, 300), "pink": (0.74, 0.16, 355),
    "brown": (0.45, 0.09, 55),
}  # fmt: skip
"""Oklab lightness, chroma and hue in degrees."""

ARRANGEMENTS = ("ring", "grid", "line", "pyramid", "spiral", "cross", "scatter")
MIN_RADIUS = 0.6
"""Smallest radius in pixels of an object that still shows as a dot."""


@dataclass(frozen=True)
class Scene(Content):
    """Content of one kind whose meaning goes from one name (p = 0) to another (p = 1)."""

    kind: str
    first: str
    second: str
    objects: int = 9
    held_out: bool = False

    def __post_init__(self) -> None:
        _, names = KINDS[choose(self.kind, KINDS, "kind of scene")]
        for name in (self.first, self.second):
            if names:
                choose(name, names, f"{self.kind} of a scene")
            elif not (name.isdecimal() and int(name) >= 1):
                raise ConfigError(f"scene {self.kind}: {name!r} is no number of objects from 1 on")
        if self.objects < 1:
            raise ConfigError(f"objects={self.objects} is impossible; use 1 or more")

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.first}-{self.second}"

    def identity(self) -> dict[str, Any]:
        about = {"content": "scenes", "name": self.name, "objects": self.objects}
        return about | {"silhouettes": "held out" if self.held_out else "shown"}

    def layers(self, size: tuple[int, int], margin: int = 0, seed: int = 0) -> LayerPainter:
        canvas = Canvas(*check_size(size), margin)
        layers, _ = KINDS[self.kind]
        return layers(self, canvas, generator_for("scene", self.name, seed))


def _silhouette(scene: Scene, generator: np.random.Generator) -> str:
    names = [name for name in SHAPES if (name in HELD_OUT_SHAPES) == scene.held_out]
    return str(generator.choice(names))


def _one(scene: Scene, canvas: Canvas, generator: np.random.Generator) -> LayerPainter:
    """One large object; its silhouette or its colour changes."""
    hue = generator.uniform(0, 360)
    size, turn = generator.uniform(0.24, 0.28), np.deg2rad(generator.uniform(-12, 12))
    place = generator.uniform(-0.06, 0.06, 2)
    spin = size * rotation(turn)
    shapes, ends = (scene.first, scene.second), [(0.64, 0.17, hue)] * 2
    if scene.kind == "colour":
        shapes = (_silhouette(scene, generator),) * 2
        ends = [COLOURS[name] for name in (scene.first, scene.second)]
    colours = [oklch_to_oklab(*end) for end in ends]
    back = background(canvas, generator, [end[2] for end in ends])

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
    name = _silhouette(scene, generator)
    radius = cell * min(0.36, 0.46 / reach(contour(name)))
    _check_fit(most, radius, canvas)
    cells = generator.permutation(rows * columns)[:most]
    centres = np.stack([cells % columns - (columns - 1) / 2, cells // columns - (rows - 1) / 2], 1)
    centres = centres * cell + generator.uniform(-0.08, 0.08, (most, 2)) * cell
    hue = generator.uniform(0, 360)
    colours = [oklch(0.64, 0.16, hue + generator.uniform(-22, 22)) for _ in range(most)]
    turns = np.deg2rad(generator.uniform(-15, 15, most))
    back = background(canvas, generator, [hue])
    outlines = [contour(name) @ rotation(angle) for angle in turns]

    def paint(p: float) -> tuple[Float32, Float32]:
        present = mix(first, second, p)
        # Each object's area, not its radius, grows evenly, so that the covered area does.
        radii = radius * np.sqrt(np.clip(present - np.arange(most), 0.0, 1.0))
        shapes = [
            (outlines[k] * radii[k] + centres[k], colours[k]) for k in np.flatnonzero(radii > 0)
        ]
        return back, solids(canvas, shapes, 0.4 * radius)

    return paint


def _arrangement(scene: Scene, canvas: Canvas, generator: np.random.Generator) -> LayerPainter:
    """The same objects move from one arrangement to another along straight lines."""
    starts, ends = (_places(name, scene.objects, generator) for name in (scene.first, scene.second))
    # Each object takes the nearest free place: the least sum of squared ways.
    ways = ((starts[:, None] - ends[None]) ** 2).sum(axis=2)
    ends = ends[linear_sum_assignment(ways)[1]]
    # They keep apart on the way, too.
    ways = [pdist(mix(starts, ends, p)) for p in np.linspace(0.0, 1.0, 17)]
    closest = float(np.min(ways, initial=np.inf))
    name = _silhouette(scene, generator)
    radius = min(0.10, 0.48 * closest / reach(contour(name)))
    _check_fit(scene.objects, radius, canvas)
    hue = generator.uniform(0, 360)
    colours = [oklch(0.66, 0.16, hue + 100 * k / scene.objects) for k in range(scene.objects)]
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
    side = int(np.ceil(np.sqrt(objects)))
    if arrangement == "ring":
        angle = 2 * np.pi * index / objects - np.pi / 2
        x, y = np.cos(angle), np.sin(angle)
    elif arrangement == "grid":
        x, y = index % side, index // side
    elif arrangement == "line":
        x, y = index, np.zeros(objects)
    elif arrangement == "pyramid":
        row = ((np.sqrt(8 * index + 1) - 1) // 2).astype(int)
        x, y = index - row * (row + 1) // 2 - row / 2, row * 0.87
    elif arrangement == "spiral":
        turns = np.sqrt(index + 0.3)
        x, y = turns * np.cos(2.4 * index), turns * np.sin(2.4 * index)
    elif arrangement == "cross":
        directions = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]])
        x, y = directions[index % 4].T * ((index + 3) // 4).astype(float)
    else:
        # Jittered cells: scattered to the eye, yet never one upon the other.
        cells = generator.permutation(side * side)[:objects]
        jitter = generator.uniform(-0.28, 0.28, (objects, 2)).T
        x, y = np.array([cells % side, cells // side]) + jitter
    places = np.stack([x, y], axis=1).astype(float)
    places = places - 0.5 * (places.min(axis=0) + places.max(axis=0))
    return 0.36 * places / max(np.abs(places).max(), 1e-9) if objects > 1 else 0.0 * places


def _check_fit(objects: int, radius: float, canvas: Canvas) -> None:
    if radius * canvas.unit < MIN_RADIUS:
        raise ConfigError(
            f"{objects} objects do not fit into {canvas.height}x{canvas.width} pixels; "
            "use fewer objects or a larger size"
        )


LayersOfScene = Callable[[Scene, Canvas, np.random.Generator], LayerPainter]


def _between(maker: Callable[..., LayerPainter]) -> LayersOfScene:
    """The layers of a scene that its two names alone determine."""
    return lambda scene, *more: maker(scene.first, scene.second, *more)


KINDS: dict[str, tuple[LayersOfScene, Sequence[str]]] = {
    "shape": (_one, SHAPES),
    "colour": (_one, tuple(COLOURS)),
    "material": (_between(surfaces.material), tuple(surfaces.MATERIALS)),
    "texture": (_between(surfaces.texture), tuple(surfaces.TEXTURES)),
    "count": (_count, ()),
    "arrangement": (_arrangement, ARRANGEMENTS),
    "composition": (_between(landscapes.landscape), tuple(landscapes.PLACES)),
}
"""How a kind of scene is painted, and the names between which it changes: none where they are
numbers of objects."""

OBJECTS = {"line": 6, "scatter": 10}
"""Numbers of objects of arrangements, by the first one, that are not the usual one."""

SCENES = tuple(
    Scene(kind, first, second, OBJECTS.get(first, Scene.objects), held_out)
    for names, held_out in (
        ("shape-circle-star shape-square-heart shape-triangle-flower shape-leaf-cross", False),
        ("colour-red-blue colour-yellow-purple colour-green-orange", False),
        ("material-plaster-gold material-rubber-marble material-wood-steel", False),
        ("texture-stripes-dots texture-checks-rings texture-bricks-clouds", False),
        ("count-1-9 count-3-16 count-12-2", False),
        ("arrangement-ring-grid arrangement-line-spiral", False),
        ("composition-meadow-city composition-desert-sea composition-city-desert", False),
        ("shape-drop-gear shape-crescent-bolt colour-pink-teal material-jade-copper", True),
        ("texture-waves-cells count-4-11 arrangement-scatter-pyramid", True),
        ("composition-snow-volcano", True),
    )
    for kind, first, second in (name.split("-") for name in names.split())
)
"""Named scenes. Words of a held-out scene (shapes, colours, ...) are in no other scene."""
