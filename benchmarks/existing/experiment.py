"""Existing clips, retimed: each strategy on each clip, measured before and after."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.existing.clips import ExistingClip, judge, load_clips
from benchmarks.existing.tables import summarised
from benchmarks.generated.strategies import FOR_EXISTING, Wanted, described, parse_retimes, sampled
from benchmarks.harness.cells import Benchmark, Cell, Key, OnProgress, Outcome, Summary
from benchmarks.harness.folder import RunFolder, slug
from benchmarks.harness.measuring import Measuring, curve_table
from benchmarks.harness.quality import quality_inputs, retimed_file_columns
from benchmarks.harness.records import Record
from spf.embedders import label
from spf.errors import ClipError, ConfigError
from spf.generators import FOLDER_GENERATES_NOTHING
from spf.generators.base import Generator, Image
from spf.generators.folder import Folder
from spf.generators.pipeline import DiffusersGenerator
from spf.identity import digest
from spf.pacing.plan import RegenerationPlan, RetimePlan, planned, scores
from spf.pacing.plan import Wanted as Length
from spf.pacing.regeneration import regenerate
from spf.pacing.retime import write_result
from spf.pacing.strategies import Nearest, NoRetime, Regenerate, Resampling, Strategy
from spf.pacing.targets import Target, make_target, pinned
from spf.pacing.timemap import distance_to_target
from spf.progress import Curve, no_change_reason
from spf.progress.metrics import unit_time
from spf.quality import NoQuality, Quality
from spf.video import Sampling, write_mp4

RETIMES = ("none", "nearest", "blend", "flow", "regenerate")


@dataclass(frozen=True, eq=False)
class Made:
    """A retimed clip: its file, its rate, and what was found on the way.

    plain : distance to the target of the clip as the generator makes it, unsteered.
    """

    path: Path
    fps: float
    notes: tuple[str, ...] = ()
    plain: float | None = None


class RetimeExisting(Benchmark):
    """Measure, retime, measure the result as it was written: for each clip and strategy.

    clips : a folder of clips (CLIPS/CLIP.mp4, CLIPS/CATEGORY/CLIP.mp4); None is rendered clips of
    held-out content whose uneven pacing is known. retime : a strategy that takes the place of its
    name in `retimes`, of which None is `RETIMES`; see `parse_retimes`. model : makes the segments
    of `regenerate`. fps : of the results; a folder of images needs one, other clips keep their own
    where it is None.

    Raises ConfigError for settings that make no run, UnavailableError where the model cannot run
    here and is wanted.
    """

    name = "retime_existing"

    def __init__(
        self,
        measuring: Measuring,
        model: Generator | Folder,
        retime: Strategy | None = None,
        target: str | Target = "linear",
        quality: Quality | None = None,
        clips: str | None = None,
        retimes: Sequence[Wanted] | None = None,
        fps: float | None = None,
    ) -> None:
        if measuring.sampling != Sampling():
            raise ConfigError(f"benchmark={self.name} shows all frames of a clip: leave sampling")
        self.measuring = measuring
        self.model = model
        self.target = make_target(target)
        self.quality = quality or NoQuality()
        self.strategies = parse_retimes(
            RETIMES if retimes is None else retimes, retime or NoRetime(), FOR_EXISTING
        )
        self.length = Length(fps=fps)
        self.clips = load_clips(clips)
        self.where = "rendered" if clips is None else "of a folder"
        self.generates = any(isinstance(x, Regenerate) for x in self.strategies.values())
        if self.generates and not isinstance(model, Folder):
            model.check()
        # Several copies of a large model would not fit beside each other.
        self.workers = 1 if self.generates and isinstance(model, DiffusersGenerator) else None
        self._folder: RunFolder | None = None

    def store_in(self, folder: RunFolder) -> None:
        """Where rendered clips and finished segments are stored and found again."""
        self._folder = folder

    def plan(self) -> str:
        model = f", model {self.model.name}" if self.generates else ""
        return (
            f"retiming of existing clips: {len(self.clips)} clips ({self.where}), target "
            f"{described(self.target)}, strategies {', '.join(self.strategies)}{model}, embedder "
            f"{label(self.measuring.embedder)}"
        )

    def cells(self) -> list[Cell]:
        generator = None
        if self.generates and not isinstance(self.model, Folder):
            generator = self.model.identity()
        settings = {
            "target": digest(sampled(self.target)),
            "fps": self.length.fps,
            **quality_inputs(self.quality),
            **self.measuring.inputs(),
        }
        contents = [clip.identity() for clip in self.clips]
        target, embedder = described(self.target), self.measuring.embedder
        made = []
        for name, strategy in self.strategies.items():
            generated = isinstance(strategy, Regenerate)
            model = self.model.name if generated else "existing"
            for clip, content in zip(self.clips, contents, strict=True):
                inputs = content and {
                    "clip": content,
                    "strategy": [strategy.name, asdict(strategy)],
                    "generator": generator if generated else None,
                    **settings,
                }
                clip_name, control = clip.name, embedder.control
                key = Key(self.name, clip_name, embedder.name, model, name, target, 0, control)
                reason = self._refusal(clip) if generated else ""
                made.append(self._cell(key, inputs, clip, strategy, reason))
        return made

    def _refusal(self, clip: ExistingClip) -> str:
        """Why a clip cannot be regenerated by this model; empty where it can."""
        if isinstance(self.model, Folder):
            return FOLDER_GENERATES_NOTHING
        makes = getattr(self.model, "size", None)
        if makes is None or clip.size is None or tuple(makes) == clip.size:
            return ""
        theirs, own = (f"{width}x{height}" for height, width in (makes, clip.size))
        return (
            f"model={self.model.name} makes {theirs}, the clip has {own} and would be resized; "
            "resize it, or choose a model that takes its size"
        )

    def _cell(self, key: Key, inputs: Any, clip: ExistingClip, strategy: Strategy, no: str) -> Cell:
        def compute(on_progress: OnProgress) -> Outcome:
            assert self._folder is not None
            try:
                path = clip.path(self._folder)
                with TemporaryDirectory(prefix="spf-retimed-") as scratch:
                    out = Path(scratch) / "clip.mp4"
                    outcome = self._retimed(key, clip, path, strategy, out, on_progress)
            except ClipError as error:
                raise clip.named(error) from None
            if inputs is None or clip.identity() != inputs["clip"]:
                raise ClipError(clip.source, "it changed while it was read", "start again")
            return outcome

        return Cell(key, inputs, compute, no)

    def _retimed(
        self,
        key: Key,
        clip: ExistingClip,
        path: Path,
        strategy: Strategy,
        out: Path,
        on_progress: OnProgress,
    ) -> Outcome:
        measured = after = self.measuring.measure(path, on_progress)
        curve = measured.curve
        if no_change_reason(curve) is not None:
            info = measured.embeddings.info
            made = Made(path, (info and info.fps) or 1.0)
        else:
            method: Resampling | Regenerate = Nearest(cuts="bridge")
            if isinstance(strategy, Resampling | Regenerate):
                method = strategy
            generator = None if isinstance(self.model, Folder) else self.model
            plan = planned(path, measured, self.target, method, self.length, generator)
            made, curve = self._made(strategy, plan, out, on_progress), plan.curve
            if made.path != path:
                after = self.measuring.measure(made.path, on_progress)
        stem = f"{slug(clip.name)}/{slug(key.retime)}"
        outcome = self.measuring.outcome(after, stem)
        before = scores(curve, self.target) | {"frames": len(curve)}
        outcome.values |= {
            "target_mae": distance_to_target(after.curve, self.target),
            "category": clip.category,
            "source": clip.source,
            "plain_target_mae": made.plain,
            **judge(clip, path, made.path, self.target),
            **{f"before_{name}": value for name, value in before.items()},
            **retimed_file_columns(self.quality, path, made.path, made.fps, self.measuring.cache),
            "notes": "; ".join(dict.fromkeys([*measured.embeddings.notes, *made.notes])),
        }
        aimed = pinned(self.target, unit_time(after.curve.times))
        outcome.add("curve", f"curves/{stem}.csv", curve_table(after.curve, target=aimed))
        outcome.add("before_curve", f"curves/{stem}-before.csv", curve_table(curve))
        # A clip of the run's folder is linked; the user's is named, and stays where it is.
        for column, file in (("before_file", path), ("file", made.path)):
            if file == path and not clip.rendered:
                outcome.values[column] = clip.source
            else:
                name = f"clips/{slug(clip.name)}" if file == path else f"retimed/{stem}"
                outcome.add(column, f"{name}.mp4", file.read_bytes())
        return outcome

    def _made(
        self, strategy: Strategy, plan: RetimePlan, out: Path, on_progress: OnProgress
    ) -> Made:
        """The result of a strategy."""
        if isinstance(strategy, NoRetime):
            return Made(plan.source, plan.length.fps)
        if not isinstance(plan, RegenerationPlan):
            notes = write_result(plan, out, lambda *_: on_progress())
            return Made(out, plan.length.fps, (*plan.notes, *notes))
        assert self._folder is not None

        def measure(frames: Iterator[tuple[Image, float]]) -> Curve:
            return self.measuring.measure(frames, on_progress).curve

        segments = self._folder.path("segments")
        done = regenerate(plan, measure, segments, lambda *_: on_progress())
        write_mp4(out, done.frames(done.best), done.fps)
        unsteered = distance_to_target(done.plain_curve(measure), self.target)
        return Made(out, done.fps, (*plan.notes, *done.notes), unsteered)

    def summarise(self, records: list[Record], folder: RunFolder) -> Summary:
        return summarised(
            records, folder, self.clips, self.strategies, self.target, self.measuring.embedder
        )
