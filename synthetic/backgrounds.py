"""The same thing before another background.

The thing changes with the content's parameter p and is always whole in view, and what is behind it
goes over to a photograph that has nothing to do with it, by a share that knows nothing of p. So p
stays what the thing shows. A content of layers has its own foreground; any other picture's thing is
what a soft disc about its middle shows, and the background is the rest of the picture.
"""

from collections.abc import Callable

import numpy as np

from synthetic.drawing import Canvas, Content, Float32, LayerPainter, cover
from synthetic.photographs import HELD_OUT, PHOTOGRAPHS, photograph
from synthetic.seeds import generator_for

RADIUS, EDGE = 0.36, 0.08
"""Of the disc, and of its soft edge, in frame's shorter sides."""

Replaced = Callable[[float, float], tuple[Float32, Float32]]
"""p and the share of the other background, both in 0..1 -> background and foreground layer."""


def another_background(
    content: Content, size: tuple[int, int], margin: int, seed: int, held_out: bool
) -> Replaced:
    """The content's layers with a photograph mixed into the background: (1 - share) own + share
    other. It is drawn from the seed, among those that the content does not show, held out or not.
    """
    names = [
        name
        for name in PHOTOGRAPHS
        if (name in HELD_OUT) == held_out and name not in content.name.split("-")
    ]
    chosen = str(generator_for("background", seed).choice(names))
    other = photograph(chosen, size, margin).astype(np.float32)
    layers = content.layers(size, margin, seed) or _in_disc(content, size, margin, seed)

    def paint(p: float, share: float) -> tuple[Float32, Float32]:
        back, front = layers(p)
        return np.float32(1.0 - share) * back + np.float32(share) * other, front

    return paint


def _in_disc(content: Content, size: tuple[int, int], margin: int, seed: int) -> LayerPainter:
    picture = content.painter(size, margin, seed)
    away = np.hypot(*Canvas(*size, margin).grid)
    alpha = np.clip((RADIUS - away) / EDGE + 0.5, 0.0, 1.0).astype(np.float32)

    def paint(p: float) -> tuple[Float32, Float32]:
        seen = picture(p).astype(np.float32)
        return seen, cover(seen, alpha)

    return paint
