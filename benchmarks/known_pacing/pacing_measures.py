"""Other measures of uneven pacing, to compare ours with. All are lower for more even clips."""

import cv2
import numpy as np
from numpy.typing import NDArray

from spf.progress.distances import banded_angles
from spf.progress.metrics import mean_absolute

Array = NDArray[np.float64]

PIXELS = 64
"""Side in pixels at which frames are compared directly."""

MEASURES = {
    "linearity_mae": "ours",
    "linearity_max": "ours",
    "speed_cv_64": "ours",
    "pacing_entropy_64": "ours",
    "peak_speed_64": "ours",
    "pdv": "DiffMorpher's perceptual distance variance, with the embedder's distance",
    "consecutive_mae": "linearity of the running sum of consecutive embedding distances",
    "pixel_mae": "linearity of the running sum of consecutive pixel differences",
    "pdv_lpips": "DiffMorpher's perceptual distance variance, with LPIPS",
}
"""Where each comes from; `pacing_entropy_64` counts with its sign turned."""


def consecutive_measures(vectors: NDArray[np.floating], u: Array) -> dict[str, float]:
    """`pdv`, the variance of consecutive angles (radians squared), and `consecutive_mae`.

    vectors : (T, D) embeddings. u : (T,) time from 0 to 1.
    """
    steps = banded_angles(vectors, 1)[:-1, 0]
    return {"pdv": float(np.var(steps)), "consecutive_mae": running_sum_mae(steps, u)}


def running_sum_mae(steps: Array, u: Array) -> float:
    """Time average of |C - u| for the running sum C of steps (T - 1,), scaled to 0 .. 1.

    NaN where all steps are 0.
    """
    if not steps.any():
        return float("nan")
    running = np.concatenate(([0.0], np.cumsum(steps)))
    return mean_absolute(running / running[-1] - u, u)


class PixelSteps:
    """Mean absolute difference of consecutive frames (0 .. 255), gathered while they stream by."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self._last: NDArray[np.int16] | None = None

    def add(self, image: NDArray[np.uint8]) -> None:
        """The next frame (H, W, 3) uint8."""
        small = cv2.resize(image, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA).astype(np.int16)
        if self._last is not None:
            self.steps.append(float(np.abs(small - self._last).mean()))
        self._last = small

    def as_array(self) -> Array:
        """The differences so far (T - 1,)."""
        return np.array(self.steps)
