"""Segmented regeneration: generate a clip anew between its semantic keyframes (arXiv 2604.22554).

The progress curve is split into straight pieces; each piece is generated between its keyframes,
for as long as the target gives to its change, and the pieces are joined (method, section 4). A
generator that jumps would jump again inside a piece, so each is steered by ReTime as well, where
the generator has a clock to steer.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spf.errors import ClipError, ConfigError
from spf.generators.base import GeneratedClip, Generator, Image, Request
from spf.generators.counts import counts_of
from spf.generators.kept import Kept
from spf.progress import Curve, no_change_reason, score, segment
from spf.progress.cuts import cuts_of
from spf.progress.metrics import NO_CHANGE
from spf.retime.generated import Attempt, Measure, measured, retime_generated
from spf.retime.keyframes import Piece, Plan, Shot, make_plan, paced, part_of
from spf.retime.resampling import resampled
from spf.retime.strategies import Regenerate
from spf.retime.targets import Target, make_target
from spf.retime.timemap import distance_to_target
from spf.video import Reader, Sampling

Source = str | os.PathLike[str] | NDArray[np.uint8]
Watch = Callable[[int, int], None]
"""Called after each generated segment with the number done and their total."""


@dataclass(frozen=True, eq=False)
class Regeneration:
    """What was planned and made.

    before : the source's curve, before_target_mae its distance to the target. plain : the joined
    clip as the generator makes it, with its curve and target_mae. retimed : the same with ReTime in
    each segment; None where nothing was steered. notes : a line for each thing that is not as it
    was asked for.
    """

    plan: Plan
    before: Curve
    before_target_mae: float
    plain: Attempt
    retimed: Attempt | None
    notes: list[str] = field(default_factory=list)

    @property
    def best(self) -> Attempt:
        """The result: the retimed clip, or the plain one where nothing was steered."""
        return self.retimed or self.plain

    def scores(self) -> dict[str, dict[str, float]]:
        """`spf.score` and target_mae of "before", "plain" and "retimed" (where there is one)."""
        found = {"before": score(self.before) | {"target_mae": self.before_target_mae}}
        for name, attempt in (("plain", self.plain), ("retimed", self.retimed)):
            if attempt is not None:
                found[name] = score(attempt.curve) | {"target_mae": attempt.target_mae}
        return found


def plan_regeneration(
    curve: Curve,
    generator: Generator,
    target: str | Target | Curve = "linear",
    settings: Regenerate | None = None,
    num_frames: int | None = None,
) -> Plan:
    """What `regenerate` would do; nothing is decoded or generated.

    Raises ConfigError for settings that this clip or generator cannot be regenerated with, and
    ClipError for a clip without semantic change, or none but its kept cuts.
    """
    settings = settings or Regenerate()
    count = len(curve) if num_frames is None else num_frames
    if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 2:
        raise ConfigError(f"num_frames={num_frames!r} must be a whole number, at least 2")
    if no_change_reason(curve) is not None:
        raise ClipError("the clip", NO_CHANGE, "there is nothing to retime: give another clip")
    cuts = cuts_of(curve) if settings.cuts == "keep" else []
    cuts = [cut for cut in cuts if 1 < cut < len(curve) - 1]  # one frame alone has no pacing
    steady = paced(curve, cuts)
    if not steady.progress[-1] > 0:
        raise ClipError("the clip", "nothing changes but at its cuts", "choose cuts=bridge")
    try:
        segments = segment(steady, settings.penalty, settings.n_segments)
    except ValueError as error:
        raise ConfigError(f"retime=regenerate: {error}") from None
    return make_plan(steady, segments, make_target(target), counts_of(generator), int(count), cuts)


def regenerate(
    source: Source,
    curve: Curve,
    generator: Generator,
    measure: Measure,
    target: str | Target | Curve = "linear",
    settings: Regenerate | None = None,
    num_frames: int | None = None,
    fps: float | None = None,
    folder: str | os.PathLike[str] | None = None,
    sampling: Sampling | None = None,
    watch: Watch | None = None,
) -> Regeneration:
    """Generate a clip anew between its keyframes, with the target's pacing.

    Parameters
    ----------
    source : path of the clip, which is decoded once more for its keyframes, or its frames
        (T, H, W, 3) uint8 RGB.
    curve : of all frames that `source`, read with `sampling`, has.
    generator : makes the segments; those with a clock are steered as `settings.strategy` says.
    measure : generated clip -> Curve, for segments and for what is joined of them.
    target : as in `time_map`. With kept cuts it is the pacing of what changes between them.
    num_frames : of the result, exactly; None keeps T.
    fps : frames a second; None keeps those of the file, or takes the generator's.
    folder : where finished segments are kept, losslessly, and found again after an interruption;
        None keeps nothing.
    watch : called after each segment.

    Each segment is joined to the last without its first frame, which both share. A steered segment
    is taken from whichever generation came nearest to its part of the target, be it the plain one.
    Memory: the keyframes and the result, however long the source is.

    Raises what `plan_regeneration`, the generator, `measure` and reading the source raise; what is
    finished by then stays in `folder`.
    """
    settings, target = settings or Regenerate(), make_target(target)
    plan = plan_regeneration(curve, generator, target, settings, num_frames)
    generator.check()
    pictures, rate = _pictures(source, plan.keyframes, len(curve), sampling)
    maker = _Maker(
        generator=generator if folder is None else Kept(generator, folder),
        measure=measure,
        target=target,
        settings=settings,
        fps=fps or rate,
        steers=getattr(generator, "steers", True) and settings.steering.iterations > 0,
    )
    pairs: list[_Pair] = []
    for number, piece in enumerate(plan.pieces, start=1):
        pairs.append(maker.make(piece, pictures[piece.start], pictures[piece.stop]))
        if watch is not None:
            watch(number, len(plan.pieces))
    kept_plain = sum(pair.retimed is pair.plain for pair in pairs)
    notes = [*plan.notes, *dict.fromkeys(chain(*(pair.plain.notes for pair in pairs)))]
    if maker.steers and kept_plain:
        counts = f"{kept_plain} of {len(pairs)}"
        notes.append(f"{counts} segment(s) as plainly generated: no warp came nearer to the target")
    if not maker.steers and settings.steering.iterations:
        notes.append(f"plain regeneration: {generator.name} has no clock to steer")
    joined = [_joined(plan, [pair.plain for pair in pairs], settings.method)]
    if maker.steers:
        joined.append(_joined(plan, [pair.retimed for pair in pairs], settings.method))
    found = [measured(clip, measure, target) for clip in joined]
    before = distance_to_target(curve, target)
    return Regeneration(plan, curve, before, found[0], found[1] if maker.steers else None, notes)


@dataclass(frozen=True, eq=False)
class _Pair:
    """A segment as the generator makes it, and retimed; the same clip where nothing was steered."""

    plain: GeneratedClip
    retimed: GeneratedClip


@dataclass(frozen=True, eq=False)
class _Maker:
    """What all segments of a clip are made with."""

    generator: Generator
    measure: Measure
    target: Target
    settings: Regenerate
    fps: float | None
    steers: bool

    def make(self, piece: Piece, first: Image, last: Image) -> _Pair:
        """One segment."""
        settings = self.settings
        request = Request(first, last, settings.prompt, None, settings.seed, piece.frames, self.fps)
        if not self.steers:
            clip = self.generator.generate(request)
            return _Pair(clip, clip)
        found = retime_generated(
            self.generator,
            request,
            self.measure,
            settings.steering,
            part_of(self.target, piece.span),
        )
        nearest = min(found.attempts, key=lambda attempt: np.nan_to_num(attempt.target_mae, nan=2))
        return _Pair(found.baseline.clip, nearest.clip)


def _joined(plan: Plan, clips: Sequence[GeneratedClip], method: str) -> GeneratedClip:
    """The whole result: shot after shot, each at its length."""
    waiting = iter(clips)
    shots = [_shot(shot, [next(waiting) for _ in shot.pieces], method) for shot in plan.shots]
    return GeneratedClip(np.concatenate(shots), clips[0].fps)


def _shot(shot: Shot, clips: Sequence[GeneratedClip], method: str) -> Image:
    """Frames (num_frames, H, W, 3): the pieces without doubled keyframes, brought to length."""
    frames = np.concatenate([clips[0].frames, *(clip.frames[1:] for clip in clips[1:])])
    if shot.exact:
        return frames
    return np.stack(list(resampled(frames, shot.positions, method)))


def _pictures(
    source: Source, wanted: Sequence[int], count: int, sampling: Sampling | None
) -> tuple[Mapping[int, Image], float | None]:
    """The frames at increasing indices, and the frames a second of a file.

    Raises ClipError where the clip has another number of frames than its curve.
    """
    if isinstance(source, np.ndarray):
        _check_length("the clip", len(source), count)
        return {index: np.ascontiguousarray(source[index]) for index in wanted}, None
    chosen, found, seen = set(wanted), {}, 0
    with Reader(source, sampling or Sampling()) as reader:
        for image, _ in reader:
            if seen in chosen:
                found[seen] = image
            seen += 1
        rate = reader.info.fps
    _check_length(Path(source), seen, count)
    stride = (sampling or Sampling()).stride
    return found, None if rate is None else rate / stride


def _check_length(name: object, found: int, count: int) -> None:
    if found != count:
        counts = f"it has {found} frames, its curve {count}"
        raise ClipError(name, counts, "measure the same frames that are regenerated")
