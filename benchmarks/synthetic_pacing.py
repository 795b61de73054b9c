"""Clips whose pacing is known: does the measured progress follow the true one?"""

from collections.abc import Sequence
from typing import Any

from benchmarks import truth, truth_tables
from benchmarks.cells import Cell, Figure, Outcome, Section, Summary, Watch
from benchmarks.folder import RunFolder, slug
from benchmarks.measuring import Measuring, curve_table
from benchmarks.pacing_measures import PixelSteps, consecutive_measures, running_sum_mae
from benchmarks.provenance import code_version
from benchmarks.records import DONE, Record
from benchmarks.studies import LAWS, STUDIES, Studies, clip_name, reference_name
from benchmarks.truth_figures import draw_figures
from spf import no_change_reason
from spf.embedders import label
from spf.errors import ConfigError
from spf.progress import fit
from spf.video import Sampling
from spf.words import choose
from synthetic.clips import FIRST_HELD_OUT_SEED, Still, SyntheticClip

CONTENTS = (
    "shape-drop-gear",
    "material-jade-copper",
    "composition-snow-volcano",
    "moon-tissue-dissolve",
    "brick-cat-warp",
    "motorcycle-page-warp",
)
"""Held out: nothing that is measured may have been trained on them."""

CODE = ("benchmarks.synthetic_pacing", "benchmarks.truth", "benchmarks.pacing_measures")
"""Modules whose change makes another result of a cell."""


class SyntheticPacing:
    """Scenes and photographs that change at a known pace, under motion that means nothing.

    studies : which questions are asked. contents, seeds : the samples. laws : pacing laws of the
    grid. num_frames, size (height, width), fps : of the clips. Raises ConfigError for unknown
    words and impossible clips.
    """

    name = "synthetic_pacing"

    def __init__(
        self,
        measuring: Measuring,
        studies: Sequence[str] = STUDIES,
        contents: Sequence[str] = CONTENTS,
        seeds: Sequence[int] = (FIRST_HELD_OUT_SEED, FIRST_HELD_OUT_SEED + 1),
        laws: Sequence[str] = LAWS,
        num_frames: int = 81,
        size: Sequence[int] = (128, 128),
        fps: float = 16.0,
    ) -> None:
        samples = {"studies": studies, "contents": contents, "seeds": seeds, "laws": laws}
        for name, words in samples.items():
            if not words:
                raise ConfigError(f"{name} is empty; name at least one")
        for study in studies:
            choose(study, STUDIES, "study")
        if not all(isinstance(seed, int) for seed in seeds):
            raise ConfigError(f"seeds={list(seeds)!r} must be whole numbers")
        if not (isinstance(size, Sequence) and len(size) == 2):
            raise ConfigError(f"size={size!r} must be [height, width]")
        if measuring.sampling != Sampling():
            raise ConfigError("sampling applies to files; rendered clips have num_frames and fps")
        self.measuring = measuring
        self.studies = Studies(studies, contents, seeds, laws, num_frames, (size[0], size[1]), fps)
        self.clips = self.studies.clips()

    def plan(self) -> str:
        shape = self.studies
        return (
            f"synthetic pacing: {len(self.clips)} rendered clips of {shape.num_frames} frames, "
            f"{shape.size[1]}x{shape.size[0]}, embedder {label(self.measuring.embedder)}"
        )

    def cells(self) -> list[Cell]:
        return [self._cell(clip, sorted(studies)) for clip, studies in self.clips.items()]

    def _cell(self, clip: SyntheticClip, studies: list[str]) -> Cell:
        name = clip_name(clip)
        key = self.measuring.key(self.name, name, "rendered", clip.seed)
        inputs = {
            "clip": clip.identity(),
            "studies": studies,
            **self.measuring.inputs(),
            "renderer": code_version("synthetic", *CODE),
        }

        def compute(watch: Watch) -> Outcome:
            pixels = PixelSteps()
            frames = zip(clip.frames(), clip.times, strict=True)
            measured = self.measuring.measure(frames, watch, lambda image, _: pixels.add(image))
            stem = slug(name)
            outcome = self.measuring.outcome(measured, stem)
            curve, vectors = measured.curve, measured.embeddings.vectors
            settings = vars(self.measuring.settings) | {"noise": "nugget"}
            corrected = fit(vectors, clip.times, **settings)
            outcome.files[f"curves/{stem}.csv"] = curve_table(
                curve, truth=clip.truth(), corrected=corrected.progress
            )
            outcome.values |= self._about(clip, studies)
            outcome.values |= truth.raw_errors(curve.progress, clip.truth(), clip.shares)
            outcome.values |= consecutive_measures(vectors, clip.shares)
            outcome.values["pixel_mae"] = running_sum_mae(pixels.as_array(), clip.shares)
            outcome.values["corrected_reason"] = no_change_reason(corrected) or ""
            outcome.values["jump_error"] = truth.jump_error(curve, clip.law)
            return outcome

        return Cell(key, inputs, compute)

    def _about(self, clip: SyntheticClip, studies: list[str]) -> dict[str, Any]:
        """Columns that say what the clip is."""
        shape = self.studies
        return {
            "content": clip.content.name,
            "still": isinstance(clip.content, Still),
            "law": clip.law.name,
            "law_parameters": ", ".join(f"{key}={value:g}" for key, value in clip.law.parameters),
            "steepness": dict(clip.law.parameters).get("steepness"),
            "motion": clip.motion.name if clip.motion else "none",
            "motion_kind": "+".join(clip.motion.kinds) if clip.motion else "none",
            "strength": clip.motion.strength if clip.motion else 0.0,
            "timing": clip.timing,
            "studies": ";".join(studies),
            "reference": reference_name(clip, shape.num_frames, shape.fps),
            "held_out": clip.held_out,
            "source": "rendered",
        }

    def summarise(self, records: list[Record], folder: RunFolder) -> Summary:
        done = [record for record in records if record["status"] == DONE]
        embedder = label(self.measuring.embedder)
        headline = f"{len(done)} of {len(records)} clips measured, embedder {embedder}"
        if not done:
            return Summary(headline, [])
        results = truth.Results.read(done, folder)
        figures = draw_figures(results, embedder)
        for path, (data, _) in figures.items():
            folder.write(path, data)
        sections = [
            Section(
                part.title,
                part.paragraphs(embedder),
                part.tables,
                [Figure(path, alt) for path, (_, alt) in figures.items() if path in part.figures],
            )
            for part in truth_tables.parts(results, embedder)
        ]
        return Summary(headline, sections)
