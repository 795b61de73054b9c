"""Curve -> segments -> keyframes -> how many frames to generate between them: numbers alone."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from spf.generators.base import Counts
from spf.pacing.targets import Target, pinned
from spf.pacing.timemap import GRID, bounds, shared_out, shot_steps, when_reached
from spf.progress import Curve, Segment

Array = NDArray[np.float64]
Duration = Callable[[int, int], float]
"""Steps of the result that the target gives to what lies between two source frames."""

ROUNDING = 1e-9
SMALL = 0.05  # steps of rounding that a plan for people passes over


@dataclass(frozen=True)
class Piece:
    """What is generated in one go, between two keyframes.

    start, stop : the keyframes, source frames. change : share of the clip's change from one to the
    other, 0 .. 1, kept cuts apart. span : where the target passes them, shares of its time.
    ideal : steps that the target gives it. frames : how many are generated, keyframes included.
    """

    start: int
    stop: int
    change: float
    span: tuple[float, float]
    ideal: float
    frames: int


@dataclass(frozen=True)
class Shot:
    """Pieces that share their keyframes, from one kept cut to the next.

    num_frames : in the result. exact : whether the pieces, joined, are as long as they should be.
    """

    pieces: tuple[Piece, ...]
    num_frames: int
    exact: bool

    @property
    def generated(self) -> int:
        """Frames of the pieces, joined without doubled keyframes."""
        return sum(piece.frames - 1 for piece in self.pieces) + 1

    @property
    def keyframes(self) -> list[int]:
        """Source frames, in order."""
        return [self.pieces[0].start, *(piece.stop for piece in self.pieces)]

    @property
    def shown(self) -> Array:
        """Where the keyframes stand in the shot: (pieces + 1,) float64, frames of the result from
        the shot's first one, whole numbers where it is `exact`."""
        lasts = [piece.frames - 1.0 if self.exact else piece.ideal for piece in self.pieces]
        return np.append(np.cumsum([0.0, *lasts])[:-1], self.num_frames - 1.0)

    @property
    def positions(self) -> Array:
        """The time map that brings the joined pieces to length: (num_frames,) positions among the
        generated frames, from the first to the last, on which each piece lasts as it should."""
        wanted = np.cumsum([0.0, *(piece.ideal for piece in self.pieces)])
        made = np.cumsum([0.0, *(piece.frames - 1.0 for piece in self.pieces)])
        wanted[-1] = self.num_frames - 1
        return np.interp(np.arange(self.num_frames), wanted, made)


@dataclass(frozen=True)
class KeyframePlan:
    """All that is decided before anything is generated.

    num_frames : of the result. cuts : kept ones, the frames that begin a shot. notes : a line for
    each thing that is not as the segments and the target alone would have it.
    """

    num_frames: int
    cuts: tuple[int, ...]
    shots: tuple[Shot, ...]
    notes: tuple[str, ...]

    @property
    def pieces(self) -> list[Piece]:
        """Of all shots, in order."""
        return [piece for shot in self.shots for piece in shot.pieces]

    @property
    def keyframes(self) -> list[int]:
        """Source frames between which is generated, increasing."""
        return sorted({frame for shot in self.shots for frame in shot.keyframes})

    @property
    def positions(self) -> Array:
        """The source frame that each frame of the result stands for: (num_frames,) float64, not
        falling, straight from keyframe to keyframe."""
        shown = ((np.arange(shot.num_frames), shot.shown, shot.keyframes) for shot in self.shots)
        return np.concatenate([np.interp(*places) for places in shown])

    def lines(self, fps: float) -> Iterator[str]:
        """The segments for people, a line for each; fps : of the result."""
        generated = sum(shot.generated for shot in self.shots)
        kept = f", {len(self.cuts)} kept cut(s)" if self.cuts else ""
        yield (
            f"{self.num_frames} frames from {len(self.pieces)} segment(s) between "
            f"{len(self.keyframes)} keyframes{kept}; {generated} frames generated"
        )
        for shot in self.shots:
            for piece, steps in zip(shot.pieces, np.diff(shot.shown).tolist(), strict=True):
                frames = f"{piece.start} to {piece.stop}"
                made = f"{piece.frames} frames generated"
                if not shot.exact:
                    made += f", brought to {steps:.1f} steps by the time map"
                elif abs(piece.ideal - steps) >= SMALL:
                    made += f", {piece.ideal:.1f} steps rounded to {steps:.0f}"
                yield (
                    f"  source frames {frames:<14} {piece.change:6.1%} of the change  "
                    f"{steps / fps:7.3f} s  {made}"
                )


def make_plan(
    curve: Curve,
    segments: Sequence[Segment],
    target: Target,
    counts: Counts,
    num_frames: int,
    cuts: Sequence[int] = (),
) -> KeyframePlan:
    """Keyframes and durations that give a clip the target's pacing.

    Keyframes are the segments' starts and each shot's last frame, so that a segment's change is
    that up to the next one's start. Segment (a, b) lasts g^-1(S_b) - g^-1(S_a) of the time, g the
    target. Segments for which the generator's shortest clip is too long are joined with the shorter
    neighbour; those longer than its longest are split at source frames, where there are any inside.
    What the generator can make is then shared out so that the squares of the deviations from the
    ideal durations are least. A shot whose length cannot be met has `exact` False and is brought to
    its length by its `positions`.

    curve : T frames, of `paced(curve, cuts)` where cuts are kept. segments : from `spf.segment`.
    num_frames : of the result, at least 2. cuts : frames that begin a shot; a cut takes one step.

    Raises ConfigError where the result has too few frames for the shots.
    """
    starts, ends = bounds(cuts, len(curve))
    when = when_reached(target, curve.progress)
    lengths = shot_steps(when, cuts, num_frames, [1] * len(starts))
    adapted: Counter[str] = Counter()
    shots = []
    for first, last, steps in zip(starts, ends, lengths, strict=True):
        inner = {segment.start for segment in segments if first < segment.start < last}
        knots = [first, *sorted(inner), last]
        shots.append(_shot(curve, when, knots, steps, counts, adapted))
    texts = {
        "joined": "{} segment(s) too short joined with a neighbour",
        "split": "segments too long split at {} more keyframe(s)",
        "shortened": "the next longer clip brought to length by the time map",
        "stretched": "{} shot(s) stretched by the time map, in segments without a frame "
        "to split at",
    }
    notes = (
        f"{text.format(adapted[way])}: the generator makes {counts}"
        for way, text in texts.items()
        if adapted[way]
    )
    return KeyframePlan(num_frames, tuple(cuts), tuple(shots), tuple(notes))


def part_of(target: Target, span: tuple[float, float]) -> Target:
    """The target between two shares of its time, as a target of its own; linear where it rests."""
    start, stop = span
    low, high = np.interp([start, stop], GRID, pinned(target, GRID))

    def part(u: Array) -> Array:
        if high - low < ROUNDING:
            return np.array(u, dtype=np.float64)
        values = np.interp(start + (stop - start) * u, GRID, pinned(target, GRID))
        return np.clip((values - low) / (high - low), 0.0, 1.0)

    return part


def _shot(
    curve: Curve, when: Array, knots: list[int], steps: int, counts: Counts, adapted: Counter[str]
) -> Shot:
    """The pieces between the knots, source frames, for `steps` steps of the result; what was
    `adapted` to the generator is counted.

    A shot of one frame is generated from that frame to itself.
    """
    first, last = knots[0], knots[-1]
    if first == last:
        shortest, at = counts.factor * counts.least, float(when[first])
        piece = Piece(first, first, 0.0, (at, at), float(steps), shortest + 1)
        return Shot((piece,), steps + 1, shortest == steps)
    # A shot without change has no pacing: its frames share its time.
    clock = when if when[last] > when[first] else np.arange(len(curve), dtype=np.float64)

    def lasts(start: int, stop: int) -> float:
        return float(steps * (clock[stop] - clock[start]) / (clock[last] - clock[first]))

    merged = _merged(knots, lasts, counts.factor * counts.least)
    split = _split(merged, lasts, counts)
    adapted += Counter(joined=len(knots) - len(merged), split=len(split) - len(merged))
    pairs = list(pairwise(split))
    ideal = np.array([lasts(start, stop) for start, stop in pairs])
    units = ceil(steps / counts.factor)
    made = shared_out(ideal * units / steps, units, counts.least, counts.most)
    off = np.abs(np.array(made) * counts.factor - ideal)
    exact = sum(made) * counts.factor == steps and bool((off < counts.factor + ROUNDING).all())
    pieces = tuple(
        Piece(
            start,
            stop,
            float(curve.progress[stop] - curve.progress[start]),
            (float(when[start]), float(when[stop])),
            float(duration),
            number * counts.factor + 1,
        )
        for (start, stop), duration, number in zip(pairs, ideal, made, strict=True)
    )
    shot = Shot(pieces, steps + 1, exact)
    if not exact:
        adapted["shortened" if shot.generated > shot.num_frames else "stretched"] += 1
    return shot


def _merged(knots: list[int], lasts: Duration, least: int) -> list[int]:
    """The knots without those about segments that last less than `least` steps."""
    knots = list(knots)
    while len(knots) > 2:
        durations = [lasts(start, stop) for start, stop in pairwise(knots)]
        shortest = int(np.argmin(durations))
        if durations[shortest] >= least - ROUNDING:
            break
        sides = [side for side in (shortest - 1, shortest + 1) if 0 <= side < len(durations)]
        neighbour = min(sides, key=lambda side: durations[side])
        del knots[max(shortest, neighbour)]
    return knots


def _split(knots: list[int], lasts: Duration, counts: Counts) -> list[int]:
    """The knots, and more inside segments that last longer than the generator's longest clip."""
    if counts.most is None:
        return knots
    longest, shortest = counts.factor * counts.most, counts.factor * counts.least
    found = knots[:1]
    ahead = knots[:0:-1]
    while ahead:
        start, stop = found[-1], ahead[-1]
        whole = lasts(start, stop)
        parts = ceil(whole / longest - ROUNDING)
        inside = [
            frame
            for frame in range(start + 1, stop)
            if parts > 1 and min(lasts(start, frame), lasts(frame, stop)) >= shortest - ROUNDING
        ]
        if inside:
            wanted = whole * floor(parts / 2) / parts
            ahead.append(min(inside, key=lambda frame: abs(lasts(start, frame) - wanted)))
        else:
            found.append(ahead.pop())
    return found
