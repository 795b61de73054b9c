"""Clips whose pacing is known: does the measured progress follow the true one?"""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas

from benchmarks.cells import Cell, Figure, Key, Outcome, Section, Summary, Table, Watch
from benchmarks.folder import RunFolder, slug
from benchmarks.measuring import Measuring, read_curve
from benchmarks.provenance import code_version
from benchmarks.records import DONE, Record
from spf.embedders import label
from spf.plot import PALETTE, REFERENCE, png
from spf.progress.metrics import mean_absolute
from spf.words import choose
from synthetic.clips import SyntheticClip
from synthetic.laws import law
from synthetic.photographs import PAIRS

LAWS = ("linear", "ease_in", "ease_in_out", "sigmoid_jump", "two_jumps", "plateau")
CONTENTS = (
    "cat-motorcycle-dissolve",
    "cat-motorcycle-warp",
    "astronaut-coffee-dissolve",
    "astronaut-coffee-warp",
)

Row = dict[str, Any]


class SyntheticPacing:
    """Photographs that become one another at a known pace, measured against the truth.

    laws, contents : words of `synthetic`; every combination is a clip. num_frames, size (height,
    width), fps, seed : of the clips. Raises ConfigError for unknown words and impossible clips.
    """

    name = "synthetic_pacing"

    def __init__(
        self,
        measuring: Measuring,
        laws: Sequence[str] = LAWS,
        contents: Sequence[str] = CONTENTS,
        num_frames: int = 81,
        size: Sequence[int] = (128, 128),
        fps: float = 16.0,
        seed: int = 0,
    ) -> None:
        self.measuring = measuring
        known = {pair.name: pair for pair in PAIRS}
        self.clips = [
            SyntheticClip(
                known[choose(content, known, "content")],
                law(name),
                num_frames=num_frames,
                size=(size[0], size[1]),
                fps=fps,
                seed=seed,
            )
            for content in contents
            for name in laws
        ]

    def plan(self) -> str:
        first = self.clips[0]
        return (
            f"synthetic pacing: {len(self.clips)} rendered clips of {first.num_frames} frames, "
            f"{first.size[1]}x{first.size[0]}, embedder {label(self.measuring.embedder)}"
        )

    def cells(self) -> list[Cell]:
        return [self._cell(clip) for clip in self.clips]

    def _cell(self, clip: SyntheticClip) -> Cell:
        key = Key(
            self.name,
            f"{clip.content.name}/{clip.law.name}",
            self.measuring.embedder.name,
            "synthetic",
            seed=clip.seed,
        )
        inputs = {
            "clip": clip.identity(),
            **self.measuring.inputs(),
            "renderer": code_version("synthetic", "benchmarks.synthetic_pacing"),
        }

        def compute(watch: Watch) -> Outcome:
            frames = zip(clip.frames(), clip.times, strict=True)
            stem = f"{slug(clip.content.name)}/{slug(clip.law.name)}"
            outcome = self.measuring.outcome(frames, key.clip, stem, watch)
            outcome.values |= {"content": clip.content.name, "law": clip.law.name}
            outcome.values |= {"source": "rendered", "held_out": clip.held_out}
            curve = np.genfromtxt(
                outcome.files[outcome.links["curve"]].decode().splitlines(),
                delimiter=",",
                names=True,
            )
            truth = clip.truth()
            outcome.values |= pacing_errors(curve["progress"], truth, clip.shares)
            return outcome

        return Cell(key, inputs, compute)

    def summarise(self, records: list[Record], folder: RunFolder) -> Summary:
        done = [record for record in records if record["status"] == DONE]
        embedder = label(self.measuring.embedder)
        rows = law_rows(done)
        table = Table("synthetic_pacing", "Error of the measured progress", COLUMNS, rows, NOTE)
        figures = []
        if done:
            path = "truth.png"
            folder.write(path, _small_multiples(done, folder, self.clips, embedder))
            figures.append(Figure(path, "Measured against true progress for every law and content"))
        paragraphs = [sentence(rows, embedder)] if rows else ["No clip could be measured."]
        return Summary(
            f"{len(done)} of {len(records)} clips measured",
            [Section("Measured against true pacing", paragraphs, [table], figures)],
        )


COLUMNS = ["law", "clips", "true_linearity_mae", "linearity_mae", "raw_error", "raw_error_max"]
NOTE = (
    "raw_error: time average of |S - g|, the measured against the true progress, median over the "
    "contents; raw_error_max: the largest |S - g|, likewise. An embedder's distance along a morph "
    "is not the morph's own parameter, so the raw error of a perfect measurement is not 0."
)


def pacing_errors(progress: np.ndarray, truth: np.ndarray, u: np.ndarray) -> dict[str, float]:
    """Raw errors |S - g| of a measured curve, all arrays (T,); and the true unevenness."""
    return {
        "raw_error": mean_absolute(progress - truth, u),
        "raw_error_max": float(np.abs(progress - truth).max()),
        "true_linearity_mae": mean_absolute(truth - u, u),
    }


def law_rows(records: list[Record]) -> list[Row]:
    """One row for each law, in the order of the clips; medians over the contents."""
    by_law: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_law[record["law"]].append(record)
    return [
        {"law": name, "clips": len(members)}
        | {column: median(record[column] for record in members) for column in COLUMNS[2:]}
        for name, members in by_law.items()
    ]


def sentence(rows: list[Row], embedder: str) -> str:
    """What the table says, in one line computed from it."""
    best, worst = (pick(rows, key=lambda row: row["raw_error"]) for pick in (min, max))
    typical = median(row["raw_error"] for row in rows)
    return (
        f"With the embedder {embedder} the measured progress lies {typical:.3f} from the truth "
        f"(median over the laws; 1 is the whole change), closest for {best['law']} "
        f"({best['raw_error']:.3f}), farthest for {worst['law']} ({worst['raw_error']:.3f})."
    )


def _small_multiples(
    records: list[Record], folder: RunFolder, clips: list[SyntheticClip], embedder: str
) -> bytes:
    """PNG: a panel for each law; the truth and the measured curve of every content."""
    truths = {clip.law.name: (clip.shares, clip.truth()) for clip in clips}
    columns = min(3, len(truths))
    lines = -(-len(truths) // columns)
    canvas = Canvas(figsize=(3.4 * columns, 2.9 * lines + 0.5), dpi=110, layout="constrained")
    panels = canvas.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (name, (u, truth)) in zip(panels, truths.items(), strict=False):
        measured = [record for record in records if record["law"] == name]
        for number, record in enumerate(measured):
            curve = read_curve(folder, record)
            colour = PALETTE[number % len(PALETTE)]
            axes.plot(curve["u"], curve["progress"], color=colour, lw=1.4, label=record["content"])
        axes.plot(u, truth, "--", color=REFERENCE, lw=1.6, label="truth")
        axes.set_title(name.replace("_", " "), loc="left", fontsize=10)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(truths) :]:
        axes.set_axis_off()
    handles, names = panels[0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside lower center", ncols=min(5, len(names)), fontsize=8)
    canvas.suptitle(f"progress over time, embedder {embedder}", x=0.01, ha="left", fontsize=11)
    return png(canvas)
