"""Which source frame each frame of the retimed clip shows, and how shots between kept cuts share
its time."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spf.errors import ConfigError
from spf.pacing.strategies import KEEP
from spf.pacing.targets import LikeCurve, Target, make_target, pinned
from spf.progress import Curve, no_change_reason
from spf.progress.curve import MONOTONE, invert
from spf.progress.metrics import target_mae, unit_time

Array = NDArray[np.float64]

GRID = np.linspace(0.0, 1.0, 4097)  # shares of the time at which a target is inverted


def time_map(
    curve: Curve,
    target: str | Target | Curve = "linear",
    num_frames: int | None = None,
    cuts: Sequence[int] = (),
) -> Array:
    """Source positions tau_k = S^-1(g(k / (N - 1))) that give a clip the pacing g (method, 2).

    curve : of the source clip, T frames.
    target : a name of `TARGETS`, an increasing function g on 0 .. 1 with g(0) = 0, g(1) = 1, or
        the curve of a clip whose pacing is wanted.
    num_frames : N, at least 2; None is T.
    cuts : frames that begin a shot (such as `curve.cuts`), increasing, in 1 .. T - 1. Nothing is
        shown between two shots, each of which gets its share of the frames: `shot_map`.

    Returns (N,) float64 in frames, non-decreasing, from 0 to T - 1; plateaus by `Curve.inverse`.

    Raises ConfigError for an unknown name, ValueError for a target that is not such a function,
    for N below 2, and for a curve without semantic change, which has no inverse.
    """
    count = len(curve) if num_frames is None else num_frames
    if count < 2:
        raise ValueError(f"num_frames must be at least 2, not {num_frames!r}")
    if cuts:
        return shot_map(curve, make_target(target), count, cuts)
    return curve.inverse(pinned(make_target(target), np.linspace(0.0, 1.0, count)))


def source_times(positions: Array, times: Array) -> Array:
    """The times (N,), seconds, of the source at positions (N,) in frames. times : (T,) of its
    frames; between two frames it is linear."""
    return np.interp(positions, np.arange(len(times)), times)


def distance_to_target(curve: Curve, target: str | Target | Curve = "linear") -> float:
    """target_mae: the time average of |S - g(u)|, 0 .. 1; for `linear` it is linearity_mae. NaN
    where the curve shows no change."""
    if no_change_reason(curve) is not None:
        return nan
    return target_mae(curve, pinned(make_target(target), unit_time(curve.times)))


def paced(curve: Curve, cuts: Sequence[int]) -> Curve:
    """The curve without the change at the cuts, which lies in one step each and stays there.

    Each shot's own fit is accumulated by itself, so that no smoothing carries a cut into it.
    Progress is all zeros where nothing but the cuts changes.
    """
    if not cuts:
        return curve
    parts = [
        MONOTONE[curve.settings.monotone](curve.fitted[a:b]) if b - a > 1 else np.zeros(1)
        for a, b in pairwise([0, *cuts, len(curve)])
    ]
    before = np.cumsum([0.0, *(part[-1] for part in parts)])
    angle = np.concatenate([part + a for part, a in zip(parts, before[:-1], strict=True)])
    steps = np.diff(curve.fitted)
    steps[np.array(cuts) - 1] = 0.0
    left = angle[-1] / curve.angle[-1] if curve.angle[-1] > 0 else 0.0
    return replace(
        curve,
        angle=angle,
        progress=angle / angle[-1] if angle[-1] > 0 else 0.0 * angle,
        fitted=np.concatenate([[0.0], np.cumsum(steps)]),
        plain_change=left * curve.plain_change,
    )


def between_cuts(curve: Curve, cuts: Sequence[int]) -> Curve:
    """The curve of what changes between the cuts: without their change and without their time.

    Shots meet in the last frame of the one before, so that T - len(cuts) frames are left.
    """
    if not cuts:
        return curve
    steady, first = paced(curve, cuts), np.array(cuts)
    seconds = np.diff(curve.times)
    seconds[first - 1] = 0.0
    times = np.concatenate([[0.0], np.cumsum(seconds)])
    left: dict[str, Any] = {
        name: np.delete(getattr(steady, name), first) for name in ("progress", "angle", "fitted")
    }
    separation = np.delete(curve.separation, first - 1)
    return replace(steady, **left, times=np.delete(times, first), separation=separation)


def target_of(target: str | Target | Curve, cuts: str) -> Target:
    """`make_target`; where cuts are kept another clip's pacing is that of what changes between its
    own cuts."""
    made = make_target(target)
    if cuts == KEEP and isinstance(made, LikeCurve):
        return LikeCurve(between_cuts(made.curve, made.curve.cuts))
    return made


def when_reached(target: Target, progress: Array) -> Array:
    """Shares of the time, 0 .. 1, at which a target has come to each progress: its inverse, and
    where it rests the middle."""
    grid = np.union1d(GRID, getattr(target, "knots", GRID))
    return np.interp(invert(pinned(target, grid), progress), np.arange(len(grid)), grid)


def shot_steps(
    when: Array, cuts: Sequence[int], num_frames: int, least: Sequence[int]
) -> list[int]:
    """Steps of the result that each shot gets; a cut takes one more, in which nothing is between.

    Shots share what is left in proportion to the time that the target gives to their change.

    when : (T,) share of the time at which the target has come to each frame of `paced(curve)`.
    cuts : frames that begin a shot. num_frames : of the result. least : steps of each shot.

    Raises ConfigError where the result has too few frames for the shots.
    """
    starts, ends = bounds(cuts, len(when))
    free = num_frames - len(starts)
    if free < sum(least):
        remedy = f"ask for at least {sum(least) + len(starts)} frames, or bridge the cuts"
        raise ConfigError(f"{num_frames} frames cannot hold {len(starts)} shots; {remedy}")
    return shared_out(free * (when[ends] - when[starts]), free, least)


def shot_map(curve: Curve, target: Target, num_frames: int, cuts: Sequence[int]) -> Array:
    """Source positions (num_frames,) that give a clip the target's pacing and keep its cuts.

    Every shot is shown from its first to its last frame, so that no position lies between two; the
    target paces what changes between the cuts (`between_cuts`). A shot without change runs evenly.

    Raises ConfigError where the result has too few frames for the shots.
    """
    steady = paced(curve, cuts)
    when = when_reached(target, steady.progress)
    starts, ends = bounds(cuts, len(curve))
    least = [min(end - start, 1) for start, end in zip(starts, ends, strict=True)]
    steps = shot_steps(when, cuts, num_frames, least)
    parts = []
    for start, end, count in zip(starts, ends, steps, strict=True):
        own = steady.progress[start : end + 1]
        change = own[-1] - own[0]
        if not change > 0:
            parts.append(np.linspace(start, end, count + 1))
            continue
        wanted = np.asarray(target(np.linspace(when[start], when[end], count + 1)), np.float64)
        shares = np.clip((wanted - own[0]) / change, 0.0, 1.0)
        shares[0], shares[-1] = 0.0, 1.0
        parts.append(start + invert((own - own[0]) / change, np.maximum.accumulate(shares)))
    return np.concatenate(parts)


def cuts_shown(positions: Array, cuts: Sequence[int]) -> list[int]:
    """Frames of the result that begin a shot: where a map (N,) first reaches each cut."""
    return np.searchsorted(positions, cuts).tolist()


def shared_out(
    wanted: Array, total: int, least: int | Sequence[int], most: int | None = None
) -> list[int]:
    """Whole numbers (K,) from least to most that sum to `total`, or as near to it as they can, with
    the least sum of squared deviations from `wanted` (K,).

    Starting from the rounded-down numbers, each further unit goes where it lowers that sum most,
    which is optimal as the sum is separable and convex. O(total K) at worst.
    """
    bound = inf if most is None else most
    made = np.clip(np.floor(wanted), least, bound)
    while made.sum() < total and (made < bound).any():
        made[np.argmax(np.where(made < bound, wanted - made, -inf))] += 1
    while made.sum() > total and (made > least).any():
        made[np.argmax(np.where(made > least, made - wanted, -inf))] -= 1
    return [int(number) for number in made]


def bounds(cuts: Sequence[int], length: int) -> tuple[list[int], list[int]]:
    """First and last frame of every shot."""
    return [0, *cuts], [*(cut - 1 for cut in cuts), length - 1]
