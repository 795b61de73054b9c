"""The paper's ablation: every embedder on the same clips, rendered and, if given, real ones."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.harness.cells import Cell, OnProgress, Outcome, Section, Summary, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.measuring import Measuring, read_curve
from benchmarks.harness.printing import printer
from benchmarks.harness.records import DONE, FAILED, NOT_RUN, Record
from benchmarks.harness.statistics import median_interval
from benchmarks.harness.store import timings_of
from benchmarks.known_pacing.colours import MEANING, colour_rows, colour_sentences, colour_table
from benchmarks.known_pacing.errors import PacingResults, Row
from benchmarks.known_pacing.rendered import rendered_cell
from benchmarks.known_pacing.studies import CAMERA, Studies
from benchmarks.leaderboard.experiment import clip_cell
from spf.embedders import EMBEDDERS, Embedder, available, label, load_embedder
from spf.errors import ConfigError, UnavailableError
from spf.generators.folder import Folder
from spf.measurement import CORRECTED
from spf.names import choose
from spf.progress.metrics import NO_CHANGE
from synthetic.clips import COLOUR_KEEPING, FIRST_HELD_OUT_SEED, SyntheticClip

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


class EmbedderAblation:
    """Pacing error, motion leakage, robustness, agreement and speed of embedders.

    embedders : words; one that cannot run here stays in the tables as not run, with the reason.
    The word that `embedder=` names is taken with the settings given there. model : with
    model=folder model.path=CLIPS, real clips beside the rendered ones. studies : which questions
    are asked, of ASKED. The rest is as in `synthetic_pacing`. Raises ConfigError for unknown words
    and impossible clips.
    """

    name = "embedder_ablation"

    def __init__(
        self,
        measuring: Measuring,
        model: object = None,
        embedders: Sequence[str] = tuple(EMBEDDERS),
        studies: Sequence[str] = ASKED,
        contents: Sequence[str] = CONTENTS,
        seeds: Sequence[int] = (FIRST_HELD_OUT_SEED,),
        laws: Sequence[str] = ("ease_in_out", "sigmoid_jump"),
        num_frames: int = 81,
        size: Sequence[int] = (128, 128),
        fps: float = 16.0,
    ) -> None:
        if not embedders:
            raise ConfigError("embedders is empty; name at least one")
        for study in studies:
            choose(study, ASKED, "study of the ablation")
        self.studies = Studies(studies, contents, seeds, laws, num_frames, size, fps)
        every = self.studies.clips()
        self.rendered = {clip: asked for clip, asked in every.items() if _shown(clip, asked)}
        self.real = model.clips() if isinstance(model, Folder) and model.path else []
        self.embedders: dict[str, Embedder | UnavailableError] = {}
        for word in dict.fromkeys(choose(name, EMBEDDERS, "embedder") for name in embedders):
            self.embedders[word] = _usable(word, measuring)
        self.measuring = measuring

    def plan(self) -> str:
        usable = [label(word) for word, made in self.embedders.items() if _runs(made)]
        absent = [word for word, made in self.embedders.items() if not _runs(made)]
        more = f", {len(self.real)} real clips" if self.real else ""
        lacking = f"; not run: {', '.join(absent)}" if absent else ""
        return (
            f"embedder ablation: {', '.join(usable)} on {len(self.rendered)} rendered clips{more}"
            f"{lacking}"
        )

    def cells(self) -> list[Cell]:
        return [cell for word in self.embedders for cell in self._cells(word)]

    def _cells(self, word: str) -> Iterator[Cell]:
        made = self.embedders[word]
        if isinstance(made, UnavailableError):
            yield _absent(self.measuring, self.name, word, made)
            return
        measuring = replace(self.measuring, embedder=made)
        for clip, studies in self.rendered.items():
            asked = sorted(studies)
            yield rendered_cell(self.name, measuring, self.studies, clip, asked, f"{word}/")
        for real in self.real:
            yield clip_cell(self.name, measuring, real, f"{word}/")

    def summarise(self, records: list[Record], folder: RunFolder) -> Summary:
        done = [record for record in records if record["status"] == DONE]
        headline = f"{len(done)} of {len(records)} cells measured, {len(self.embedders)} embedders"
        more = bool(set(self.studies.names) - {"colour"})
        rendered = [r for r in done if more and r["source"] == "rendered"]
        real = [record for record in done if record["source"] != "rendered"]
        sections = []
        if more:
            rows = [_row(word, records, folder) for word in self.embedders]
            columns = list(dict.fromkeys(name for row in rows for name in row))
            table = Table.of_rows("ablation", "Embedders", columns, rows, NOTE)
            title = "Which embedder follows the meaning?"
            sections.append(Section(title, [sentence(table)], [table]))
        if "colour" in self.studies.names:
            sections.append(self._colours(records, folder))
        speeds = [_speed_row(word, records, folder) for word in self.embedders]
        speed = Table.of_rows("speed", "Speed", SPEED_COLUMNS, speeds, SPEED_NOTE, timed=True)
        sections[0].tables.append(speed)
        agreement = [
            *agreement_rows("rendered", rendered, folder),
            *agreement_rows("real", real, folder),
        ]
        if agreement:
            table = Table.of_rows(
                "agreement", "Agreement", list(agreement[0]), agreement, AGREEMENT_NOTE
            )
            sections.append(Section("Do embedders agree?", [], [table]))
        return Summary(headline, sections)

    def _colours(self, records: list[Record], folder: RunFolder) -> Section:
        """Which contents favour which embedder."""
        rows: list[Row] = []
        for word in self.embedders:
            own = [record for record in records if record["embedder"] == word]
            done = [r for r in own if r["status"] == DONE and r["source"] == "rendered"]
            found = colour_rows(PacingResults.read(done, folder)) if done else []
            absent = {"status": own[0]["status"], "reason": own[0]["reason"]}
            rows += [{"embedder": label(word), "status": DONE} | row for row in found or [absent]]
        table = colour_table(rows, ("embedder", "status"))
        return Section("Meaning or colour?", [*colour_sentences(table), MEANING], [table])


def _shown(clip: SyntheticClip, asked: set[str]) -> bool:
    """Whether a table shows it: of motion, those of the camera path on its own schedule."""
    if clip.motion is None or asked & {"robustness", "colour"}:
        return True
    return clip.motion.kinds == (CAMERA,) and clip.motion.schedule == "own"


NOTE = (
    "Medians over the clips, 1 is the whole change. error: calibrated error of the pacing without "
    "motion, with a camera path of 10% and of 30% of the frame. same_colours: the three of them on "
    "contents that keep their colours. leakage: change that a camera path of 10% and 30% fakes, as "
    "a share of the morph's. unidentified: share of the time in which the embedder stands still "
    "along the morph, which enters no error (mean). shift: largest change of linearity_mae by "
    "H.264 at crf 35, 20% more or less light, and Gaussian noise of 1% (worst content, then the "
    "median over contents)."
)
AGREEMENT_NOTE = (
    "pace: Spearman's rank correlation of the steps of the two curves of a clip, median over the "
    "clips. order: that of linearity_mae over the clips."
)
SPEED_COLUMNS = ["embedder", "frames_per_second", "status"]
SPEED_NOTE = (
    "Frames a second of rendering (or decoding), preparing and embedding together, with as many "
    "workers beside it as the run had. It differs from run to run and enters no other table."
)


def sentence(table: Table) -> str:
    """What the ablation says: the order of the embedders that were measured on all clips, and
    whether SigLIP is where the paper has it."""
    text = printer(table)
    done = [row for row in table.rows if row["status"] == DONE and row["failed"] == 0]
    done = [row for row in done if np.isfinite([row["error_30"], row["leakage_30"]]).all()]
    absent = [row["embedder"] for row in table.rows if row["status"] == NOT_RUN]
    lacking = f" Not run: {', '.join(absent)}." if absent else ""
    if not done:
        return f"No embedder was measured on all clips.{lacking}"
    order = sorted(done, key=lambda row: row["error_30"])
    listed = "; ".join(f"{row['embedder']} {text(row, 'error_30')}" for row in order)
    least = min(done, key=lambda row: row["leakage_30"])
    siglip = [place for place, row in enumerate(order) if row["embedder"].startswith("siglip")]
    verdict = "SigLIP was not measured, so the paper's order could not be tested"
    if siglip:
        verdict = "SigLIP is best, as in the paper"
        verdict = "SigLIP is not best, unlike in the paper" if siglip[0] else verdict
    return (
        f"The calibrated error under a strong camera path (error_30) is, best first: {listed}. "
        f"Motion fakes the least change with {least['embedder']} (leakage_30 "
        f"{text(least, 'leakage_30')}). {verdict}.{lacking}"
    )


def _usable(word: str, measuring: Measuring) -> Embedder | UnavailableError:
    if word == measuring.embedder.name:
        return measuring.embedder
    try:
        return load_embedder(word, measuring.device)
    except UnavailableError as error:
        return error


def _runs(made: Embedder | UnavailableError) -> bool:
    return not isinstance(made, UnavailableError)


def _absent(measuring: Measuring, benchmark: str, word: str, reason: UnavailableError) -> Cell:
    """The one row of an embedder that cannot run here."""

    def compute(on_progress: OnProgress) -> Outcome:
        raise reason

    key = replace(measuring.key(benchmark, "all clips", "rendered"), embedder=word, control=False)
    # The error names folders of this machine; a table must not.
    why = available()[word] or "its weights are here but cannot be used; spf doctor says more"
    return Cell(key, None, compute, not_run=f"not run: {why}")


def _row(word: str, records: list[Record], folder: RunFolder) -> Row:
    own = [record for record in records if record["embedder"] == word]
    done = [r for r in own if r["status"] == DONE and r["source"] == "rendered"]
    row: Row = {"embedder": label(word), "status": DONE, "reason": "", "clips": len(done)}
    row["failed"] = sum(record["status"] == FAILED for record in own)
    columns = ("error", "same_colours", "leakage")
    numbers = [f"{name}_{level}" for name in columns for level in ("0", "10", "30")]
    numbers.remove("leakage_0")
    others = ("error_30_95", "unidentified", "shift_worst", "shift", "weights")
    row |= dict.fromkeys([*numbers, *others])
    if not done:
        return row | {"status": own[0]["status"], "reason": own[0]["reason"]}
    results = PacingResults.read(done, folder)
    grid, leakage = results.of("grid"), results.of("leakage")
    same = grid[grid["content"].isin(COLOUR_KEEPING)]
    for name, strength in (("0", 0.0), ("10", 0.1), ("30", 0.3)):
        for column, table in (("error", grid), ("same_colours", same)):
            chosen = table[(table["strength"] == strength) & (table["schedule"] == "own")]
            row[f"{column}_{name}"] = chosen["calibrated_error"].median()
            if (column, name) == ("error", "30"):
                row["error_30_95"] = median_interval(chosen["calibrated_error"], f"ablation {word}")
        if strength:
            camera = leakage[
                (leakage["motion_kind"] == "translation") & (leakage["strength"] == strength)
            ]
            row[f"leakage_{name}"] = camera["leakage"].median()
    for name in CORRECTED:
        if name in grid:
            row |= {column: grid[column].median() for column in ("linearity_mae", name)}
    row["unidentified"] = grid["unidentified"].mean()
    shifts = robustness(results.of("robustness"))
    row |= {"shift_worst": shifts.max(), "shift": shifts.median()}
    return row | {"weights": str(results.table["weights_hash"].iloc[0]).partition(":")[0][:12]}


def robustness(table: pd.DataFrame) -> pd.Series:
    """Largest change of linearity_mae among the disturbances of each content's clip."""
    asis = (table["motion"] == "none") & (table["exposure"] == 1.0)
    plain, disturbed = table[asis].set_index("content")["linearity_mae"], table[~asis]
    shifts = (disturbed["linearity_mae"] - disturbed["content"].map(plain)).abs()
    return shifts.groupby(disturbed["content"]).max()


def agreement_rows(source: str, records: list[Record], folder: RunFolder) -> list[Row]:
    """A row for each pair of embedders that measured clips in common."""
    usable = [record for record in records if record["reason"] != NO_CHANGE]
    words = list(dict.fromkeys(record["embedder"] for record in usable))
    measured: dict[str, dict[str, tuple[np.ndarray, float]]] = {word: {} for word in words}
    for record in usable:
        steps = np.diff(read_curve(folder, record)["fitted"].to_numpy())
        name = f"{record['model']}/{record['clip']}"
        measured[record["embedder"]][name] = (steps, record["linearity_mae"])
    rows = []
    for first, second in combinations(words, 2):
        shared = [name for name in measured[first] if name in measured[second]]
        if len(shared) < 3:
            continue
        paces = [
            stats.spearmanr(measured[first][name][0], measured[second][name][0]).statistic
            for name in shared
        ]
        order = stats.spearmanr(
            [measured[first][name][1] for name in shared],
            [measured[second][name][1] for name in shared],
        ).statistic
        rows.append(
            {
                "clips": source,
                "first": label(first),
                "second": label(second),
                "count": len(shared),
                "pace": float(np.nanmedian(paces)),
                "order": float(order),
            }
        )
    return rows


def _speed_row(word: str, records: list[Record], folder: RunFolder) -> Row:
    own = [r for r in records if r["embedder"] == word]
    frames = seconds = 0.0
    for record in own:
        taken = timings_of(folder, record["cell"])
        if record["status"] == DONE and not taken.get("from_cache"):
            frames += record["frames"]
            seconds += taken.get("embed", 0.0)
    speed = frames / seconds if seconds else None
    return {"embedder": label(word), "frames_per_second": speed, "status": own[0]["status"]}
