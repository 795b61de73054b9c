"""The paper's ablation: every embedder on the same clips, rendered and, if there are any, real."""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.embedder_ablation.tables import sections
from benchmarks.harness.cells import Benchmark, Cell, OnProgress, Outcome, Summary
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.measuring import Measuring
from benchmarks.harness.records import DONE, Record
from benchmarks.known_pacing.rendered import rendered_cell
from benchmarks.known_pacing.studies import CAMERA, Studies
from benchmarks.leaderboard.cells import clip_cell
from spf.embedders import EMBEDDERS, Embedder, available, label, load_embedder
from spf.errors import ConfigError, UnavailableError
from spf.generators.folder import Folder
from spf.names import choose
from synthetic.clips import FIRST_HELD_OUT_SEED, SyntheticClip

CONTENTS = (
    "shape-crescent-bolt",
    "material-jade-copper",
    "composition-snow-volcano",
    "arrangement-scatter-pyramid",
    "moon-tissue-dissolve",
    "brick-cat-warp",
    "cat-motorcycle-patches",
    "motorcycle-page-warp",
)
"""Held out: nothing that is measured may have been trained on them."""

ASKED = ("grid", "leakage", "robustness", "colour")


class EmbedderAblation(Benchmark):
    """Pacing error, motion leakage, robustness, agreement and speed of embedders.

    embedders : names, None for all; one that cannot run here stays in the tables as not run, with
    the reason. The one that `embedder=` names has the settings of that option. model : with
    model=folder model.path=CLIPS, real clips beside the rendered ones. studies : which questions
    are asked, of ASKED. The rest is as in `synthetic_pacing`. Raises ConfigError for unknown names
    and impossible clips.
    """

    name = "embedder_ablation"

    def __init__(
        self,
        measuring: Measuring,
        model: object = None,
        embedders: Sequence[str] | None = None,
        studies: Sequence[str] = ASKED,
        contents: Sequence[str] = CONTENTS,
        seeds: Sequence[int] = (FIRST_HELD_OUT_SEED,),
        laws: Sequence[str] = ("ease_in_out", "sigmoid_jump"),
        num_frames: int = 81,
        size: Sequence[int] = (128, 128),
        fps: float = 16.0,
    ) -> None:
        if embedders is not None and not embedders:
            raise ConfigError("embedders is empty; name at least one")
        for study in studies:
            choose(study, ASKED, "study of the ablation")
        self.measuring = measuring
        self.studies = Studies(studies, contents, seeds, laws, num_frames, size, fps)
        every = self.studies.clips()
        self.rendered = {clip: asked for clip, asked in every.items() if _shown(clip, asked)}
        self.real = model.clips() if isinstance(model, Folder) and model.path else []
        chosen = embedders or EMBEDDERS
        names = dict.fromkeys(choose(name, EMBEDDERS, "embedder") for name in chosen)
        self.embedders = {name: _loaded(name, measuring) for name in names}

    def plan(self) -> str:
        absent = [x for x, made in self.embedders.items() if isinstance(made, UnavailableError)]
        available = [label(name) for name in self.embedders if name not in absent]
        real = f", {len(self.real)} real clips" if self.real else ""
        not_run = f"; not run: {', '.join(absent)}" if absent else ""
        clips = f"{len(self.rendered)} rendered clips{real}"
        return f"embedder ablation: {', '.join(available)} on {clips}{not_run}"

    def cells(self) -> list[Cell]:
        cells = []
        for name, made in self.embedders.items():
            if isinstance(made, UnavailableError):
                cells.append(_absent(self.measuring, self.name, name, made))
                continue
            measuring, under = replace(self.measuring, embedder=made), f"{name}/"
            cells += [
                rendered_cell(self.name, measuring, self.studies, clip, sorted(asked), under)
                for clip, asked in self.rendered.items()
            ]
            cells += [clip_cell(self.name, measuring, real, under) for real in self.real]
        return cells

    def summarise(self, records: list[Record], folder: RunFolder) -> Summary:
        done = sum(record["status"] == DONE for record in records)
        headline = f"{done} of {len(records)} cells measured, {len(self.embedders)} embedders"
        return Summary(
            headline, sections(list(self.embedders), self.studies.names, records, folder)
        )


def _shown(clip: SyntheticClip, asked: set[str]) -> bool:
    """Whether a table shows it: of motion, those of the camera path on its own schedule."""
    if clip.motion is None or asked & {"robustness", "colour"}:
        return True
    return clip.motion.kinds == (CAMERA,) and clip.motion.schedule == "own"


def _loaded(name: str, measuring: Measuring) -> Embedder | UnavailableError:
    if name == measuring.embedder.name:
        return measuring.embedder
    try:
        return load_embedder(name, measuring.device)
    except UnavailableError as error:
        return error


def _absent(measuring: Measuring, benchmark: str, name: str, reason: UnavailableError) -> Cell:
    """The one row of an embedder that cannot run here."""

    def compute(on_progress: OnProgress) -> Outcome:
        raise reason

    key = replace(measuring.key(benchmark, "all clips", "rendered"), embedder=name, control=False)
    # The error names folders of this machine; a table must not.
    why = available()[name] or "its weights are here but cannot be used; spf doctor says more"
    return Cell(key, None, compute, not_run=f"not run: {why}")
