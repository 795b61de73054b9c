"""Plain morphs that stay clean at 32 x 32 pixels: what the shipped generator learns from.

One large object on a quiet background that is far from its colours. A pair has a kind:

| kind | what changes |
|---|---|
| shape | the silhouette |
| colour | the colour, along a straight line in Oklab |
| both | silhouette and colour |
| split | one object parts into two to four, and its silhouette changes |

Training pairs have the shown silhouettes, each blended with another one and stretched, so that
their silhouettes vary without end. Held-out pairs have the held-out silhouettes as they are and
the colours pink and teal, from whose hues the training pairs stay 15 degrees away.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spf.names import choose
from synthetic.drawing import (
    Canvas,
    Content,
    Float32,
    LayerPainter,
    check_size,
    mix,
    oklab_to_rgb,
    oklch,
    oklch_to_oklab,
    solids,
)
from synthetic.seeds import generator_for
from synthetic.shapes import HELD_OUT_SHAPES, SHAPES, contour, morph, reach, rotation, unit_area

FloatArray = NDArray[np.float64]

KINDS = ("shape", "colour", "both", "split")
SHOWN_SHAPES = tuple(name for name in SHAPES if name not in HELD_OUT_SHAPES)
HELD_OUT_HUES = {"pink": 355.0, "teal": 190.0}
"""Degrees in Oklab."""
_HUE_GAP = 15.0


@dataclass(frozen=True)
class MorphPair(Content):
    """Content whose silhouette, colour or number goes from p = 0 to p = 1."""

    kind: str
    first: str
    second: str
    held_out: bool = False

    def __post_init__(self) -> None:
        choose(self.kind, KINDS, "kind of morph")
        for name in (self.first, self.second):
            choose(name, HELD_OUT_SHAPES if self.held_out else SHOWN_SHAPES, "silhouette")

    @property
    def name(self) -> str:
        return f"morph-{self.kind}-{self.first}-{self.second}"

    def identity(self) -> dict[str, Any]:
        drawn_from = "held out" if self.held_out else "shown"
        return {"content": "morph pairs", "name": self.name, "silhouettes": drawn_from}

    def layers(self, size: tuple[int, int], margin: int = 0, seed: int = 0) -> LayerPainter:
        canvas = Canvas(*check_size(size), margin)
        generator = generator_for("morph pair", self.name, seed)
        ends = [self._silhouette(name, generator) for name in (self.first, self.second)]
        if self.kind == "colour":
            ends[1] = ends[0]
        colours = self._colours(generator)
        parts = int(generator.integers(2, 5)) if self.kind == "split" else 1
        radii = [min(generator.uniform(0.27, 0.33), 0.42 / reach(end)) for end in ends]
        if parts > 1:
            radii[1] /= np.sqrt(1.4 * parts)
        angle = generator.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(parts) / parts
        away = 0.0 if parts == 1 else 0.25
        places = away * np.stack([np.cos(angle), np.sin(angle)], axis=1)  # about the centre, at p=1
        centre = generator.uniform(-0.05, 0.05, 2)
        back = _backdrop(canvas, generator, colours)

        def paint(p: float) -> tuple[Float32, Float32]:
            outline = float(mix(radii[0], radii[1], p)) * unit_area(mix(ends[0], ends[1], p))
            colour = oklab_to_rgb(mix(colours[0], colours[1], p))
            shapes = [(outline + centre + p * place, colour) for place in places]
            return back, solids(canvas, shapes, 0.09)

        return paint

    def _silhouette(self, name: str, generator: np.random.Generator) -> FloatArray:
        turn = rotation(np.deg2rad(generator.uniform(-15, 15)))
        if self.held_out:
            return contour(name) @ turn
        blended = morph(name, str(generator.choice(SHOWN_SHAPES)), 0.8 * generator.uniform() ** 2)
        stretch = np.exp(generator.uniform(-0.2, 0.2))
        return blended @ np.diag([stretch, 1.0 / stretch]) @ turn

    def _colours(self, generator: np.random.Generator) -> list[FloatArray]:
        if self.held_out:
            hues = generator.permutation(list(HELD_OUT_HUES.values()))
        else:
            allowed = np.arange(0.0, 360.0)
            apart = [_apart(allowed, held) >= _HUE_GAP for held in HELD_OUT_HUES.values()]
            allowed = allowed[np.logical_and.reduce(apart)]
            first = generator.choice(allowed)
            hues = np.array([first, generator.choice(allowed[_apart(allowed, first) >= 50])])
        if self.kind in ("shape", "split"):
            hues[1] = hues[0]
        lightness = generator.uniform(0.56, 0.68)
        return [oklch_to_oklab(lightness, 0.17, float(hue)) for hue in hues]


def _apart(hues: FloatArray, hue: float) -> FloatArray:
    """Distance (N,) of hues in degrees."""
    return np.abs((hues - hue + 180) % 360 - 180)


def _backdrop(canvas: Canvas, generator: np.random.Generator, colours: list[FloatArray]) -> Float32:
    """A gradient (H', W', 3), dark or pale, whose hue is apart from the colours' hues."""
    hues = np.arange(0.0, 360.0, 5.0)
    own = [np.rad2deg(np.arctan2(colour[2], colour[1])) for colour in colours]
    distance = np.min([_apart(hues, hue) for hue in own], axis=0)
    hue = float(generator.choice(hues[distance >= 0.6 * distance.max()]))
    dark, pale = generator.uniform(0.2, 0.3), generator.uniform(0.88, 0.96)
    lightness = float(generator.choice([dark, pale]))
    top, bottom = (oklch(lightness + 0.03 * side, 0.05, hue + 20 * side) for side in (1, -1))
    x, y = canvas.grid
    share = np.clip(0.5 + 0.8 * (y + generator.uniform(-0.4, 0.4) * x), -0.3, 1.3)[..., None]
    return np.clip(top * (1.0 - share) + bottom * share, 0, 255).astype(np.float32)


TRAINING_PAIRS = tuple(
    MorphPair(kind, first, second)
    for first, second, kind in product(SHOWN_SHAPES, SHOWN_SHAPES, KINDS)
    if (first == second) == (kind == "colour")
)
"""Seen with seeds below `synthetic.clips.FIRST_HELD_OUT_SEED`."""

HELD_OUT_PAIRS = tuple(
    (MorphPair(kind, first, second, held_out=True), 1000 + index)
    for index, (kind, first, second) in enumerate(
        [
            ("shape", "drop", "gear"), ("shape", "crescent", "bolt"), ("both", "hexagon", "drop"),
            ("shape", "gear", "crescent"), ("split", "hexagon", "drop"),
            ("shape", "bolt", "hexagon"), ("colour", "drop", "drop"),
            ("shape", "drop", "crescent"), ("both", "crescent", "hexagon"),
            ("shape", "bolt", "gear"), ("shape", "hexagon", "crescent"),
            ("colour", "bolt", "bolt"), ("shape", "gear", "hexagon"), ("both", "bolt", "drop"),
            ("split", "gear", "hexagon"), ("shape", "drop", "bolt"),
        ]
    )
)  # fmt: skip
"""Content and seed of 16 pairs that nothing was trained on."""
