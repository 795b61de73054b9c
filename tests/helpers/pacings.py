"""Curves and pictures made of numbers."""

import numpy as np

from spf.progress import Curve, Settings

LEVELS = 2**16 - 1
ARC = 1.2
SETTINGS = Settings(30, 20.0, 0.0, 1.0, "increments", "none")


def curve_of(progress):
    """A noiseless curve (T,) with this progress, times in frames, 1.2 radians long."""
    values = np.asarray(progress, dtype=np.float64)
    angle = ARC * values
    times = np.arange(len(values), dtype=np.float64)
    return Curve(values, angle, angle, times, 0.0, 0.0, float(angle[-1]), SETTINGS, np.diff(angle))


def random_progress(rng, count):
    """Progress with rests, jumps and slow parts, from 0 to 1."""
    steps = rng.dirichlet(np.full(count - 1, rng.choice([0.05, 0.3, 3.0])))
    steps[rng.random(count - 1) < rng.choice([0.0, 0.5])] = 0.0
    if not steps.any():
        steps[rng.integers(count - 1)] = 1.0
    progress = np.concatenate([[0.0], np.cumsum(steps)])
    return np.minimum(progress / progress[-1], 1.0)


def pictures(p, size=(4, 4)):
    """Frames (T, H, W, 3) uint8 that hold numbers 0 .. 1 in 16 bits."""
    levels = np.rint(np.asarray(p) * LEVELS).astype(np.int64)
    pixels = np.stack([levels // 256, levels % 256, 0 * levels], axis=-1).astype(np.uint8)
    return np.tile(pixels[:, None, None], (1, *size, 1))


def on_circle(angles):
    """Embeddings (T, 2) at these angles (T,), radians."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
