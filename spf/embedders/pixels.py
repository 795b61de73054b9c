"""Control: the image itself, small. It has no semantics, and shows what motion alone does."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spf.embedders.base import Image
from spf.numbers import number


class Pixels:
    """Downsampled colours: the mean colour of each cell of a size x size grid.

    The vector holds the colours scaled to -1 .. 1 and one constant of the same weight as all of
    them together, so that grey frames have a direction too: 3 size^2 + 1 dimensions.
    """

    name = "pixels"
    control = True
    batch_size = 64
    cut_angle = 0.2

    def __init__(self, size: int = 16) -> None:
        self.size = number("size", size, least=1, whole=True)

    def prepare(self, image: Image) -> NDArray[Any]:
        # Area averaging weighs every pixel alike when it shrinks; a smaller image is repeated.
        return cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA)

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        colours = batch.reshape(len(batch), -1).astype(np.float32) / 127.5 - 1.0
        constant = np.full((len(batch), 1), np.sqrt(colours.shape[1]), np.float32)
        return np.concatenate([colours, constant], axis=1)

    def identity(self) -> dict[str, Any]:
        return {"embedder": self.name, "size": self.size}
