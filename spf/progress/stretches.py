"""Where a clip stands still and where it jumps, in words that a person can act on."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from spf.progress.curve import Curve
from spf.progress.segments import Segment, segment

DEAD_SPEED = 0.25
"""Speed, as a share of the mean, below which a straight piece is called a dead stretch."""

JUMP_SPEED = 3.0
"""Speed, as a multiple of the mean, above which a straight piece is called a jump."""

DEAD_TIME = 0.05
"""Share of the clip's time that a dead stretch must last to be named."""

JUMP_CHANGE = 0.05
"""Share of the whole change that a jump must hold to be named."""

ANALYSIS_PENALTY = 2e-6
"""What one more piece must save of the mean squared residual: bends of about 0.15% of the change.

Finer than the paper's 0.02 on the sum (2.5e-4 at 81 frames), and the same at every frame rate."""


@dataclass(frozen=True)
class Stretch:
    """A part of a clip between two frames that moves at one speed.

    start, stop : first and last frame. start_time, stop_time : their times.
    change : share of the whole semantic change, 0 .. 1. speed : change / share of the time.
    """

    kind: Literal["dead", "steady", "jump"]
    start: int
    stop: int
    start_time: float
    stop_time: float
    change: float
    speed: float


def analysis_segments(curve: Curve) -> list[Segment]:
    """The segmentation that plots and `stretches` use."""
    return segment(curve, penalty=ANALYSIS_PENALTY, scale="mean")


def stretches(curve: Curve, segments: list[Segment]) -> list[Stretch]:
    """Split a clip at its segments and name each part; parts of one kind in a row are merged.

    The step between the last frame of a segment and the first of the next belongs to neither
    line, and often is the jump: it is a part of its own. Times and changes add up to the whole.
    """
    knots = sorted({frame for part in segments for frame in (part.start, part.stop - 1)})
    merged: list[tuple[str, int, int]] = []
    for start, stop in pairwise(knots):
        kind = _kind(_speed(curve, start, stop))
        if merged and merged[-1][0] == kind:
            merged[-1] = (kind, merged[-1][1], stop)
        else:
            merged.append((kind, start, stop))
    return [_stretch(curve, start, stop) for _, start, stop in merged]


def notable(parts: list[Stretch], kind: Literal["dead", "jump"]) -> list[Stretch]:
    """The dead stretches that last, or the jumps that matter, in order of time."""
    shortest = DEAD_TIME * (parts[-1].stop_time - parts[0].start_time) if parts else 0.0
    return [
        part
        for part in parts
        if part.kind == kind
        and (kind != "dead" or part.stop_time - part.start_time >= shortest)
        and (kind != "jump" or part.change >= JUMP_CHANGE)
    ]


def _speed(curve: Curve, start: int, stop: int) -> float:
    times = curve.times
    share = (times[stop] - times[start]) / (times[-1] - times[0])
    return float((curve.progress[stop] - curve.progress[start]) / share)


def _kind(speed: float) -> Literal["dead", "steady", "jump"]:
    if speed < DEAD_SPEED:
        return "dead"
    return "jump" if speed > JUMP_SPEED else "steady"


def _stretch(curve: Curve, start: int, stop: int) -> Stretch:
    speed = _speed(curve, start, stop)
    change = float(curve.progress[stop] - curve.progress[start])
    times = float(curve.times[start]), float(curve.times[stop])
    return Stretch(_kind(speed), start, stop, *times, change, speed)
