"""Existing clips: measure, make the time map, show the clip along it, measure again.

The clip is read twice, and streamed both times: whatever its length, a few frames are in memory.
"""

import os
import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spf.cache import user_cache
from spf.embedders import DEFAULT_EMBEDDER, Embedder, load_embedder
from spf.errors import ClipError, ConfigError
from spf.measurement import Measurement, measure_clip
from spf.progress import Curve, no_change_reason, score
from spf.retime.lengths import Length, Wanted, length_of
from spf.retime.resampling import is_identity, resampled
from spf.retime.strategies import make_resampling
from spf.retime.targets import Target, described, make_target
from spf.retime.timemap import distance_to_target, time_map
from spf.video import Reader, write_mp4
from spf.video.sound import has_sound, join_sound

Array = NDArray[np.float64]
Image = NDArray[np.uint8]
Source = str | os.PathLike[str]
Watch = Callable[[str, int, int | None], None]
"""Called with a stage's name, how many frames of it are done, and of how many (None: unknown)."""

METHOD = "flow"
STAGES = ("measuring", "resampling", "measuring the result", "side by side")
SAME_TIME = 1e-3
"""Seconds by which time stamps may be off those of a constant rate, and count as equal to them."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What a clip is to become.

    measured : the clip. target : its pacing, as a function. method : a word of
    `spf.retime.strategies.RESAMPLINGS`. length : of the result. positions : (N,) float64, the time
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
        moved = self.positions % 1 != 0
        repeated = np.diff(np.rint(self.positions)) == 0
        yield (
            f"frames   {moved.mean():.0%} lie between two frames of the clip, "
            f"{repeated.mean():.0%} have the same nearest one as the frame before"
        )
        yield f"method   {self.method}; target {described(self.target)}"
        yield from (f"note: {note}" for note in self.notes)


@dataclass(frozen=True, eq=False)
class Retimed:
    """What was done with a clip.

    out : the retimed MP4. plan : how it was made. measured : the result, as it was written.
    before, after : `spf.score` and target_mae of both. notes : lines on what is not as asked for.
    """

    source: Path
    out: Path
    plan: Plan
    measured: Measurement
    before: dict[str, float]
    after: dict[str, float]
    notes: tuple[str, ...]

    @property
    def curve(self) -> Curve:
        """Of the result."""
        return self.measured.curve


def retime(
    source: Source,
    out: Source,
    target: str | Target | Curve = "linear",
    method: str = METHOD,
    num_frames: int | None = None,
    fps: float | None = None,
    keep: str = "length",
    embedder: str | Embedder = DEFAULT_EMBEDDER,
    cache: bool = True,
    watch: Watch | None = None,
) -> Retimed:
    """Give a clip another pacing.

    Parameters
    ----------
    source : a video, an animated image or a folder of images.
    out : the MP4 to write; an existing one is replaced at the end, and only by a whole one.
    target : a word (`spf.retime.TARGETS`), a word with settings ("exponential:temperature=5"), an
        increasing function on 0 .. 1, or the curve of a clip whose pacing is wanted.
    method : nearest, blend or flow: see `spf.retime.resampling`.
    num_frames, fps, keep : of the result: see `spf.retime.lengths`. The default keeps the clip's
        number of frames and its rate; the mean one where it varies.
    embedder : word or object; what measures the clip and the result.
    cache : whether embeddings are kept and found again.
    watch : told of every frame of every stage.

    Sound is kept where each frame keeps its time, and dropped with a note anywhere else.

    Raises ClipError for a clip that cannot be read, has no semantic change, or a disk that refuses;
    ConfigError for words and numbers that make no sense.
    """
    path = check_out(source, out)
    chosen = load_embedder(embedder)
    wanted = Wanted(keep, num_frames, fps)
    plan = plan_retiming(source, chosen, target, method, wanted, cache, watch)
    return carry_out(plan, path, chosen, cache, watch)


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
    method: str = METHOD,
    wanted: Wanted | None = None,
    cache: bool = True,
    watch: Watch | None = None,
) -> Plan:
    """Measure a clip and decide what to do; nothing is written. Parameters as in `retime`."""
    target, method = make_target(target), make_resampling(method).name
    path = Path(source)
    measured = _measured(path, embedder, cache, watch, STAGES[0])
    return planned(path, measured, target, method, wanted)


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
    plan: Plan, out: Path, embedder: Embedder, cache: bool = True, watch: Watch | None = None
) -> Retimed:
    """Write the result of a plan and measure it as it was written."""
    notes = [*plan.notes, *write_result(plan, out, watch)]
    measured = _measured(out, embedder, cache, watch, STAGES[2])
    before, after = _scores(plan.curve, plan.target), _scores(measured.curve, plan.target)
    if no_change_reason(measured.curve) is not None:
        notes.append("the result shows no semantic change: its scores are not defined")
    return Retimed(plan.source, out, plan, measured, before, after, tuple(notes))


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
    path: Path, embedder: Embedder, cache: bool, watch: Watch | None, stage: str
) -> Measurement:
    seen = 0

    def count(image: Image, time: float) -> None:
        nonlocal seen
        seen += 1
        if watch is not None:
            watch(stage, seen, None)

    return measure_clip(path, embedder, watch=count, cache=user_cache() if cache else None)


def _scores(curve: Curve, target: Target) -> dict[str, float]:
    changes = no_change_reason(curve) is None
    return score(curve) | {
        "target_mae": distance_to_target(curve, target) if changes else float("nan")
    }
