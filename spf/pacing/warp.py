"""A warp of a generator's clock: how far each latent moves, in which frequency bands of its rotary
embedding (alpha_b), at which noise levels (gamma)."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from numbers import Real
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spf.errors import ConfigError
from spf.generators.clock import Clock, TemporalRope
from spf.names import choose
from spf.numbers import number

Array = NDArray[np.float64]

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

    Raises ConfigError for numbers that are not finite or negative, another order, other bands.
    """

    alpha_low: float = 0.2
    alpha_high: float = 1.0
    decay: float = 3.0
    order: str = "rank"
    bands: str | tuple[float, ...] = "exp"

    def __post_init__(self) -> None:
        choose(self.order, ("rank", "frequency"), "order of the bands")
        for name in ("alpha_low", "alpha_high", "decay"):
            number(name, getattr(self, name), least=0)
        check_bands(self.bands)

    def of(self, omega: ArrayLike) -> Array:
        """alpha (B,) of bands of frequencies omega (B,), positive, in any order. Raises ConfigError
        where there is a list of strengths of another length than B."""
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
    if not isinstance(bands, Sequence) or not bands:
        known = f"a list of numbers, at least 0; names: {', '.join(SHAPES)}"
        raise ConfigError(f"bands={bands} is neither a name nor {known}")
    return tuple(float(number("bands", value, least=0)) for value in bands)


def flat(alpha: float = 1.0) -> Strength:
    """The same alpha for every band."""
    return Strength(alpha, alpha, 0.0)


Gamma = str | tuple[float, float]
"""A name of `SCHEDULES`, or a window: gamma is 1 at noise levels from the first down to the second,
and 0 elsewhere (the authors' decay_start .. decay_end)."""


def _exp_up(t: Any, xp: ModuleType) -> Any:
    return (xp.exp(3.0 * t) - 1.0) / (np.exp(3.0) - 1.0)


def _cosine(t: Any, xp: ModuleType) -> Any:
    return (1.0 - xp.cos(np.pi * t)) / 2.0


def _window(t: Any, xp: ModuleType, start: float = 1.0, end: float = 0.5) -> Any:
    return xp.where((t <= start) & (t >= end), xp.ones_like(t), xp.zeros_like(t))


SCHEDULES: dict[str, Callable[[Any, ModuleType], Any]] = {
    "none": lambda t, xp: xp.ones_like(t),
    "linear": lambda t, xp: t,
    "cosine": _cosine,
    "exp_up": _exp_up,
    "linear_down": lambda t, xp: 1.0 - t,
    "cosine_down": lambda t, xp: _cosine(1.0 - t, xp),
    "exp_down": lambda t, xp: _exp_up(1.0 - t, xp),
    "window": _window,
}
"""gamma(t) by name, t the noise level from 1 to 0: none 1; linear t; cosine (1 - cos(pi t)) / 2;
exp_up (e^(3 t) - 1) / (e^3 - 1), the authors' default; *_down the same of 1 - t: nothing early,
strong at the end; window 1 from t = 0.5 up, else 0. The names are the authors' (their code), the
formulas of the first four too; that a `_down` is its namesake mirrored is our reading."""


def check_gamma(schedule: Any) -> Gamma:
    """The schedule of a config: a name, or a window as a pair of noise levels. Raises ConfigError
    for an unknown name, and for a pair that is not 1 >= start > end >= 0."""
    if isinstance(schedule, str):
        return choose(schedule, SCHEDULES, "gamma")
    pair = tuple(schedule) if isinstance(schedule, Sequence) else ()
    real = all(isinstance(x, Real) and not isinstance(x, bool) for x in pair)
    if len(pair) == 2 and real and 1 >= pair[0] > pair[1] >= 0:
        return float(pair[0]), float(pair[1])
    known = f"1 >= START > END >= 0; names: {', '.join(SCHEDULES)}"
    raise ConfigError(
        f"gamma={schedule} is neither a name nor a window [START, END] of noise levels, {known}"
    )


def gamma(schedule: Gamma, level: Any, xp: ModuleType = np) -> Any:
    """Share 0 .. 1 of the warp that acts at noise levels `level` in 0 .. 1.

    level : array of NumPy, or tensor with xp=torch: it stays on its device, so that nothing waits
    for it. Raises ConfigError for an unknown name.
    """
    if isinstance(schedule, str):
        return SCHEDULES[choose(schedule, SCHEDULES, "gamma")](level, xp)
    return _window(level, xp, *schedule)


@dataclass(frozen=True, eq=False)
class Warp:
    """Positions p_t(b) = t + gamma alpha_b shift_t of latents t in bands b.

    positions : (L,) float64, the latents' own, in the model's unit (see `Clock`).
    shift : (L,) float64, in the same unit; several corrections add up.
    strength : alpha_b. gamma : a name of `SCHEDULES`, or a window of noise levels.

    Raises ValueError for shifts of another shape or not finite, ConfigError for an unknown gamma.
    """

    positions: Array
    shift: Array
    strength: Strength = field(default_factory=Strength)
    gamma: Gamma = "exp_up"

    def __post_init__(self) -> None:
        check_gamma(self.gamma)
        if self.positions.ndim != 1 or self.shift.shape != self.positions.shape:
            shapes = f"{self.positions.shape} and {self.shift.shape}"
            raise ValueError(f"positions and shift must be (L,), not {shapes}")
        if not (np.isfinite(self.shift).all() and np.isfinite(self.positions).all()):
            raise ValueError("positions and shift of a warp must be finite numbers")

    @classmethod
    def from_time_map(
        cls, clock: Clock, tau: Array, strength: Strength | None = None, gamma: Gamma = "exp_up"
    ) -> "Warp":
        """The warp that shows source position tau_k (N,) at output frame k; see `Clock.shift`."""
        return cls(clock.positions, clock.shift(tau), strength or Strength(), gamma)

    def corrected(self, more: Array) -> "Warp":
        """The warp with another shift (L,) added: p_t(b) + alpha_b more_t in every band."""
        return replace(self, shift=self.shift + more)

    def composed(self, more: Array) -> "Warp":
        """The warp that shows at latent t what this one, at full strength, shows at t + more_t:
        p(t + more_t), linear between latents."""
        shown = np.interp(self.positions + more, self.positions, self.positions + self.shift)
        return replace(self, shift=shown - self.positions)

    def applied(self, ropes: Sequence[TemporalRope]) -> AbstractContextManager[None]:
        """Warp these ropes as long as the context lasts; see `warped`."""
        from spf.pacing.rope import warped

        return warped(ropes, self)

    def identity(self) -> dict[str, Any]:
        """Everything that determines what it does, as plain values."""
        return {
            "positions": self.positions.tolist(),
            "shift": self.shift.tolist(),
            "strength": asdict(self.strength),
            "gamma": self.gamma,
        }
