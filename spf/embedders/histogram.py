"""Control: which colours and which edge directions an image has, wherever they are."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spf.embedders.base import Image
from spf.numbers import number

SIZE = 96  # pixels a side at which the histograms are taken
FLAT = 4.0  # gradient, in grey levels a pixel, that counts as much as no edge at all


class Histogram:
    """Joint colour histogram and gradient-orientation histogram, one vector.

    Each histogram p sums to 1 and enters as sqrt(p / 2): the vector has unit length, and the angle
    between two vectors is the Bhattacharyya angle of the histograms. Pixels are shared linearly
    among neighbouring bins, so a small change of light moves the vector by little. Orientations
    are weighted by the strength of the gradient; one more bin holds what has no edge.
    """

    name = "histogram"
    control = True
    batch_size = 32
    cut_angle = 0.2

    def __init__(self, colours: int = 6, orientations: int = 12) -> None:
        self.colours = number("colours", colours, least=2, whole=True)
        self.orientations = number("orientations", orientations, least=2, whole=True)

    def prepare(self, image: Image) -> NDArray[Any]:
        return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        parts = [np.concatenate([self._colour(x), self._orientation(x)]) for x in batch]
        return np.sqrt(np.stack(parts) / 2.0).astype(np.float32)

    def identity(self) -> dict[str, Any]:
        settings = {"colours": self.colours, "orientations": self.orientations}
        return {"embedder": self.name, "size": SIZE, "flat": FLAT, **settings}

    def _colour(self, image: Image) -> NDArray[np.float64]:
        """(colours^3,) summing to 1: each pixel shared among the 8 nearest bins (trilinear)."""
        n = self.colours
        position = image.reshape(-1, 3) * ((n - 1) / 255.0)
        lower = np.minimum(position.astype(np.intp), n - 2)
        upper_share = position - lower
        index = lower @ (n * n, n, 1)
        histogram = np.zeros(n**3)
        for red, green, blue in np.ndindex(2, 2, 2):
            weight = np.ones(len(index))
            for channel, upper in enumerate((red, green, blue)):
                share = upper_share[:, channel]
                weight *= share if upper else 1.0 - share
            histogram += np.bincount(index + (red * n * n + green * n + blue), weight, n**3)
        return histogram / len(index)

    def _orientation(self, image: Image) -> NDArray[np.float64]:
        """(orientations + 1,) summing to 1, orientations modulo 180 degrees; the last is "none"."""
        n = self.orientations
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64)
        down, right = np.gradient(grey)
        strength = np.hypot(down, right).ravel()
        position = (np.arctan2(down, right).ravel() % np.pi) * (n / np.pi)
        lower = np.floor(position).astype(np.intp)
        share = position - lower
        histogram = np.zeros(n + 1)
        histogram[:n] += np.bincount(lower % n, strength * (1.0 - share), n)
        histogram[:n] += np.bincount((lower + 1) % n, strength * share, n)
        histogram[n] = FLAT * len(strength)
        return histogram / histogram.sum()
