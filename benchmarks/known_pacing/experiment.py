"""Clips whose pacing is known: does the measured progress follow the true one?"""

from collections.abc import Sequence

from benchmarks.harness.cells import Benchmark, Cell, Figure, Summary
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.measuring import Measuring
from benchmarks.harness.records import DONE, Record
from benchmarks.known_pacing.errors import PacingResults
from benchmarks.known_pacing.figures import draw_figures
from benchmarks.known_pacing.rendered import rendered_cell
from benchmarks.known_pacing.studies import ASKED, LAWS, Studies
from benchmarks.known_pacing.tables import sections
from spf.embedders import label
from spf.errors import ConfigError
from spf.video import Sampling
from synthetic.clips import FIRST_HELD_OUT_SEED

CONTENTS = (
    "shape-drop-gear",
    "material-jade-copper",
    "composition-snow-volcano",
    "moon-tissue-dissolve",
    "brick-cat-warp",
    "motorcycle-page-warp",
    "cat-motorcycle-patches",
)
"""Held out: nothing that is measured may have been trained on them."""


class SyntheticPacing(Benchmark):
    """Scenes and photographs that change at a known pace, under motion that means nothing.

    studies : which questions are asked. contents, seeds : the samples. laws : pacing laws of the
    grid. num_frames, size (height, width), fps : of the clips. Raises ConfigError for unknown
    names and impossible clips.
    """

    name = "synthetic_pacing"

    def __init__(
        self,
        measuring: Measuring,
        studies: Sequence[str] = ASKED,
        contents: Sequence[str] = CONTENTS,
        seeds: Sequence[int] = (FIRST_HELD_OUT_SEED, FIRST_HELD_OUT_SEED + 1),
        laws: Sequence[str] = LAWS,
        num_frames: int = 81,
        size: Sequence[int] = (128, 128),
        fps: float = 16.0,
    ) -> None:
        if measuring.sampling != Sampling():
            raise ConfigError("sampling applies to files; rendered clips have num_frames and fps")
        self.measuring = measuring
        self.studies = Studies(studies, contents, seeds, laws, num_frames, size, fps)
        self.clips = self.studies.clips()

    def plan(self) -> str:
        shape = self.studies
        return (
            f"synthetic pacing: {len(self.clips)} rendered clips of {shape.num_frames} frames, "
            f"{shape.size[1]}x{shape.size[0]}, embedder {label(self.measuring.embedder)}"
        )

    def cells(self) -> list[Cell]:
        return [
            rendered_cell(self.name, self.measuring, self.studies, clip, sorted(asked))
            for clip, asked in self.clips.items()
        ]

    def summarise(self, records: list[Record], folder: RunFolder) -> Summary:
        done = [record for record in records if record["status"] == DONE]
        embedder = label(self.measuring.embedder)
        headline = f"{len(done)} of {len(records)} clips measured, embedder {embedder}"
        if not done:
            return Summary(headline, [])
        results = PacingResults.read(done, folder)
        parts = sections(results, embedder)
        for study, path, data, alt in draw_figures(results, embedder):
            folder.write(path, data)
            parts[study].figures.append(Figure(path, alt))
        return Summary(headline, list(parts.values()))
