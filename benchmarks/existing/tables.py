"""What the rows of `retime_existing` are worth together."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from benchmarks.existing.clips import DEFINITIONS, ExistingClip
from benchmarks.generated.figures import Pacing, best_of
from benchmarks.generated.strategies import defaults_of, described
from benchmarks.harness.cells import Figure, Section, Summary, Table
from benchmarks.harness.folder import RunFolder, slug
from benchmarks.harness.measuring import read_curve
from benchmarks.harness.quality import paired_table
from benchmarks.harness.quality import sentence as quality_sentence
from benchmarks.harness.records import (
    DONE,
    FAILED,
    NOT_RUN,
    Record,
    counted,
    generator_label,
    printer,
)
from benchmarks.harness.report.players import REGENERATED, RESAMPLED, UNTOUCHED, kind_of
from benchmarks.harness.statistics import median_interval, medians
from spf.embedders import Embedder, label
from spf.errors import ClipError
from spf.figures import plot_overlay, side_by_side
from spf.pacing.strategies import Strategy
from spf.pacing.targets import Linear, Target
from spf.video import Reader, write_mp4

FILMS = 3
"""Clips that are shown beside their results."""

MEDIANS = [
    f"{prefix}{name}"
    for name in ("linearity_mae", "target_mae", "true_target_mae", "true_peak_step")
    for prefix in ("before_", "")
]
MEDIANS += ["before_repeated_frames", "repeated_frames", "source_distance", "before_residual"]
MEDIANS += ["residual", "plain_target_mae"]
COLUMNS = ["category", "strategy", "clips", "done", "failed", "not_run", "unchanging", "better"]
COLUMNS += ["target_mae_95", *MEDIANS, "generator", "reason"]
CLIP_COLUMNS = ["clip", "category", "strategy", "status", "reason", "notes", "frames"]
CLIP_COLUMNS += [*MEDIANS, "total_change"]
NOTE = (
    "Medians over the clips of a category, with a 95% bootstrap interval of target_mae. Each "
    "result is measured as it was written, encoding included. unchanging: clips without semantic "
    "change, which are left as they are. better: clips that came nearer to the target, of those "
    "that could be retimed. plain_target_mae: of the clip as the generator makes it, before its "
    "segments are steered. Strategies are compared only where they have the same clips."
)

Row = dict[str, Any]


def summarised(
    records: list[Record],
    folder: RunFolder,
    clips: Sequence[ExistingClip],
    strategies: Mapping[str, Strategy],
    target: Target,
    embedder: Embedder,
) -> Summary:
    """Tables, figures and sentences of a run."""
    places = {clip.name: clip for clip in clips}
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        # Rows that were not computed know no category.
        groups[places[record["clip"]].category, record["retime"]].append(record)
    rows = [_row(category, strategy, own) for (category, strategy), own in groups.items()]
    rows.sort(key=lambda row: row["category"])
    rendered = any(clip.rendered for clip in clips)
    about = "Rendered clips, not real footage: strategies" if rendered else "Strategies"
    title = f"{about}, towards the target {described(target)}"
    note = f"{NOTE} {DEFINITIONS} {defaults_of(strategies)}"
    table = Table.of_rows("existing", title, COLUMNS, rows, note)
    categories = dict.fromkeys(row["category"] for row in rows)
    paragraphs = list(filter(None, (_sentence(table, category) for category in categories)))
    each = [
        {name: record.get(name) for name in CLIP_COLUMNS}
        | {"strategy": record["retime"], "category": places[record["clip"]].category}
        for record in records
    ]
    images, films, unseen = _figures(records, places, folder, embedder, described(target))
    sections = [
        Section("Does it reach the target?", paragraphs or ["Nothing was retimed."], [table]),
        Section("Curves before and after", [], [], images),
        Section("Side by side", unseen, [], films),
    ]
    if (vbench := paired_table(records)) is not None:
        sections.append(Section("Quality", [quality_sentence(vbench)], [vbench]))
    every = Table.of_rows("existing_clips", "All clips", CLIP_COLUMNS, each)
    sections.append(Section("Every row", [], [every]))
    return Summary(counted(records), [x for x in sections if x.paragraphs or x.tables or x.figures])


def _row(category: str, strategy: str, own: Sequence[Record]) -> Row:
    done = [record for record in own if record["status"] == DONE]
    changing = [record for record in done if np.isfinite(record["before_target_mae"])]
    changes = [record["target_mae"] - record["before_target_mae"] for record in changing]
    name = f"existing {category} {strategy}"
    model = own[0]["model"]
    row: Row = {
        "category": category,
        "strategy": strategy,
        "clips": len(own),
        "done": len(done),
        "failed": sum(record["status"] == FAILED for record in own),
        "not_run": sum(record["status"] == NOT_RUN for record in own),
        "unchanging": len(done) - len(changing),
        "better": f"{sum(change < 0 for change in changes)} of {len(changing)}",
        "target_mae_95": median_interval([record["target_mae"] for record in changing], name),
        "generator": generator_label(model) if model != "existing" else "",
        "reason": "; ".join(dict.fromkeys(record["reason"] for record in own if record["reason"])),
    }
    return row | medians(changing, MEDIANS)


def _sentence(table: Table, category: str) -> str:
    """What the strategies did to the clips of a category: the paper's first, then its baselines."""
    text = printer(table)
    rows = [row for row in table.rows if row["category"] == category]
    rows.sort(key=lambda row: kind_of(row["strategy"]) != REGENERATED)
    found = "; ".join(filter(None, (_pacing(row, text) for row in rows)))
    where = f" of {category}" if category else ""
    return f"Median target_mae{where}: {found}." if found else ""


def _pacing(row: Row, text: Callable[[Row, str], str]) -> str:
    before, after = row["before_target_mae"], row["target_mae"]
    if kind_of(row["strategy"]) == UNTOUCHED or before is None or after is None:
        return ""
    way = "falls" if after < before else "does not fall"
    sentence = (
        f"with {row['strategy']} it {way}, {text(row, 'before_target_mae')} to "
        f"{text(row, 'target_mae')}, better on {row['better']}"
    )
    true_before, true = row["before_true_target_mae"], row["true_target_mae"]
    if true_before is None or true is None:
        return sentence
    way = "falls" if true < true_before else "does not fall"
    change = f"{text(row, 'before_true_target_mae')} to {text(row, 'true_target_mae')}"
    return f"{sentence}, by the renderer's own parameter it {way}, {change}"


def _figures(
    records: Sequence[Record],
    places: Mapping[str, ExistingClip],
    folder: RunFolder,
    embedder: Embedder,
    target: str,
) -> tuple[list[Figure], list[Figure], list[str]]:
    """A plot for each clip, films of the first, and a line for each film that cannot be made."""
    own: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record["status"] == DONE and np.isfinite(record["before_target_mae"]):
            own[record["clip"]].append(record)
    images, films, unseen = [], [], []
    for name, found in own.items():
        path = f"pairs/{slug(name)}.png"
        about = f"embedder {label(embedder)}, target {target}"
        folder.write(path, plot_overlay(_curves(folder, found), name, about))
        images.append(Figure(path, f"Curves of {name} before and after retiming", name))
    for name, found in list(own.items())[:FILMS]:
        chosen = [best for kind in (RESAMPLED, REGENERATED) if (best := best_of(found, kind))]
        names = ", ".join(["before", *(record["retime"] for record in chosen)])
        try:
            path = _film(folder, places[name], chosen) if chosen else ""
        except ClipError as error:
            unseen.append(f"There is no film of {name}: {places[name].named(error)}")
            continue
        if path:
            films.append(Figure(path, f"Film of {name}, {names}", f"{name}: {names}"))
    return images, films, unseen


def _curves(folder: RunFolder, records: Sequence[Record]) -> dict[str, Any]:
    """Label -> (u, progress): the clip, each result, and the target."""
    before = read_curve(folder, {"curve": records[0]["before_curve"]})
    drawn = {"before": (before["u"], before["progress"])}
    for record in records:
        curve = read_curve(folder, record)
        if kind_of(record["retime"]) != UNTOUCHED:
            drawn[record["retime"]] = (curve["u"], curve["progress"])
        if record["target"] != Linear.name:  # which is drawn as the reference
            drawn.setdefault(f"target {record['target']}", (curve["u"], curve["target"]))
    return drawn


def _film(folder: RunFolder, clip: ExistingClip, chosen: Sequence[Record]) -> str:
    """Write the clip and its results beside each other; returns the film's path."""
    path = f"films/{slug(clip.name)}.mp4"
    shown = [(clip.path(folder), chosen[0]["before_curve"], "before")]
    shown += [(folder.path(x["file"]), x["curve"], x["retime"]) for x in chosen]
    with ExitStack() as stack:
        panels = []
        for file, curve, caption in shown:
            table, reader = read_curve(folder, {"curve": curve}), stack.enter_context(Reader(file))
            pacing = Pacing(table["time"].to_numpy(), table["progress"].to_numpy())
            panels.append(((image for image, _ in reader), pacing, caption))
        fps = min(float(chosen[0]["fps"]), 60.0)
        write_mp4(folder.path(path), side_by_side(panels, fps), fps)
    return path
