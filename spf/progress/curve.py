"""The Semantic Progress Function of one clip."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log, nan
from numbers import Real
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from spf.progress.cuts import CUT_ANGLE, hard_cuts
from spf.progress.noise import FLICKER_LEVEL, FLICKER_SHARE, constant_response, noise_margin
from spf.progress.solver import RIDGE, SIGMA, WINDOW

Array = NDArray[np.float64]
Monotone = Literal["gradient", "peer", "increments", "isotonic"]
Noise = Literal["none", "nugget"]

ROUNDING = 1e-13  # share of the whole change below which a step is rounding error of the solver
NARROWEST = (2.0 * log(1e12)) ** -0.5  # sigma at which neighbours have weight 1e-12


@dataclass(frozen=True)
class Settings:
    """The settings of a fit; `spf.fit` explains them. Raises ValueError where they define none."""

    window: int = WINDOW
    sigma: float = SIGMA
    ridge: float = RIDGE
    power: float = 1.0
    monotone: Monotone = "gradient"
    noise: Noise = "none"

    def __post_init__(self) -> None:
        window = self.window
        if isinstance(window, bool) or not (isinstance(window, int | np.integer) and window >= 1):
            rule = "a whole number of frames, at least 1"
            raise ValueError(f"window must be {rule}, not {window!r}")
        # Largest: the square of sigma and ridge, and pi and 0.001 to the power, are still numbers.
        for name, most in {"sigma": 1e100, "ridge": 1e100, "power": 100.0}.items():
            value, least = getattr(self, name), ", at least 0" if name == "ridge" else " above 0"
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not (number and 0 <= value <= most and (value > 0 or name == "ridge")):
                rule = f"a finite number{least}, at most {most:g}"
                raise ValueError(f"{name} must be {rule}, not {value!r}")
        if self.sigma < NARROWEST:
            raise ValueError(f"sigma {self.sigma!r} leaves neighbours no weight; use 0.14 or more")
        for name, known in {"monotone": get_args(Monotone), "noise": get_args(Noise)}.items():
            if getattr(self, name) not in known:
                names = ", ".join(known)
                raise ValueError(f"{name} must be one of {names}, not {getattr(self, name)!r}")


@dataclass(frozen=True, eq=False)
class Curve:
    """How far the meaning of a clip has come at each frame.

    progress : (T,) float64, non-decreasing from 0 to 1; all zeros where nothing changes.
    angle : (T,) float64, the same curve before scaling, radians (to the power `power`), from 0.
    fitted : (T,) float64, the least-squares S as solved: neither clipped nor scaled.
    times : (T,) float64, strictly increasing: seconds, or frame indices where no rate is known.
    noise_level : angle between two frames that is due to noise alone, radians.
    noise_spread : share by which distances of equal lag differ from each other.
    plain_change : total change of the fit to the distances as measured; it differs from
        `total_change` where the noise was subtracted, and is what is compared with the floor.
    settings : the settings of the fit, with the ridge as used.
    separation : (T - 1,) float64, how far apart the frames on either side of each step are,
        radians (`spf.progress.cuts`).
    cut_angle : radians below which no step is a hard cut, by the embedder that measured.
    is_still : whether the pixels show a still image, whatever an encoder left in them.
    is_explained : whether nothing is left but what a camera's motion leaves (`Corrected`).
    flicker_share : noise share above which a clip flickers, by the embedder that measured; motion
        alone stays below it.
    """

    progress: Array
    angle: Array
    fitted: Array
    times: Array
    noise_level: float
    noise_spread: float
    plain_change: float
    settings: Settings
    separation: Array
    cut_angle: float = CUT_ANGLE
    is_still: bool = False
    is_explained: bool = False
    flicker_share: float = FLICKER_SHARE

    def __len__(self) -> int:
        return len(self.progress)

    def of_clip(self, known: "Curve") -> "Curve":
        """This curve with what another one of the same clip knows beside its shape: whether the
        pixels are still, and the thresholds of the embedder that measured."""
        names = "is_still", "flicker_share", "cut_angle"
        return replace(self, **{name: getattr(known, name) for name in names})

    @property
    def total_change(self) -> float:
        """Length of the curve in radians, before normalisation."""
        return float(self.angle[-1] - self.angle[0])

    @property
    def noise_floor(self) -> float:
        """Total change that the noise of this clip would show by itself; radians."""
        response = constant_response(len(self), self.settings.window, self.settings.sigma)
        return self.noise_level**self.settings.power * response

    @property
    def noise_share(self) -> float:
        """Noise floor over total change: 0 without noise, about 1 where there is nothing else; NaN
        where nothing changes at all."""
        return self.noise_floor / self.plain_change if self.plain_change > 0 else nan

    @property
    def flickers(self) -> bool:
        """Whether so much of the change is noise that an even curve does not mean even pacing: a
        constant distance between all frames fits a straight line. Where there is nothing but noise,
        it is flicker if neighbouring frames differ as different images do, and else grain."""
        much = self.noise_share > self.flicker_share
        return much and (self.changes or self.noise_level > FLICKER_LEVEL)

    @property
    def cuts(self) -> list[int]:
        """Frames at which a new shot begins (`hard_cuts`)."""
        return hard_cuts(self.separation, self.cut_angle)

    @property
    def changes(self) -> bool:
        """Whether the total change stands out of the noise, so that its shape means something."""
        if self.is_still or self.is_explained:
            return False
        margin = noise_margin(len(self), self.settings.power * self.noise_spread)
        stands_out = self.plain_change > (1.0 + margin) * self.noise_floor
        return self.total_change > 0 and bool(stands_out)

    def inverse(self, progress: ArrayLike) -> Array:
        """Frame positions at which the curve reaches a progress (`invert`)."""
        return invert(self.progress, progress)


def invert(curve: Array, progress: ArrayLike) -> Array:
    """Frame positions at which a curve (T,) float64, non-decreasing from 0 to 1, has a progress.

    Where the curve is flat every position of the plateau has the same progress; the inverse is the
    plateau's middle, so that reversing the clip mirrors the result. At the two ends it is pinned
    instead: 0 maps to frame 0 and 1 to frame T - 1.

    progress : any shape, values in 0 .. 1. Returns float64, same shape, in 0 .. T - 1,
    non-decreasing in `progress`. Raises ValueError for values outside 0 .. 1 and for a curve
    without any change.
    """
    wanted = np.asarray(progress, dtype=np.float64)
    if not ((wanted >= 0.0) & (wanted <= 1.0)).all():
        raise ValueError("progress must lie between 0 and 1 to be inverted")
    if curve[-1] <= curve[0]:
        raise ValueError("the curve has no semantic change, so it has no inverse")
    # Each distinct value is held from its first to its last frame (mostly one and the same).
    values, first = np.unique(curve, return_index=True)
    last = np.append(first[1:] - 1, len(curve) - 1)
    held = (first + last) / 2
    held[0], held[-1] = 0.0, len(curve) - 1.0
    upper = np.clip(np.searchsorted(values, wanted), 1, len(values) - 1)
    lower = upper - 1
    share = (wanted - values[lower]) / (values[upper] - values[lower])
    between = (1.0 - share) * last[lower] + share * first[upper]
    return np.where(share == 1.0, held[upper], np.where(share == 0.0, held[lower], between))


def _gradient(fitted: Array) -> Array:
    """Central differences, clipped at zero, summed by the trapezoid rule.

    The paper's normalisation with one departure: the authors' plain cumulative sum of central
    differences leads by half a frame, the trapezoid rule does not, and is symmetric under time
    reversal.
    """
    speed = _rising(np.gradient(fitted, axis=-1))
    return _running_sum((speed[..., 1:] + speed[..., :-1]) / 2)


def _peer(fitted: Array) -> Array:
    """The authors' own: clipped central differences, cumulated, from 0."""
    return _running_sum(_rising(np.gradient(fitted, axis=-1))[..., 1:])


def _increments(fitted: Array) -> Array:
    """Forward differences clipped at zero: no smoothing, one frame's change stays in one step."""
    return _running_sum(_rising(np.diff(fitted, axis=-1)))


def _isotonic(fitted: Array) -> Array:
    """The nearest non-decreasing curve in least squares (pool adjacent violators)."""
    rows = fitted.reshape(-1, fitted.shape[-1])
    nearest = np.stack([isotonic_regression(row).x for row in rows]).reshape(fitted.shape)
    return _running_sum(_rising(np.diff(nearest, axis=-1)))


def _rising(steps: Array) -> Array:
    """Steps clipped at zero; what rounding leaves of a step of 0 is 0, so plateaus are exact."""
    return np.where(steps > ROUNDING * np.abs(steps).sum(axis=-1, keepdims=True), steps, 0.0)


def _running_sum(steps: Array) -> Array:
    return np.pad(np.cumsum(steps, axis=-1), [(0, 0)] * (steps.ndim - 1) + [(1, 0)])


MONOTONE: dict[str, Callable[[Array], Array]] = {
    "gradient": _gradient,
    "peer": _peer,
    "increments": _increments,
    "isotonic": _isotonic,
}
"""What makes fitted curves (..., T) non-decreasing, starting at 0; same shape and unit."""
