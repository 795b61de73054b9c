"""How strongly each frequency band of a temporal rotary embedding follows the time map."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spf.errors import ConfigError
from spf.names import choose

Array = NDArray[np.float64]

ORDERS = ("rank", "frequency")

SHAPES: dict[str, Callable[[Array, float], Array]] = {
    "exp": lambda x, decay: 1.0 - np.exp(-decay * x),
    "flat": lambda x, decay: np.ones_like(x),
    "linear": lambda x, decay: x,
    "smooth": lambda x, decay: x * x * (3.0 - 2.0 * x),
    "3_bands": lambda x, decay: np.minimum(np.floor(3.0 * x), 2.0) / 2.0,
}
SHAPES |= {
    f"{name}_inverse": lambda x, decay, shape=shape: shape(1.0 - x, decay)  # type: ignore[misc]
    for name, shape in SHAPES.items()
    if name != "flat"
}
"""How alpha goes from alpha_low to alpha_high with a band's place x, 0 .. 1: exp is the formula of
both of the authors' settings. The other names are their script's too; that smooth is the cubic
3 x^2 - 2 x^3, that the three bands are thirds at 0, 1/2 and 1, and that an inverse runs from the
lowest frequency up, is our reading."""


@dataclass(frozen=True)
class Strength:
    """alpha_b of a band: p_t(b) = t + alpha_b (tau_t - t).

        alpha_b = alpha_low + (alpha_high - alpha_low) s(x_b)

    x_b is 0 for the highest frequency and 1 for the lowest. The defaults are those of the
    authors' script (`authors_code`), s(x) = 1 - exp(-decay x): low frequencies, which carry
    long-range structure, are warped most.

    alpha_low : of the highest frequency. alpha_high : what the lower ones come near to (0.96 at
    the lowest for the defaults). decay : at least 0; 0 gives every band alpha_low.
    order : "rank", x_b = b / (B - 1) as the authors do, or "frequency",
    x_b = (omega_max - omega_b) / (omega_max - omega_min). Both models have geometric frequencies,
    for which the place of log omega is the rank: it is no third choice.
    bands : a name of `SHAPES`, which is s, or alpha itself, a number a band, highest frequency
    first.

    Raises ValueError for numbers that are not finite or negative, ConfigError for another order
    and other bands.
    """

    alpha_low: float = 0.2
    alpha_high: float = 1.0
    decay: float = 3.0
    order: str = "rank"
    bands: str | tuple[float, ...] = "exp"

    def __post_init__(self) -> None:
        choose(self.order, ORDERS, "order of the bands")
        for name in ("alpha_low", "alpha_high", "decay"):
            value = getattr(self, name)
            if not _positive(value):
                raise ValueError(f"{name} must be a finite number, at least 0, not {value!r}")
        check_bands(self.bands)

    def of(self, omega: ArrayLike) -> Array:
        """alpha (B,) of bands of frequencies omega (B,), positive, in any order.

        Raises ConfigError where there is a list of strengths of another length than B.
        """
        frequencies = np.asarray(omega, dtype=np.float64)
        count = len(frequencies)
        rank = np.empty(count)
        rank[np.argsort(-frequencies, kind="stable")] = np.arange(count)
        if not isinstance(self.bands, str):
            if len(self.bands) != count:
                what = f"bands has {len(self.bands)} strengths, the model's clock {count} bands"
                raise ConfigError(f"{what}; give one a band, the highest frequency first")
            return np.array(self.bands)[rank.astype(int)]
        place = np.zeros(count)
        if count > 1 and self.order == "rank":
            place = rank / (count - 1)
        elif count > 1:
            highest, lowest = frequencies.max(), frequencies.min()
            place = (highest - frequencies) / (highest - lowest)
        if self.bands == "exp":  # as the authors write it, to the last bit
            change = self.alpha_low - self.alpha_high
            return self.alpha_high + change * np.exp(-self.decay * place)
        change = self.alpha_high - self.alpha_low
        return self.alpha_low + change * SHAPES[self.bands](place, self.decay)


def check_bands(bands: Any) -> str | tuple[float, ...]:
    """The bands of a config: a name of `SHAPES`, or a list of strengths. Raises ConfigError."""
    if isinstance(bands, str):
        return choose(bands, SHAPES, "bands")
    values = tuple(bands) if hasattr(bands, "__iter__") else ()
    if not values or not all(map(_positive, values)):
        what = "neither a name nor a list of finite numbers, at least 0"
        raise ConfigError(f"bands={bands} is {what}; names: {', '.join(SHAPES)}")
    return tuple(map(float, values))


def _positive(value: Any) -> bool:
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and isfinite(value) and value >= 0


def flat(alpha: float = 1.0) -> Strength:
    """The same alpha for every band."""
    return Strength(alpha, alpha, 0.0)
