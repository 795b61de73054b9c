"""Existing clips: measure, make the time map, show the clip along it (or have it generated anew
between its keyframes), measure again.

Everything is streamed: whatever the clip's length, a few frames are in memory, or one generated
segment.
"""

import os
import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spf.cache import user_cache
from spf.embedders import DEFAULT_EMBEDDER, Embedder, load_embedder
from spf.errors import ClipError, ConfigError
from spf.generators import load_generator
from spf.generators.base import Generator as ClipGenerator
from spf.generators.counts import counts_of
from spf.measurement import Measurement, measure_clip
from spf.progress import Curve, no_change_reason, score
from spf.retime.generated import target_mae
from spf.retime.keyframes import Plan as Segments
from spf.retime.lengths import Length, Wanted, length_of
from spf.retime.regeneration import Regeneration, plan_regeneration, regenerate
from spf.retime.resampling import is_identity, resampled
from spf.retime.strategies import Regenerate, Resampling, make_method
from spf.retime.targets import Target, described, make_target
from spf.retime.timemap import time_map
from spf.video import Reader, write_mp4
from spf.video.sound import has_sound, join_sound

Array = NDArray[np.float64]
Image = NDArray[np.uint8]
Source = str | os.PathLike[str]
Watch = Callable[[str, int, int | None], None]
"""Called with a stage's name, how many frames of it are done, and of how many (None: unknown)."""

METHOD = "flow"
STAGES = ("measuring", "resampling", "measuring the result", "side by side", "joining")
SAME_TIME = 1e-3
"""Seconds by which time stamps may be off those of a constant rate, and count as equal to them."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What a clip is to become.

    measured : the clip. target : its pacing, as a function. method : a word of
    `spf.retime.strategies.FOR_FINISHED`. length : of the result. positions : (N,) float64, the time
    map, frames of the clip.
    notes : lines on what is not as it was asked for.
    """

    source: Path
    measured: Measurement
    target: Target
    method: str
    length: Length
    positions: Array
    notes: tuple[str, ...]

    @property
    def curve(self) -> Curve:
        """Of the clip, its times in seconds from 0, at the result's rate where it has none."""
        curve = self.measured.curve
        if self.measured.embeddings.unit == "s":
            return replace(curve, times=curve.times - curve.times[0])
        return replace(curve, times=np.arange(len(curve)) / self.length.fps)

    @property
    def keeps_time(self) -> bool:
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
class PlanAnew(Plan):
    """The same for a clip that is generated anew: by which generator, with which settings, in which
    segments."""

    generator: ClipGenerator
    settings: Regenerate
    segments: Segments

    @property
    def keeps_time(self) -> bool:
        return False

    def _how(self) -> Iterator[str]:
        strategy = self.settings.steering
        steers = getattr(self.generator, "steers", True) and strategy.iterations > 0
        steered = f"each segment steered by {strategy.name}" if steers else "not steered"
        yield f"method   regenerate by {self.generator.name}, {steered}"
        yield f"target   {described(self.target)}"
        yield from self.segments.lines(self.length.fps)


@dataclass(frozen=True, eq=False)
class Retimed:
    """What was done with a clip.

    out : the retimed MP4. plan : how it was made. measured : the result, as it was written.
    before, after : `spf.score` and target_mae of both. notes : lines on what is not as asked for.
    plain : the same of what the generator makes unsteered, where segments were steered.
    """

    source: Path
    out: Path
    plan: Plan
    measured: Measurement
    before: dict[str, float]
    after: dict[str, float]
    notes: tuple[str, ...]
    plain: dict[str, float] | None = None

    @property
    def curve(self) -> Curve:
        """Of the result."""
        return self.measured.curve


def retime(
    source: Source,
    out: Source,
    target: str | Target | Curve = "linear",
    method: str | Regenerate = METHOD,
    num_frames: int | None = None,
    fps: float | None = None,
    keep: str = "length",
    embedder: str | Embedder = DEFAULT_EMBEDDER,
    cache: bool = True,
    watch: Watch | None = None,
    generator: str | ClipGenerator | None = None,
    folder: Source | None = None,
    **settings: Any,
) -> Retimed:
    """Give a clip another pacing.

    Parameters
    ----------
    source : a video, an animated image or a folder of images.
    out : the MP4 to write; an existing one is replaced at the end, and only by a whole one.
    target : a word (`spf.retime.TARGETS`), a word with settings ("exponential:temperature=5"), an
        increasing function on 0 .. 1, or the curve of a clip whose pacing is wanted.
    method : nearest, blend or flow: see `spf.retime.resampling`; or regenerate, which has the clip
        generated anew between its keyframes: see `spf.retime.regeneration`.
    num_frames, fps, keep : of the result: see `spf.retime.lengths`. The default keeps the clip's
        number of frames and its rate; the mean one where it varies.
    embedder : word or object; what measures the clip and the result.
    cache : whether embeddings are kept and found again.
    watch : told of every frame of every stage, and of every denoising step of every segment.
    generator, folder, settings : of regenerate alone. A word of `spf.generators.MODELS` or an
        object; where finished segments are kept and found again (None: beside `out`, as
        NAME.segments); and what `spf.retime.strategies.Regenerate` takes: cuts="bridge",
        n_segments=4, prompt="...", seed=1, strategy="none".

    Sound is kept where each frame keeps its time, and dropped with a note anywhere else.

    Raises ClipError for a clip that cannot be read, has no semantic change, or a disk that refuses;
    ConfigError for words and numbers that make no sense; UnavailableError, before any work, where
    the generator cannot run here; SpfError where it fails: finished segments are kept.
    """
    path = check_out(source, out)
    chosen = load_embedder(embedder)
    wanted = Wanted(keep, num_frames, fps)
    strategy = make_method(method, **settings)
    if folder is not None and not isinstance(strategy, Regenerate):
        raise ConfigError(f"method={strategy.name} keeps no segments; leave folder out")
    plan = plan_retiming(source, chosen, target, strategy, wanted, cache, watch, generator)
    return carry_out(plan, path, chosen, cache, watch, folder)


def check_out(source: Source, out: Source) -> Path:
    """The path of the result. Raises ConfigError unless it is an MP4 other than the source."""
    path = Path(out)
    if path.suffix.lower() != ".mp4":
        raise ConfigError(f"{path}: the result is an MP4; give a name that ends in .mp4")
    if path.resolve() == Path(source).resolve():
        raise ConfigError(f"{path}: the result would replace the clip; give another name")
    if path.is_dir():
        raise ConfigError(f"{path}: this is a folder; give another name")
    return path


def plan_retiming(
    source: Source,
    embedder: Embedder,
    target: str | Target | Curve = "linear",
    method: str | Resampling | Regenerate = METHOD,
    wanted: Wanted | None = None,
    cache: bool = True,
    watch: Watch | None = None,
    generator: str | ClipGenerator | None = None,
) -> Plan:
    """Measure a clip and decide what to do; nothing is written. Parameters as in `retime`."""
    target, strategy = make_target(target), make_method(method)
    maker = ready_generator(strategy, generator)
    path = Path(source)
    measured = _measured(source, embedder, cache, watch, STAGES[0])
    plan = planned(path, measured, target, strategy.name, wanted)
    if maker is None or not isinstance(strategy, Regenerate):
        return plan
    return _planned_anew(plan, maker, strategy)


def ready_generator(
    strategy: Resampling | Regenerate, generator: str | ClipGenerator | None
) -> ClipGenerator | None:
    """The generator of a strategy that needs one, None for others; before any work begins.

    Raises ConfigError where there should be one or none, or it takes no last frame, and
    UnavailableError where it cannot run here.
    """
    if not isinstance(strategy, Regenerate):
        if generator is not None:
            raise ConfigError(f"method={strategy.name} takes no generator; use method=regenerate")
        return None
    if generator is None:
        raise ConfigError(
            "method=regenerate needs a generator (--model): wan22, ltx2, command, or tiny, which "
            "makes 32x32 pictures"
        )
    made = load_generator(generator)
    made.check()
    counts_of(made)
    return made


def _planned_anew(plan: Plan, generator: ClipGenerator, settings: Regenerate) -> PlanAnew:
    """The plan with the generator's segments."""
    count = plan.length.num_frames
    try:
        segments = plan_regeneration(plan.curve, generator, plan.target, settings, count)
    except ClipError as error:
        raise ClipError(plan.source, error.reason, error.remedy) from None
    makes, own = getattr(generator, "size", None), plan.measured.thumbnails.source_size
    notes = [*plan.notes, *segments.notes]
    if makes is not None and tuple(makes) != own:
        notes.append(f"frames resized from {own[1]}x{own[0]} to {makes[1]}x{makes[0]}")
    changed = {"positions": segments.positions, "notes": tuple(notes)}
    return PlanAnew(
        **vars(plan) | changed, generator=generator, settings=settings, segments=segments
    )


def planned(
    path: Path, measured: Measurement, target: Target, method: str, wanted: Wanted | None = None
) -> Plan:
    """The plan for a clip that is measured: every frame of it. Errors as in `retime`."""
    curve, info = measured.curve, measured.embeddings.info
    reason = no_change_reason(curve)
    if reason is not None:
        raise ClipError(path, reason, "there is nothing to retime: give another clip")
    length = length_of(curve, target, wanted or Wanted(), info.fps if info else None)
    positions = time_map(curve, target, length.num_frames)
    notes = (*measured.embeddings.notes, *length.notes)
    return Plan(path, measured, target, method, length, positions, notes)


def carry_out(
    plan: Plan,
    out: Path,
    embedder: Embedder,
    cache: bool = True,
    watch: Watch | None = None,
    folder: Source | None = None,
) -> Retimed:
    """Write the result of a plan and measure it as it was written. Parameters as in `retime`."""
    plain = None
    if isinstance(plan, PlanAnew):
        done, more = _write_anew(plan, out, embedder, folder or segments_beside(out), watch)
        plain = _scores(done.plain.curve, plan.target) if done.retimed else None
    else:
        more = write_result(plan, out, watch)
    notes = list(dict.fromkeys([*plan.notes, *more]))
    measured = _measured(out, embedder, cache, watch, STAGES[2])
    before, after = _scores(plan.curve, plan.target), _scores(measured.curve, plan.target)
    if no_change_reason(measured.curve) is not None:
        notes.append("the result shows no semantic change: its scores are not defined")
    return Retimed(plan.source, out, plan, measured, before, after, tuple(notes), plain)


def segments_beside(out: Path) -> Path:
    """Where finished segments of a result are kept unless another folder is named."""
    return out.with_suffix(".segments")


def _write_anew(
    plan: PlanAnew, out: Path, embedder: Embedder, folder: Source, watch: Watch | None
) -> tuple[Regeneration, list[str]]:
    """Generate the segments and write their joined frames; returns notes too."""
    done = regenerate(
        plan.source,
        plan.curve,
        plan.generator,
        lambda frames: measure_clip(frames, embedder).curve,
        folder,
        plan.target,
        plan.settings,
        fps=plan.length.fps,
        watch=watch,
        plan=plan.segments,
    )
    frames = counted(done.best.frames(), watch, STAGES[4], plan.length.num_frames)
    write_mp4(out, frames, plan.length.fps)
    silent = plan.source.is_file() and has_sound(plan.source)
    return done, [*done.notes, *["the sound is dropped: the pictures are made anew"] * silent]


def write_result(plan: Plan, out: Path, watch: Watch | None = None) -> list[str]:
    """Write the result of a plan; returns notes."""
    fps = plan.length.fps
    sound = plan.source.is_file() and has_sound(plan.source)
    if not (sound and plan.keeps_time):
        with closing(_result(plan, watch)) as frames:
            write_mp4(out, frames, fps)
        return ["the sound is dropped: the pictures are shown at other times"] if sound else []
    pictures = out.with_name(f".spf-{secrets.token_hex(8)}.mp4")
    try:
        with closing(_result(plan, watch)) as frames:
            write_mp4(pictures, frames, fps)
        try:
            join_sound(pictures, plan.source, out)
        except ClipError as error:
            os.replace(pictures, out)
            return [f"the sound is dropped: {error.reason}"]
    finally:
        pictures.unlink(missing_ok=True)
    return []


def _result(plan: Plan, watch: Watch | None) -> Generator[Image]:
    """The frames of the result, one after the other: the one place where a method makes them."""
    with Reader(plan.source) as reader:
        images = (image for image, _ in reader)
        frames = resampled(images, plan.positions, plan.method)
        try:
            yield from counted(frames, watch, STAGES[1], plan.length.num_frames)
        except ValueError as error:
            reason = f"it has changed since it was measured ({error})"
            raise ClipError(plan.source, reason, "leave it alone until all is done") from None


def counted(
    frames: Iterator[Image], watch: Watch | None, stage: str, total: int
) -> Iterator[Image]:
    for number, image in enumerate(frames, start=1):
        yield image
        if watch is not None:
            watch(stage, number, total)


def _measured(
    source: Source, embedder: Embedder, cache: bool, watch: Watch | None, stage: str
) -> Measurement:
    seen = 0

    def count(image: Image, time: float) -> None:
        nonlocal seen
        seen += 1
        if watch is not None:
            watch(stage, seen, None)

    kept = user_cache() if cache else None
    return measure_clip(source, embedder, watch=count, cache=kept, guarded=True)


def _scores(curve: Curve, target: Target) -> dict[str, float]:
    return score(curve) | {"target_mae": target_mae(curve, target)}
