"""ReTime on generated clips: each strategy on each pair, measured and compared with the truth."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.generated.pairs import NO_STILLS, Pair, load_pairs, make_stills, stills_line
from benchmarks.generated.scores import (
    ORACLE,
    clip_times,
    conditions,
    judge,
    oracle_curve,
    parameter,
)
from benchmarks.generated.strategies import (
    Wanted,
    WrongMap,
    described,
    misled,
    moved,
    parse_retimes,
    sampled,
)
from benchmarks.generated.tables import summarised
from benchmarks.harness.cells import Benchmark, Cell, Key, OnProgress, Outcome, Summary
from benchmarks.harness.folder import RunFolder, slug
from benchmarks.harness.measuring import Measuring, curve_table
from benchmarks.harness.quality import quality_inputs, retimed_columns
from benchmarks.harness.records import Record
from spf.embedders import label
from spf.errors import ConfigError, UnavailableError
from spf.generators import MAKERS
from spf.generators.base import GeneratedClip, Generator, Request, check_warpable, unwarpable
from spf.generators.cached import CachedGenerator, pack, request_identity
from spf.generators.pipeline import DiffusersGenerator
from spf.generators.settings import as_json
from spf.generators.stills import Stills
from spf.identity import digest
from spf.pacing.generated import Measure, RetimedGeneration, generate_measured, retime_generated
from spf.pacing.strategies import AUTHORS_WORKFLOW, OURS, NoRetime, Resampling, Strategy
from spf.pacing.targets import Target, make_target, pinned
from spf.progress import Curve, no_change_reason, score
from spf.progress.metrics import unit_time
from spf.quality import NoQuality, Quality
from spf.video import Sampling

RETIMES = (
    "none",
    "rope",
    {"name": "rope", "preset": AUTHORS_WORKFLOW},
    {"name": "rope", "preset": OURS},
    "rope_iterative",
    "rope_flat",
    "nearest",
    "blend",
    "flow",
    "wrong_map",
)
"""The authors' code, their workflow, and ours; resamplings of the plain clip; and a control."""

UNSTEERED = ("none", "nearest", "blend", "flow")
"""What of these is left for a model whose clock cannot be warped."""

GENERATED = "generated"
"""Where a run's folder holds the clips that were generated."""

STILLS = "stills"
"""Where an output folder holds the images that were made of descriptions."""

NO_WEIGHTS = "none: no weights"

NAMED = 12
"""Strategies that a line can name; of more their number is named."""


class RetimeGenerated(Benchmark):
    """Generate, measure, warp the clock, generate again: for each pair, seed, measure, strategy.

    retime : a strategy that takes the place of its name in `retimes`; see `parse_retimes`. None is
    `RETIMES`, or `UNSTEERED` for a model whose clock cannot be warped.
    pairs : procedural, photographs, transitions, or a YAML file (docs/how-to/pairs.md); None is
    procedural for model=tiny and photographs for all others. num_pairs : the first so many; None
    takes all. stills : what shows the frames of pairs that are described in words.
    seeds : of the noise. num_frames, fps, steps, guidance : see `Request`. quality : what scores
    each clip as it was generated, and retimed; None scores nothing.

    Where the true morph is known, the renderer's parameter steers and scores too, as embedder
    `oracle`. Raises ConfigError for settings that make no run, UnavailableError where the model
    cannot run here.
    """

    name = "retime_generated"

    def __init__(
        self,
        measuring: Measuring,
        model: Generator,
        retime: Strategy | None = None,
        target: str | Target = "linear",
        pairs: str | None = None,
        num_pairs: int | None = None,
        seeds: Sequence[int] = (0,),
        retimes: Sequence[Wanted] | None = None,
        num_frames: int | None = None,
        fps: float | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        quality: Quality | None = None,
        stills: Stills | None = None,
    ) -> None:
        if not hasattr(model, "generate"):
            remedy = f"choose model={', '.join(MAKERS)}"
            raise ConfigError(
                f"benchmark={self.name} generates clips, model=folder has none; {remedy}"
            )
        if measuring.sampling != Sampling():
            raise ConfigError("sampling applies to files; generated clips have num_frames and fps")
        if not (isinstance(seeds, Sequence) and not isinstance(seeds, str) and seeds):
            raise ConfigError(f"seeds={seeds!r} must be a list of whole numbers")
        self.measuring = measuring
        self.quality = quality or NoQuality()
        self.model = model
        self.target = make_target(target)
        if retimes is None:
            retimes = UNSTEERED if unwarpable(model) else RETIMES
        self.strategies = parse_retimes(retimes, retime or NoRetime())
        steered = any(strategy.iterations for strategy in self.strategies.values())
        self.source = pairs or ("procedural" if model.name == "tiny" else "photographs")
        size = model.size or model.native_size
        self.pairs = load_pairs(self.source, size, num_pairs, stills or NO_STILLS)
        asked = num_frames, fps, steps, guidance
        self.requests = {
            (pair.name, seed): Request(
                pair.first, pair.last, pair.prompt, pair.negative_prompt, seed, *asked
            )
            for pair in self.pairs
            for seed in seeds
        }
        for request in self.requests.values():
            clock = model.clock(request)  # refuses what the model cannot make
            if steered:
                check_warpable(model, clock)
        self.seeds = tuple(dict.fromkeys(seeds))
        # Several copies of a large model would not fit beside each other.
        self.workers = 1 if isinstance(model, DiffusersGenerator) else None
        self._folder: RunFolder | None = None
        try:
            model.check(max(self.requests.values(), key=lambda one: one.first.size))
        except UnavailableError as error:
            error.plan = self.plan()
            raise

    def store_in(self, folder: RunFolder) -> None:
        """Where generated clips are stored and found again."""
        self._folder = folder

    @property
    def _stills(self) -> Path:
        """Where stills are stored, for all runs of the output folder."""
        assert self._folder is not None
        return self._folder.root.parents[1] / STILLS

    def prepare(self, count: int | None = None) -> None:
        """Make the stills of the first `count` pairs before any clip, so that no two large models
        are loaded at once."""
        make_stills(self.pairs[:count], self._stills)

    def planned_stills(self, count: int | None = None) -> str:
        """What the plan says of the stills of the first `count` pairs."""
        return "" if self._folder is None else stills_line(self.pairs[:count], self._stills)

    def _request(self, pair: Pair, seed: int) -> Request:
        """What is asked of the model for a pair, with the images of its stills."""
        shown = pair.shown(self._stills)
        return replace(self.requests[pair.name, seed], first=shown.first, last=shown.last)

    def plan(self) -> str:
        """What will be done, and what a model of diffusers will do it with, a line each."""
        model, many = self.model, len(self.strategies) > NAMED
        named = len(self.strategies) if many else ", ".join(self.strategies)
        first = (
            f"retiming of generated clips: model {model.name}, {len(self.pairs)} pairs "
            f"({self.source}), {len(self.seeds)} seed(s), target {described(self.target)}, "
            f"strategies {named}, embedder {label(self.measuring.embedder)}"
            f"{self.planned_stills()}"
        )
        if isinstance(model, DiffusersGenerator):
            return "\n".join([first, *model.describe(list(self.requests.values()))])
        return first

    def cells(self) -> list[Cell]:
        """Strategies outermost, so that no two workers generate the same baseline."""
        identities = [pair.identity() for pair in self.pairs]
        settings = {
            "generator": self.model.identity(),
            "target": digest(sampled(self.target)),
            **self.measuring.inputs(),
            **quality_inputs(self.quality),
        }
        target, embedder = described(self.target), self.measuring.embedder
        measures = {embedder.name: embedder.control, ORACLE: False}
        made = []
        for (name, strategy), measure, (index, pair), seed in product(
            self.strategies.items(), measures, enumerate(self.pairs), self.seeds
        ):
            if measure == ORACLE and pair.painter is None:
                continue
            other = (index + 1) % len(self.pairs)
            lends = [identities[other]] if isinstance(strategy, WrongMap) else []
            inputs = {
                "pairs": [identities[index], *lends],
                "request": request_identity(self.requests[pair.name, seed]),
                "strategy": [strategy.name, asdict(strategy)],
                **settings,
            }
            control = measures[measure]
            key = Key(self.name, pair.name, measure, self.model.name, name, target, seed, control)
            made.append(self._cell(key, inputs, pair, self.pairs[other], strategy))
        return made

    def _cell(
        self, key: Key, inputs: dict[str, Any], pair: Pair, other: Pair, strategy: Strategy
    ) -> Cell:
        def compute(on_progress: OnProgress) -> Outcome:
            assert self._folder is not None
            place = self._folder.path(GENERATED)
            model = CachedGenerator(self.model, place, inputs["generator"])
            step = lambda done, total: on_progress()  # noqa: E731
            target = self.target
            request, measure = self._request(pair, key.seed), self._measure(key.embedder, pair)
            first = generate_measured(model, request, measure, target, None, step)
            if isinstance(strategy, WrongMap):
                theirs, own = self._request(other, key.seed), self._measure(key.embedder, other)
                lead = generate_measured(model, theirs, own, target, None, step)
                found = misled(model, request, measure, strategy, target, first, lead)
            elif isinstance(strategy, Resampling):
                found = moved(first, measure, strategy, target)
            else:
                found = retime_generated(model, request, measure, strategy, target, first, step)
            return self._outcome(key, pair.shown(self._stills), model, request, found)

        alone = pair is other and isinstance(strategy, WrongMap)
        return Cell(key, inputs, compute, "it needs a second pair, whose map it takes" * alone)

    def _measure(self, embedder: str, pair: Pair) -> Measure:
        def by_embedder(clip: GeneratedClip) -> Curve:
            frames = zip(clip.frames, clip_times(clip).tolist(), strict=True)
            return self.measuring.measure(frames, lambda: None).curve

        if embedder == ORACLE:
            return lambda clip: oracle_curve(pair, clip, self.measuring.settings)
        return by_embedder

    def _outcome(
        self,
        key: Key,
        pair: Pair,
        model: CachedGenerator,
        request: Request,
        found: RetimedGeneration,
    ) -> Outcome:
        first, best = found.baseline, found.best
        embedder = None if key.embedder == ORACLE else self.measuring.embedder
        before = judge(pair, first.clip, self.target, embedder)
        after = judge(pair, best.clip, self.target, embedder)
        before |= score(first.curve) | {"target_mae": first.target_mae}
        made_by, shown = model.identity(), conditions(pair, first.clip)
        measured_by = self.measuring.provenance()
        if embedder is None:
            measured_by |= dict.fromkeys(("weights_revision", "weights_hash"), "none: the renderer")
        if isinstance(self.model, DiffusersGenerator):
            settings = as_json(self.model.settings(request))
        else:
            asked = {name: getattr(request, name) for name in ("num_frames", "fps", "steps")}
            settings = json.dumps({name: x for name, x in asked.items() if x is not None})
        values: dict[str, Any] = {
            "frames": len(best.clip.frames),
            "fps": best.clip.fps,
            "duration": float(clip_times(best.clip)[-1]),
            "width": best.clip.frames.shape[2],
            "height": best.clip.frames.shape[1],
            "category": pair.category,
            "source": "generated",
            "notes": "; ".join(best.clip.notes),
            "generator_settings": settings,
            **measured_by,
            "generator": digest(made_by),
            "generator_revision": made_by.get("revision") or "none: known by its hash",
            "generator_weights": digest(made_by["files"]) if made_by.get("files") else NO_WEIGHTS,
            **score(best.curve),
            "target_mae": best.target_mae,
            **after,
            **{f"before_{name}": value for name, value in before.items()},
            "iterations": sum(attempt.warp is not None for attempt in found.attempts),
            "best_iteration": found.attempts.index(best),
            "ended": found.ended,
            **retimed_columns(self.quality, first.clip, best.clip, self.measuring.cache, shown),
        }
        if pair.oracle is not None:
            values["residual_ratio"] = after["residual"] / max(before["residual"], 1e-9)
        outcome = Outcome(values, found.note or no_change_reason(best.curve) or "")
        u = unit_time(best.curve.times)
        columns = {"before": first.curve.progress, "target": pinned(self.target, u)}
        if pair.oracle is not None:
            columns["parameter"] = parameter(pair, best.clip)
            columns["before_parameter"] = parameter(pair, first.clip)
        stem = f"{slug(key.embedder)}/{slug(pair.name)}-{key.seed}/{slug(key.retime)}"
        outcome.add("curve", f"curves/{stem}.csv", curve_table(best.curve, **columns))
        # Listed among the cell's files, so that a damaged one is made again.
        for name, attempt in (("before_file", first), ("file", best)):
            stored = model.path(request, attempt.warp)
            if attempt is not first and attempt.warp is None:
                outcome.add(name, f"resampled/{stem}.npz", pack(attempt.clip))
            else:
                outcome.add(name, f"{GENERATED}/{stored.name}", stored.read_bytes())
        return outcome

    def summarise(self, records: list[Record], folder: RunFolder) -> Summary:
        return summarised(records, folder, self.measuring.embedder, self.strategies, self.target)
