"""Leaderboard: generators compared on the pairs that they share."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from threadpoolctl import threadpool_limits

from benchmarks.ranking.figures import pareto_figures
from benchmarks.ranking.groups import SHOWN, generator_of, groups_of
from benchmarks.ranking.inputs import read_inputs
from benchmarks.ranking.merging import identity, measured_here, merge
from benchmarks.ranking.rows import (
    CATEGORY_COLUMNS,
    COLUMNS,
    COMPARISON_COLUMNS,
    METRIC_COLUMNS,
    Row,
    board_rows,
    category_rows,
    comparison_rows,
    metric_rows,
)
from benchmarks.ranking.standing import Standing, power_sentences, sentence
from benchmarks.running.cells import Cell, Figure, Outcome, Section, Summary, Table, Watch
from benchmarks.running.folder import RunFolder, slug
from benchmarks.running.records import DONE, FAILED, Record
from benchmarks.scoring.measuring import Measuring, read_curve
from benchmarks.scoring.quality import QUALITY, clip_columns, quality_inputs
from benchmarks.scoring.statistics import MINIMAL_RANKED_PAIRS
from spf.embedders import label
from spf.errors import ClipError, ConfigError
from spf.generators.folder import Folder, FolderClip, clip_digest, printable
from spf.plot import plot_overlay
from spf.progress.metrics import NO_CHANGE
from spf.quality import NoQuality, Quality
from spf.yaml_files import read_yaml

CLIP_COLUMNS = [
    "generator",
    "pair",
    "seed",
    "category",
    "status",
    "reason",
    "notes",
    "frames",
    "duration",
    *SHOWN,
    "embedder",
    "input",
]
NOTE = (
    "Means over the pairs of a group (over its seeds first): generators are compared only with "
    "those that have exactly the same clips. One that lacks a clip is not placed, and its means "
    "are over those it has. rank: 1 + the generators that are told apart as better; tied_with: "
    "places in the order of those that are not told apart, by Holm-corrected paired sign-flip "
    "tests at 5%. interval_95: studentised bootstrap over the pairs. best: how often it is the "
    f"most even of resampled pairs. With fewer than {MINIMAL_RANKED_PAIRS} common pairs there is "
    "an order, but no rank and no interval: so few clips cannot tell generators apart."
)
COMPARISON_NOTE = (
    "Against the most even generator and the next more even one. difference: mean over the pairs "
    "of this generator's linearity_mae less the other's. effect: Hedges' g of the paired "
    "differences. superiority: share of the pairs on which this one is more even. p_holm: "
    "corrected for all comparisons of the group. detectable: smallest true difference that is "
    "shown with a probability of 80%; empty where so few pairs show none."
)


class Leaderboard:
    """Measure every clip of every generator, and order the generators by how even they are.

    inputs : run folders, folders of them, or records.parquet files, whose records are compared
    too; with them, no clips of this machine are needed. categories : YAML file that gives pairs
    their category of transition, `PAIR: CATEGORY`. Raises ConfigError where the inputs disagree on
    what measured them.
    """

    name = "leaderboard"

    def __init__(
        self,
        measuring: Measuring,
        model: Folder,
        quality: Quality | None = None,
        inputs: Sequence[str] = (),
        categories: str | None = None,
    ) -> None:
        self.measuring = measuring
        self.quality = quality or NoQuality()
        self.categories = read_categories(categories)
        self.model = model if isinstance(model, Folder) and (model.path or not inputs) else None
        if self.model is None and not inputs:
            remedy = "use model=folder model.path=CLIPS (CLIPS/GENERATOR/PAIR.mp4), or inputs=[...]"
            raise ConfigError(f"benchmark=leaderboard measures clips that are there; {remedy}")
        here = measured_here(measuring.provenance(), measuring.embedder.name)
        self.imported = merge(read_inputs(inputs), None if self.model is None else here)
        self.volatile = bool(inputs)  # the summary reads more than the cells
        known = {identity(record) for record in self.imported}
        for clip in self.clips:
            if (clip.generator, clip.pair, 0) in known:
                raise ConfigError(
                    f"{clip.generator}/{clip.pair} is in model.path and in an input; keep one"
                )

    @cached_property
    def clips(self) -> list[FolderClip]:
        """The clips as they were found; listed once, so that plan and cells agree."""
        return [] if self.model is None else self.model.clips()

    def plan(self) -> str:
        imported = f", {len(self.imported)} records of other runs" if self.imported else ""
        if self.model is None:
            return f"leaderboard of {len(self.imported)} records of other runs"
        generators = len({clip.generator for clip in self.clips})
        return (
            f"leaderboard of {generators} generators, {len(self.clips)} clips{imported}, "
            f"embedder {label(self.measuring.embedder)}"
        )

    def cells(self) -> list[Cell]:
        return [
            clip_cell(
                self.name,
                self.measuring,
                clip,
                category=self.categories.get(clip.pair, ""),
                quality=self.quality,
            )
            for clip in self.clips
        ]

    def summarise(self, records: list[Record], folder: RunFolder) -> Summary:
        # A matrix product may round otherwise with another number of threads.
        with threadpool_limits(1, user_api="blas"):
            return self._summarise(records, folder)

    def _summarise(self, records: list[Record], folder: RunFolder) -> Summary:
        columns = {name for record in records for name in record}
        names = sorted(name for name in columns if name.startswith(QUALITY))
        standings = [Standing.of(group) for group in groups_of(records)]
        rows = board_rows(standings)
        embedder = ", ".join(sorted({label(record["embedder"]) for record in records}))
        own = [record for record in records if not record.get("input")]
        overlays = _overlays(own, folder, embedder)
        pareto, said = pareto_figures(standings, names, folder, embedder)
        measured = sum(record["status"] == DONE for record in records)
        failed = sum(record["status"] == FAILED for record in records)
        headline = f"{measured} of {len(records)} clips measured, {failed} failed"
        board = Table("leaderboard", "Generators by evenness of pacing", COLUMNS, rows, NOTE)
        sections = [
            Section("Leaderboard", [sentence(rows), *power_sentences(standings)], [board]),
            Section(
                "What tells them apart",
                [],
                _filled(
                    Table(
                        "leaderboard_comparisons",
                        "Differences between generators",
                        COMPARISON_COLUMNS,
                        comparison_rows(standings),
                        COMPARISON_NOTE,
                    ),
                    Table(
                        "leaderboard_metrics",
                        "Every metric with its interval",
                        METRIC_COLUMNS,
                        metric_rows(standings, names),
                        "Generators with a rank. better: the direction that is.",
                    ),
                ),
            ),
            Section("Pacing against quality", said, [], pareto),
            Section(
                "By category of transition",
                [],
                _filled(
                    Table(
                        "leaderboard_categories",
                        "The leaderboard of each category by itself",
                        CATEGORY_COLUMNS,
                        category_rows(records),
                    )
                ),
            ),
            Section("Pairs", [_where(own, records)], [], overlays),
            Section("Clips", [], [_clips_table(records, names)], _plots(own)),
        ]
        return Summary(headline, [part for part in sections if part.paragraphs or part.tables])


def read_categories(path: str | None) -> dict[str, str]:
    """Categories by pair, from a YAML file. Raises ConfigError for anything else."""
    if path is None:
        return {}
    try:
        found = read_yaml(Path(str(path)).expanduser())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())[:120]
        raise ConfigError(f"categories={path}: cannot be read ({why}); check the file") from None
    if not isinstance(found, dict) or not all(isinstance(x, str) for x in found.values()):
        raise ConfigError(f"categories={path}: expected lines of the form PAIR: CATEGORY")
    return {str(pair): printable(category) for pair, category in found.items()}


def clip_cell(
    benchmark: str,
    measuring: Measuring,
    clip: FolderClip,
    under: str = "",
    category: str = "",
    quality: Quality | None = None,
) -> Cell:
    """The cell of a clip of a folder: measured and scored, with its curve and plot; `under` begins
    the names of its files."""
    key = measuring.key(benchmark, clip.pair, clip.generator)
    name = f"{clip.generator}/{printable(clip.path.name)}"
    content = clip_digest(clip)
    quality = quality or NoQuality()
    known = {"source": name, "category": category, **quality_inputs(quality), **measuring.inputs()}
    inputs = None if content is None else {"clip": content, **known}

    def compute(watch: Watch) -> Outcome:
        if clip.problem is not None:
            raise clip.problem
        try:
            measured = measuring.measure(clip.path, watch)
        except ClipError as error:
            # By its place among the clips: rows must not depend on how the path was typed.
            raise ClipError(name, error.reason, error.remedy) from None
        stem = f"{under}{slug(clip.generator)}/{slug(clip.pair)}"
        outcome = measuring.outcome(measured, stem, f"{clip.generator}/{clip.pair}")
        outcome.values |= {"source": name, "category": category}
        outcome.values |= clip_columns(quality, clip.path, measuring.cache)
        if clip_digest(clip) != content:
            raise ClipError(name, "it changed while it was read", "start again")
        return outcome

    return Cell(key, inputs, compute)


def _overlays(records: list[Record], folder: RunFolder, embedder: str) -> list[Figure]:
    """One plot for each pair that several generators have."""
    pairs: dict[str, dict[str, Any]] = defaultdict(dict)
    for record in records:
        if record["status"] == DONE and record["reason"] != NO_CHANGE:
            curve = read_curve(folder, record)
            pairs[record["clip"]][record["model"]] = (curve["u"], curve["progress"])
    figures = []
    for pair, curves in sorted(pairs.items()):
        path = f"pairs/{slug(pair)}.png"
        folder.write(path, plot_overlay(curves, pair, f"embedder {embedder}"))
        names = ", ".join(curves)
        figures.append(Figure(path, f"Progress curves of pair {pair} by {names}", pair))
    return figures


def _where(own: list[Record], records: list[Record]) -> str:
    """Which curves are drawn here."""
    said = "All generators of a pair in one plot." if own else ""
    if len(own) < len(records):
        said += " The curves of records of other runs are in those runs' own folders."
    return said.strip()


def _plots(records: list[Record]) -> list[Figure]:
    return [
        Figure(record["plot"], f"Progress curve of {record['model']}/{record['clip']}")
        for record in records
        if record.get("plot")
    ]


def _clips_table(records: list[Record], quality: list[str]) -> Table:
    """Every clip; the seed where there are several."""
    columns = [*CLIP_COLUMNS, *quality]
    if len({record["seed"] for record in records}) < 2:
        columns.remove("seed")
    return Table("clips", "Every clip", columns, [_clip_row(record, columns) for record in records])


def _clip_row(record: Record, columns: list[str]) -> Row:
    row = {name: record.get(name) for name in columns}
    return row | {
        "generator": generator_of(record),
        "pair": record["clip"],
        "embedder": label(record["embedder"]),
    }


def _filled(*tables: Table) -> list[Table]:
    """The tables that have rows."""
    return [table for table in tables if table.rows]
