"""Clips made directly in embedding space: known pacing, known noise, no picture and no embedder."""

import numpy as np
from numpy.typing import NDArray

from synthetic.laws import Law
from synthetic.seeds import generator_for

TOTAL = 1.2
"""Angle between the two ends of a clip, radians: less than a quarter turn."""


def great_circle(
    law: Law,
    num_frames: int,
    total: float = TOTAL,
    noise: float = 0.0,
    dimensions: int = 64,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Points on a great circle whose angle from the first one is total * g(u).

    Parameters
    ----------
    law : the pacing g. num_frames : T, at equal times. total : radians, below pi.
    noise : typical angle between two noisy views of one point, radians: independent Gaussian
        noise of standard deviation noise / sqrt(2 D) in each dimension.

    Returns
    -------
    (T, dimensions) float64, rows of unit length. Without noise the angle between frames i < j is
    exactly total * (g(u_j) - g(u_i)), so a perfect fit returns g.
    """
    generator = generator_for("sphere", seed, dimensions)
    plane = np.linalg.qr(generator.standard_normal((dimensions, 2)))[0].T
    angle = total * law.g(np.linspace(0.0, 1.0, num_frames))
    points = np.cos(angle)[:, None] * plane[0] + np.sin(angle)[:, None] * plane[1]
    points += generator.standard_normal(points.shape) * (noise / np.sqrt(2.0 * dimensions))
    return points / np.linalg.norm(points, axis=1, keepdims=True)
