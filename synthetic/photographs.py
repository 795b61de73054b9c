"""Morphs between two photographs, those that ship inside scikit-image's wheel.

A photograph is cropped about its centre and resized. The frame shows the crop but for a border of
15% of the frame's shorter side, which a moving camera needs to see; beyond it, the picture is
mirrored. So the centre of a canvas with margins is, to the pixel, the frame without margins.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spf.errors import UnavailableError
from spf.names import choose
from synthetic.colours import midway, recoloured, transfer_to
from synthetic.drawing import Canvas, Content, Float32, Image8, Painter, check_size, quantised
from synthetic.seeds import generator_for

BORDER = 0.15
WARP = 0.12
"""Largest displacement of the warped dissolve, as a share of the frame's shorter side."""

PHOTOGRAPHS = {
    "astronaut": "astronaut.png", "brick": "brick.png", "camera": "camera.png",
    "cat": "chelsea.png", "coffee": "coffee.png", "coins": "coins.png",
    "galaxies": "hubble_deep_field.jpg", "grass": "grass.png", "gravel": "gravel.png",
    "moon": "moon.png", "motorcycle": "motorcycle_left.png", "page": "page.png",
    "retina": "retina.jpg", "rocket": "rocket.jpg", "tissue": "ihc.png",
}  # fmt: skip
MORPHS = ("dissolve", "warp", "patches", "matched")
PATCHES = 7.0
"""Waves of the noise that orders the patches, per frame's shorter side."""
FADE = 0.03
"""Share of the parameter in which a pixel goes over from one photograph to the other."""


@dataclass(frozen=True)
class PhotographPair(Content):
    """Content whose meaning goes from one photograph (p = 0) to another (p = 1).

    `dissolve` fades linearly (it is the same for every seed). `warp` also carries the first
    photograph along a smooth displacement field d(x), drawn from the seed, while the second one
    arrives along it: (1 - p) A(x - p d) + p B(x + (1 - p) d). Both ends are the photographs.
    `patches` keeps the colours: the second photograph wears exactly those of the first one
    (`recoloured`), and each pixel goes over at a place of its own, in the order of a smooth noise
    drawn from the seed, so that what has gone over is p of the frame and almost nothing is mixed.
    `matched` is `warp` in the colours half way between the photographs': both of them get
    those (`colours.transfer_to`), and so is every mix of the two, so that at every p the frame and
    what it is made of have the same colours, and the colours of the clip hardly change.
    """

    first: str
    second: str
    morph: str = "dissolve"
    held_out: bool = False

    def __post_init__(self) -> None:
        for photograph_name in (self.first, self.second):
            choose(photograph_name, PHOTOGRAPHS, "photograph")
        choose(self.morph, MORPHS, "morph")

    @property
    def name(self) -> str:
        return f"{self.first}-{self.second}-{self.morph}"

    def identity(self) -> dict[str, Any]:
        return {"content": "photographs", "name": self.name, "border": BORDER, "warp": WARP}

    def painter(self, size: tuple[int, int], margin: int = 0, seed: int = 0) -> Painter:
        size = check_size(size)
        if self.morph == "patches":
            return self._patches(size, margin, seed)
        # A warped picture's edge shows what lies beyond it, so it is cut from the full canvas.
        extent = margin if self.morph == "dissolve" else max(margin, _border(size))
        names = self.first, self.second
        ends = [photograph(name, size, extent).astype(np.float32) for name in names]
        if self.morph == "dissolve":
            return lambda p: quantised((1.0 - p) * ends[0] + p * ends[1])
        field = _displacement(size, margin, generator_for("warp", self.first, self.second, seed))
        rows, columns = np.indices(field.shape[:2], dtype=np.float32) + np.float32(extent - margin)

        def moved(image: Float32, share: float) -> Float32:
            way = np.float32(share) * field
            x, y = columns + way[..., 0], rows + way[..., 1]
            seen = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
            return seen.astype(np.float32, copy=False)

        def mixed(p: float) -> Float32:
            first, second = moved(ends[0], -p), moved(ends[1], 1.0 - p)
            return np.float32(1.0 - p) * first + np.float32(p) * second

        if self.morph == "warp":
            return lambda p: quantised(mixed(p))
        match = transfer_to(midway(*(photograph(name, size) for name in names)))
        ends = [match(end, extent) for end in ends]
        return lambda p: quantised(match(mixed(p), margin))

    def _patches(self, size: tuple[int, int], margin: int, seed: int) -> Painter:
        first, second = (photograph(name, size) for name in (self.first, self.second))
        # Mirrored beyond the frame, so that a moving camera, too, sees the same colours.
        ends = [
            cv2.copyMakeBorder(end, *(margin,) * 4, cv2.BORDER_REFLECT_101).astype(np.float32)
            for end in (first, recoloured(second, first))
        ]
        generator = generator_for("patches", self.first, self.second, seed)
        noise = Canvas(*size, margin).noise(generator, PATCHES)
        inner = np.sort(noise[margin : margin + size[0], margin : margin + size[1]], axis=None)
        # Share of the frame that goes over before a pixel does, 0..1.
        order = (np.searchsorted(inner, noise) / inner.size).astype(np.float32)[..., None]
        change = ends[1] - ends[0]

        def paint(p: float) -> Image8:
            gone = np.clip((np.float32(p * (1.0 + FADE)) - order) / np.float32(FADE), 0.0, 1.0)
            return quantised(ends[0] + gone * change)

        return paint


PAIRS = tuple(
    PhotographPair(first, second, morph, hidden)
    for hidden, pairs in (
        (False, "astronaut-coffee coffee-rocket camera-grass coins-retina galaxies-astronaut"),
        (False, "grass-gravel rocket-galaxies retina-camera"),
        (True, "cat-motorcycle moon-tissue brick-cat motorcycle-page"),
    )
    for first, _, second in (pair.partition("-") for pair in pairs.split())
    for morph in MORPHS[:3]
)
"""Named pairs, each with three morphs. No photograph of a held-out pair is in any other pair."""

HELD_OUT = ("brick", "cat", "motorcycle", "page", "moon", "tissue")
"""The photographs of the held-out pairs, in a ring: neighbours are compared (`RING`)."""

RING = {
    morph: tuple(
        PhotographPair(name, HELD_OUT[place - len(HELD_OUT) + 1], morph, held_out=True)
        for place, name in enumerate(HELD_OUT)
    )
    for morph in ("warp", "matched")
}
"""Every held-out photograph turning into the next one, in its colours and with matched ones."""


@lru_cache(maxsize=32)
def _photograph_file(name: str) -> Image8:
    file = PHOTOGRAPHS[choose(name, PHOTOGRAPHS, "photograph")]
    # Looked up without importing scikit-image, whose loaders may ask the network.
    found = find_spec("skimage")
    if found is None or found.origin is None:
        raise UnavailableError("photographs come with scikit-image: pip install scikit-image")
    path = Path(found.origin).parent / "data" / file
    if not path.is_file():
        raise UnavailableError(
            f"photograph {name}: this scikit-image has no {path.name}; "
            "pip install 'scikit-image>=0.26'"
        )
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _border(size: tuple[int, int]) -> int:
    return round(BORDER * min(size))


@lru_cache(maxsize=64)
def photograph(name: str, size: tuple[int, int], margin: int = 0) -> Image8:
    """The photograph as a frame of (height, width), with margins: (H', W', 3) uint8, RGB,
    read-only."""
    size = check_size(size)
    image, border = _photograph_file(name), _border(size)
    height, width = size[0] + 2 * border, size[1] + 2 * border
    scale = min(image.shape[0] / height, image.shape[1] / width)
    rows, columns = round(height * scale), round(width * scale)
    top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
    crop = image[top : top + rows, left : left + columns]
    method = cv2.INTER_AREA if scale >= 1 else cv2.INTER_CUBIC
    resized = np.asarray(cv2.resize(crop, (width, height), interpolation=method))
    canvas = _with_margin(resized, border, margin, cv2.BORDER_REFLECT_101).astype(np.uint8)
    canvas.setflags(write=False)
    return canvas


def _with_margin(array: NDArray, border: int, margin: int, mode: int) -> NDArray:
    """Cut or extend an array with a border to one with a margin."""
    if margin <= border:
        cut = border - margin
        return array[cut : array.shape[0] - cut, cut : array.shape[1] - cut].copy()
    more = margin - border
    return np.asarray(cv2.copyMakeBorder(array, more, more, more, more, mode))


def _displacement(size: tuple[int, int], margin: int, generator: np.random.Generator) -> Float32:
    """A smooth random field (H', W', 2) in pixels (x, y), zero at the photograph's edges."""
    border = _border(size)
    height, width = size[0] + 2 * border, size[1] + 2 * border
    coarse = generator.standard_normal((5, 5, 2)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    field = np.asarray(smooth, np.float32)
    edges = [np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 0.5 for side in (height, width)]
    field *= np.outer(*edges).astype(np.float32)[..., None]
    field *= WARP * min(size) / float(np.hypot(field[..., 0], field[..., 1]).max())
    return _with_margin(field, border, margin, cv2.BORDER_CONSTANT).astype(np.float32)
