"""Existing clips: measure, make the time map, show the clip along it (or have it regenerated
between its keyframes), measure again; streamed, whatever the clip's length."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spf.embedders import DEFAULT_EMBEDDER, Embedder, check_embedder, load_embedder
from spf.errors import ClipError, ConfigError
from spf.generators.base import Generator as ClipGenerator
from spf.measurement import Measurement, measure_clip
from spf.pacing.check import Check, checked
from spf.pacing.plan import (
    MEASURING,
    METHOD,
    Image,
    OnProgress,
    RegenerationPlan,
    RetimePlan,
    Source,
    Wanted,
    measured_clip,
    plan_retiming,
    scores,
)
from spf.pacing.regeneration import regenerate
from spf.pacing.resampling import resampled
from spf.pacing.strategies import Regenerate, Resampling, make_method
from spf.pacing.targets import Target
from spf.progress import Curve, no_change_reason
from spf.video import Reader, write_mp4
from spf.video.packets import has_sound, write_with_sound

STAGES = (MEASURING, "resampling", "measuring the result", "side by side", "joining")


@dataclass(frozen=True, eq=False)
class Retimed:
    """What was done with a clip.

    out : the retimed MP4. plan : how it was made. measured : the result, as it was written.
    before, after : `spf.score` and target_mae of both, and target_mae_between_cuts where cuts were
    kept. notes : lines on what is not as asked for. plain : the same scores of what the generator
    makes unsteered, where segments were steered. check : both clips by a second embedder.
    """

    source: Path
    out: Path
    plan: RetimePlan
    measured: Measurement
    before: dict[str, float]
    after: dict[str, float]
    notes: tuple[str, ...]
    plain: dict[str, float] | None = None
    check: Check | None = None

    @property
    def curve(self) -> Curve:
        """Of the result."""
        return self.measured.curve


def retime(
    source: Source,
    out: Source,
    target: str | Target | Curve = "linear",
    method: str | Resampling | Regenerate = METHOD,
    num_frames: int | None = None,
    fps: float | None = None,
    keep: str = "length",
    embedder: str | Embedder = DEFAULT_EMBEDDER,
    cache: bool = True,
    on_progress: OnProgress | None = None,
    generator: str | ClipGenerator | None = None,
    folder: Source | None = None,
    check: str | Embedder | None = "auto",
    **settings: Any,
) -> Retimed:
    """Give a clip another pacing.

    source : a video, an animated image or a folder of images.
    out : the MP4 to write; an existing one is replaced at the end, and only by a whole one.
    target : a name (`spf.pacing.TARGETS`), a name with settings ("exponential:temperature=5"), an
        increasing function on 0 .. 1, or the curve of a clip whose pacing is wanted.
    method : nearest, blend or flow: see `spf.pacing.resampling`; or regenerate, which has the clip
        regenerated between its keyframes: see `spf.pacing.regeneration`.
    num_frames, fps, keep : of the result: see `spf.pacing.plan.length_of`.
    embedder : name, with a variant such as "siglip/b16-384", or object; what measures the clip and
        the result.
    cache : whether embeddings are stored and found again.
    on_progress : called after every frame of every stage and every denoising step of a segment.
    generator, folder : of regenerate alone. A name of `spf.generators.MAKERS` or an object; where
        finished segments are stored and found again (None: beside `out`, as NAME.segments).
    check : name or object of a second embedder, which measures both clips too and says where it
        disagrees; "auto" is one of another family (`spf.embedders.check_embedder`), None is none.
    settings : of the method (`spf.pacing.strategies`). cuts="keep": no frame lies between the two
        shots of a hard cut, and the target paces what changes between cuts; "bridge": cuts are
        change like any other. Of regenerate also n_segments=4, prompt="...", seed=1,
        strategy="none".

    Sound is copied where each frame stays at its time, and dropped with a note anywhere else.

    Raises ClipError for a clip that cannot be read, has no semantic change, or a disk that refuses;
    ConfigError for names and numbers that make no sense; UnavailableError, before any work, where
    the generator cannot run here; SpfError where it fails: finished segments stay.
    """
    path = check_out(source, out)
    chosen = load_embedder(embedder)
    wanted = Wanted(keep, num_frames, fps)
    strategy = make_method(method, **settings)
    if folder is not None and not isinstance(strategy, Regenerate):
        raise ConfigError(f"method={strategy.name} has no segments; leave folder out")
    other = check_embedder(check, chosen)
    plan = plan_retiming(source, chosen, target, strategy, wanted, cache, on_progress, generator)
    return carry_out(plan, path, chosen, cache, on_progress, folder, other)


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


def carry_out(
    plan: RetimePlan,
    out: Path,
    embedder: Embedder,
    cache: bool = True,
    on_progress: OnProgress | None = None,
    folder: Source | None = None,
    check: Embedder | None = None,
) -> Retimed:
    """Write the result of a plan and measure it as it was written. Parameters as in `retime`."""
    plain = None
    if isinstance(plan, RegenerationPlan):

        def measure(frames: Iterator[tuple[Image, float]]) -> Curve:
            return measure_clip(frames, embedder).curve

        done = regenerate(plan, measure, folder or segments_beside(out), on_progress)
        frames = counted(done.frames(done.best), on_progress, STAGES[4], plan.length.num_frames)
        write_mp4(out, frames, plan.length.fps)
        silent = plan.source.is_file() and has_sound(plan.source)
        more = [*done.notes, *["the sound is dropped: the frames are regenerated"] * silent]
        if plan.steered:
            plain = scores(done.plain_curve(measure), plan.target, plan.cuts_shown)
    else:
        more = write_result(plan, out, on_progress)
    notes = list(dict.fromkeys([*plan.notes, *more]))
    measured = measured_clip(out, embedder, cache, on_progress, STAGES[2])
    before = scores(plan.curve, plan.target, plan.cuts)
    after = scores(measured.curve, plan.target, plan.cuts_shown)
    if no_change_reason(measured.curve) is not None:
        notes.append("the result shows no semantic change: its scores are not defined")
    second = None
    if check is not None:
        second = checked(plan, out, measured, embedder, check, cache, on_progress)
    return Retimed(plan.source, out, plan, measured, before, after, tuple(notes), plain, second)


def segments_beside(out: Path) -> Path:
    """Where finished segments of a result are stored unless another folder is named."""
    return out.with_suffix(".segments")


def write_result(plan: RetimePlan, out: Path, on_progress: OnProgress | None = None) -> list[str]:
    """Write the result of a plan that resamples; returns notes."""

    def write(path: Path) -> None:
        with Reader(plan.source) as reader:
            frames = resampled((image for image, _ in reader), plan.positions, plan.method)
            try:
                shown = counted(frames, on_progress, STAGES[1], plan.length.num_frames)
                write_mp4(path, shown, plan.length.fps)
            except ValueError as error:
                reason = f"it has changed since it was measured ({error})"
                raise ClipError(plan.source, reason, "leave it alone until all is done") from None

    sound = plan.source.is_file() and has_sound(plan.source)
    if sound and plan.preserves_times:
        return write_with_sound(write, plan.source, out)
    write(out)
    return ["the sound is dropped: the frames are shown at other times"] * sound


def counted(
    frames: Iterator[Image], on_progress: OnProgress | None, stage: str, total: int
) -> Iterator[Image]:
    for number, image in enumerate(frames, start=1):
        yield image
        if on_progress is not None:
            on_progress(stage, number, total)
