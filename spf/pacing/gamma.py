"""How strongly a warp acts while the noise goes: gamma(t), t the noise level from 1 to 0."""

from collections.abc import Callable
from numbers import Real
from types import ModuleType
from typing import Any

import numpy as np

from spf.errors import ConfigError
from spf.names import choose

Gamma = str | tuple[float, float]
"""A name of `SCHEDULES`, or a window: gamma is 1 at noise levels from the first down to the second,
and 0 elsewhere (the authors' decay_start .. decay_end)."""

WINDOW = (1.0, 0.5)
"""The window of the name `window`."""


def _exp_up(t: Any, xp: ModuleType) -> Any:
    """Strong early, nothing at the end: the authors' default, in both of their settings."""
    return (xp.exp(3.0 * t) - 1.0) / (np.exp(3.0) - 1.0)


def _cosine(t: Any, xp: ModuleType) -> Any:
    return (1.0 - xp.cos(np.pi * t)) / 2.0


SCHEDULES: dict[str, Callable[[Any, ModuleType], Any]] = {
    "none": lambda t, xp: xp.ones_like(t),
    "linear": lambda t, xp: t,
    "cosine": _cosine,
    "exp_up": _exp_up,
    "linear_down": lambda t, xp: 1.0 - t,
    "cosine_down": lambda t, xp: _cosine(1.0 - t, xp),
    "exp_down": lambda t, xp: _exp_up(1.0 - t, xp),
    "window": lambda t, xp: _within(t, WINDOW, xp),
}
"""gamma by name: none 1; linear t; cosine (1 - cos(pi t)) / 2; exp_up (e^(3 t) - 1) / (e^3 - 1);
*_down the same of 1 - t: nothing early, strong at the end; window 1 from t = 0.5 up, else 0. The
names are the authors' (their code), the formulas of the first four too; that a `_down` is its
namesake mirrored is our reading."""


def _within(t: Any, window: tuple[float, float], xp: ModuleType) -> Any:
    start, end = window
    return xp.where((t <= start) & (t >= end), xp.ones_like(t), xp.zeros_like(t))


def check_gamma(gamma: Any) -> Gamma:
    """The schedule of a config: a name, or a window as a pair of noise levels.

    Raises ConfigError for an unknown name, and for a pair that is not 1 >= start > end >= 0.
    """
    if isinstance(gamma, str):
        return choose(gamma, SCHEDULES, "gamma")
    try:
        start, end = gamma
        fits = all(isinstance(x, Real) and not isinstance(x, bool) for x in (start, end))
        if fits and 1 >= start > end >= 0:
            return float(start), float(end)
    except (TypeError, ValueError):
        pass
    shape = "a window [START, END] of noise levels, 1 >= START > END >= 0"
    raise ConfigError(f"gamma={gamma} is neither a name nor {shape}; names: {', '.join(SCHEDULES)}")


def gamma(schedule: Gamma, level: Any, xp: ModuleType = np) -> Any:
    """Share 0 .. 1 of the warp that acts at noise levels `level` in 0 .. 1.

    level : array of NumPy, or tensor with xp=torch: it stays on its device, so that nothing waits
    for it. Raises ConfigError for an unknown name.
    """
    if isinstance(schedule, str):
        return SCHEDULES[choose(schedule, SCHEDULES, "gamma")](level, xp)
    return _within(level, schedule, xp)
