"""Target pacings g: [0, 1] -> [0, 1]: share of the change that is done at a share u of the time.

A target is any vectorised function of u (float64, any shape) that does not fall and runs from
g(0) = 0 to g(1) = 1. Exponential and sine are the authors' (arXiv 2604.22554); the eases are the
usual power laws.
"""

import csv
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spf.errors import ConfigError, one_line
from spf.files import read_bounded
from spf.names import choose
from spf.numbers import number
from spf.progress import Curve, no_change_reason
from spf.progress.metrics import unit_time

LARGEST = 100_000_000  # bytes of a file of points

Array = NDArray[np.float64]
Target = Callable[[Array], Array]

_GRID = np.linspace(0.0, 1.0, 1025)
_ENDS, _FALL = 1e-9, 1e-12
"""How far g(0) and g(1) may be from 0 and 1, and g may fall: rounding, which `pinned` removes."""


def ease_in_out(u: Array, power: float) -> Array:
    """(2u)^power / 2 up to the middle, and its mirror image after it."""
    half = 0.5 * (2.0 * np.minimum(u, 1.0 - u)) ** power
    return np.where(u < 0.5, half, 1.0 - half)


def exponential(u: Array, temperature: float) -> Array:
    """(e^(temperature u) - 1) / (e^temperature - 1): slow first; fast first below 0; u at 0."""
    if temperature == 0:
        return u.copy()
    return np.expm1(temperature * u) / np.expm1(temperature)


def sine(u: Array) -> Array:
    """u + sin(2 pi u) / (2 pi): twice the mean speed at both ends, still in the middle."""
    return u + np.sin(2 * np.pi * u) / (2 * np.pi)


@dataclass(frozen=True)
class Linear:
    """g(u) = u: equal change in equal time."""

    name: ClassVar[str] = "linear"

    def __call__(self, u: Array) -> Array:
        return np.array(u, dtype=np.float64)


@dataclass(frozen=True)
class _Ease:
    name: ClassVar[str]
    power: float = 2.0

    def __post_init__(self) -> None:
        number(f"target={self.name}: power", self.power, least=1.0, most=10.0)


@dataclass(frozen=True)
class EaseIn(_Ease):
    """g(u) = u^power: slow first. power in 1 .. 10."""

    name: ClassVar[str] = "ease_in"

    def __call__(self, u: Array) -> Array:
        return u**self.power


@dataclass(frozen=True)
class EaseOut(_Ease):
    """g(u) = 1 - (1 - u)^power: slow at the end. power in 1 .. 10."""

    name: ClassVar[str] = "ease_out"

    def __call__(self, u: Array) -> Array:
        return 1.0 - (1.0 - u) ** self.power


@dataclass(frozen=True)
class EaseInOut(_Ease):
    """Slow at both ends (`ease_in_out`). power in 1 .. 10."""

    name: ClassVar[str] = "ease_in_out"

    def __call__(self, u: Array) -> Array:
        return ease_in_out(u, self.power)


@dataclass(frozen=True)
class Exponential:
    """`exponential`: up speeds up, down slows down (its mirror image). temperature in 0 .. 100."""

    name: ClassVar[str] = "exponential"
    temperature: float = 3.0
    direction: str = "up"

    def __post_init__(self) -> None:
        number(f"target={self.name}: temperature", self.temperature, least=0.0, most=100.0)
        choose(self.direction, ("up", "down"), "direction of target exponential")

    def __call__(self, u: Array) -> Array:
        sign = 1.0 if self.direction == "up" else -1.0
        return exponential(u, sign * self.temperature)


@dataclass(frozen=True)
class Sine:
    """`sine`: fast, still in the middle, fast."""

    name: ClassVar[str] = "sine"

    def __call__(self, u: Array) -> Array:
        return sine(u)


@dataclass(frozen=True)
class Custom:
    """A polyline through points, or through those of a file.

    points : pairs (time, progress). path : a CSV file with two columns (a line of names may come
    first), or JSON, [[time, progress], ...] or {"times": [...], "progress": [...]}. Times are in
    any unit, from the first point to the last; progress runs from 0 to 1.

    Raises ConfigError, when it is used or checked, where there are no such points.
    """

    name: ClassVar[str] = "custom"
    points: Sequence[Sequence[float]] | None = None
    path: str | os.PathLike[str] | None = None

    def __call__(self, u: Array) -> Array:
        times, progress = self.knots()
        return np.interp(u, times, progress)

    def knots(self) -> tuple[Array, Array]:
        """Times, scaled to 0 .. 1, and progress (K,) of the points."""
        what = "target=custom" if self.path is None else str(self.path)
        if (self.points is None) == (self.path is None):
            remedy = "target.points='[[0,0],[0.5,0.2],[1,1]]' or target.path=FILE"
            raise ConfigError(f"target=custom needs points or a file, one of them; give {remedy}")
        points = self.points if self.path is None else _read(Path(str(self.path)))
        try:
            pairs = np.array([list(point) for point in points or []], dtype=np.float64)
        except (TypeError, ValueError):
            raise ConfigError(f"{what}: points must be pairs of numbers (time, progress)") from None
        if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) < 2:
            raise ConfigError(f"{what}: give at least 2 points, each a time and a progress")
        times, progress = pairs.T
        if not np.isfinite(pairs).all():  # before all else: differences of infinities warn
            raise ConfigError(f"{what}: points must be finite numbers")
        falls = np.diff(progress) < 0
        for wrong, rule in (
            ((np.diff(times) <= 0).any(), "times must increase from point to point; sort them"),
            (falls.any(), f"the target falls at point {falls.argmax() + 2}; it must increase"),
            ((progress[0], progress[-1]) != (0.0, 1.0), "progress must run from 0 to 1"),
        ):
            if wrong:
                raise ConfigError(f"{what}: {rule}")
        return unit_time(times), progress


@dataclass(frozen=True, eq=False)
class LikeCurve:
    """The pacing of another clip: its progress at the same share of its time."""

    name: ClassVar[str] = "like another clip"
    curve: Curve

    def __post_init__(self) -> None:
        if no_change_reason(self.curve) is not None:
            raise ConfigError("the clip whose pacing is the target has no semantic change")

    @property
    def knots(self) -> Array:
        """Shares of the time between which it is straight."""
        return unit_time(self.curve.times)

    def __call__(self, u: Array) -> Array:
        return np.interp(u, self.knots, self.curve.progress)


TARGETS: dict[str, Callable[..., Target]] = {
    kind.name: kind for kind in (Linear, EaseIn, EaseOut, EaseInOut, Exponential, Sine, Custom)
}
"""The targets by name; each makes a target from its settings."""


def make_target(target: str | Target | Curve) -> Target:
    """A target from a name of `TARGETS`, another clip's curve, or a function.

    A name has its defaults, or settings behind a colon: `exponential:temperature=5,direction=down`,
    `custom:path=points.csv`.

    Raises ConfigError for an unknown name and for settings that make no target, ValueError for a
    function that falls or does not run from 0 to 1.
    """
    if isinstance(target, str):
        target = _from_text(target)
    made = LikeCurve(target) if isinstance(target, Curve) else target
    pinned(made, _GRID)
    return made


def pinned(target: Target, u: Array) -> Array:
    """g(u) at increasing shares u (N,) from 0 to 1, with its ends at exactly 0 and 1. Raises
    ValueError, in one line, for a target that falls or does not run from 0 to 1."""
    values = np.array(target(u), dtype=np.float64)
    name = getattr(target, "name", "function")
    if values.shape != u.shape:
        raise ValueError(f"target {name}: it must give a value for each of {u.shape} shares")
    if not (abs(values[0]) < _ENDS and abs(values[-1] - 1.0) < _ENDS):
        raise ValueError(f"target {name}: a target must increase from g(0) = 0 to g(1) = 1")
    falls = ~(np.diff(values) >= -_FALL)  # so written, NaN counts too
    if falls.any():
        where = u[int(np.argmax(falls))]
        raise ValueError(f"target {name}: a target must increase, but this falls at u = {where:g}")
    values[0], values[-1] = 0.0, 1.0
    return np.maximum.accumulate(np.clip(values, 0.0, 1.0))


def _from_text(text: str) -> Target:
    """NAME or NAME:SETTING=VALUE,...; a comma that no SETTING= follows belongs to the value."""
    target, _, rest = text.partition(":")
    kind = TARGETS[choose(target, TARGETS, "target")]
    known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    settings: dict[str, Any] = {}
    for part in re.split(r",(?=\w+=)", rest) if rest else []:
        name, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(f"target {text!r}: write {target}:SETTING=VALUE,SETTING=VALUE")
        name = choose(name, known, f"setting of target {target}")
        settings[name] = os.path.expanduser(value) if name == "path" else _value(value)
    return kind(**settings)


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _read(path: Path) -> Sequence[Sequence[float]]:
    """The points of a CSV or JSON file, as they are written."""
    try:
        text = read_bounded(path, LARGEST).decode("utf-8-sig")
        if path.suffix.lower() == ".json":
            content = json.loads(text)
            if isinstance(content, dict):
                content = list(zip(content["times"], content["progress"], strict=True))
            return content
        rows = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
        if rows and any(isinstance(_value(cell), str) for cell in rows[0]):  # the columns' names
            rows = rows[1:]
        return [[float(cell) for cell in row] for row in rows]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (csv.Error, KeyError, TypeError, ValueError, RecursionError) as error:
        wanted = "a CSV file with two columns, time and progress, or JSON, [[time, progress], ...]"
        either = f'{wanted} or {{"times": [...], "progress": [...]}}'
        raise ConfigError(f"{path}: {one_line(error)}; expected {either}") from None
