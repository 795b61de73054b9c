"""What the tests of rendered clips share."""

import numpy as np

SIZE = (48, 64)


def stack(clip):
    """All frames (T, H, W, 3) uint8."""
    return np.stack(list(clip.frames()))


def difference(one, other):
    """Mean absolute difference of pictures, in grey levels."""
    return float(np.abs(one.astype(int) - other).mean())


def words(items, held_out, kind=""):
    """Names between which scenes or pairs of photographs change, of those (not) held out."""
    chosen = [x for x in items if x.held_out == held_out and getattr(x, "kind", kind) == kind]
    return {name for item in chosen for name in (item.first, item.second)}
