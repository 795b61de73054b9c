"""Leaderboard: generators compared on the pairs that they share."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.cells import Cell, Figure, Outcome, Section, Summary, Table, Watch
from benchmarks.folder import RunFolder, slug
from benchmarks.measuring import Measuring, read_curve
from benchmarks.provenance import digest, file_digest
from benchmarks.records import DONE, FAILED, Record
from spf.embedders import label
from spf.errors import ClipError, ConfigError
from spf.generators.folder import Folder, FolderClip, frames_of, printable
from spf.plot import plot_overlay
from spf.progress.metrics import MINIMAL_RANKED_FRAMES, NO_CHANGE

MINIMAL_RANKED_PAIRS = 6
"""Common pairs below which there is an order, but neither intervals nor ranks."""

ORDER_BY = "linearity_mae"
SHOWN = [
    "linearity_mae",
    "linearity_max",
    "peak_speed_64",
    "speed_cv_64",
    "pacing_entropy_64",
    "stall_fraction",
    "total_change",
]
"""Those that depend on the number of frames are compared on 64 equal steps of time."""

Row = dict[str, Any]


class Leaderboard:
    """Measure every clip of every generator, and order the generators by how even they are."""

    name = "leaderboard"

    def __init__(self, measuring: Measuring, model: Folder) -> None:
        if not isinstance(model, Folder):
            remedy = "use model=folder model.path=CLIPS (CLIPS/GENERATOR/PAIR.mp4)"
            raise ConfigError(f"benchmark=leaderboard measures clips that are there; {remedy}")
        self.measuring = measuring
        self.model = model

    @cached_property
    def clips(self) -> list[FolderClip]:
        """The clips as they were found; listed once, so that plan and cells agree."""
        return self.model.clips()

    def plan(self) -> str:
        generators = len({clip.generator for clip in self.clips})
        return (
            f"leaderboard of {generators} generators, {len(self.clips)} clips, "
            f"embedder {label(self.measuring.embedder)}"
        )

    def cells(self) -> list[Cell]:
        return [clip_cell(self.name, self.measuring, clip) for clip in self.clips]

    def summarise(self, records: list[Record], folder: RunFolder) -> Summary:
        rows = leaderboard_rows(records)
        overlays = _overlays(records, folder, label(self.measuring.embedder))
        measured = sum(record["status"] == DONE for record in records)
        failed = sum(record["status"] == FAILED for record in records)
        headline = f"{measured} of {len(records)} clips measured, {failed} failed"
        board = Table("leaderboard", "Generators by evenness of pacing", COLUMNS, rows, NOTE)
        clips = [_clip_row(record) for record in records]
        plots = [
            Figure(record["plot"], f"Progress curve of {record['model']}/{record['clip']}")
            for record in records
            if record.get("plot")
        ]
        return Summary(
            headline,
            [
                Section("Leaderboard", [sentence(rows)], [board]),
                Section("Pairs", ["All generators of a pair in one plot."], [], overlays),
                Section("Clips", [], [Table("clips", "Every clip", CLIP_COLUMNS, clips)], plots),
            ],
        )


COLUMNS = [
    "group",
    "order",
    "rank",
    "generator",
    "remark",
    *SHOWN[:1],
    "interval_95",
    *SHOWN[1:],
    "pairs",
    "measured",
    "failed",
    "no_change",
    "too_short",
    "embedder",
]
CLIP_COLUMNS = [
    "generator",
    "pair",
    "status",
    "reason",
    "notes",
    "frames",
    "duration",
    *SHOWN,
    "embedder",
]
NOTE = (
    "Means over the pairs of a group: generators are compared only with those that have exactly "
    "the same pairs. One that lacks a pair is not placed, and its means are over the pairs it has. "
    f"With fewer than {MINIMAL_RANKED_PAIRS} common pairs there is an order, but no rank and no "
    "interval: so few clips cannot tell generators apart."
)


def clip_cell(benchmark: str, measuring: Measuring, clip: FolderClip, under: str = "") -> Cell:
    """The cell of a clip of a folder: measured, with its curve and plot; `under` begins the names
    of its files."""
    key = measuring.key(benchmark, clip.pair, clip.generator)
    name = f"{clip.generator}/{printable(clip.path.name)}"
    content = clip_digest(clip)
    inputs = None if content is None else {"clip": content, **measuring.inputs()}

    def compute(watch: Watch) -> Outcome:
        if clip.problem is not None:
            raise clip.problem
        try:
            measured = measuring.measure(clip.path, watch)
        except ClipError as error:
            # By its place among the clips: rows must not depend on how the path was typed.
            raise ClipError(name, error.reason, error.remedy) from None
        if clip_digest(clip) != content:
            raise ClipError(name, "it changed while it was read", "start again")
        stem = f"{under}{slug(clip.generator)}/{slug(clip.pair)}"
        outcome = measuring.outcome(measured, stem, f"{clip.generator}/{clip.pair}")
        outcome.values["source"] = name
        return outcome

    return Cell(key, inputs, compute)


def clip_digest(clip: FolderClip) -> str | None:
    """Hash of the bytes that a clip is read from; None where they cannot be read."""
    try:
        if clip.problem is not None:
            return None
        if clip.path.is_dir():
            return digest([[path.name, file_digest(path)] for path in frames_of(clip.path)])
        return file_digest(clip.path)
    except OSError:
        return None  # computing the cell will say what is wrong with it


def leaderboard_rows(records: Iterable[Record]) -> list[Row]:
    """One row for each generator, best first within each group of generators with equal pairs.

    A generator that lacks a usable measurement of any pair of its group is shown unranked.
    """
    by_generator: dict[str, dict[str, Record]] = defaultdict(dict)
    for record in sorted(records, key=lambda record: record["clip"]):
        by_generator[record["model"]][record["clip"]] = record
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for generator, clips in by_generator.items():
        groups[tuple(sorted(clips))].append(generator)
    rows: list[Row] = []
    largest_first = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    for number, (pairs, generators) in enumerate(largest_first, start=1):
        made = [_row(name, by_generator[name], number) for name in sorted(generators)]
        complete = [row for row in made if row["measured"] == len(pairs)]
        complete.sort(key=lambda row: (row[ORDER_BY], row["generator"]))
        compared = len(complete) > 1
        ranked = compared and len(pairs) >= MINIMAL_RANKED_PAIRS
        for row in complete:
            place = 1 + sum(other[ORDER_BY] < row[ORDER_BY] for other in complete)  # ties share
            row["order"] = place if compared else None
            row["rank"] = place if ranked else None
            if ranked:
                row["interval_95"] = _interval(by_generator[row["generator"]].values())
            if not compared:
                row["remark"] = "no other complete generator has exactly its pairs"
            elif not ranked:
                row["remark"] = f"order only: {len(pairs)} common pair(s)"
        incomplete = [row for row in made if row["measured"] < len(pairs)]
        for row in incomplete:
            row["remark"] = "unranked: pairs are missing"
        rows += complete + incomplete
    return rows


def sentence(rows: list[Row]) -> str:
    """What the leaderboard says, in one line computed from it."""
    ordered = [row for row in rows if row["order"] is not None]
    if not ordered:
        return "No two generators share complete pairs, so none is placed before another."
    parts = []
    for group in sorted({row["group"] for row in ordered}):
        members = [row for row in ordered if row["group"] == group]
        best, worst = members[0], members[-1]
        kind = "ranked" if best["rank"] is not None else "in order, without rank"
        parts.append(
            f"Group {group} ({kind}): most even {best['generator']} "
            f"(linearity_mae {best[ORDER_BY]:.4f}), least even {worst['generator']} "
            f"({worst[ORDER_BY]:.4f})."
        )
    return " ".join(parts)


def _usable(record: Record) -> bool:
    """Whether a clip may take part in a comparison."""
    return (
        record["status"] == DONE
        and record["reason"] != NO_CHANGE
        and record["frames"] >= MINIMAL_RANKED_FRAMES
    )


def _row(generator: str, clips: dict[str, Record], group: int) -> Row:
    records = list(clips.values())
    usable = [record for record in records if _usable(record)]
    done = [record for record in records if record["status"] == DONE]
    row: Row = dict.fromkeys(COLUMNS)
    row |= {
        "group": group,
        "generator": generator,
        "embedder": label(records[0]["embedder"]),
        "pairs": len(records),
        "measured": len(usable),
        "failed": sum(record["status"] == FAILED for record in records),
        "no_change": sum(record["reason"] == NO_CHANGE for record in done),
        "too_short": sum(record["frames"] < MINIMAL_RANKED_FRAMES for record in done),
        "remark": "",
    }
    if usable:
        row |= {name: float(np.mean([record[name] for record in usable])) for name in SHOWN}
    return row


def _interval(records: Iterable[Record]) -> str:
    """95% bootstrap interval (percentile, 9,999 resamples) of the mean over the pairs."""
    values = [record[ORDER_BY] for record in records]
    seed = np.random.default_rng(int(digest(["leaderboard", ORDER_BY]), 16))
    result = stats.bootstrap((values,), np.mean, method="percentile", rng=seed)
    low, high = result.confidence_interval
    return f"{low:.4f} .. {high:.4f}"


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


def _clip_row(record: Record) -> Row:
    row = {name: record.get(name) for name in CLIP_COLUMNS}
    return row | {
        "generator": record["model"],
        "pair": record["clip"],
        "embedder": label(record["embedder"]),
    }
