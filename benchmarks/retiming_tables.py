"""What the rows of `retime_generated` are worth together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.cells import Section, Summary, Table
from benchmarks.folder import RunFolder
from benchmarks.records import DONE, FAILED, Record
from benchmarks.retiming_figures import draw_figures
from benchmarks.retiming_scores import DEFINITIONS, ORACLE, ORACLE_LABEL
from benchmarks.retimings import UNSTEERED, WrongMap, described, settings_of
from benchmarks.truth import Row, interval
from spf.embedders import Embedder, label
from spf.retime.strategies import Strategy
from spf.retime.targets import Target

SHIPPED = "tiny (shipped: shows the mechanism, not the quality of large models)"
AFTER = ("end_mse", "residual", "residual_ratio", "repeated_frames", "iterations")
PAIR_COLUMNS = (
    "pair",
    "category",
    "seed",
    "strategy",
    "measure",
    "status",
    "reason",
    "notes",
    "before_linearity_mae",
    "linearity_mae",
    "target_mae",
    "peak_speed",
    "total_change",
    "before_true_linearity_mae",
    "true_linearity_mae",
    "true_target_mae",
    "before_true_peak_step",
    "true_peak_step",
    *AFTER,
    "best_iteration",
    "ended",
)


def summarised(
    records: list[Record],
    folder: RunFolder,
    embedder: Embedder,
    strategies: Mapping[str, Strategy],
    target: Target,
) -> Summary:
    """Tables, figures and sentences of a run."""
    done = [record for record in records if record["status"] == DONE]
    failed = sum(record["status"] == FAILED for record in records)
    headline = f"{len(done)} of {len(records)} rows done, {failed} failed"
    if not done:
        return Summary(headline, [])
    names = {record["embedder"]: _label(record["embedder"], embedder) for record in records}
    aim = "linearity_mae" if described(target) == "linear" else "target_mae"
    rows = [
        row
        for measure in names
        for strategy in dict.fromkeys(record["retime"] for record in records)
        if (row := _row(records, measure, strategy, aim)) is not None
    ]
    for row in rows:
        row["settings"] = settings_of(strategies[row["strategy"]])
        row["measure"] = names[row["measure"]]
    said = [line for name in names.values() for line in sentences(rows, name, aim)]
    suffix = "" if aim == "linearity_mae" else f"_{target_name(target)}"
    pairs = [_pair_row(record, names) for record in records]
    figures, films = draw_figures(done, folder, embedder, described(target))
    title = f"Strategies, towards the target {described(target)}"
    note = f"{_note(aim)} {DEFINITIONS}"
    return Summary(
        headline,
        [
            Section(
                "Does the warp reach the target?",
                said,
                [Table(f"retiming{suffix}", title, _columns(aim), rows, note)],
            ),
            Section("Pairs", [], [], figures),
            Section(
                "Side by side",
                ["The clip as it was generated, and retimed; the dot runs along its curve."],
                [],
                films,
            ),
            Section(
                "Every row",
                [],
                [Table(f"retimed_pairs{suffix}", "All pairs", list(PAIR_COLUMNS), pairs)],
            ),
        ],
    )


def target_name(target: Target) -> str:
    """The target's word, for the names of files."""
    return getattr(target, "name", "given")


def _label(word: str, embedder: Embedder) -> str:
    return ORACLE_LABEL if word == ORACLE else label(embedder)


def _columns(aim: str) -> list[str]:
    true = f"true_{aim}"
    return [
        "strategy",
        "measure",
        "pairs",
        "failed",
        "unchanging",
        f"before_{aim}",
        aim,
        f"{aim}_95",
        "difference",
        "difference_95",
        "better",
        f"before_{true}",
        true,
        "before_true_peak_step",
        "true_peak_step",
        *AFTER,
        "settings",
        "generator",
    ]


def _note(aim: str) -> str:
    return (
        "Medians over pairs and seeds with 95% bootstrap intervals. measure: what steers the warp "
        f"and scores it. better: rows whose {aim} is below the baseline's, of those that could be "
        "retimed. unchanging: rows without semantic change before or after. wrong_map is a "
        "control: the next pair's time map."
    )


def _row(records: Sequence[Record], measure: str, strategy: str, aim: str) -> Row | None:
    own = [r for r in records if r["embedder"] == measure and r["retime"] == strategy]
    if not own:
        return None
    done = [record for record in own if record["status"] == DONE]
    usable = [record for record in done if np.isfinite(record[f"before_{aim}"])]
    changes = [record[aim] - record[f"before_{aim}"] for record in usable]
    name = f"retiming {measure} {strategy} {aim}"
    row: Row = {
        "strategy": strategy,
        "measure": measure,
        "pairs": len(own),
        "failed": sum(record["status"] == FAILED for record in own),
        "unchanging": sum(not np.isfinite(record[aim]) for record in done),
        f"{aim}_95": interval([record[aim] for record in usable], name),
        "difference": _median(changes),
        "difference_95": interval(changes, f"{name} difference"),
        "better": f"{sum(change < 0 for change in changes)} of {len(usable)}",
        "generator": SHIPPED if own[0]["model"] == "tiny" else own[0]["model"],
    }
    plain = [aim, f"before_{aim}", f"true_{aim}", f"before_true_{aim}", "true_peak_step"]
    for column in (*plain, "before_true_peak_step", *AFTER):
        row[column] = _median([record.get(column) for record in done])
    return row


def _median(values: Sequence[float | None]) -> float | None:
    """Median of what is there and finite; None where nothing is."""
    finite = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.median(finite)) if finite else None


def sentences(rows: Sequence[Row], measure: str, aim: str) -> list[str]:
    """What the rows of one measure say: the best strategy, and the control."""
    own = [row for row in rows if row["measure"] == measure]
    said = []
    steered = [
        row
        for row in own
        if row["strategy"].partition(" ")[0] not in UNSTEERED and row["difference"] is not None
    ]
    if steered:
        best = min(steered, key=lambda row: row["difference"])
        numbers = (
            f"median {aim} {best[f'before_{aim}']:.3f} before, {best[aim]:.3f} after, "
            f"{best['better']} pairs better"
        )
        true = best.get(f"true_{aim}")
        if true is not None:  # frames that go back and forth make an even curve
            was = best[f"before_true_{aim}"]
            numbers += f"; by the renderer's parameter {was:.3f} before, {true:.3f} after"
        if best["difference"] < 0:
            said.append(f"By {measure}, {best['strategy']} lowers it most: {numbers}.")
        else:
            said.append(
                f"By {measure}, no strategy lowers it; nearest is {best['strategy']}: {numbers}."
            )
    for row in own:
        if row["strategy"].startswith(WrongMap.name) and row["difference"] is not None:
            worse = row["difference"] > 0
            verdict = "worse, so the map matters" if worse else "no worse: the map does NOT matter"
            said.append(
                f"Control by {measure}: with another pair's map {aim} is "
                f"{row[aim]:.3f} against {row[f'before_{aim}']:.3f} before, {verdict}."
            )
    return said


def _pair_row(record: Record, names: Mapping[str, str]) -> dict[str, Any]:
    row = {name: record.get(name) for name in PAIR_COLUMNS}
    return row | {
        "pair": record["clip"],
        "strategy": record["retime"],
        "measure": names[record["embedder"]],
    }
