"""ReTime's strategies: which warp is made of a measured curve. Their words are those of configs."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from spf.errors import ConfigError
from spf.retime.bands import Strength, flat
from spf.retime.gamma import SCHEDULES
from spf.words import choose

CORRECTIONS = ("add", "compose")
"""How a second correction joins the first: added in every band (the authors'), or the old positions
looked up where the new time map points, which is exact where all bands follow the map."""


class Strategy(Protocol):
    """What a warp is made with; `iterations` is how many corrections are tried at most, 0 keeps
    the clip as it was first generated; `correction` is one of `CORRECTIONS`."""

    name: ClassVar[str]

    @property
    def strength(self) -> Strength: ...
    @property
    def gamma(self) -> str: ...
    @property
    def iterations(self) -> int: ...
    @property
    def correction(self) -> str: ...


@dataclass(frozen=True)
class NoRetime:
    """The clip as it is."""

    name: ClassVar[str] = "none"
    strength: ClassVar[Strength] = flat(0.0)
    gamma: ClassVar[str] = "none"
    iterations: ClassVar[int] = 0
    correction: ClassVar[str] = "add"


@dataclass(frozen=True)
class RopeFlat:
    """Every band follows the time map by the same share alpha, at every noise level."""

    name: ClassVar[str] = "rope_flat"
    alpha: float = 1.0
    gamma: str = "none"
    iterations: int = 1
    correction: str = "add"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def strength(self) -> Strength:
        return flat(self.alpha)


@dataclass(frozen=True)
class Rope:
    """Frequency-aware, with the authors' numbers: low frequencies follow the time map most."""

    name: ClassVar[str] = "rope"
    alpha_low: float = 0.2
    alpha_high: float = 1.0
    decay: float = 3.0
    order: str = "rank"
    gamma: str = "exp_up"
    iterations: int = 1
    correction: str = "add"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def strength(self) -> Strength:
        return Strength(self.alpha_low, self.alpha_high, self.decay, self.order)


@dataclass(frozen=True)
class RopeIterative(Rope):
    """As `Rope`, measured again and corrected until the pacing comes no nearer to its target."""

    name: ClassVar[str] = "rope_iterative"
    iterations: int = 3


RETIMES: dict[str, type[Strategy]] = {
    "none": NoRetime,
    "rope": Rope,
    "rope_flat": RopeFlat,
    "rope_iterative": RopeIterative,
}
"""Words of the strategies that steer a generator's clock, and of doing nothing."""


def make_strategy(strategy: str | Strategy) -> Strategy:
    """The strategy of a word, with its defaults. Raises ConfigError for an unknown word."""
    if isinstance(strategy, str):
        return RETIMES[choose(strategy, RETIMES, "retime")]()
    return strategy


def _check(strategy: Strategy) -> None:
    """Raises ConfigError, in one line, for settings that make no warp."""
    choose(strategy.gamma, SCHEDULES, "gamma")
    choose(strategy.correction, CORRECTIONS, "correction")
    count = strategy.iterations
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ConfigError(f"retime: iterations={count!r} must be a whole number, at least 1")
    try:
        _ = strategy.strength
    except ValueError as error:
        raise ConfigError(f"retime={strategy.name}: {error}") from None
