"""Pictures for training without data: dead leaves, objects, crowds, strokes and textures.

Each collage is a background and a list of objects; two collages of one sequence differ in some of
their properties, and the images between them interpolate those. Nothing here is shared with
`synthetic/`, whose clips measure what is trained on these. Learning from such images follows
Baradad et al. 2021, "Learning to See by Looking at Noise".
"""

from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Image8 = NDArray[np.uint8]

SIDE = 128
"""Pixels a side of an image."""

POINTS = 48
"""Vertices of an outline."""

ANGLES = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
SUBPIXEL = 4  # binary digits after the point in drawn coordinates


@dataclass(frozen=True)
class Thing:
    """An object: place and radius in pixels, outline (POINTS,) as radius over its mean, colour RGB
    0..1, index and strength of its texture, direction and strength of its shading."""

    centre: NDArray[np.float64]
    radius: float
    outline: NDArray[np.float64]
    colour: NDArray[np.float64]
    texture: int
    roughness: float
    shading: NDArray[np.float64]


Collage = tuple[Array, list[Thing]]
"""A background image (SIDE, SIDE, 3) float32, 0..1, and things from back to front."""


class CollagePainter:
    """Draws sequences of images from a generator; textures are made once."""

    def __init__(self, generator: np.random.Generator, textures: int = 160) -> None:
        self.generator = generator
        self.textures = [self._texture() for _ in range(textures)]

    def sequence(self, levels: int) -> NDArray[np.uint8]:
        """(levels, SIDE, SIDE, 3) uint8 RGB: one scene on its way to another, in equal steps."""
        first = self._scene()
        second = self._changed(first)
        return np.stack([self._between(first, second, p) for p in np.linspace(0, 1, levels)])

    def _texture(self) -> Array:
        """(2 SIDE, 2 SIDE) float32 in -1..1: noise of a random colour, stripes, checks or dots."""
        rng, side = self.generator, 2 * SIDE
        kind = rng.choice(["noise", "oriented", "stripes", "checks", "dots", "cells"])
        y, x = np.mgrid[:side, :side].astype(np.float32)
        angle, period = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(4), np.log(40)))
        across = (x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / period)
        along = (y * np.cos(angle) - x * np.sin(angle)) * (2 * np.pi / period)
        if kind in ("noise", "oriented"):
            fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
            stretch = rng.uniform(2, 6) if kind == "oriented" else 1.0
            u = fx * np.cos(angle) + fy * np.sin(angle)
            v = (fy * np.cos(angle) - fx * np.sin(angle)) * stretch
            amplitude = 1.0 / (0.008 + np.hypot(u, v)) ** rng.uniform(0.6, 2.2)
            spectrum = np.fft.rfft2(rng.standard_normal((side, side))) * amplitude
            spectrum[0, 0] = 0
            field = np.fft.irfft2(spectrum, s=(side, side))
            field = np.tanh(field / field.std() * rng.uniform(0.5, 2.0))
        elif kind == "stripes":
            field = np.tanh(np.sin(across) * rng.uniform(0.7, 6))
        elif kind == "checks":
            field = np.tanh(np.sin(across) * np.sin(along) * rng.uniform(1, 8))
        elif kind == "dots":
            field = np.tanh((np.cos(across) + np.cos(along) - rng.uniform(0.2, 1.2)) * 4)
        else:
            points = rng.uniform(0, side, (int((side / period) ** 2) + 8, 2)).astype(np.float32)
            seeds = np.full((side, side), 255, np.uint8)
            seeds[points[:, 1].astype(int), points[:, 0].astype(int)] = 0
            far = cv2.distanceTransform(seeds, cv2.DIST_L2, 5)
            field = np.cos(far * (np.pi / far.max()) * rng.integers(1, 4))
        return field.astype(np.float32)

    def _colours(self, count: int) -> NDArray[np.float64]:
        """A palette (count, 3), 0..1: random, or shades about one or two hues."""
        rng = self.generator
        if rng.uniform() < 0.4:
            return rng.uniform(0.02, 0.98, (count, 3))
        hues = rng.uniform(0, 360, 2)[rng.integers(0, 2, count)] + rng.normal(0, 18, count)
        saturation, value = rng.uniform(0.05, 0.95, count), rng.uniform(0.1, 1.0, count)
        hsv = np.stack([hues % 360, saturation, value], 1).astype(np.float32)
        return cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0].astype(np.float64)

    def _patch(self, texture: int) -> Array:
        y, x = self.generator.integers(0, SIDE, 2)
        return self.textures[texture][y : y + SIDE, x : x + SIDE]

    def _background(self) -> Array:
        """A flat colour, a gradient, or textures between colours."""
        rng = self.generator
        colours = self._colours(3).astype(np.float32)
        kind = rng.choice(["flat", "gradient", "texture", "textures"], p=[0.2, 0.3, 0.3, 0.2])
        if kind == "flat":
            return np.broadcast_to(colours[0], (SIDE, SIDE, 3)).copy()
        if kind == "gradient":
            angle = rng.uniform(0, 2 * np.pi)
            y, x = (np.mgrid[:SIDE, :SIDE] / SIDE - 0.5).astype(np.float32)
            share = np.clip(0.5 + x * np.cos(angle) + y * np.sin(angle), 0, 1)[..., None]
        else:
            pick = rng.integers(0, len(self.textures), 2)
            share = 0.5 + 0.5 * self._patch(pick[0])[..., None]
        mixed = colours[0] + (colours[1] - colours[0]) * share
        if kind == "textures":
            other = 0.5 + 0.5 * self._patch(pick[1])[..., None]
            mixed = mixed + (colours[2] - mixed) * other * 0.7
        return mixed.astype(np.float32)

    def _outline(self) -> NDArray[np.float64]:
        """A smooth blob, a polygon, a star, an ellipse or a bar; mean radius 1."""
        rng = self.generator
        kind = rng.choice(["blob", "polygon", "star", "ellipse", "bar"])
        turned = ANGLES + rng.uniform(0, 2 * np.pi)
        if kind == "blob":
            order = np.arange(2, 8)
            size = rng.normal(0, 0.45, 6) / order
            waves = np.cos(order[:, None] * ANGLES + rng.uniform(0, 6.3, (6, 1)))
            radius = np.maximum(1 + size @ waves, 0.15)
        elif kind == "polygon":
            corners = rng.integers(3, 7)
            part = turned % (2 * np.pi / corners) - np.pi / corners
            radius = 1 / np.cos(part)
        elif kind == "star":
            corners = rng.integers(3, 10)
            part = np.abs(turned % (2 * np.pi / corners) / (np.pi / corners) - 1)
            radius = rng.uniform(0.3, 0.75) * (1 - part) + part
        else:
            flat = rng.uniform(0.15, 0.4) if kind == "bar" else rng.uniform(0.45, 1.0)
            power = 8.0 if kind == "bar" else 2.0
            total = np.abs(np.cos(turned)) ** power + np.abs(np.sin(turned) / flat) ** power
            radius = total ** (-1 / power)
        return radius / radius.mean()

    def _thing(self, radius: float, colour: NDArray[np.float64]) -> Thing:
        rng = self.generator
        shading = rng.normal(0, 0.35, 2) if rng.uniform() < 0.6 else np.zeros(2)
        rough = rng.uniform(0.1, 0.6) if rng.uniform() < 0.6 else 0.0
        texture = int(rng.integers(len(self.textures)))
        where = rng.uniform(0, SIDE, 2)
        return Thing(where, radius, self._outline(), colour, texture, rough, shading)

    def _scene(self) -> Collage:
        rng = self.generator
        kind = rng.choice(
            ["leaves", "object", "objects", "crowd", "texture"], p=[0.2, 0.25, 0.3, 0.17, 0.08]
        )
        background = self._background()
        things: list[Thing] = []
        if kind == "leaves":
            count = int(rng.integers(25, 70))
            radii = np.minimum(4.0 / rng.uniform(0.08, 1.0, count) ** 0.9, 45)
            palette = self._colours(count)
            things = [self._thing(*one) for one in zip(radii, palette, strict=True)]
        elif kind == "object":
            thing = self._thing(rng.uniform(22, 44), self._colours(1)[0])
            centre = SIDE / 2 + rng.normal(0, 8, 2)
            things = [replace(thing, centre=centre)]
            for colour in self._colours(5)[: int(rng.integers(0, 6))]:
                part = self._thing(thing.radius * rng.uniform(0.12, 0.5), colour)
                things.append(replace(part, centre=centre + rng.normal(0, 0.5, 2) * thing.radius))
        elif kind == "objects":
            palette = self._colours(int(rng.integers(2, 9)))
            things = [self._thing(rng.uniform(8, 26), colour) for colour in palette]
        elif kind == "crowd":
            model = self._thing(rng.uniform(4, 14), self._colours(1)[0])
            things = self._crowd(model, int(rng.integers(3, 26)))
        return background, things

    def _crowd(self, model: Thing, count: int) -> list[Thing]:
        """Copies of one thing, scattered, on a ring, on a line or on a grid."""
        rng = self.generator
        kind = rng.choice(["scatter", "ring", "line", "grid"])
        place = np.arange(count)
        if kind == "scatter":
            points = rng.uniform(0.08, 0.92, (count, 2))
        elif kind == "ring":
            turn = 2 * np.pi * place / count + rng.uniform(0, 6.3)
            points = 0.5 + rng.uniform(0.2, 0.4) * np.stack([np.cos(turn), np.sin(turn)], 1)
        elif kind == "line":
            way = rng.uniform(0, 2 * np.pi)
            share = (place / max(count - 1, 1) - 0.5)[:, None] * 0.85
            points = 0.5 + share * np.array([[np.cos(way), np.sin(way)]])
        else:
            side = int(np.ceil(np.sqrt(count)))
            points = 0.12 + 0.76 * np.stack([place % side, place // side], 1) / max(side - 1, 1)
        return [replace(model, centre=point * SIDE) for point in points]

    def _changed(self, first: Collage) -> Collage:
        """A scene that differs from the first in everything, or in a few of its properties."""
        rng = self.generator
        own, earlier = first
        if rng.uniform() < 0.3 or not earlier:
            return self._scene()
        changes = [
            name
            for name in ("background", "outline", "colour", "surface", "place", "size", "number")
            if rng.uniform() < 0.35
        ] or [rng.choice(["outline", "colour", "surface", "number"])]
        if len(earlier) < 3:  # a thing that walks is motion, an arrangement has a meaning
            changes = [name for name in changes if name != "place"] or ["outline"]
        background = self._background() if "background" in changes else own
        things = []
        alike = rng.uniform() < 0.7  # one new outline, colour and surface for all
        model = self._thing(1.0, self._colours(1)[0])
        for thing in earlier:
            other = model if alike else self._thing(1.0, self._colours(1)[0])
            new: dict[str, Any] = {}
            for name in {"outline", "colour"} & set(changes):
                new[name] = getattr(other, name)
            if "surface" in changes:
                new |= {"texture": other.texture, "shading": other.shading}
                new["roughness"] = 0.6 - thing.roughness
            if "place" in changes:
                new["centre"] = rng.uniform(0.1, 0.9, 2) * SIDE
            if "size" in changes:
                new["radius"] = thing.radius * float(np.exp(rng.normal(0, 0.5)))
            things.append(replace(thing, **new))
        if "number" in changes:
            if rng.uniform() < 0.5 and len(things) > 1:
                things = things[: int(rng.integers(1, len(things)))]
            else:
                centres = (rng.uniform(0.08, 0.92, 2) * SIDE for _ in range(rng.integers(1, 10)))
                things += [replace(things[-1], centre=centre) for centre in centres]
        return background, things

    def _between(self, first: Collage, second: Collage, p: float) -> Image8:
        """The image at p: properties interpolated; what only one scene has grows or shrinks."""
        canvas = first[0] * np.float32(1 - p) + second[0] * np.float32(p)
        for a, b in zip_longest(first[1], second[1]):
            if a is None or b is None:
                only, share = (a, 1 - p) if b is None else (b, p)
                self._paint(canvas, replace(only, radius=only.radius * share))
                continue
            mixed = {
                name: getattr(a, name) + (getattr(b, name) - getattr(a, name)) * p
                for name in ("centre", "radius", "outline", "colour", "shading")
            }
            thing = replace(a, **mixed)
            self._paint(canvas, thing)
            if (a.texture, a.roughness) != (b.texture, b.roughness):
                self._paint(canvas, replace(thing, texture=b.texture, roughness=b.roughness), p)
        return np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8)

    def _paint(self, canvas: Array, thing: Thing, cover: float = 1.0) -> None:
        if thing.radius < 0.7 or cover <= 0:
            return
        reach = thing.radius * thing.outline.max() + 1
        low = np.maximum(np.floor(thing.centre - reach).astype(int), 0)
        high = np.minimum(np.ceil(thing.centre + reach).astype(int) + 1, SIDE)
        if (high <= low).any():
            return
        (x0, y0), (x1, y1) = low, high
        ray = thing.radius * thing.outline[:, None]
        points = thing.centre - low + ray * np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1)
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        fixed = np.round(points * 2**SUBPIXEL).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, SUBPIXEL)
        alpha = (mask * np.float32(cover / 255))[..., None]
        light = np.ones((y1 - y0, x1 - x0), np.float32)
        if thing.roughness:
            light += np.float32(thing.roughness) * self.textures[thing.texture][y0:y1, x0:x1]
        if thing.shading.any():
            y, x = np.ogrid[y0:y1, x0:x1]
            slope = thing.shading / thing.radius
            shade = (x - thing.centre[0]) * slope[0] + (y - thing.centre[1]) * slope[1]
            light += shade.astype(np.float32)
        region = canvas[y0:y1, x0:x1]
        colour = np.clip(light[..., None] * thing.colour.astype(np.float32), 0, 1)
        region += alpha * (colour - region)
