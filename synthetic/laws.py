"""Pacing laws g: [0, 1] -> [0, 1]: how much of the change is done when a share u of time is over.

Every law is a closed form, non-decreasing with g(0) = 0 and g(1) = 1, and comes with its
derivative. Arrays in and out are float64 of one shape. At the knots of a piecewise linear law the
derivative is that of the piece to the right (at u = 1, to the left).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from spf.errors import ConfigError
from spf.names import choose
from spf.pacing.targets import ease_in_out, exponential, sine
from synthetic.seeds import generator_for

FloatArray = NDArray[np.float64]

_GRID = np.linspace(0.0, 1.0, 2**16 + 1)


@dataclass(frozen=True)
class Parameter:
    """A law's parameter: its default and the interval of values that make sense."""

    default: float
    low: float
    high: float
    open: bool = False
    integer: bool = False

    def check(self, law_name: str, name: str, value: object) -> float:
        """The value as int or float; ConfigError where it is no number of the interval."""
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = float("nan")
        inside = self.low < number < self.high if self.open else self.low <= number <= self.high
        if not inside or (self.integer and number != int(number)):
            interval = f"{self.low:g}, {self.high:g}"
            interval = f"({interval})" if self.open else f"[{interval}]"
            kind = "an integer" if self.integer else "a number"
            problem = f"{name}={value} is impossible; it must be {kind} in {interval}"
            raise ConfigError(f"law {law_name}: {problem}")
        return int(number) if self.integer else number


@dataclass(frozen=True)
class Family:
    """Functions g(u, **parameters) and derivative(u, **parameters), and the parameters; whether
    values that are possible one by one fit together, and what is wrong where they do not."""

    g: Callable[..., FloatArray]
    derivative: Callable[..., FloatArray]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    fits: Callable[..., bool] = lambda **_: True
    misfit: str = ""


@dataclass(frozen=True)
class Law:
    """A pacing law: plain data (it compares, hashes and pickles); make one with `law`."""

    name: str
    parameters: tuple[tuple[str, float], ...] = ()

    def g(self, u: ArrayLike) -> FloatArray:
        """Progress g(u) in [0, 1] at shares u of the time in [0, 1]; any shape, float64."""
        values = LAWS[self.name].g(_unit(u), **dict(self.parameters))
        return np.clip(values, 0.0, 1.0)

    def derivative(self, u: ArrayLike) -> FloatArray:
        """Speed g'(u) >= 0; its mean over [0, 1] is 1."""
        return LAWS[self.name].derivative(_unit(u), **dict(self.parameters))

    def identity(self) -> dict[str, Any]:
        """Everything that determines the law, as plain values."""
        return {"name": self.name, **dict(self.parameters)}

    def __str__(self) -> str:
        values = ",".join(f"{name}={value:g}" for name, value in self.parameters)
        return f"{self.name}({values})" if values else self.name


def law(name: str, **parameters: Any) -> Law:
    """The law of this name; parameters left out take their defaults (see LAWS)."""
    name = choose(name, LAWS, "pacing law")
    family = LAWS[name]
    for key in parameters:
        choose(key, family.parameters, f"parameter of law {name}")
    values = {
        key: parameter.check(name, key, parameters.get(key, parameter.default))
        for key, parameter in family.parameters.items()
    }
    if not family.fits(**values):
        raise ConfigError(f"law {name}: {family.misfit.format(**values)}")
    return Law(name, tuple(values.items()))


def steepest(pacing: Law) -> float:
    """The u at which the law is fastest; NaN where no single place is (linear, staircase, ...).

    A stretch of constant top speed counts as one place, its middle; all of [0, 1] as none.
    """
    speed = pacing.derivative(_GRID)
    # The places tie within 1e-4, as the grid may miss a narrow peak's top by that much.
    near = np.flatnonzero(speed >= speed.max() * (1.0 - 1e-4))
    if near.size != near[-1] - near[0] + 1 or near.size == _GRID.size:
        return float("nan")
    top = near[speed[near] >= speed.max() * (1.0 - 1e-12)]
    return float(_GRID[[top[0], top[-1]]].mean())


def _unit(values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if not np.all((array >= -1e-9) & (array <= 1.0 + 1e-9)):
        raise ValueError("a pacing law is defined on [0, 1] only")
    return np.clip(array, 0.0, 1.0)


def _ease_in_out_derivative(u: FloatArray, power: float) -> FloatArray:
    return power * (2.0 * np.minimum(u, 1.0 - u)) ** (power - 1.0)


# sigmoid_jump: (s(k(u - c)) - s(-kc)) / (s(k(1 - c)) - s(-kc)) with the logistic s, c the place
# and k the steepness.
def _sigmoid(u: FloatArray, place: float, steepness: float) -> FloatArray:
    low, high = expit(-steepness * place), expit(steepness * (1.0 - place))
    return (expit(steepness * (u - place)) - low) / (high - low)


def _sigmoid_derivative(u: FloatArray, place: float, steepness: float) -> FloatArray:
    low, high = expit(-steepness * place), expit(steepness * (1.0 - place))
    x = steepness * (u - place)
    return steepness * expit(x) * expit(-x) / (high - low)


# two_jumps: a weighted sum of two logistic functions of one steepness, scaled to [0, 1].
def _two_raw(u: Any, first: float, second: float, steepness: float, share: float) -> Any:
    return share * expit(steepness * (u - first)) + (1 - share) * expit(steepness * (u - second))


def _two(u: FloatArray, **parameters: float) -> FloatArray:
    low, high = (_two_raw(end, **parameters) for end in (0.0, 1.0))
    return (_two_raw(u, **parameters) - low) / (high - low)


def _two_derivative(
    u: FloatArray, first: float, second: float, steepness: float, share: float
) -> FloatArray:
    low, high = (_two_raw(end, first, second, steepness, share) for end in (0.0, 1.0))
    one, two = steepness * (u - first), steepness * (u - second)
    speed = share * expit(one) * expit(-one) + (1 - share) * expit(two) * expit(-two)
    return steepness * speed / (high - low)


def _exponential_derivative(u: FloatArray, temperature: float) -> FloatArray:
    if temperature == 0:
        return np.ones_like(u)
    return temperature * np.exp(temperature * u) / np.expm1(temperature)


# The piecewise linear laws are defined by their knots (u_k, y_k), both non-decreasing from 0 to 1.
Knots = tuple[FloatArray, FloatArray]


def _plateau(start: float, stop: float) -> Knots:
    level = start / (1.0 - (stop - start))
    return np.array([0.0, start, stop, 1.0]), np.array([0.0, level, level, 1.0])


def _staircase(steps: int, rise: float) -> Knots:
    centres = (np.arange(steps) + 0.5) / steps
    u = np.stack([centres - 0.5 * rise / steps, centres + 0.5 * rise / steps], axis=1)
    y = np.stack([np.arange(steps), np.arange(1, steps + 1)], axis=1) / steps
    return np.concatenate([[0.0], u.ravel(), [1.0]]), np.concatenate([[0.0], y.ravel(), [1.0]])


def _partial_jump(place: float, share: float, width: float) -> Knots:
    start, stop = place - 0.5 * width, place + 0.5 * width
    slope = (1.0 - share) / (1.0 - width)
    levels = np.array([0.0, slope * start, 1 - slope * (1 - stop), 1])
    return np.array([0.0, start, stop, 1.0]), levels


def _random_monotone(seed: int, pieces: int, concentration: float) -> Knots:
    generator = generator_for("random_monotone", seed, pieces, concentration)
    y = np.cumsum(generator.dirichlet(np.full(pieces, concentration)))
    y = np.concatenate([[0.0], y[:-1], [1.0]])
    return np.linspace(0.0, 1.0, pieces + 1), np.minimum(y, 1.0)


def _along_slope(u: FloatArray, times: FloatArray, levels: FloatArray) -> FloatArray:
    real = np.diff(times) > 0
    slopes = np.diff(levels)[real] / np.diff(times)[real]
    starts = times[:-1][real]
    return slopes[np.maximum(np.searchsorted(starts, u, "right") - 1, 0)]


def _piecewise(knots: Callable[..., Knots], *more: Any) -> Family:
    return Family(
        lambda u, **parameters: np.interp(u, *knots(**parameters)),
        lambda u, **parameters: _along_slope(u, *knots(**parameters)),
        *more,
    )


_POWER = {"power": Parameter(2.0, 1.0, 10.0)}
_PLACE = Parameter(0.5, 0.0, 1.0, open=True)
_STEEPNESS = Parameter(40.0, 0.1, 1000.0)

LAWS: dict[str, Family] = {
    "linear": Family(np.copy, np.ones_like),
    "ease_in": Family(
        lambda u, power: u**power,
        lambda u, power: power * u ** (power - 1.0),
        _POWER,
    ),
    "ease_out": Family(
        lambda u, power: 1.0 - (1.0 - u) ** power,
        lambda u, power: power * (1.0 - u) ** (power - 1.0),
        _POWER,
    ),
    "ease_in_out": Family(ease_in_out, _ease_in_out_derivative, _POWER),
    "sigmoid_jump": Family(
        _sigmoid, _sigmoid_derivative, {"place": _PLACE, "steepness": _STEEPNESS}
    ),
    "two_jumps": Family(
        _two,
        _two_derivative,
        {
            "first": Parameter(0.3, 0.0, 1.0, open=True),
            "second": Parameter(0.7, 0.0, 1.0, open=True),
            "steepness": Parameter(60.0, 0.1, 1000.0),
            "share": _PLACE,
        },
        lambda first, second, **_: first < second,
        "first={first:g} must come before second={second:g}",
    ),
    "plateau": _piecewise(
        _plateau,
        {"start": Parameter(0.35, 0.0, 1.0), "stop": Parameter(0.65, 0.0, 1.0)},
        lambda start, stop: start < stop and stop - start < 1,
        "start={start:g} must come before stop={stop:g}, and leave time for the change",
    ),
    "staircase": _piecewise(
        _staircase,
        {"steps": Parameter(4, 1, 100, integer=True), "rise": Parameter(0.25, 0.01, 1.0)},
    ),
    "partial_jump": _piecewise(
        _partial_jump,
        {
            "place": _PLACE,
            "share": Parameter(0.3, 0.0, 1.0),
            "width": Parameter(0.02, 0.001, 1.0),
        },
        lambda place, share, width: width <= 2 * min(place, 1 - place) and width < 1,
        "width={width:g} does not fit about place={place:g}",
    ),
    "exponential": Family(
        exponential, _exponential_derivative, {"temperature": Parameter(3.0, -100.0, 100.0)}
    ),
    "sine": Family(sine, lambda u: 1.0 + np.cos(2 * np.pi * u)),
    "random_monotone": _piecewise(
        _random_monotone,
        {
            "seed": Parameter(0, 0, 2**53, integer=True),
            "pieces": Parameter(8, 1, 1000, integer=True),
            "concentration": Parameter(1.0, 0.05, 1000.0),
        },
    ),
}
