"""What the tests of rendered clips share."""

import numpy as np

SIZE = (48, 64)


def stack(clip):
    """All frames (T, H, W, 3) uint8."""
    return np.stack(list(clip.frames()))


def difference(one, other):
    return float(np.abs(one.astype(int) - other).mean())
