"""How close a generated clip's end frames are to the frames that it was generated from."""

from __future__ import annotations

from math import log10, nan, pi

import numpy as np
from numpy.typing import NDArray

from spf.embedders.base import Embedder, embed_clip
from spf.generators.base import resized
from spf.progress.distances import banded_angles
from spf.progress.metrics import Metric
from spf.quality import Conditions

Image = NDArray[np.uint8]

ROUNDING = 1.0 / 12.0
"""Variance, in grey levels squared, of rounding to whole ones: no smaller error is seen."""

MAXIMAL_PSNR = 10.0 * log10(255.0**2 / ROUNDING)
"""PSNR of identical frames, in dB: 58.92."""

_PSNR = "signal-to-noise ratio of the {} generated frame against its input frame"
_ANGLE = "angle between the embeddings of the {} generated frame and its input frame"
ENDS = ("first", "last")

FIDELITY = {
    **{f"{x}_psnr": Metric("higher", 0, MAXIMAL_PSNR, "dB", _PSNR.format(x)) for x in ENDS},
    **{f"{x}_angle": Metric("lower", 0, pi, "rad", _ANGLE.format(x)) for x in ENDS},
}
"""Columns of a clip's end frames; NaN where there was no such frame to generate from."""


def psnr(made: Image, asked: Image) -> float:
    """Peak signal-to-noise ratio of two images (H, W, 3) uint8: 10 log10(255^2 / MSE) dB, MSE over
    channels (Huynh-Thu and Ghanbari, Electronics Letters 44(13), 2008), at least `ROUNDING`: so
    identical frames have `MAXIMAL_PSNR`, and no infinity, which would have no mean."""
    error = np.square(made.astype(np.float64) - asked).mean()
    return 10.0 * log10(255.0**2 / max(float(error), ROUNDING))


def end_fidelity(
    first: Image, last: Image, conditions: Conditions, embedder: Embedder | None = None
) -> dict[str, float]:
    """Values of `FIDELITY` for a clip's first and last frame; without an embedder no angles."""
    ends = zip(ENDS, (first, last), (conditions.first, conditions.last), strict=True)
    pairs = {end: (made, asked) for end, made, asked in ends if asked is not None}
    found = dict.fromkeys(FIDELITY, nan)
    found |= {f"{end}_psnr": psnr(*pair) for end, pair in pairs.items()}
    if embedder and pairs:
        frames = np.stack([image for pair in pairs.values() for image in pair])
        angles = banded_angles(embed_clip(frames, embedder).vectors, 1)[::2, 0]
        found |= {f"{end}_angle": float(x) for end, x in zip(pairs, angles, strict=True)}
    return found


def cropped(image: Image, size: tuple[int, int]) -> Image:
    """The image (H, W, 3) at (height, width): its largest part of that aspect, in its middle, as
    image-to-video programs cut an image that has another."""
    height, width = image.shape[:2]
    scale = min(height / size[0], width / size[1])
    rows, columns = (max(1, round(scale * side)) for side in size)
    top, left = (height - rows) // 2, (width - columns) // 2
    return resized(image[top : top + rows, left : left + columns], size)
