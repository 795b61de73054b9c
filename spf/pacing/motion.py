"""What moves between two frames, and frames in between that follow it.

Dense optical flow by DIS (Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse
Search", ECCV 2016, as in OpenCV) in both directions. The flow at a time between is approximated as
by Jiang et al., "Super SloMo", CVPR 2018, equation 4. Occlusions are where the flows do not lead
back to where they began (the measure of Sundaram, Brox, Keutzer, ECCV 2010, equation 5).
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Field = NDArray[np.float32]

LEAST_SIDE = 16
"""Pixels; smaller frames are continued to this size, as the flow looks at patches of 8."""
DOUBT = 0.3
"""Weight of a frame where it does not show what the other one shows, over its full one. The
flow's ends are soft, so that a smaller one makes hard edges where the two disagree by little."""


@dataclass(frozen=True, eq=False)
class Flows:
    """Flow from one frame to another and back, (H, W, 2) float32 pixels (x, y); and for both frames
    how well each pixel is found in the other, (H, W) float32, 0 .. 1."""

    there: Field
    back: Field
    found_there: Field
    found_back: Field

    def reversed(self) -> "Flows":
        """The same motion, seen from the other frame."""
        return Flows(self.back, self.there, self.found_back, self.found_there)

    def compensated(self, first: Image, second: Image, share: float) -> Image:
        """The image (H, W, 3) uint8 at `share` (0 .. 1) of the way from the first frame on.

        Both frames are fetched along the flow and blended by their distance. What one of them
        shows and the other does not is taken from that one.
        """
        rest = 1.0 - share
        to_first = cv2.addWeighted(self.there, -share * rest, self.back, share * share, 0.0)
        to_second = cv2.addWeighted(self.there, rest * rest, self.back, -share * rest, 0.0)
        first_at, second_at = _places(to_first), _places(to_second)
        # Content of the second frame that the first one lacks must not be fetched from the first.
        weight = rest * (_fetched(self.found_back, second_at) + DOUBT)
        other = share * (_fetched(self.found_there, first_at) + DOUBT)
        made = cv2.blendLinear(
            _fetched(first, first_at), _fetched(second, second_at), weight, other
        )
        return np.asarray(made, np.uint8)


def between(first: Image, second: Image) -> Flows:
    """The motion between two frames (H, W, 3) uint8 RGB of one size.

    Swapping the frames gives `reversed()`, bit for bit; the number of threads changes nothing.
    """
    grey = _grey(first), _grey(second)
    with ThreadPoolExecutor(1) as beside:
        backwards = beside.submit(_flow, grey[1], grey[0], first.shape)
        there = _flow(grey[0], grey[1], first.shape)
        back = backwards.result()
    return Flows(there, back, _found(there, back), _found(back, there))


def _grey(image: Image) -> Image:
    """Brightness (H, W), H and W at least `LEAST_SIDE`."""
    below, right = (max(0, LEAST_SIDE - side) for side in image.shape[:2])
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.copyMakeBorder(grey, 0, below, 0, right, cv2.BORDER_REPLICATE))


def _flow(first: Image, second: Image, shape: tuple[int, ...]) -> Field:
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = np.asarray(search.calc(first, second, None), np.float32)  # type: ignore[call-overload]
    return np.ascontiguousarray(flow[: shape[0], : shape[1]])


def _found(there: Field, back: Field) -> Field:
    """exp(-|there + back|^2 / (0.01 (|there|^2 + |back|^2) + 0.5)), back fetched at its place."""
    returned = _fetched(back, _places(there))
    error, allowed = _squared(there + returned), _squared(there) + _squared(returned)
    return np.asarray(cv2.exp(error / (np.float32(-0.01) * allowed - np.float32(0.5))))


def _squared(flow: Field) -> Field:
    """Squared length (H, W) of a flow."""
    x, y = flow[..., 0], flow[..., 1]
    return x * x + y * y


def _places(flow: NDArray[Any]) -> Field:
    """Where the flow leads to from every pixel, (H, W, 2) float32 (x, y)."""
    height, width = flow.shape[:2]
    return np.asarray(flow + _grid(height, width), np.float32)


@lru_cache(maxsize=2)
def _grid(height: int, width: int) -> Field:
    """The place (H, W, 2) float32 (x, y) of every pixel."""
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return np.stack(np.meshgrid(x, y), axis=-1)


def _fetched(values: NDArray[Any], places: Field) -> NDArray[Any]:
    """Values at places between pixels, bilinear; the border continues outwards."""
    none: Any = None  # the places are whole in one array
    return np.asarray(cv2.remap(values, places, none, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE))
