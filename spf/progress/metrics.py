"""How even the pacing of a curve is."""

from dataclasses import dataclass
from math import inf, nan
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spf.progress.curve import Curve

Array = NDArray[np.float64]

STALL_SPEED = 0.1  # speed, as a share of the mean speed, below which a clip stands still
RESAMPLED_STEPS = 64  # equal steps of time on which clips of different length are compared

MINIMAL_RANKED_FRAMES = 5
"""Clips with fewer frames are measured but never ranked: their metrics are mostly chance."""

NO_CHANGE = "no semantic change"
FLICKER = "flicker"


@dataclass(frozen=True)
class Metric:
    """What a number means: its best direction, its range, its unit and its definition."""

    direction: Literal["lower", "higher", "none"]
    minimum: float
    maximum: float
    unit: str
    definition: str

    @property
    def best(self) -> float:
        """The value of perfectly even pacing; NaN where a number is not good or bad in itself."""
        if self.direction == "none":
            return nan
        return self.minimum if self.direction == "lower" else self.maximum


METRICS: dict[str, Metric] = {
    "linearity_mae": Metric("lower", 0, 0.5, "", "time average of |S - u|"),
    "linearity_max": Metric("lower", 0, 1, "", "largest |S - u|"),
    "peak_speed": Metric("lower", 1, inf, "x mean", "highest speed v; the mean speed is 1"),
    "speed_cv": Metric("lower", 0, inf, "", "time-weighted standard deviation of v"),
    "pacing_entropy": Metric("higher", 0, 1, "", "-sum(s ln s) / ln(number of steps)"),
    "stall_fraction": Metric("lower", 0, 1, "", "share of time with v below 0.1"),
    "total_change": Metric("none", 0, inf, "rad", "length of the curve before normalisation"),
    "change_rate": Metric("none", 0, inf, "rad/s", "total change per second"),
    "noise_floor": Metric("none", 0, inf, "rad", "total change that noise alone would show"),
    "noise_share": Metric("lower", 0, inf, "", "noise floor / total change"),
    "peak_speed_64": Metric("lower", 1, 64, "x mean", "peak_speed on 64 equal steps of time"),
    "speed_cv_64": Metric("lower", 0, 63**0.5, "", "speed_cv on 64 equal steps of time"),
    "pacing_entropy_64": Metric("higher", 0, 1, "", "pacing_entropy on 64 equal steps of time"),
    "target_mae": Metric("lower", 0, 1, "", "time average of |S - g(u)| for a target g"),
}
"""S: progress; u: time scaled to 0 .. 1; s: clipped forward differences of the fitted curve, scaled
to sum 1; v = s / du: speed. Docs: docs/concepts/metrics.md."""


def score(curve: Curve) -> dict[str, float]:
    """All metrics of a curve but target_mae, in the order of `METRICS`.

    A curve without semantic change has no pacing: its shape metrics are NaN, and
    `no_change_reason` says why. O(T).
    """
    scores = dict.fromkeys((name for name in METRICS if name != "target_mae"), nan)
    scores["total_change"] = curve.total_change
    scores["change_rate"] = curve.total_change / float(curve.times[-1] - curve.times[0])
    scores["noise_floor"] = curve.noise_floor
    scores["noise_share"] = curve.noise_share
    if no_change_reason(curve) is not None:
        return scores
    u = unit_time(curve.times)
    deviation = curve.progress - u
    scores["linearity_mae"] = mean_absolute(deviation, u)
    scores["linearity_max"] = float(np.abs(deviation).max())
    steps, durations = pacing_steps(curve.fitted), np.diff(u)
    speed = steps / durations
    scores["stall_fraction"] = float(durations[speed < STALL_SPEED].sum())
    scores.update(step_scores(steps, durations))
    grid = np.linspace(0.0, 1.0, RESAMPLED_STEPS + 1)
    resampled = np.diff(np.interp(grid, u, np.concatenate(([0.0], np.cumsum(steps)))))
    for name, value in step_scores(resampled, np.diff(grid)).items():
        scores[f"{name}_64"] = value
    return scores


def no_change_reason(curve: Curve) -> str | None:
    """Why the shape of a curve means nothing ("no semantic change"), or None where it does."""
    return None if curve.changes and pacing_steps(curve.fitted).any() else NO_CHANGE


def unranked_reason(curve: Curve) -> str | None:
    """Why a curve may not be ranked by its evenness: "flicker", "no semantic change", or None."""
    return FLICKER if curve.flickers else no_change_reason(curve)


def target_mae(curve: Curve, target: Array) -> float:
    """Time average of |S - g(u)|; target: (T,) values of g at the curve's times, 0 .. 1."""
    return mean_absolute(curve.progress - target, unit_time(curve.times))


def unit_time(times: Array) -> Array:
    """Time stamps scaled to 0 .. 1."""
    return (times - times[0]) / (times[-1] - times[0])


def pacing_steps(fitted: Array) -> Array:
    """Share (T - 1,) of the whole change that falls into each step; zeros where nothing changes.

    Forward differences of the fitted curve, clipped at zero: unsmoothed, whatever `monotone` is.
    """
    steps = np.clip(np.diff(fitted), 0.0, None)
    total = steps.sum()
    return steps / total if total > 0 else steps


def step_scores(steps: Array, durations: Array) -> dict[str, float]:
    """Metrics of shares of change `steps` (n,) over shares of time `durations` (n,)."""
    speed = steps / durations
    moving = steps[steps > 0]
    entropy = -(moving @ np.log(moving)) / np.log(len(steps)) if len(steps) > 1 else 1.0
    return {
        "peak_speed": float(speed.max()),
        "speed_cv": float(np.sqrt(durations @ (speed - 1.0) ** 2)),
        "pacing_entropy": float(entropy) + 0.0,  # never -0.0
    }


def mean_absolute(deviation: Array, u: Array) -> float:
    """Integral over u of |deviation|, exact for the line through the samples (it may cross 0)."""
    left, right = np.abs(deviation[:-1]), np.abs(deviation[1:])
    crosses = deviation[:-1] * deviation[1:] < 0
    whole = np.where(crosses, left + right, 1.0)
    area = np.where(crosses, (left**2 + right**2) / (2 * whole), (left + right) / 2)
    return float(np.diff(u) @ area)
