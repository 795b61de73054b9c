"""Segmented regeneration: regenerate a clip between its semantic keyframes (arXiv 2604.22554).

The progress curve is split into straight pieces; each piece is generated between its keyframes,
for as long as the target gives to its change, and the pieces are joined (method, section 4). A
generator that jumps would jump again inside a piece, so each is steered by ReTime as well, where
the generator has a clock to steer.

Keyframes and finished segments lie on disk: one segment is in memory at a time.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from spf.errors import ClipError, ConfigError, SpfError
from spf.files import sweep
from spf.generators.base import GeneratedClip, Generator, Image, Request, unwarpable
from spf.generators.cached import CachedGenerator, read_clip
from spf.generators.counts import counts_of
from spf.pacing.generated import rank, retime_generated, target_mae
from spf.pacing.keyframes import KeyframePlan, Piece, make_plan, part_of
from spf.pacing.resampling import resampled
from spf.pacing.shots import paced
from spf.pacing.strategies import KEEP, Regenerate, Strategy
from spf.pacing.targets import Target
from spf.progress import Curve, segment
from spf.video import Reader, write_png

Source = str | os.PathLike[str]
Measure = Callable[[Iterator[tuple[Image, float]]], Curve]
"""Frames, each with its seconds -> their curve. They are streamed, and need not be held."""
OnProgress = Callable[[str, int, int | None], None]
"""Called with a stage's name, how much of it is done, and of how much (None: unknown)."""

READING = "reading keyframes"


@dataclass(frozen=True, eq=False)
class Joined:
    """A whole result, whose segments are read from disk one after the other.

    files : of the plan's pieces, in order. method : how shots that are not exact are brought to
    length. fps : frames a second. The curve is measured when it is first asked for.
    """

    plan: KeyframePlan
    files: Sequence[Path]
    method: str
    fps: float
    measure: Measure
    target: Target

    def frames(self) -> Iterator[Image]:
        """`plan.num_frames` images (H, W, 3) uint8 RGB. Raises SpfError for a segment that is gone
        from the disk."""
        files = iter(self.files)
        for shot in self.plan.shots:
            own = _joined([next(files) for _ in shot.pieces])
            yield from own if shot.exact else resampled(own, shot.positions, self.method)

    @cached_property
    def curve(self) -> Curve:
        return self.measure(_timed(self.frames(), self.fps))

    @cached_property
    def target_mae(self) -> float:
        """Distance of its pacing to the target, 0 .. 1; NaN where its curve shows no change."""
        return target_mae(self.curve, self.target)


@dataclass(frozen=True, eq=False)
class Regeneration:
    """What was made.

    plain : the joined clip as the generator makes it. retimed : the same with ReTime in each
    segment; None where nothing was steered. notes : a line for each thing that is not as it was
    asked for.
    """

    plain: Joined
    retimed: Joined | None
    notes: list[str]

    @property
    def best(self) -> Joined:
        """The result: the retimed clip, or the plain one where nothing was steered."""
        return self.retimed or self.plain


def plan_regeneration(
    curve: Curve,
    generator: Generator,
    target: Target,
    settings: Regenerate,
    num_frames: int,
) -> KeyframePlan:
    """The segments of a result of `num_frames`; nothing is decoded or generated.

    curve : of a clip that can be retimed (`spf.pacing.plan.planned`). Raises ConfigError for
    settings that this clip or generator cannot be regenerated with.
    """
    cuts = curve.cuts if settings.cuts == KEEP else []
    steady = paced(curve, cuts)
    try:
        segments = segment(steady, settings.penalty, settings.n_segments)
    except ValueError as error:
        raise ConfigError(f"retime=regenerate: {error}") from None
    return make_plan(steady, segments, target, counts_of(generator), num_frames, cuts)


def regenerate(
    source: Source,
    curve: Curve,
    generator: Generator,
    measure: Measure,
    folder: str | os.PathLike[str],
    target: Target,
    settings: Regenerate,
    plan: KeyframePlan,
    fps: float,
    on_progress: OnProgress | None = None,
) -> Regeneration:
    """Regenerate a clip between its keyframes, with the target's pacing.

    Parameters
    ----------
    source : path of the clip, which is decoded once more for its keyframes.
    curve : of all its frames.
    generator : makes the segments; those with a clock are steered as `settings.strategy` says.
    measure : of a segment, and of what is joined of them.
    folder : where finished segments are stored, losslessly, and found again after an interruption.
        The result is read from it.
    target : with kept cuts the pacing of what changes between them.
    plan : as `plan_regeneration` gives it for the same.
    fps : frames a second of the result.
    on_progress : called after each decoded frame and each denoising step of each segment
        ("segment 2 of 5"), all generations of the segment counted together.

    Each segment is joined to the last without its first frame, which both share. A steered segment
    is taken from whichever generation came nearest to its part of the target, be it the plain one.
    Memory: the generations of one segment, however long the source and the result are.

    Raises what the generator, `measure` and reading the source raise, and SpfError where the disk
    refuses; what is finished by then stays in `folder`.
    """
    generator.check()
    strategy = settings.steering
    steers = not unwarpable(generator) and strategy.iterations > 0
    generations = 1 + steers * strategy.iterations  # of a segment, at most
    cached = CachedGenerator(generator, folder)
    made: list[_Made] = []
    with _keyframes(Path(source), plan.keyframes, len(curve), folder, on_progress) as images:
        for number, (piece, first, last) in enumerate(_ends(plan, images), start=1):
            stage = f"segment {number} of {len(plan.pieces)}"
            steps = _Steps(on_progress, stage, generations)
            request = Request(first, last, settings.prompt, None, settings.seed, piece.frames, fps)
            part = part_of(target, piece.span)
            made.append(
                _segment(cached, request, measure, strategy if steers else None, part, steps)
            )
            steps.finish()

    def joined(files: list[Path]) -> Joined:
        return Joined(plan, files, settings.method, made[0].fps, measure, target)

    plainly = sum(one.retimed == one.plain for one in made)
    notes = [*plan.notes, *dict.fromkeys(chain(*(one.notes for one in made)))]
    if steers and plainly:
        counts = f"{plainly} of {len(made)}"
        notes.append(f"{counts} segment(s) as plainly generated: no warp came nearer to the target")
    if not steers and strategy.iterations:
        notes.append(f"plain regeneration: the clock of {generator.name} cannot be warped")
    retimed = joined([one.retimed for one in made]) if steers else None
    return Regeneration(joined([one.plain for one in made]), retimed, notes)


@dataclass(frozen=True, eq=False)
class _Made:
    """Files of a segment as the generator makes it, and retimed; the same one where nothing was
    steered, or nothing better came of it."""

    plain: Path
    retimed: Path
    fps: float
    notes: list[str]


def _segment(
    generator: CachedGenerator,
    request: Request,
    measure: Measure,
    strategy: Strategy | None,
    target: Target,
    steps: "_Steps",
) -> _Made:
    """One segment, steered towards its part of the target unless `strategy` is None."""
    plain = best = generator.path(request)
    if strategy is None:
        clip = generator.generate(request, None, steps)
    else:

        def curve_of(clip: GeneratedClip) -> Curve:
            return measure(_timed(clip.frames, clip.fps))

        found = retime_generated(generator, request, curve_of, strategy, target, on_progress=steps)
        clip = found.baseline.clip
        nearest = min(found.attempts, key=rank)
        best = generator.path(request, nearest.warp)
    if len(clip.frames) != request.num_frames:
        counts = f"{len(clip.frames)} frames, not the {request.num_frames} that it was asked for"
        raise SpfError(f"{generator.name}: its clip has {counts}; fix its counts")
    return _Made(plain, best, clip.fps, clip.notes)


class _Steps:
    """Denoising steps of all generations of a segment, reported as one count."""

    def __init__(self, on_progress: OnProgress | None, stage: str, generations: int) -> None:
        self._on_progress, self._stage, self._generations = on_progress, stage, generations
        self._before = self._last = 0
        self._total = 1

    def __call__(self, step: int, total: int) -> None:
        if step <= self._last:  # the next generation has begun
            self._before += self._total
        self._last, self._total = step, total
        self._report(self._before + step)

    def finish(self) -> None:
        """The segment is made: fewer generations than the most may have done, or cached ones."""
        self._report(self._generations * self._total)

    def _report(self, done: int) -> None:
        if self._on_progress is not None:
            self._on_progress(self._stage, done, self._generations * self._total)


def _timed(frames: Iterable[Image], fps: float) -> Iterator[tuple[Image, float]]:
    return ((image, index / fps) for index, image in enumerate(frames))


def _joined(files: Sequence[Path]) -> Iterator[Image]:
    """The frames of pieces without doubled keyframes; one piece is held at a time."""
    for index, file in enumerate(files):
        yield from read_clip(file).frames[index > 0 :]


@contextmanager
def _keyframes(
    source: Path,
    wanted: Sequence[int],
    count: int,
    folder: str | os.PathLike[str],
    on_progress: OnProgress | None,
) -> Iterator[Iterator[Image]]:
    """The frames at increasing indices, one at a time.

    The source is read once, to its end, before anything is generated; the frames wait as images in
    a folder inside `folder`, which is removed afterwards.

    Raises ClipError where the clip has another number of frames than its curve.
    """
    with _scratch(Path(folder)) as scratch:
        with Reader(source) as reader:
            images = (image for image, _ in reader)
            write_png(scratch, _chosen(source, images, wanted, count, on_progress))
        with Reader(scratch) as reader:
            yield _in_use(scratch, (image for image, _ in reader))


def _in_use(folder: Path, images: Iterator[Image]) -> Iterator[Image]:
    """The images; the folder looks young with each, so that no other process sweeps it."""
    for image in images:
        with suppress(OSError):
            os.utime(folder)
        yield image


def _chosen(
    source: Path,
    images: Iterator[Image],
    wanted: Sequence[int],
    count: int,
    on_progress: OnProgress | None,
) -> Iterator[Image]:
    """Those of the images that are wanted; all are counted."""
    chosen, seen = set(wanted), 0
    for image in images:
        if seen in chosen:
            yield image
        seen += 1
        if on_progress is not None:
            on_progress(READING, seen, count)
    if seen != count:
        counts = f"it has {seen} frames, its curve {count}"
        raise ClipError(source, counts, "measure the same frames that are regenerated")


def _ends(plan: KeyframePlan, images: Iterator[Image]) -> Iterator[tuple[Piece, Image, Image]]:
    """Each piece with its first and its last frame, from the images of the plan's keyframes."""
    numbered = zip(plan.keyframes, images, strict=True)
    index, image = next(numbered)
    for piece in plan.pieces:
        while index < piece.start:
            index, image = next(numbered)
        first = image
        while index < piece.stop:
            index, image = next(numbered)
        yield piece, first, image


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder inside another one, for as long as it is needed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder.glob(".spf-*"))
        made = TemporaryDirectory(prefix=".spf-", suffix=".tmp", dir=folder)
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
        raise SpfError(f"{folder}: {why}; choose another folder for the segments") from None
    with made as name:
        yield Path(name)
