"""Small images of a clip for its plot."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(eq=False)
class Thumbnails:
    """Every `stride`-th frame of a clip, small; where there are too many, every second one goes."""

    height: int = 128
    limit: int = 192
    stride: int = 1
    seen: int = 0
    source_size: tuple[int, int] = (0, 0)
    images: list[Image] = field(default_factory=list)

    def add(self, image: Image) -> None:
        self.source_size = height, width = image.shape[0], image.shape[1]
        if self.seen % self.stride == 0:
            size = min(max(1, round(width * self.height / height)), 4 * self.height), self.height
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            self.images.append(np.asarray(small, np.uint8))
            if len(self.images) > self.limit:
                del self.images[1::2]
                self.stride *= 2
        self.seen += 1

    def nearest(self, frame: int) -> tuple[int, Image]:
        """The thumbnail nearest to `frame`: the index of its frame, and itself."""
        index = min(round(frame / self.stride), len(self.images) - 1)
        return index * self.stride, self.images[index]


def tiled(frames: Image, across: int) -> Image:
    """Frames (T, H, W, 3) as one image: `across` beside each other, read like a page."""
    count, height, width, _ = frames.shape
    down = -(-count // across)
    padded = np.pad(frames, ((0, down * across - count), (0, 0), (0, 0), (0, 0)))
    rows = padded.reshape(down, across, height, width, 3).swapaxes(1, 2)
    return rows.reshape(down * height, across * width, 3)
