"""Where a clip stands still and where it jumps, by the local speed of its curve."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spf.progress.curve import Curve
from spf.progress.metrics import STALL_SPEED, pacing_steps, unit_time

Array = NDArray[np.float64]
Kind = Literal["dead", "steady", "jump", "cut"]

JUMP_SPEED = 3.0  # speed, as a multiple of the mean, above which a step belongs to a jump

PAUSE_TIME, PAUSE_SPEED = 1.0, 0.5
"""What lies between two dead stretches that are named as one lasts at most so many seconds and
changes by at most as much as in 1 s at this speed: small moves do not end a standstill."""

DEAD_SPEED = 0.25  # mean speed below which a standstill is named
GAP_STEPS = 2  # slower steps that do not end a jump

DEAD_SHARE, DEAD_TIME = 0.05, 1.0
"""A dead stretch is named where it lasts this share of the clip, or this many seconds."""

JUMP_CHANGE, JUMP_ANGLE = 0.05, 0.25
"""A jump is named where it holds this share of the whole change, or this many radians."""


@dataclass(frozen=True)
class Stretch:
    """A part of a clip between two frames.

    start, stop : first and last frame. start_time, stop_time : their times. change : share of the
    whole semantic change, 0 .. 1. speed : change / share of the time.
    """

    kind: Kind
    start: int
    stop: int
    start_time: float
    stop_time: float
    change: float
    speed: float

    @property
    def seconds(self) -> float:
        """How long it lasts; frames where no rate is known."""
        return self.stop_time - self.start_time


def stretches(curve: Curve) -> list[Stretch]:
    """Split a clip by its local speed v, that of each step as in `stall_fraction`.

    A step is dead where v < 0.1, a jump where v > 3, and steady else; steps of one kind in a row
    are one stretch. So the dead stretches last `stall_fraction` of the clip, and the kind of a step
    depends on its own speed alone. Changes are those of `pacing_steps`; times and changes add up to
    the whole. None where nothing changes. O(T).
    """
    return _split(curve, pacing_steps(curve.fitted))


def named_stretches(curve: Curve) -> list[Stretch]:
    """The dead stretches, jumps and hard cuts that a person can see, in order of time.

    Cuts are those of `Curve.cuts`; a jump that is little more than a cut is named as a cut alone.
    The others are as `stretches`, with every step's change less the noise's, which is the same in
    each of them (`noise_floor`): else a standstill would move at the speed of its noise. Dead
    stretches are joined over what lies between two of them if that lasts at most 1 s and changes by
    at most as much as 1 s at half the mean speed, and by less than half of what makes a jump worth
    naming.
    They are named where the whole is slower than 0.25 on average and lasts 5% of the clip or 1 s.
    Jumps are joined over at most 2 steps that are not dead, and are named where they hold 5% of the
    change or 0.25 rad.
    """
    steps = pacing_steps(curve.fitted)
    if not steps.any():
        return []
    noise = min(curve.noise_share, 1.0) * steps.mean()
    moved = np.clip(steps - noise, 0.0, None)
    moved = moved / moved.sum() if moved.any() else steps
    parts = _split(curve, moved)
    least = min(DEAD_SHARE * (curve.times[-1] - curve.times[0]), DEAD_TIME)
    total = curve.angle[-1] - curve.angle[0]
    found = []
    for part in _joined(curve, moved, parts):
        if part.kind == "dead":
            named = part.speed < DEAD_SPEED and part.seconds >= least
        else:
            much = part.change >= JUMP_CHANGE or part.change * total >= JUMP_ANGLE
            is_cut = part.stop - part.start <= 1 + GAP_STEPS and any(
                part.start < frame <= part.stop for frame in curve.cuts
            )
            named = much and not is_cut
        if named:
            found.append(_stretch(curve, steps, part.kind, part.start, part.stop))
    found += [_stretch(curve, steps, "cut", frame - 1, frame) for frame in curve.cuts]
    return sorted(found, key=lambda part: part.start)


def dead_ends(
    curve: Curve, named: Sequence[Stretch], last: int
) -> tuple[Stretch | None, Stretch | None]:
    """The dead stretches that a clip begins and ends with, from its first and to its `last` frame.

    They are those of its `named_stretches` that reach an end but for 2 steps of less than half of
    what makes a jump worth naming: the first frame of a file is often coded better than the next.
    """
    steps = pacing_steps(curve.fitted)

    def little(start: int, stop: int) -> bool:
        return stop - start <= GAP_STEPS and steps[start:stop].sum() <= JUMP_CHANGE / 2

    first = final = None
    dead = [part for part in named if part.kind == "dead"]
    if dead and little(0, dead[0].start):
        first = _stretch(curve, steps, "dead", 0, dead[0].stop)
    if dead and little(dead[-1].stop, last):
        final = _stretch(curve, steps, "dead", dead[-1].start, last)
    return first, final


def _split(curve: Curve, steps: Array) -> list[Stretch]:
    """Runs of steps of one kind; steps : (T - 1,) shares of the change."""
    if not steps.any():
        return []
    speed = steps / np.diff(unit_time(curve.times))
    kinds = np.where(speed < STALL_SPEED, "dead", np.where(speed > JUMP_SPEED, "jump", "steady"))
    runs = [list(group) for _, group in groupby(range(len(kinds)), key=lambda step: kinds[step])]
    return [_stretch(curve, steps, kinds[run[0]], run[0], run[-1] + 1) for run in runs]


def _joined(curve: Curve, steps: Array, parts: Sequence[Stretch]) -> Iterator[Stretch]:
    """Dead stretches and jumps, those as one between which little enough lies."""
    kinds: tuple[Kind, Kind] = ("dead", "jump")
    for kind in kinds:
        places = [place for place, part in enumerate(parts) if part.kind == kind]
        first = places[:1]
        for here, following in pairwise([*places, -1]):
            between = parts[here + 1 : following] if following > 0 else []
            if not between or not _passes(curve, steps, between, kind):
                yield _stretch(curve, steps, kind, parts[first[0]].start, parts[here].stop)
                first = [following]


def _passes(curve: Curve, steps: Array, between: Sequence[Stretch], kind: Kind) -> bool:
    """Whether what lies between two stretches of a kind may belong to them."""
    whole = _stretch(curve, steps, "steady", between[0].start, between[-1].stop)
    if kind == "jump":
        slow = any(part.kind == "dead" for part in between)
        return not slow and whole.stop - whole.start <= GAP_STEPS
    seconds = curve.times[-1] - curve.times[0]
    most = min(PAUSE_SPEED * PAUSE_TIME / seconds, JUMP_CHANGE / 2)
    return whole.seconds <= PAUSE_TIME and whole.change <= most


def _stretch(curve: Curve, steps: Array, kind: Kind, start: int, stop: int) -> Stretch:
    times = float(curve.times[start]), float(curve.times[stop])
    change = float(steps[start:stop].sum())
    share = (times[1] - times[0]) / float(curve.times[-1] - curve.times[0])
    return Stretch(kind, start, stop, *times, change, change / share)
