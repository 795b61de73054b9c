"""A few frames of a clip as a slightly other camera, or another light, would show them."""

from dataclasses import astuple, dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from spf.names import choose

Image = NDArray[np.uint8]

FRAMES = 9  # of a clip that are seen again: 72 to 90 views, whatever the clip's length
HELD = 2**21  # pixels of a frame above which it is held smaller: 18 frames of 6 MB at most
LONGEST = 2**14  # pixels of a side that OpenCV can warp


@dataclass(frozen=True)
class View:
    """What is another about the camera: right and down (shares of the image's sides by which the
    image moves), zoom (a factor), turn (degrees), light (a factor)."""

    right: float = 0.0
    down: float = 0.0
    zoom: float = 1.0
    turn: float = 0.0
    light: float = 1.0

    def of(self, image: Image) -> Image:
        """The frame (H, W, 3) as seen so; what lies outside is its mirror image."""
        height, width = image.shape[:2]
        if self.light != 1.0:
            levels = np.arange(256) * self.light
            table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
            image = np.asarray(cv2.LUT(image, table), np.uint8)
        if astuple(self)[:4] == (0.0, 0.0, 1.0, 0.0):
            return image
        centre = ((width - 1) / 2, (height - 1) / 2)
        matrix = cv2.getRotationMatrix2D(centre, self.turn, self.zoom)
        matrix[:, 2] += self.right * width, self.down * height
        moved = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        return np.asarray(moved, np.uint8)


CAMERA = (
    *(View(right=0.06), View(right=-0.06), View(down=0.06), View(down=-0.06)),
    *(View(zoom=1.1), View(zoom=1 / 1.1), View(turn=5.0), View(turn=-5.0)),
)
LIGHT = (View(light=1.12), View(light=1 / 1.12))

NUISANCES = {"none": (), "camera": CAMERA, "light": LIGHT, "camera+light": CAMERA + LIGHT}
"""The views of each choice of `nuisance`."""


def views_of(nuisance: str) -> tuple[View, ...]:
    """The views of a choice; none for "none". Raises ConfigError for an unknown one."""
    return NUISANCES[choose(nuisance, NUISANCES, "nuisance")]


@dataclass(eq=False)
class Sample:
    """At most `count` frames of a clip of unknown length, at even distances.

    Holds every `stride`-th frame; of 2 `count`, every second one goes. So there are
    `count` to 2 `count` - 1 of them, of which `chosen` takes `count`; of a shorter clip, all.
    reduced : whether they are too large to be held whole, so that a view and its frame have to be
    compared at the smaller size.
    """

    count: int = FRAMES
    stride: int = 1
    seen: int = 0
    reduced: bool = False
    images: list[Image] = field(default_factory=list)

    def add(self, image: Image) -> None:
        """Look at the next frame (H, W, 3); one above `HELD` pixels is held at a smaller size."""
        if self.seen % self.stride == 0:
            height, width = image.shape[:2]
            factor = min(1.0, (HELD / (height * width)) ** 0.5, LONGEST / max(height, width))
            if factor < 1.0:
                self.reduced = True
                size = max(1, int(width * factor)), max(1, int(height * factor))
                small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
                image = np.asarray(small, np.uint8)
            self.images.append(image)
            if len(self.images) == 2 * self.count:
                del self.images[1::2]
                self.stride *= 2
        self.seen += 1

    def chosen(self) -> list[tuple[int, Image]]:
        """Indices among the clip's frames, rising, and the frames."""
        last = len(self.images) - 1
        places = np.linspace(0, last, min(self.count, last + 1)).round().astype(int)
        return [(int(place) * self.stride, self.images[place]) for place in places]
