"""Scenes of composition: one landscape turns into another, with what stands in it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthetic.drawing import (
    Canvas,
    Float32,
    LayerPainter,
    cover,
    mix,
    oklab_to_rgb,
    oklch_to_oklab,
    over,
    solids,
    spread,
)

Parts = list[tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Polygons (points, colour); a thing stands on (0, 0), has height 1, and y points down."""

Colour = tuple[float, float, float]
"""Oklab lightness, chroma, hue in degrees."""

HORIZON = 0.08
FRONT = 0.52
THINGS = 5


@dataclass(frozen=True)
class Place:
    """What a landscape is made of."""

    sky_top: Colour
    sky_low: Colour
    sun: Colour
    sun_height: float
    sun_radius: float
    stars: float
    ridge: Colour
    ridge_height: float
    ground_far: Colour
    ground_near: Colour
    ripples: float
    thing: str
    height: float


PLACES = {
    "meadow": Place(
        (0.66, 0.13, 245), (0.92, 0.04, 220), (0.96, 0.10, 95), 0.30, 0.055, 0.0,
        (0.62, 0.09, 160), 0.10, (0.72, 0.15, 128), (0.54, 0.14, 138), 0.02, "tree", 0.33,
    ),
    "city": Place(
        (0.20, 0.06, 275), (0.42, 0.09, 300), (0.95, 0.02, 260), 0.36, 0.040, 1.0,
        (0.27, 0.05, 285), 0.05, (0.36, 0.02, 270), (0.24, 0.02, 270), 0.0, "tower", 0.52,
    ),
    "desert": Place(
        (0.70, 0.10, 50), (0.90, 0.09, 80), (0.98, 0.06, 95), 0.20, 0.075, 0.0,
        (0.62, 0.12, 45), 0.12, (0.80, 0.11, 75), (0.66, 0.12, 65), 0.05, "cactus", 0.30,
    ),
    "sea": Place(
        (0.60, 0.10, 235), (0.90, 0.05, 205), (0.97, 0.05, 100), 0.26, 0.045, 0.0,
        (0.62, 0.05, 225), 0.03, (0.60, 0.10, 220), (0.38, 0.10, 240), 0.12, "sail", 0.30,
    ),
    "snow": Place(
        (0.74, 0.05, 235), (0.95, 0.02, 240), (0.98, 0.02, 90), 0.24, 0.045, 0.0,
        (0.82, 0.03, 245), 0.20, (0.95, 0.01, 240), (0.86, 0.03, 245), 0.02, "fir", 0.34,
    ),
    "volcano": Place(
        (0.24, 0.05, 20), (0.52, 0.17, 38), (0.80, 0.17, 60), 0.12, 0.070, 0.2,
        (0.22, 0.03, 20), 0.26, (0.34, 0.07, 30), (0.17, 0.02, 30), 0.08, "spire", 0.30,
    ),
}  # fmt: skip


def _rgb(colour: Colour) -> NDArray[np.float64]:
    return oklab_to_rgb(oklch_to_oklab(*colour))


def _box(left: float, right: float, low: float, high: float) -> NDArray[np.float64]:
    """A rectangle between heights `low` and `high` above the ground."""
    return np.array([[left, -low], [right, -low], [right, -high], [left, -high]])


def _disc(x: float, height: float, radius: float) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + radius * np.cos(angle), radius * np.sin(angle) - height], axis=1)


def _tree(generator: np.random.Generator) -> Parts:
    leaves = _rgb((0.50, 0.14, generator.uniform(125, 150)))
    crown = ((-0.2, 0.6, 0.2), (0.2, 0.6, 0.2), (0, 0.75, 0.25))
    trunk = (_box(-0.05, 0.05, 0, 0.5), _rgb((0.40, 0.07, 55)))
    return [trunk, *((_disc(*disc), leaves) for disc in crown)]


def _tower(generator: np.random.Generator) -> Parts:
    half, top = generator.uniform(0.13, 0.19), generator.uniform(0.7, 1.0)
    parts = [(_box(-half, half, 0, top), _rgb((0.42, 0.03, generator.uniform(240, 290))))]
    window = _rgb((0.88, 0.13, 90))
    for row in np.arange(0.1, top - 0.1, 0.14):
        for column in (-0.55, 0.0, 0.55):
            if generator.uniform() < 0.7:
                x = column * half
                parts.append((_box(x - 0.16 * half, x + 0.16 * half, row, row + 0.07), window))
    return parts


def _cactus(generator: np.random.Generator) -> Parts:
    green = _rgb((0.50, 0.11, generator.uniform(135, 155)))
    left, right = generator.uniform(0.3, 0.5, 2)
    arms = (
        (-0.28, 0, left, left + 0.11), (-0.28, -0.17, left, left + 0.32),
        (0, 0.28, right, right + 0.11), (0.17, 0.28, right, right + 0.3),
    )  # fmt: skip
    shapes = [_box(-0.08, 0.08, 0, 0.93), _disc(0, 0.92, 0.08), *(_box(*arm) for arm in arms)]
    return [(shape, green) for shape in shapes]


def _sail(generator: np.random.Generator) -> Parts:
    cloth = _rgb((0.96, 0.02, 90))
    stripe = _rgb((0.62, 0.19, generator.uniform(0, 60)))
    hull = np.array([[-0.4, -0.16], [0.42, -0.16], [0.28, 0.0], [-0.28, 0.0]])
    return [
        (hull, _rgb((0.40, 0.09, 40))),
        (_box(-0.015, 0.015, 0.15, 1.0), _rgb((0.35, 0.05, 50))),
        (np.array([[0.03, -0.95], [0.38, -0.24], [0.03, -0.24]]), cloth),
        (np.array([[-0.03, -0.85], [-0.03, -0.24], [-0.28, -0.24]]), stripe),
    ]


def _fir(generator: np.random.Generator) -> Parts:
    green = _rgb((0.40, 0.08, generator.uniform(150, 175)))
    white = _rgb((0.97, 0.01, 240))
    parts = [(_box(-0.05, 0.05, 0, 0.2), _rgb((0.35, 0.06, 50)))]
    for low, high, half in ((0.15, 0.6, 0.32), (0.4, 0.8, 0.25), (0.62, 1.0, 0.18)):
        parts.append((np.array([[-half, -low], [half, -low], [0, -high]]), green))
        tip = 0.35 * half
        base = high - 0.35 * (high - low)
        parts.append((np.array([[-tip, -base], [tip, -base], [0, -high]]), white))
    return parts


def _spire(generator: np.random.Generator) -> Parts:
    lean = generator.uniform(-0.12, 0.12)
    rock = np.array([[-0.34, 0], [lean - 0.07, -1], [lean + 0.06, -0.94], [0.32, 0]])
    crack = np.array([[-0.06, 0], [lean, -0.9], [0.05, -0.45], [0.07, 0]])
    return [(rock, _rgb((0.27, 0.03, 25))), (crack, _rgb((0.68, 0.20, 45)))]


_THINGS: dict[str, Callable[[np.random.Generator], Parts]] = {
    "tree": _tree, "tower": _tower, "cactus": _cactus, "sail": _sail, "fir": _fir, "spire": _spire,
}  # fmt: skip


def landscape(
    first: str, second: str, canvas: Canvas, generator: np.random.Generator
) -> LayerPainter:
    """Sky, sun, ridge and ground go from one place's to another's.

    The things of the first place sink into the ground as those of the second one grow.
    Background: sky, sun, stars and ridge. Foreground: ground and things.
    """
    ends = [PLACES[name] for name in (first, second)]
    x, y = canvas.grid
    stands = _stands(ends, canvas.width / canvas.unit, generator)
    ridge_shape = _ridge(x, generator)
    rolling = HORIZON + 0.015 * np.sin(2 * np.pi * (0.9 * x + generator.uniform()))
    ground_alpha = _coverage((y - rolling) * canvas.unit)
    # Rows: both depend on the height alone.
    nearness = np.clip((y[:, 0] - HORIZON) / (FRONT - HORIZON), 0.0, 1.3)
    skyward = np.clip((HORIZON - y[:, 0]) / (0.5 + HORIZON), 0.0, 1.3)
    # Ripples get finer toward the horizon, as perspective makes them.
    depth = np.sqrt(np.clip(y - HORIZON + 0.02, 0.0, None))
    ripple = np.sin(60 * depth + 1.5 * canvas.noise(generator, 5.0))
    sun_x = generator.uniform(-0.25, 0.25)
    stars = _stars(canvas, generator) * skyward[:, None]

    def colour(name: str, p: float) -> NDArray[np.float64]:
        first, second = (oklch_to_oklab(*getattr(end, name)) for end in ends)
        return oklab_to_rgb(mix(first, second, p))

    def number(name: str, p: float) -> np.float32:
        return np.float32(mix(getattr(ends[0], name), getattr(ends[1], name), p))

    def paint(p: float) -> tuple[Float32, Float32]:
        sky = _gradient(colour("sky_low", p), colour("sky_top", p), skyward, x.shape[1])
        if number("stars", p) > 0:
            sky += spread(np.float32(200) * number("stars", p) * stars)
        away = np.hypot(x - np.float32(sun_x), y + number("sun_height", p))
        away -= number("sun_radius", p)
        glow = np.float32(0.3) * np.exp(np.minimum(-away, 0) / np.float32(0.1))
        _blend(sky, colour("sun", p), np.maximum(_coverage(-away * canvas.unit), glow))
        crest = HORIZON - number("ridge_height", p) * ridge_shape
        _blend(sky, colour("ridge", p), _coverage((y - crest) * canvas.unit))

        near = colour("ground_near", p)
        ground = _gradient(colour("ground_far", p), near, nearness, x.shape[1])
        if number("ripples", p) > 0:
            ground *= spread(1 + number("ripples", p) * ripple)
        front = cover(np.clip(ground, 0, 255, out=ground), ground_alpha)
        parts: Parts = []
        for base, size, last, thing in stands:
            grown = p if last else 1.0 - p
            if grown > 0:
                parts += [(points * size * grown + base, shade) for points, shade in thing]
        things = solids(canvas, parts, 0.035)
        return np.minimum(sky, 255, out=sky), over(things, front)

    return paint


def _coverage(pixels: NDArray) -> Float32:
    """How much of a pixel lies inside an edge that is so many pixels away; 0..1."""
    return np.clip(pixels + 0.5, 0.0, 1.0).astype(np.float32)


def _gradient(start: NDArray, end: NDArray, share: Float32, width: int) -> Float32:
    """Rows (H', width, 3) that go from one colour to another by a share (H',)."""
    start, end = start.astype(np.float32), end.astype(np.float32)
    return np.repeat((start + share[:, None] * (end - start))[:, None], width, axis=1)


def _blend(picture: Float32, colour: NDArray, alpha: Float32) -> None:
    """Lay a colour over the picture, in place."""
    picture += spread(alpha) * (colour.astype(np.float32) - picture)


def _stands(
    ends: list[Place], width: float, generator: np.random.Generator
) -> list[tuple[NDArray[np.float64], float, bool, Parts]]:
    """(base, height, whether of the second place, parts) of all things, the farthest first.

    Those of the second place stand in the gaps of the first one's; `width` is the frame's.
    """
    stands = []
    for index in range(2 * THINGS):
        last = index % 2 == 1
        across = (index + 0.5) / (2 * THINGS) - 0.5 + generator.uniform(-0.02, 0.02)
        depth = generator.uniform(0.12, 0.36)
        place = ends[last]
        size = place.height * (0.75 + 1.3 * (depth - 0.12))
        parts = _THINGS[place.thing](generator)
        stands.append((np.array([1.05 * width * across, HORIZON + depth]), size, last, parts))
    return sorted(stands, key=lambda stand: stand[0][1])


def _ridge(x: Float32, generator: np.random.Generator) -> Float32:
    """The mountains' profile (H', W') along x, in about 0..1."""
    profile = np.full(x.shape, 0.5)
    for frequency, height in ((0.8, 0.3), (1.7, 0.2), (3.9, 0.08), (8.1, 0.03)):
        profile += height * np.sin(2 * np.pi * (frequency * x + generator.uniform()))
    return np.clip(profile, 0.0, 1.2).astype(np.float32)


def _stars(canvas: Canvas, generator: np.random.Generator) -> Float32:
    x, y = canvas.grid
    stars = np.zeros(canvas.shape, np.float32)
    sigma = max(0.0035, 0.5 / canvas.unit)
    for _ in range(90):
        at = generator.uniform(-1, 1), generator.uniform(-1, HORIZON)
        bright = generator.uniform(0.3, 1.0)
        stars += bright * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * sigma**2))
    return np.minimum(stars, 1.0).astype(np.float32)
