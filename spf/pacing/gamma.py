"""How strongly a warp acts while the noise goes: gamma(t), t the noise level from 1 to 0."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from spf.words import choose

WINDOW = 0.5
"""Noise level above which `window` acts."""


def _exp_up(t: Any, xp: ModuleType) -> Any:
    """Strong early, nothing at the end: the authors' default, in both of their settings."""
    return (xp.exp(3.0 * t) - 1.0) / (np.exp(3.0) - 1.0)


def _cosine(t: Any, xp: ModuleType) -> Any:
    return (1.0 - xp.cos(np.pi * t)) / 2.0


SCHEDULES: dict[str, Callable[[Any, ModuleType], Any]] = {
    "none": lambda t, xp: xp.ones_like(t),
    "linear": lambda t, xp: t,
    "cosine": _cosine,
    "window": lambda t, xp: xp.where(t >= WINDOW, xp.ones_like(t), xp.zeros_like(t)),
    "exp_up": _exp_up,
}
"""gamma by word: none 1; linear t; cosine (1 - cos(pi t)) / 2; window 1 from t = 0.5 up, else 0;
exp_up (e^(3 t) - 1) / (e^3 - 1). Names and formulas are the authors' (arXiv 2604.22554 and their
code), but for window: theirs is a range of noise levels, decay_start .. decay_end."""


def gamma(schedule: str, level: Any, xp: ModuleType = np) -> Any:
    """Share 0 .. 1 of the warp that acts at noise levels `level` in 0 .. 1.

    level : array of NumPy, or tensor with xp=torch: it stays on its device, so that nothing waits
    for it. Raises ConfigError for an unknown word.
    """
    return SCHEDULES[choose(schedule, SCHEDULES, "gamma")](level, xp)
