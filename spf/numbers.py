"""Numbers that users set: one rule for what is accepted, and one line for what is not."""

import math
import sys
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from spf.errors import ConfigError
from spf.files import brief

LARGEST = 2**31 - 1  # whole number that the libraries take
LARGEST_SIDE = 2**12  # pixels of a clip's or still's side: no model makes more


def number(
    name: str,
    value: Any,
    above: float | None = None,
    least: float = -math.inf,
    most: float = math.inf,
    whole: bool = False,
) -> Any:
    """The value. Raises ConfigError for anything but such a number, truth values and text among it,
    and for one that libraries cannot hold.

    name : of the setting, as its user types it. above, least, most : bounds, the first excluded.
    """
    floor = -math.inf if above is None else above
    fits = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    bound = LARGEST if whole else sys.float_info.max
    if fits and max(least, -bound) <= value <= min(most, bound) and value > floor:
        return value
    kind = "a whole number" if whole else "a number"
    if above is not None:
        kind += f" above {above:g}" + (f", at most {most:g}" if math.isfinite(most) else "")
    elif math.isfinite(most):
        kind += f" from {least:g} to {most:g}"
    elif math.isfinite(least):
        kind += f", at least {least:g}"
    raise ConfigError(f"{name}={brief(value)} must be {kind}")


def optional_number(name: str, value: Any, **bounds: Any) -> Any:
    """As `number`; None, which is no choice, is accepted too."""
    return None if value is None else number(name, value, **bounds)


def optional_size(name: str, value: Any, least: int = 1) -> tuple[int, int] | None:
    """(height, width) in pixels, or None. Raises ConfigError for anything else."""
    if value is None:
        return None
    sides = list(value) if isinstance(value, Sequence) else []
    if len(sides) == 2 and all(type(x) is int and least <= x <= LARGEST_SIDE for x in sides):
        return sides[0], sides[1]
    rule = f"[height, width] in pixels, {least} to {LARGEST_SIDE} each"
    raise ConfigError(f"{name}={brief(value)} must be {rule}")


def switch(name: str, value: Any) -> bool:
    """The value. Raises ConfigError for anything but a truth value."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={brief(value)} must be true or false")
    return value
