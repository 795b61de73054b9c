"""Read the semantic parameter off generated frames, by comparing them with true renders."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthetic.drawing import Image8, Painter


class RenderOracle:
    """The nearest true render of one content on a fine, even grid of p.

    Distance is the mean squared difference of two pictures in 0..1, over pixels and channels.
    """

    def __init__(self, renders: Painter | Sequence[Image8], grid: int = 257) -> None:
        """`renders`: p in [0, 1] -> (H, W, 3) uint8, drawn at `grid` values; or the renders."""
        if callable(renders):
            renders = [renders(float(p)) for p in np.linspace(0.0, 1.0, grid)]
        self._renders = _flat(np.stack(list(renders)))
        self._power = np.square(self._renders).mean(axis=1)

    @property
    def step(self) -> float:
        """Distance of two grid values of p."""
        return 1.0 / (len(self._renders) - 1)

    def parameter(self, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
        """p (T,) float64 in [0, 1] of the frames (T, H, W, 3) uint8.

        Between grid values it is the vertex of the parabola through the nearest one's distance
        and its neighbours'. Where renders a grid step apart are equal, it is the first of them.
        """
        distance = self._distance(frames)
        nearest = distance.argmin(axis=1)
        inner = np.clip(nearest, 1, len(self._renders) - 2)
        rows = np.arange(len(frames))
        before, at, after = (distance[rows, inner + side] for side in (-1, 0, 1))
        bend = before - 2.0 * at + after
        vertex = np.divide(0.5 * (before - after), bend, out=np.zeros_like(bend), where=bend > 0)
        refined = inner + np.clip(vertex, -0.5, 0.5)
        return np.where(nearest == inner, refined, nearest) * self.step

    def residual(self, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Distance (T,) float64 from the frames (T, H, W, 3) uint8 to the nearest true render."""
        return self._distance(frames).min(axis=1)

    def _distance(self, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(T, grid) float64."""
        flat = _flat(frames)
        product = flat @ self._renders.T / flat.shape[1]
        power = np.square(flat).mean(axis=1)
        # Rounding may leave a tiny negative number where a frame equals a render.
        return np.maximum(power[:, None] - 2.0 * product + self._power, 0.0)


def _flat(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    return frames.reshape(len(frames), -1) / 255.0
