"""Leaderboard: generators compared on the pairs that they share."""

import json
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks.harness.cells import Benchmark, Cell, Figure, Section, Summary, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.measuring import Measuring
from benchmarks.harness.quality import QUALITY
from benchmarks.harness.records import DONE, FAILED, SCHEMA, Record
from benchmarks.leaderboard.cells import Images, clip_cell
from benchmarks.leaderboard.comparison import LINEARITY, Board, sentences
from benchmarks.leaderboard.figures import pair_figures, pareto_figures
from benchmarks.leaderboard.inputs import identity, merge, read_inputs
from benchmarks.leaderboard.page import PAGE, render_leaderboard
from benchmarks.leaderboard.tables import (
    FILE,
    document,
    left_out_sentence,
    missing_dimensions,
    print_board,
    tables,
)
from spf.commands.output import as_json
from spf.embedders import label
from spf.errors import ConfigError
from spf.files import read_yaml
from spf.generators.folder import Folder, FolderClip
from spf.names import choose, normalized_name, printable
from spf.progress import METRICS
from spf.quality import NoQuality, Quality
from spf.quality.fidelity import FIDELITY

PLAY = "Play the clips of all generators side by side"


class Leaderboard(Benchmark):
    """Measure every clip of every generator, and order the generators by how even they are.

    inputs : run folders, folders of them, or records.parquet files, whose records are compared
    too; with them, no clips of this machine are needed. categories : YAML file that gives pairs
    their category of transition, `PAIR: CATEGORY`. order_by : the metric that orders and ranks, any
    with a direction. Raises ConfigError where the inputs disagree on what measured them.
    """

    name = "leaderboard"

    def __init__(
        self,
        measuring: Measuring,
        model: Folder,
        quality: Quality | None = None,
        inputs: Sequence[str] = (),
        categories: str | None = None,
        order_by: str = LINEARITY,
    ) -> None:
        directed = [name for name, metric in METRICS.items() if metric.direction != "none"]
        self.order_by = choose(order_by, directed, "metric to order by")
        self.measuring = measuring
        self.quality = quality or NoQuality()
        self.categories = read_categories(categories)
        self.model = model if isinstance(model, Folder) and (model.path or not inputs) else None
        if self.model is None and not inputs:
            remedy = "use model=folder model.path=CLIPS (CLIPS/GENERATOR/PAIR.mp4), or inputs=[...]"
            raise ConfigError(f"benchmark=leaderboard measures clips that are there; {remedy}")
        self.images = Images(self.model.images if self.model else None)
        here = {"schema": SCHEMA, "embedder": measuring.embedder.name, **measuring.provenance()}
        self.imported = merge(read_inputs(inputs), None if self.model is None else here)
        self.volatile = bool(inputs)  # the summary reads more than the cells
        known = {identity(record) for record in self.imported}
        for clip in self.clips:
            if (clip.generator, clip.pair, 0) in known:
                name = f"{clip.generator}/{clip.pair}"
                raise ConfigError(f"{name} is in model.path and in an input; leave one out")

    @cached_property
    def clips(self) -> list[FolderClip]:
        """The clips as they were found; listed once, so that plan and cells agree."""
        return [] if self.model is None else self.model.clips()

    def plan(self) -> str:
        if self.model is None:
            return f"leaderboard of {len(self.imported)} records of other runs"
        imported = f", {len(self.imported)} records of other runs" if self.imported else ""
        counts = f"{len({x.generator for x in self.clips})} generators, {len(self.clips)} clips"
        return f"leaderboard of {counts}{imported}, embedder {label(self.measuring.embedder)}"

    def cells(self) -> list[Cell]:
        name, measuring, categories = self.name, self.measuring, self.categories
        quality, images = self.quality, self.images
        return [
            clip_cell(name, measuring, x, "", categories.get(x.pair, ""), quality, True, images)
            for x in self.clips
        ]

    def summarise(self, records: list[Record], folder: RunFolder) -> Summary:
        # A matrix product may round otherwise with another number of threads.
        with threadpool_limits(1, user_api="blas"):
            return self._summarise(records, folder)

    def show(self, folder: RunFolder) -> None:
        """Print the table of a run that is summarised."""
        print_board(json.loads(folder.read(FILE)))

    def _summarise(self, records: list[Record], folder: RunFolder) -> Summary:
        names = {name for record in records for name in record}
        quality = sorted(name for name in names if name.startswith(QUALITY))
        board = Board.of(records, self.order_by)
        found = tables(board, records, [*quality, *(x for x in FIDELITY if x in names)])
        embedder = ", ".join(sorted({label(record["embedder"]) for record in records}))
        own = [record for record in records if not record.get("input")]
        pareto, fronts = pareto_figures(board, quality, folder, embedder)
        counts = Counter(record["status"] for record in records)
        headline = f"{counts[DONE]} of {len(records)} clips measured, {counts[FAILED]} failed"
        lines = sentences(board.groups, board.differences)
        if apart := found.get("leaderboard_left_out"):
            lines += filter(None, [left_out_sentence(board, apart.data)])
        lines += missing_dimensions(records)
        board_rows = document(board, found["leaderboard"].data, lines)
        folder.write(FILE, f"{as_json(board_rows, indent=1)}\n")
        folder.write(PAGE, render_leaderboard(board, records, quality, folder))
        drawn = ["All generators of a pair in one plot."] * bool(own)
        if len(own) < len(records):
            drawn.append("The curves of records of other runs are in those runs' own folders.")
        plots = [
            Figure(x["plot"], f"Progress curve of {x['model']}/{x['clip']}")
            for x in own
            if x.get("plot")
        ]

        def shown(*names: str) -> list[Table]:
            return [found[name] for name in names if name in found]

        main, links = shown("leaderboard", "leaderboard_left_out"), {PLAY: PAGE}
        sections = [
            Section("Leaderboard", lines, main, links=links),
            Section("Differences", [], shown("leaderboard_comparisons", "leaderboard_metrics")),
            Section("Pacing against quality", fronts, [], pareto),
            Section("By category of transition", [], shown("leaderboard_categories")),
            Section("Pairs", [" ".join(drawn)], [], pair_figures(own, folder, embedder)),
            Section("Clips", [], shown("clips"), plots),
        ]
        return Summary(headline, [part for part in sections if part.paragraphs or part.tables])


def read_categories(path: str | None) -> dict[str, str]:
    """Categories by pair, from a YAML file. Raises ConfigError for anything else."""
    if path is None:
        return {}
    found = read_yaml(Path(path))
    if not isinstance(found, dict) or not all(isinstance(x, str) for x in found.values()):
        raise ConfigError(f"categories={path}: expected lines of the form PAIR: CATEGORY")
    return {normalized_name(str(pair)): printable(name) for pair, name in found.items()}
