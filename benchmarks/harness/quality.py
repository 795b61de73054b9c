"""Quality beside pacing: columns of a record, and original against retimed clips in a table.

A record has vbench_DIMENSION for its clip and, where the clip is retimed, before_vbench_DIMENSION
for the original. What was not measured has no value there; quality_status and before_quality_status
then hold the reasons, as JSON by dimension. quality_identity distinguishes weights and versions.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.harness.cells import Interval, Table, sign
from benchmarks.harness.records import DONE, Record, generator_label, printer
from benchmarks.harness.statistics import MINIMAL_RANKED_PAIRS, hedges_g, mean_interval
from spf.cache import Cache
from spf.generators.base import GeneratedClip
from spf.identity import digest
from spf.pacing.strategies import NoRetime
from spf.quality import UNKNOWN, VBENCH_DIMENSIONS, Conditions, Quality
from spf.video import Reader, write_mp4

QUALITY = "vbench_"
"""What the columns of quality dimensions begin with."""

SCORED_BY = "quality_identity"
"""Column that says by which weights and versions quality was scored."""

STATUS = "quality_status"
BEFORE = "before_"

PAPER = dict.fromkeys(
    ("aesthetic_quality", "motion_smoothness", "temporal_flickering"), "nearly unchanged"
)
"""What the paper reports of retimed clips of Wan2.2 and LTX-2; its figures are not known to us."""

COLUMNS = [
    *("dimension", "strategy", "steered_by", "generator", "clips", "original", "retimed"),
    *("difference", "difference_95", "effect", "paper", "note"),
]
NOTE = (
    "Means over the clips that have both scores, higher is better but for dynamic_degree, which is "
    "1 for a clip that moves. difference: retimed minus original of the same clip; from "
    f"{MINIMAL_RANKED_PAIRS} clips on with a 95% studentised bootstrap interval of its mean, and "
    "effect, Hedges' g of the paired differences. Both clips are encoded alike before they are "
    "scored. Clips that a strategy left as they were generated are not among them. paper: what "
    "Metzer et al. (SIGGRAPH 2026, arXiv 2604.22554) say of Wan2.2 and LTX-2; blank where we know "
    "of nothing."
)

Row = dict[str, Any]
Group = tuple[str, str, str]  # strategy, what steered it, generator


def quality_inputs(quality: Quality) -> dict[str, Any]:
    """What quality adds to a cell's inputs: nothing where none is measured."""
    return {"quality": quality.identity()} if quality.dimensions else {}


def clip_columns(
    quality: Quality, clip: Path, cache: Cache | None = None, conditions: Conditions = UNKNOWN
) -> dict[str, Any]:
    """Columns of a record for a clip's file; none where no quality is measured.

    Raises SpfError where measuring broke down and may succeed another time.
    """
    if not quality.dimensions:
        return {}
    scores = quality.measure(clip, cache, conditions)
    values = {f"{QUALITY}{dimension}": score.value for dimension, score in scores.items()}
    missing = {name: score.reason for name, score in scores.items() if score.value is None}
    status = json.dumps(missing) if missing else ""
    return {**values, STATUS: status, SCORED_BY: digest(quality.identity())}


def _frame_columns(quality: Quality, frames: Any, fps: float, *more: Any) -> dict[str, Any]:
    """The same for frames, which are encoded for it."""
    with TemporaryDirectory(prefix="spf-quality-") as folder:
        path = Path(folder) / "clip.mp4"
        write_mp4(path, frames, fps)
        return clip_columns(quality, path, *more)


def _paired(first: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    return last | {f"{BEFORE}{name}": first[name] for name in first if name != SCORED_BY}


def retimed_columns(
    quality: Quality,
    before: GeneratedClip,
    after: GeneratedClip,
    cache: Cache | None = None,
    conditions: Conditions = UNKNOWN,
) -> dict[str, Any]:
    """Columns of a record for a clip as it was generated, and retimed; both are encoded alike."""
    if not quality.dimensions:
        return {}
    first = last = _frame_columns(quality, before.frames, before.fps, cache, conditions)
    if after is not before:
        last = _frame_columns(quality, after.frames, after.fps, cache, conditions)
    return _paired(first, last)


def retimed_file_columns(
    quality: Quality, before: Path, after: Path, fps: float, cache: Cache | None = None
) -> dict[str, Any]:
    """The same for an existing clip and the file that it became, at `fps` frames a second.

    The clip is encoded once more for it, as its result was; not where nothing was done with it.
    """
    if not quality.dimensions:
        return {}
    last = clip_columns(quality, after, cache)
    if after == before:
        return _paired(last, last)
    with Reader(before) as reader:
        first = _frame_columns(quality, (image for image, _ in reader), fps, cache)
    return _paired(first, last)


def reasons(record: Mapping[str, Any], before: bool = False) -> dict[str, str]:
    """Why dimensions of a record (or of its original) have no value, by dimension."""
    text = record.get(f"{BEFORE * before}{STATUS}")
    return json.loads(text) if isinstance(text, str) and text else {}


def paired_table(records: Iterable[Record], name: str = "vbench") -> Table | None:
    """Original against retimed, a row for each dimension and strategy; None where quality was not
    asked for. A dimension without scores is a row that says why.

    records : of `retimed_columns`, with the links `before_file` and `file`.
    """
    groups: dict[Group, list[Record]] = defaultdict(list)
    for record in records:
        if record["retime"] != NoRetime.name and record["status"] == DONE and STATUS in record:
            groups[record["retime"], record["embedder"], record["model"]].append(record)
    rows = [
        _row(dimension, group, members)
        for dimension in VBENCH_DIMENSIONS
        for group, members in groups.items()
        if any(f"{QUALITY}{dimension}" in record for record in members)
    ]
    title = "VBench: original against retimed clips"
    return Table.of_rows(name, title, COLUMNS, rows, NOTE) if rows else None


def sentence(table: Table) -> str:
    """What the table shows, in one line: the differences whose interval excludes 0."""
    text = printer(table)
    bounded = [row for row in table.rows if row["difference_95"]]
    if not bounded:
        return (
            "VBench, retimed against original: too few clips were scored before and after retiming "
            "for intervals."
        )
    clear = [
        f"{way} {row['dimension']} ({row['strategy']} by {row['steered_by']}), "
        f"{text(row, 'original')} to {text(row, 'retimed')}"
        for row in bounded
        if (way := {-1: "lower", 0: "", 1: "higher"}[sign(row["difference_95"])])
    ]
    rest = "no other interval" if clear else "no interval"
    found = "; ".join([*clear, f"{rest} of a difference excludes zero"])
    return f"VBench, retimed against original: {found}."


def _row(dimension: str, group: Group, records: Sequence[Record]) -> Row:
    strategy, steered_by, generator = group
    column = f"{QUALITY}{dimension}"
    retimed = [record for record in records if record["file"] != record["before_file"]]
    both = [(record.get(BEFORE + column), record.get(column)) for record in retimed]
    pairs = np.array([pair for pair in both if None not in pair], dtype=np.float64).reshape(-1, 2)
    differences = pairs[:, 1] - pairs[:, 0]
    why = [reasons(record, before).get(dimension) for record in records for before in (True, False)]
    if left := len(records) - len(retimed):
        why.append(f"{left} left as generated")
    row: Row = dict.fromkeys(COLUMNS) | {
        "dimension": dimension,
        "strategy": strategy,
        "steered_by": steered_by,
        "generator": generator_label(generator),
        "clips": f"{len(pairs)} of {len(retimed)}",
        "paper": PAPER.get(dimension, ""),
        "note": "; ".join(dict.fromkeys(filter(None, why))),
    }
    if len(pairs):
        row["original"], row["retimed"] = pairs.mean(axis=0).tolist()
        row["difference"] = float(differences.mean())
    if len(pairs) >= MINIMAL_RANKED_PAIRS:
        named = f"vbench {dimension} {' '.join(group)}"
        row["difference_95"] = Interval(*mean_interval(differences[:, None], named)[0].tolist())
        row["effect"] = hedges_g(differences)
    return row
