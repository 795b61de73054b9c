"""What an existing clip is to become: measured, with its time map, before anything is written."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spf.cache import user_cache
from spf.embedders import Embedder
from spf.errors import ClipError, ConfigError
from spf.generators import MAKERS, load_generator
from spf.generators.base import Generator as ClipGenerator
from spf.generators.base import counts_of, unwarpable
from spf.measurement import Measurement, measure_clip
from spf.names import choose
from spf.numbers import optional_number
from spf.pacing.keyframes import KeyframePlan, make_plan
from spf.pacing.resampling import is_identity
from spf.pacing.strategies import KEEP, Regenerate, Resampling, described, make_method
from spf.pacing.targets import Target
from spf.pacing.timemap import (
    between_cuts,
    cuts_shown,
    distance_to_target,
    paced,
    source_times,
    target_of,
    time_map,
)
from spf.progress import Curve, no_change_reason, score, segment
from spf.video.write import exact_rate

Array = NDArray[np.float64]
Image = NDArray[np.uint8]
Source = str | os.PathLike[str]
OnProgress = Callable[[str, int, int | None], None]
"""Called with a stage's name, how much of it is done, and of how much (None: unknown)."""

METHOD = "flow"
MEASURING = "measuring"
SAME_TIME = 1e-3
"""Seconds by which time stamps may be off those of a constant rate, and count as equal to them."""
NAMED_CUTS = 5  # cuts whose times a note lists
KEEPS = ("length", "fastest")
"""What stays of the clip: its length, or the speed of what passes fastest in the result."""
LONGEST = 4.0
"""Times the clip's length that the result has at most, where the speed of its fastest part
stays: where nothing changes a retimed clip passes at any speed, and would last for ever."""
SAME_RATE = 1e-3


@dataclass(frozen=True)
class Wanted:
    """What is asked of the result's length. keep : a name of `KEEPS`. num_frames, fps : None leaves
    them to `keep`. Raises ConfigError where they make no sense, or not together."""

    keep: str = "length"
    num_frames: int | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        choose(self.keep, KEEPS, "keep")
        optional_number("frames", self.num_frames, least=2, whole=True)
        if self.fps is not None:
            exact_rate(self.fps)
        if self.keep == "fastest" and self.num_frames is not None:
            raise ConfigError("keep=fastest chooses the number of frames; give it or frames=N")


@dataclass(frozen=True)
class Length:
    """num_frames, fps : of the result, which has a constant rate. notes : lines on what is not as
    it was asked for."""

    num_frames: int
    fps: float
    notes: tuple[str, ...] = ()

    @property
    def times(self) -> Array:
        """Seconds (N,) at which the frames are shown, from 0."""
        return np.arange(self.num_frames) / self.fps


@dataclass(frozen=True, eq=False)
class RetimePlan:
    """What a clip is to become.

    measured : the clip. curve : the clip's, its times in seconds from 0, at the result's rate where
    it has none. target : its pacing, as a function. method : a name of
    `spf.pacing.strategies.FOR_FINISHED`. length : of the result. positions : (N,) float64, the time
    map, frames of the clip. cuts : frames of the clip that begin a shot, at cuts that are kept.
    notes : lines on what is not as it was asked for.
    """

    source: Path
    measured: Measurement
    curve: Curve
    target: Target
    method: str
    length: Length
    positions: Array
    cuts: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def cuts_shown(self) -> tuple[int, ...]:
        """Frames of the result that begin a shot."""
        return tuple(cuts_shown(self.positions, self.cuts))

    @property
    def preserves_times(self) -> bool:
        """Whether the result is the clip: each frame at its own time."""
        same = is_identity(self.positions, len(self.curve))
        return same and bool(np.abs(self.curve.times - self.length.times).max() < SAME_TIME)

    def lines(self) -> Iterator[str]:
        """The plan for people."""
        length, times = self.length, self.curve.times
        before = (len(times) - 1) / times[-1]
        yield f"clip     {len(times)} frames, {times[-1]:.3g} s, {before:.4g} frames a second"
        seconds = length.times[-1]
        yield f"result   {length.num_frames} frames, {seconds:.3g} s, {length.fps:.4g} a second"
        yield from self._how()
        yield from (f"note: {note}" for note in self.notes)

    def _how(self) -> Iterator[str]:
        moved = self.positions % 1 != 0
        repeated = np.diff(np.rint(self.positions)) == 0
        yield (
            f"frames   {moved.mean():.0%} lie between two frames of the clip, "
            f"{repeated.mean():.0%} have the same nearest one as the frame before"
        )
        yield f"method   {self.method}; target {described(self.target)}"


@dataclass(frozen=True, eq=False)
class RegenerationPlan(RetimePlan):
    """The same for a clip that is regenerated: by which generator, with which settings, in which
    segments."""

    generator: ClipGenerator
    settings: Regenerate
    segments: KeyframePlan

    @property
    def steered(self) -> bool:
        """Whether each segment is steered by ReTime."""
        return not unwarpable(self.generator) and self.settings.steering.iterations > 0

    def _how(self) -> Iterator[str]:
        by = self.settings.steering.name
        steered = f"each segment steered by {by}" if self.steered else "not steered"
        yield f"method   regenerate by {self.generator.name}, {steered}"
        yield f"target   {described(self.target)}"
        yield from self.segments.lines(self.length.fps)


def plan_retiming(
    source: Source,
    embedder: Embedder,
    target: str | Target | Curve = "linear",
    method: str | Resampling | Regenerate = METHOD,
    wanted: Wanted | None = None,
    cache: bool = True,
    on_progress: OnProgress | None = None,
    generator: str | ClipGenerator | None = None,
) -> RetimePlan:
    """Measure a clip and decide what to do; nothing is written. Parameters as in `retime`."""
    strategy = make_method(method)
    target = target_of(target, strategy.cuts or KEEP)
    maker = ready_generator(strategy, generator)
    measured = measured_clip(source, embedder, cache, on_progress, MEASURING)
    return planned(Path(source), measured, target, strategy, wanted, maker)


def ready_generator(
    strategy: Resampling | Regenerate, generator: str | ClipGenerator | None
) -> ClipGenerator | None:
    """The generator of a strategy that needs one, None for others; before any work begins. Raises
    ConfigError where there should be one or none, or it takes no last frame, and UnavailableError
    where it cannot run here."""
    if not isinstance(strategy, Regenerate):
        if generator is None:
            return None
        raise ConfigError(f"method={strategy.name} takes no generator; use method=regenerate")
    if generator is None:
        raise ConfigError(
            f"method=regenerate needs a generator (--model): {', '.join(MAKERS)} (tiny: 32x32 "
            "images), or command"
        )
    made = load_generator(generator)
    made.check()
    counts_of(made)
    return made


def planned(
    path: Path,
    measured: Measurement,
    target: Target,
    strategy: Resampling | Regenerate,
    wanted: Wanted | None = None,
    generator: ClipGenerator | None = None,
) -> RetimePlan:
    """The plan for a clip that is measured: every frame of it. Errors as in `retime`."""
    curve, info = measured.curve, measured.embeddings.info
    if (reason := no_change_reason(curve)) is not None:
        raise ClipError(path, reason, "there is nothing to retime: give another clip")
    cuts = tuple(curve.cuts) if (strategy.cuts or KEEP) == KEEP else ()
    steady = paced(curve, cuts)
    if no_change_reason(steady) is not None:
        what = "nothing changes but at its cuts"
        raise ClipError(path, what, "choose cuts=bridge (--cuts bridge)")
    length = length_of(curve, target, wanted or Wanted(), info.fps if info else None, cuts)
    times = curve.times - curve.times[0]
    if measured.embeddings.unit == "frames":
        times = np.arange(len(curve)) / length.fps
    curve, steady = replace(curve, times=times), replace(steady, times=times)
    notes = [*measured.embeddings.notes, *length.notes, *_cut_notes(curve, cuts)]
    made = path, measured, curve, target, strategy.name, length
    if isinstance(strategy, Resampling):
        positions = time_map(curve, target, length.num_frames, cuts)
        return RetimePlan(*made, positions, cuts, tuple(notes))
    assert generator is not None
    try:
        pieces = segment(steady, strategy.penalty, strategy.n_segments)
    except ValueError as error:
        raise ConfigError(f"retime=regenerate: {error}") from None
    segments = make_plan(steady, pieces, target, counts_of(generator), length.num_frames, cuts)
    notes += segments.notes
    makes, own = getattr(generator, "size", None), measured.thumbnails.source_size
    if makes is not None and tuple(makes) != own:
        notes.append(f"frames resized from {own[1]}x{own[0]} to {makes[1]}x{makes[0]}")
    positions = segments.positions
    return RegenerationPlan(
        *made, positions, cuts, tuple(notes), generator, settings=strategy, segments=segments
    )


def length_of(
    curve: Curve, target: Target, wanted: Wanted, fps: float | None, cuts: Sequence[int] = ()
) -> Length:
    """The number of frames and the rate of the result.

    curve : of the clip, its times in seconds, or in frames where no rate is known. fps : of the
    clip's file; a clip with a variable rate gets its mean one, and so its length. cuts : those that
    are kept.

    keep="length" gives as many frames at the clip's rate; another fps as many as fill its time.
    keep="fastest" makes the result so long that nothing in it passes faster than it did, but at
    most `LONGEST` times as long. num_frames alone takes the clip's rate.

    Raises ConfigError where no rate is known.
    """
    if fps is None:
        if wanted.fps is None:
            raise ConfigError("the frames have no rate of their own; give one with fps=R (--fps R)")
        seconds = (len(curve) - 1) / wanted.fps
    else:
        seconds = float(curve.times[-1] - curve.times[0])
    mean = min((len(curve) - 1) / seconds, 1000.0)
    # The file's own rate where it is the mean one, as time stamps are often rounded.
    own = fps if fps is not None and abs(fps / mean - 1) < SAME_RATE else mean
    rate = float(exact_rate(wanted.fps or own))
    if wanted.num_frames is not None:
        return Length(int(wanted.num_frames), rate)
    notes: tuple[str, ...] = ()
    if wanted.keep == "fastest":
        # How many times as fast as it did the clip passes at most, in a result of the same length.
        shown = source_times(time_map(curve, target, None, cuts), curve.times)
        duration = curve.times[-1] - curve.times[0]
        speed = float(np.diff(shown).max() * (len(curve) - 1) / duration)
        if speed > LONGEST:
            left = f"its fastest part passes {speed / LONGEST:.3g} times as fast as it did"
            notes = (f"{LONGEST:g} times as long, the most that is made: {left}",)
        seconds = min(max(speed, 1.0), LONGEST) * seconds
    return Length(max(2, round(seconds * rate) + 1), rate, notes)


def _cut_notes(curve: Curve, kept: Sequence[int]) -> list[str]:
    """A line on the hard cuts of a clip, where it has any."""
    if not curve.cuts:
        return []
    times = [f"{curve.times[cut]:.2f}" for cut in curve.cuts[:NAMED_CUTS]]
    more = ", ..." if len(curve.cuts) > NAMED_CUTS else ""
    where = f"{len(curve.cuts)} hard cut(s) at {', '.join(times)}{more} s"
    if kept:
        return [f"{where} kept: no frame lies between two shots (cuts=bridge, --cuts bridge)"]
    return [f"{where} bridged: frames there may show two shots at once"]


def measured_clip(
    source: Source, embedder: Embedder, cache: bool, on_progress: OnProgress | None, stage: str
) -> Measurement:
    """A clip measured, each frame reported to `on_progress` as a stage."""
    numbers = count(1)

    def report(image: Image, time: float) -> None:
        if on_progress is not None:
            on_progress(stage, next(numbers), None)

    cached = user_cache() if cache else None
    return measure_clip(source, embedder, on_frame=report, cache=cached, guarded=True)


def scores(curve: Curve, target: Target, cuts: Sequence[int] = ()) -> dict[str, float]:
    """`spf.score` and target_mae; with kept cuts also that of what changes between them."""
    found = score(curve) | {"target_mae": distance_to_target(curve, target)}
    if cuts:
        found["target_mae_between_cuts"] = distance_to_target(between_cuts(curve, cuts), target)
    return found
