"""How strongly each frequency band of a temporal rotary embedding follows the time map."""

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spf.words import choose

Array = NDArray[np.float64]

ORDERS = ("rank", "frequency")


@dataclass(frozen=True)
class Strength:
    """alpha_b of a band: p_t(b) = t + alpha_b (tau_t - t).

        alpha_b = alpha_high + (alpha_low - alpha_high) exp(-decay x_b)

    x_b is 0 for the highest frequency and 1 for the lowest. The defaults are those of the
    authors' script (`authors_code`): low frequencies, which carry long-range structure, are warped
    most.

    alpha_low : of the highest frequency. alpha_high : what the lower ones come near to (0.96 at
    the lowest for the defaults). decay : at least 0; 0 gives every band alpha_low.
    order : "rank", x_b = b / (B - 1) as the authors do, or "frequency",
    x_b = (omega_max - omega_b) / (omega_max - omega_min). Both models have geometric frequencies,
    for which the place of log omega is the rank: it is no third choice.

    Raises ValueError for numbers that are not finite or negative, ConfigError for another order.
    """

    alpha_low: float = 0.2
    alpha_high: float = 1.0
    decay: float = 3.0
    order: str = "rank"

    def __post_init__(self) -> None:
        choose(self.order, ORDERS, "order of the bands")
        for name in ("alpha_low", "alpha_high", "decay"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a finite number, at least 0, not {value!r}")

    def of(self, omega: ArrayLike) -> Array:
        """alpha (B,) of bands of frequencies omega (B,), positive, in any order."""
        frequencies = np.asarray(omega, dtype=np.float64)
        count = len(frequencies)
        place = np.zeros(count)
        if count > 1 and self.order == "rank":
            place[np.argsort(-frequencies, kind="stable")] = np.arange(count) / (count - 1)
        elif count > 1:
            highest, lowest = frequencies.max(), frequencies.min()
            place = (highest - frequencies) / (highest - lowest)
        change = self.alpha_low - self.alpha_high
        return self.alpha_high + change * np.exp(-self.decay * place)


def flat(alpha: float = 1.0) -> Strength:
    """The same alpha for every band."""
    return Strength(alpha, alpha, 0.0)
