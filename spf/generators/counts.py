"""How many frames a generator can make."""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from spf.errors import ConfigError
from spf.generators.base import Generator, Request
from spf.numbers import number, optional_number

ENDLESS = 100_000
"""A number of frames that only a model without a bound of its own would accept."""


@dataclass(frozen=True)
class Counts:
    """The numbers factor n + 1 from `shortest` to `longest` (None: no bound); any number: factor 1.

    Raises ConfigError where there is no such number.
    """

    factor: int = 1
    shortest: int = 2
    longest: int | None = None

    def __post_init__(self) -> None:
        number("factor", self.factor, least=1, whole=True)
        number("shortest", self.shortest, least=2, whole=True)
        optional_number("longest", self.longest, least=2, whole=True)
        if self.most is not None and self.most < self.least:
            range_ = f"from {self.shortest} to {self.longest}"
            raise ConfigError(f"there is no number {self.factor}n + 1 of frames {range_}")

    @property
    def least(self) -> int:
        """The smallest n: steps of `factor` frames in the shortest clip."""
        return -(-(self.shortest - 1) // self.factor)

    @property
    def most(self) -> int | None:
        """The largest n; None where there is no bound."""
        return None if self.longest is None else (self.longest - 1) // self.factor

    def __str__(self) -> str:
        rule = "any number of" if self.factor == 1 else f"{self.factor}n + 1"
        least = self.factor * self.least + 1
        bound = "or more" if self.most is None else f"to {self.factor * self.most + 1}"
        return f"{rule} frames, {least} {bound}"


def counts_of(generator: Generator) -> Counts:
    """What a generator declares as `counts`, or else what its clock says.

    A model that refuses large numbers has its longest clip there; one that accepts all is held to
    the length that it makes unasked, which is what it was trained for.

    Raises ConfigError where it makes nothing between a first and a last frame.
    """
    declared = getattr(generator, "counts", None)
    if isinstance(declared, Counts):
        return declared
    blank = np.zeros((8, 8, 3), np.uint8)

    def made(num_frames: int | None) -> int:
        clock = generator.clock(Request(blank, blank, num_frames=num_frames))
        return round(float(clock.frames[-1])) + 1

    def accepted(num_frames: int) -> bool:
        try:
            return made(num_frames) > 0
        except ConfigError:
            return False

    usual = made(None)
    shortest = made(next(count for count in range(2, usual + 1) if accepted(count)))
    longest = usual
    if not accepted(ENDLESS):
        longer = range(usual + 1, ENDLESS)
        longest = made(usual + bisect_left(longer, True, key=lambda count: not accepted(count)))
    factor = made(shortest + 1) - shortest if longest > shortest else 1
    return Counts(factor, shortest, longest)
