"""What a second embedder sees in a retimed clip, and where the two disagree: a stretch that only
looks like change to the one that made the time map comes out slow or still to anybody else."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spf.embedders import Embedder, shown_name
from spf.measurement import Measurement
from spf.pacing.plan import OnProgress, RetimePlan, measured_clip, scores
from spf.pacing.timemap import paced
from spf.progress import Curve, no_change_reason
from spf.progress.metrics import NO_CHANGE, unit_time
from spf.progress.stretches import DEAD_SPEED

CHECKING = "checking the clip", "checking the result"
SPAN = 0.1  # share of the frames over which a local speed is taken
FACTOR = 2.0  # ratio of two local speeds from which on they disagree


@dataclass(frozen=True)
class Disagreement:
    """A stretch of frames, and its speed by either curve as a multiple of that one's mean speed."""

    start: int
    stop: int
    start_time: float
    stop_time: float
    speeds: tuple[float, float]


def disagreements(first: Curve, second: Curve) -> list[Disagreement]:
    """Where the local speeds of two curves (T,) of the same frames differ by a factor of 2 or more.

    The local speed at frame i is (S_j - S_i) / (u_j - u_i) with j a tenth of the clip later, u the
    time scaled to 0 .. 1. Speeds below 0.25, a dead stretch, count as 0.25. Stretches of one
    direction that overlap are one. In order of time; none where a curve shows no semantic change.

    Raises ValueError for curves of different lengths.
    """
    if len(first) != len(second):
        raise ValueError(f"the curves have {len(first)} and {len(second)} frames, not the same")
    if no_change_reason(first) is not None or no_change_reason(second) is not None:
        return []
    span = max(1, round(SPAN * (len(first) - 1)))
    starts = np.arange(len(first) - span)
    one, other = (
        np.maximum(_speed(curve, starts, starts + span), DEAD_SPEED) for curve in (first, second)
    )
    found = []
    for differs in (one >= FACTOR * other, other >= FACTOR * one):
        covered = np.convolve(differs, np.ones(span)) > 0  # steps of the clip
        edges = np.flatnonzero(np.diff(np.pad(covered.astype(int), 1)))
        for start, stop in edges.reshape(-1, 2).tolist():
            speeds = tuple(float(_speed(curve, start, stop)) for curve in (first, second))
            times = float(first.times[start]), float(first.times[stop])
            found.append(Disagreement(start, stop, *times, (speeds[0], speeds[1])))
    return sorted(found, key=lambda one: (one.start, one.stop))


def _speed(curve: Curve, start: Any, stop: Any) -> Any:
    """Mean speed from one frame to another, or from some to others."""
    u = unit_time(curve.times)
    return (curve.progress[stop] - curve.progress[start]) / (u[stop] - u[start])


@dataclass(frozen=True, eq=False)
class Check:
    """A clip and its result by another embedder than the one that made the time map.

    embedder : the second one; steering : the first one. before, after : `spf.score` and target_mae
    by the second one. disagreements : stretches of the result, its kept cuts apart, that pass at
    different speeds by the two. changes : whether the second one sees any semantic change in it.
    """

    embedder: Embedder
    steering: Embedder
    before: dict[str, float]
    after: dict[str, float]
    disagreements: list[Disagreement]
    changes: bool

    def lines(self) -> Iterator[str]:
        """Where the two disagree, for people."""
        if not self.changes:
            yield f"the result shows {NO_CHANGE} by {shown_name(self.embedder)}"
        for one in self.disagreements:
            yield (
                f"{one.start_time:.2f} to {one.stop_time:.2f} s pass at {one.speeds[0]:.2g} times "
                f"the mean speed by {shown_name(self.steering)}, {one.speeds[1]:.2g} times "
                f"by {shown_name(self.embedder)}"
            )


def checked(
    plan: RetimePlan,
    out: Path,
    result: Measurement,
    steering: Embedder,
    embedder: Embedder,
    cache: bool = True,
    on_progress: OnProgress | None = None,
) -> Check:
    """Measure a clip and its result by a second embedder; result : by the first one."""
    before, after = (
        measured_clip(path, embedder, cache, on_progress, stage).curve
        for path, stage in zip((plan.source, out), CHECKING, strict=True)
    )
    cuts = plan.cuts_shown
    return Check(
        embedder,
        steering,
        scores(before, plan.target, plan.cuts),
        scores(after, plan.target, cuts),
        disagreements(paced(result.curve, cuts), paced(after, cuts)),
        no_change_reason(after) is None,
    )
