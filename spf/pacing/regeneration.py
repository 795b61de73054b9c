"""Segmented regeneration: regenerate a clip between its semantic keyframes (arXiv 2604.22554).

The progress curve is split into straight pieces; each piece is generated between its keyframes,
for as long as the target gives to its change, and the pieces are joined (method, section 4). A
generator that jumps would jump again inside a piece, so each is steered by ReTime as well, where
the generator has a clock to steer.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory

from spf.errors import ClipError, SpfError
from spf.files import sweep
from spf.generators.base import GeneratedClip, Image, Request
from spf.generators.base import OnProgress as OnStep
from spf.generators.cached import CachedGenerator, read_clip
from spf.pacing.generated import rank, retime_generated
from spf.pacing.keyframes import Piece, part_of
from spf.pacing.plan import OnProgress, RegenerationPlan
from spf.pacing.resampling import resampled
from spf.progress import Curve
from spf.video import Reader

Measure = Callable[[Iterator[tuple[Image, float]]], Curve]
"""Frames, each with its seconds -> their curve. They are streamed, and need not be held."""


@dataclass(frozen=True, eq=False)
class Regeneration:
    """What was made: the files of the plan's segments, in order.

    plain : as the generator makes them. best : retimed where that came nearer to the target, and
    else the plain ones. fps : frames a second. notes : a line for each thing that is not as it was
    asked for, beside the plan's.
    """

    plan: RegenerationPlan
    plain: Sequence[Path]
    best: Sequence[Path]
    fps: float
    notes: list[str]

    def frames(self, files: Sequence[Path]) -> Iterator[Image]:
        """The frames of `plain` or `best` joined to the result's number of images (H, W, 3) uint8
        RGB; one segment is held at a time. Raises SpfError for one that is gone from the disk."""
        waiting = iter(files)
        for shot in self.plan.segments.shots:
            clips = (read_clip(next(waiting)).frames for _ in shot.pieces)
            joined = (image for k, clip in enumerate(clips) for image in clip[k > 0 :])
            method = self.plan.settings.method
            yield from joined if shot.exact else resampled(joined, shot.positions, method)

    def plain_curve(self, measure: Measure) -> Curve:
        """The curve of the joined clip as the generator makes it."""
        return measure(_timed(self.frames(self.plain), self.fps))


def regenerate(
    plan: RegenerationPlan,
    measure: Measure,
    folder: str | os.PathLike[str],
    on_progress: OnProgress | None = None,
) -> Regeneration:
    """Regenerate a clip between its keyframes, with the target's pacing.

    measure : of a segment. folder : where finished segments are stored, losslessly, and found again
    after an interruption. on_progress : called after each denoising step of each segment ("segment
    2 of 5"), all generations of the segment counted together.

    Each segment is joined to the last without its first frame, which both share. A steered segment
    is taken from whichever generation came nearest to its part of the target, be it the plain one.
    Memory: the generations of one segment, however long the source and the result are.

    Raises what the generator, `measure` and reading the source raise, and SpfError where the disk
    refuses; what is finished by then stays in `folder`.
    """
    generator, settings, pieces = plan.generator, plan.settings, plan.segments.pieces
    generator.check()
    _check_writable(Path(folder))
    cached = CachedGenerator(generator, folder)
    generations = 1 + settings.steering.iterations * plan.steered  # of a segment, at most
    made = []
    for number, (piece, first, last) in enumerate(_ends(plan), start=1):
        request = Request(
            first, last, settings.prompt, None, settings.seed, piece.frames, plan.length.fps
        )
        on_step = _counted(on_progress, f"segment {number} of {len(pieces)}", generations)
        made.append(_segment(plan, piece, cached, request, measure, on_step))
    plain, best, rates, texts = zip(*made, strict=True)
    notes = [*dict.fromkeys(chain(*texts))]
    plainly = sum(one == other for one, other in zip(plain, best, strict=True))
    if plan.steered and plainly:
        counts = f"{plainly} of {len(pieces)}"
        notes.append(f"{counts} segment(s) as plainly generated: no warp came nearer to the target")
    if not plan.steered and settings.steering.iterations:
        notes.append(f"plain regeneration: the clock of {generator.name} cannot be warped")
    return Regeneration(plan, plain, best, rates[0], notes)


def _check_writable(folder: Path) -> None:
    """Raises SpfError for a folder that takes no segments, before the first is generated."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder.glob(".spf-*"))
        TemporaryDirectory(prefix=".spf-", dir=folder).cleanup()
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
        raise SpfError(f"{folder}: {why}; choose another folder for the segments") from None


def _segment(
    plan: RegenerationPlan,
    piece: Piece,
    generator: CachedGenerator,
    request: Request,
    measure: Measure,
    on_step: OnStep | None,
) -> tuple[Path, Path, float, list[str]]:
    """One segment: its file as the generator makes it, that of the best one, rate and notes."""
    warp = None
    if plan.steered:

        def curve_of(clip: GeneratedClip) -> Curve:
            return measure(_timed(clip.frames, clip.fps))

        part, strategy = part_of(plan.target, piece.span), plan.settings.steering
        found = retime_generated(generator, request, curve_of, strategy, part, None, on_step)
        clip, warp = found.baseline.clip, min(found.attempts, key=rank).warp
    else:
        clip = generator.generate(request, None, on_step)
    if len(clip.frames) != piece.frames:
        counts = f"{len(clip.frames)} frames, not the {piece.frames} that it was asked for"
        raise SpfError(f"{generator.name}: its clip has {counts}; fix its counts")
    return generator.path(request), generator.path(request, warp), clip.fps, clip.notes


def _counted(on_progress: OnProgress | None, stage: str, generations: int) -> OnStep | None:
    """Reports the denoising steps of all generations of a segment as one count."""
    done = count(1)
    if on_progress is None:
        return None
    return lambda _, total: on_progress(stage, next(done), generations * total)


def _timed(frames: Iterable[Image], fps: float) -> Iterator[tuple[Image, float]]:
    return ((image, index / fps) for index, image in enumerate(frames))


def _ends(plan: RegenerationPlan) -> Iterator[tuple[Piece, Image, Image]]:
    """Each piece with its first and its last frame; the clip is decoded as they are wanted. Raises
    ClipError where it has another number of frames than its curve."""
    waiting, index = deque(plan.segments.pieces), -1
    with Reader(plan.source) as reader:
        for index, (image, _) in enumerate(reader):
            while waiting:
                if waiting[0].start == index:
                    first = image
                if waiting[0].stop > index:
                    break
                yield waiting.popleft(), first, image
    if index + 1 != len(plan.curve):
        counts = f"it has {index + 1} frames, its curve {len(plan.curve)}"
        raise ClipError(plan.source, counts, "measure the same frames that are regenerated")
