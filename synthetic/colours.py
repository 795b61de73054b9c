"""Colours of whole pictures: carried from one picture to another, and drifting with the light.

Pictures are RGB, (H, W, 3), in 0..255; lists of colours are (N, 3).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthetic.drawing import Float32, Image8

FloatArray = NDArray[np.float64]

RGB = np.eye(3)
OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
"""Orthonormal rows: tone, warm against cold, rosy against green."""

PASSES = (RGB, OPPONENT, RGB)
LEVELS_PER_GREY = 4
"""How finely an axis is divided: quarters of an 8-bit grey level."""
_LOWEST = 512
_LEVELS = 2 * _LOWEST * LEVELS_PER_GREY
"""Levels of an axis from -512 to 512: no colour of 0..255 is farther than 255 sqrt(3) from 0."""

DRIFTS = ("hue", "exposure", "white_balance")


def recoloured(image: Image8, colours: Image8) -> Image8:
    """The image in exactly the colours of another one of the same size: (H, W, 3) uint8, RGB.

    Every pixel of `colours` is used once. Which pixel gets it: both sets of pixels are halved at
    their medians again and again, by tone, then by hue, then by tone, and those that end in the
    same place are matched (an optimal transport by halves; a k-d tree's order).
    """
    places = []
    for picture in (image, colours):
        red, green, blue = np.moveaxis(picture.reshape(-1, 3).astype(np.float32), 1, 0)
        tone, warm, rosy = red + green + blue, red - blue, red + blue - 2 * green
        place = np.arange(tone.size)
        block = np.zeros(tone.size, np.intp)
        for axis in (tone,) * 4 + (warm, rosy) * 2 + (tone,) * 24:
            place = place[np.lexsort((axis[place], block))]
            start = np.searchsorted(block, block, "left")
            stop = np.searchsorted(block, block, "right")
            halves = np.arange(tone.size) >= (start + stop + 1) // 2
            block = 2 * block + halves
            if stop.max() and (stop - start).max() == 1:
                break
        places.append(place)
    made = np.empty_like(image)
    made.reshape(-1, 3)[places[0]] = colours.reshape(-1, 3)[places[1]]
    return made


def midway(first: Image8, second: Image8) -> FloatArray:
    """Colours (H W, 3) half way between those of two pictures of one size.

    Each is the mean of a colour of the first picture and the one of the second that `recoloured`
    gives its pixel: the barycentre of the two distributions under that transport (as in J. Delon,
    "Midway image equalization", 2004, for grey levels).
    """
    return (first.reshape(-1, 3) + recoloured(first, second).reshape(-1, 3).astype(np.float64)) / 2


Transfer = Callable[[NDArray, int], Float32]
"""A picture (H', W', 3) and the margin about the part that is matched -> the picture."""


def transfer_to(colours: ArrayLike, passes: Sequence[NDArray] = PASSES) -> Transfer:
    """The map that gives pictures the distribution of `colours` (N, 3).

    Each pass turns the colours to other axes and, along each axis, sends every value to the one of
    `colours` of the same rank (histogram matching: x -> G^-1(F(x)), F and G the cumulative
    distributions, G interpolated linearly). After the last one every channel has the wanted
    distribution, and by the turns between them the joint one comes near to it (F. Pitie,
    A. Kokaram, R. Dahyot, "N-dimensional probability density function transfer", 2005, who go on
    to convergence). It maps values, whatever their places: equal colours stay equal, and a margin
    follows the map of the part that it is about. Values are taken to a quarter of a grey level.
    """
    targets = [
        [_distribution(_level(along)) for along in (np.asarray(colours) @ axes.T).T]
        for axes in passes
    ]

    def transferred(picture: NDArray, margin: int = 0) -> Float32:
        made = np.asarray(picture, np.float32)
        inner = tuple(slice(margin, side - margin) for side in made.shape[:2])
        for axes, target in zip(passes, targets, strict=True):
            turned = made @ axes.T.astype(np.float32)
            for axis, (levels, shares) in enumerate(target):
                level = _level(turned[..., axis])
                known = np.bincount(level[inner].ravel(), minlength=_LEVELS)
                below = np.cumsum(known) / known.sum()
                turned[..., axis] = np.interp(below, shares, levels)[level]
            made = turned @ axes.astype(np.float32)
        return made

    return transferred


def _level(values: NDArray) -> NDArray[np.intp]:
    """Values along an axis as whole levels from 0."""
    return np.rint((values + _LOWEST) * LEVELS_PER_GREY).astype(np.intp)


def _distribution(level: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """The values that occur, ascending, and the share of colours up to each."""
    known = np.bincount(level.ravel())
    occurs = np.flatnonzero(known)
    return occurs / LEVELS_PER_GREY - _LOWEST, np.cumsum(known)[occurs] / level.size


def drifted(picture: NDArray, kind: str, amount: float) -> Float32:
    """A picture (..., 3) in another light, not clipped; at amount 0 it is what it was.

    | kind | what amount a does |
    |---|---|
    | hue | the colours turn about the grey axis by 180 a degrees; their mean of R, G, B stays |
    | exposure | all channels times 1 + a |
    | white_balance | red times 1 + a, blue times 1 - a |
    """
    if kind == "hue":
        # Rodrigues' rotation about (1, 1, 1) / sqrt(3).
        cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
        turn = np.pi * amount
        matrix = RGB + np.sin(turn) * cross + (1 - np.cos(turn)) * cross @ cross
        return np.asarray(picture, np.float32) @ matrix.T.astype(np.float32)
    gain = {"exposure": (1 + amount,) * 3, "white_balance": (1 + amount, 1.0, 1 - amount)}[kind]
    return np.asarray(picture, np.float32) * np.asarray(gain, np.float32)
