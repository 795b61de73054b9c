"""Antialiased drawing on a canvas about a frame: colours, noise, backgrounds, lit solids.

World coordinates have their origin in the frame's centre, x to the right and y down, and the
frame's shorter side as unit, so that a picture means the same at every size and with any margin.
A layer is float32 (H', W', 4): RGB premultiplied by alpha, in 0..255, and alpha in 0..1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from spf.errors import ConfigError

Float32 = NDArray[np.float32]
Image8 = NDArray[np.uint8]
Painter = Callable[[float], Image8]
"""p in [0, 1] -> a picture."""
LayerPainter = Callable[[float], tuple[Float32, Float32]]
"""p in [0, 1] -> background (H', W', 3), RGB in 0..255, and a foreground layer."""

MIN_SIDE = 16
"""Smallest side of a picture in pixels: below it neither scenes nor H.264 make sense."""

_FRACTION_BITS = 4
LIGHT = np.array([-0.55, -0.83])
"""Direction to the light in the picture's plane (x, y): from the upper left."""
SHADOW = 0.42
"""Largest alpha of a shadow."""


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size as (height, width) of integers; ConfigError for a picture that is too small."""
    try:
        height, width = (int(side) for side in size)
    except (TypeError, ValueError):
        raise ConfigError(f"size={size!r} is not (height, width) in pixels") from None
    if min(height, width) < MIN_SIDE:
        raise ConfigError(
            f"size {height}x{width} is too small for a picture; use at least {MIN_SIDE}x{MIN_SIDE}"
        )
    return height, width


@dataclass(frozen=True)
class Canvas:
    """A frame of (height, width) pixels with a margin on each side."""

    height: int
    width: int
    margin: int = 0

    @property
    def unit(self) -> int:
        """The frame's shorter side in pixels: the unit of world coordinates."""
        return min(self.height, self.width)

    @property
    def shape(self) -> tuple[int, int]:
        """(H', W'): the canvas in pixels, margins included."""
        return self.height + 2 * self.margin, self.width + 2 * self.margin

    @cached_property
    def grid(self) -> tuple[Float32, Float32]:
        """World coordinates x and y (H', W') of the pixels' centres."""
        rows, columns = np.indices(self.shape, dtype=np.float32)
        x = (columns + 0.5 - self.shape[1] / 2) / self.unit
        y = (rows + 0.5 - self.shape[0] / 2) / self.unit
        return x.astype(np.float32), y.astype(np.float32)

    def noise(self, generator: np.random.Generator, frequency: float) -> Float32:
        """Smooth noise (H', W') of mean 0 and standard deviation about 1; waves per unit."""
        # The lattice spans 8 units about the centre, so that the margin does not change it.
        lattice = generator.standard_normal((int(np.ceil(8 * frequency)),) * 2).astype(np.float32)
        side = len(lattice)
        x, y = (np.mod((at + 4) * frequency, side).astype(np.float32) for at in self.grid)
        wrapped = cv2.remap(lattice, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
        return np.asarray(wrapped, np.float32)


_TO_CONE_ROOTS = np.array([
    [1.0, 0.3963377774, 0.2158037573],
    [1.0, -0.1055613458, -0.0638541728],
    [1.0, -0.0894841775, -1.2914855480],
])  # fmt: skip
_TO_LINEAR_RGB = np.array([
    [4.0767416621, -3.3077115913, 0.2309699292],
    [-1.2684380046, 2.6097574011, -0.3413193965],
    [-0.0041960863, -0.7034186147, 1.7076147010],
])  # fmt: skip


def oklch_to_oklab(lightness: float, chroma: float, hue: float) -> NDArray[np.float64]:
    """Oklab (3,) of a colour in polar form; the hue in degrees.

    B. Ottosson, "A perceptual color space for image processing" (2020).
    """
    angle = np.deg2rad(hue)
    return np.array([lightness, chroma * np.cos(angle), chroma * np.sin(angle)])


def oklch(lightness: float, chroma: float, hue: float) -> NDArray[np.float64]:
    """sRGB (3,) in 0..255 of an Oklab colour in polar form; the hue in degrees."""
    return oklab_to_rgb(oklch_to_oklab(lightness, chroma, hue))


def oklab_to_rgb(lab: ArrayLike) -> NDArray[np.float64]:
    """sRGB (..., 3) in 0..255 of Oklab colours (..., 3), clipped to the gamut."""
    linear = (np.asarray(lab) @ _TO_CONE_ROOTS.T) ** 3 @ _TO_LINEAR_RGB.T
    linear = np.clip(linear, 0.0, 1.0)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return 255.0 * curved


def mix(first: ArrayLike, second: ArrayLike, p: float) -> NDArray[np.float64]:
    """(1 - p) first + p second, in float64."""
    return (1.0 - p) * np.asarray(first, np.float64) + p * np.asarray(second, np.float64)


def spread(share: Float32, channels: int = 3) -> Float32:
    """The same share (H', W') for every channel: (H', W', channels).

    NumPy is slow at broadcasting along a last axis this short.
    """
    return np.asarray(cv2.merge((share,) * channels), np.float32)


def over(front: Float32, back: Float32) -> Float32:
    """A layer over a picture (H', W', 3), or over another layer."""
    channels = back.shape[2]
    seen = spread(1.0 - front[..., 3], channels)
    seen *= back
    seen += front if channels == 4 else cv2.cvtColor(front, cv2.COLOR_RGBA2RGB)
    return seen


def quantised(picture: NDArray[np.floating]) -> Image8:
    """The picture as uint8."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def flattened(back: Float32, front: Float32) -> Image8:
    """Both layers as one picture."""
    return quantised(over(front, back))


class Content:
    """What changes its meaning with a parameter p in [0, 1].

    held_out : whether nothing that is measured may have been trained on it. A content implements
    `layers`, or `painter` where it has no layers.
    """

    held_out: bool

    @property
    def name(self) -> str:
        """How configurations and tables call it: shape-circle-star, astronaut-coffee-warp."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """Everything but seed and size that determines the pixels."""
        raise NotImplementedError

    def layers(self, size: tuple[int, int], margin: int = 0, seed: int = 0) -> LayerPainter | None:
        """p -> background and foreground on a canvas with margins; None where it has no layers."""
        return None

    def painter(self, size: tuple[int, int], margin: int = 0, seed: int = 0) -> Painter:
        """p -> (H + 2 margin, W + 2 margin, 3) uint8, RGB; the centre does not depend on margin."""
        layers = self.layers(size, margin, seed)
        if layers is None:
            raise NotImplementedError
        return lambda p: flattened(*layers(p))


def cover(colour: NDArray, alpha: NDArray) -> Float32:
    """A layer of a colour ((3,) or (H', W', 3)) with an alpha (H', W')."""
    alpha = np.asarray(alpha, np.float32)
    return np.asarray(cv2.merge((spread(alpha) * np.asarray(colour, np.float32), alpha)))


Polygon = tuple[NDArray, NDArray]
"""Points (N, 2) in world coordinates, and an RGB colour (3,) in 0..255."""


def solids(canvas: Canvas, polygons: Sequence[Polygon], radius: float) -> Float32:
    """Layer of polygons, later ones on top, with rounded, lit edges and a soft shadow below.

    `radius` is that of the edges, in world units.
    """
    height, width = canvas.shape
    layer = np.zeros((height, width, 4), np.float32)
    if not polygons:
        return layer
    pixels = [points * canvas.unit + 0.5 * np.array([width, height]) for points, _ in polygons]
    # Only a box is drawn, as wide as blurs and shadow reach, and beyond the canvas if need be.
    reach = int(np.ceil(max(2.4 * radius * canvas.unit, 4.0))) + 2
    every = np.concatenate(pixels)
    left, top = np.maximum(np.floor(every.min(axis=0)).astype(int) - reach, -reach)
    right, bottom = np.minimum(
        np.ceil(every.max(axis=0)).astype(int) + reach, [width + reach, height + reach]
    )
    if right <= max(left, 0) or bottom <= max(top, 0):
        return layer
    # Drawn at four times the resolution (twice for large frames), averaged down.
    factor = 4 if canvas.unit <= 256 else 2
    drawn = np.zeros(((bottom - top) * factor, (right - left) * factor, 4), np.uint8)
    for points, (_, colour) in zip(pixels, polygons, strict=True):
        finer = ((points - (left, top)) * factor - 0.5) * 2**_FRACTION_BITS
        fixed = np.rint(finer).astype(np.int32)
        cv2.fillPoly(drawn, [fixed], (*colour.tolist(), 255.0), cv2.LINE_8, _FRACTION_BITS)
    small = cv2.resize(drawn, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    box = small.astype(np.float32)
    box[..., 3] /= 255.0
    _light(box, canvas, radius)
    rows, columns = slice(max(top, 0), bottom), slice(max(left, 0), right)
    seen = box[rows.start - top :, columns.start - left :]
    layer[rows, columns] = seen[: height - rows.start, : width - columns.start]
    return layer


def _light(layer: Float32, canvas: Canvas, radius: float) -> None:
    """Light the layer's edges and let it cast its shadow, in place."""
    sigma = max(0.3 * radius * canvas.unit, 0.6)
    alpha = layer[..., 3]
    blurred = _blur(alpha, sigma)
    # A blurred edge of height 1 has the slope 1 / (sigma sqrt(2 pi)); so the light is in -1..1.
    scale = sigma * np.sqrt(2 * np.pi) / 32
    slopes = [
        cv2.Scharr(blurred, cv2.CV_32F, *axis, scale=scale, borderType=cv2.BORDER_CONSTANT)
        for axis in ((1, 0), (0, 1))
    ]
    light = -(slopes[0] * np.float32(LIGHT[0]) + slopes[1] * np.float32(LIGHT[1]))
    gain = 1.0 + 0.38 * light
    gloss = 70.0 * np.maximum(light - 0.45, 0.0) * alpha
    shade = shadow(alpha, canvas, radius) * (1.0 - alpha)
    # The alpha itself is neither lit nor capped; the shadow below adds to it alone.
    layer *= np.asarray(cv2.merge((gain, gain, gain, np.ones_like(gain))))
    layer += np.asarray(cv2.merge((gloss, gloss, gloss, np.zeros_like(gloss))))
    np.minimum(layer, spread(255.0 * alpha, 4), out=layer)
    layer[..., 3] += shade


def _blur(alpha: Float32, sigma: float) -> Float32:
    blurred = cv2.GaussianBlur(alpha, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred, np.float32)


def shadow(alpha: Float32, canvas: Canvas, radius: float) -> Float32:
    """The alpha of the soft shadow that a shape of this alpha casts away from the light."""
    shift_x, shift_y = -0.45 * radius * canvas.unit * LIGHT
    matrix = np.array([[1.0, 0.0, shift_x], [0.0, 1.0, shift_y]])
    cast = np.asarray(cv2.warpAffine(alpha, matrix, alpha.shape[::-1]), np.float32)
    return np.float32(SHADOW) * _blur(cast, max(0.45 * radius * canvas.unit, 0.8))


def background(canvas: Canvas, generator: np.random.Generator, avoid: Sequence[float]) -> Float32:
    """A quiet picture (H', W', 3): a gradient with soft clouds and grain.

    It is pale or dark, of low chroma, and its hue is apart from the hues to avoid (degrees).
    """
    hues = np.arange(0.0, 360.0, 5.0)
    distance = np.abs((hues[:, None] - np.asarray(avoid)[None, :] + 180) % 360 - 180).min(axis=1)
    hue = float(generator.choice(hues[distance >= 0.6 * distance.max()]))
    lightness = float(generator.choice([0.30, 0.34, 0.86, 0.90]))
    top, bottom = (
        oklch(lightness + 0.05 * side, 0.045, hue + 25 * side + generator.uniform(-10, 10))
        for side in (1, -1)
    )
    x, y = canvas.grid
    tilt = generator.uniform(-0.4, 0.4)
    share = np.clip(0.5 + 0.8 * (y + tilt * x), -0.3, 1.3)[..., None]
    picture = top * (1.0 - share) + bottom * share
    clouds = 5.0 * canvas.noise(generator, 3.0) + 2.5 * canvas.noise(generator, 11.0)
    return np.clip(picture + clouds[..., None], 0, 255).astype(np.float32)
