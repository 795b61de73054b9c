"""Curves made of numbers."""

import numpy as np

from spf.progress import Curve, Settings

SETTINGS = Settings(30, 20.0, 0.0, 1.0, "increments", "none")


def curve_of(progress):
    """A noiseless curve (T,) with this progress, times in frames, 1.2 radians long."""
    values = np.asarray(progress, dtype=np.float64)
    angle = 1.2 * values
    times = np.arange(len(values), dtype=np.float64)
    return Curve(values, angle, angle, times, 0.0, 0.0, float(angle[-1]), SETTINGS, np.diff(angle))


def random_progress(rng, count):
    steps = rng.dirichlet(np.full(count - 1, rng.choice([0.05, 0.3, 3.0])))
    steps[rng.random(count - 1) < rng.choice([0.0, 0.5])] = 0.0
    if not steps.any():
        steps[rng.integers(count - 1)] = 1.0
    progress = np.concatenate([[0.0], np.cumsum(steps)])
    return np.minimum(progress / progress[-1], 1.0)
