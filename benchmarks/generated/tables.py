"""What the rows of `retime_generated` are worth together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.generated.figures import draw_figures
from benchmarks.generated.scores import DEFINITIONS, ORACLE, ORACLE_LABEL
from benchmarks.generated.sentences import sentences
from benchmarks.generated.strategies import defaults_of, described
from benchmarks.harness.cells import Section, Summary, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.quality import paired_table
from benchmarks.harness.quality import sentence as quality_sentence
from benchmarks.harness.records import (
    DONE,
    FAILED,
    NOT_RUN,
    SHIPPED,
    Record,
    counted,
    generator_label,
)
from benchmarks.harness.report.players import METHOD
from benchmarks.harness.statistics import median_interval, medians
from benchmarks.known_pacing.errors import Row
from spf.embedders import Embedder, label
from spf.pacing.strategies import Strategy
from spf.pacing.targets import Target
from spf.quality.fidelity import FIDELITY

COST = ("repeated_frames", "residual_ratio")
"""What an even pace may be bought with: frames that stand still, cross-fades."""

ENDS = tuple(f"{which}{name}" for name in FIDELITY for which in ("before_", ""))
AFTER = (*ENDS, "before_residual", "residual", "before_repeated_frames", "iterations")
PAIR_COLUMNS = ["pair", "category", "seed", "strategy", "measure", "status", "reason", "notes"]
PAIR_COLUMNS += ["before_linearity_mae", "linearity_mae", "target_mae", "peak_speed"]
PAIR_COLUMNS += ["total_change", "before_true_linearity_mae", "true_linearity_mae"]
PAIR_COLUMNS += ["true_target_mae", "before_true_peak_step", "true_peak_step", *COST, *AFTER]
PAIR_COLUMNS += ["best_iteration", "ended"]


def summarised(
    records: list[Record],
    folder: RunFolder,
    embedder: Embedder,
    strategies: Mapping[str, Strategy],
    target: Target,
) -> Summary:
    """Tables, figures and sentences of a run."""
    done = [record for record in records if record["status"] == DONE]
    names = {
        measure: ORACLE_LABEL if measure == ORACLE else label(embedder)
        for measure in dict.fromkeys(record["embedder"] for record in records)
    }
    metric = "linearity_mae" if described(target) == "linear" else "target_mae"
    rows = [
        row
        for measure in names
        for strategy in dict.fromkeys(record["retime"] for record in records)
        if (row := _row(records, measure, strategy, metric)) is not None
    ]
    for row in rows:
        row["measure"] = names[row["measure"]]
    suffix = "" if metric == "linearity_mae" else f"_{getattr(target, 'name', 'given')}"
    pairs = [_pair_row(record, names) for record in records]
    figures, films = draw_figures(done, folder, embedder, described(target))
    vbench = paired_table(records, f"vbench{suffix}")
    fidelity = [Section("VBench fidelity", [quality_sentence(vbench)], [vbench])] if vbench else []
    title = f"Strategies, towards the target {described(target)}"
    note = f"{_note(metric)} {DEFINITIONS} {defaults_of(strategies)}"
    table = Table.of_rows(f"retiming{suffix}", title, _columns(metric), rows, note)
    paragraphs = [
        line
        for name in names.values()
        for line in sentences(table, name, metric, described(target))
    ]
    return Summary(
        counted(records),
        [
            Section("Does the warp reach the target?", paragraphs, [table]),
            *fidelity,
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
                [Table.of_rows(f"retimed_pairs{suffix}", "All pairs", PAIR_COLUMNS, pairs)],
            ),
        ],
    )


def _columns(metric: str) -> list[str]:
    true = f"true_{metric}"
    names = ["strategy", "measure", metric, true, *COST, "better", "pairs", "failed", "not_run"]
    names += ["unchanging", "reason", "difference", "difference_95", "against_authors"]
    names += ["against_authors_95", f"before_{metric}", f"{metric}_95", f"before_{true}"]
    return [*names, "before_true_peak_step", "true_peak_step", *AFTER, "generator"]


def _note(metric: str) -> str:
    return (
        "Medians over pairs and seeds with 95% bootstrap intervals. measure: what steers the warp "
        "and scores it. failed, not_run: of the pairs; reason: of these and of clips that do not "
        "change, with their number. unchanging: clips without semantic change, which cannot be "
        f"retimed. better: rows whose {metric} is below the baseline's, of those that could be "
        "retimed; a clip that changes no more is not better. against_authors: difference to "
        f"{METHOD}, the settings of the authors' script (authors_code), pair by pair. wrong_map "
        "is a control: the next pair's time map; nearest, blend and flow resample the baseline's "
        "frames, and generate nothing. "
        f"{SHIPPED}, as a generator, shows the mechanism, not the quality of large models."
    )


def _row(records: Sequence[Record], measure: str, strategy: str, metric: str) -> Row | None:
    own = [r for r in records if r["embedder"] == measure and r["retime"] == strategy]
    if not own:
        return None
    done = [record for record in own if record["status"] == DONE]
    changing = [record for record in done if could_be_retimed(record, metric)]
    changes = [record[metric] - record[f"before_{metric}"] for record in changing]
    against = [] if strategy == METHOD else _against_authors(records, changing, metric)
    name = f"retiming {measure} {strategy} {metric}"
    row: Row = {
        "strategy": strategy,
        "measure": measure,
        "pairs": len(own),
        "failed": sum(record["status"] == FAILED for record in own),
        "not_run": sum(record["status"] == NOT_RUN for record in own),
        "unchanging": len(done) - len(changing),
        "reason": _reasons(own),
        f"{metric}_95": median_interval([record[metric] for record in changing], name),
        "difference_95": median_interval(changes, f"{name} difference"),
        "better": f"{sum(change < 0 for change in changes)} of {len(changing)}",
        "against_authors_95": median_interval(against, f"{name} against the authors"),
        "generator": generator_label(own[0]["model"]),
    }
    true = f"true_{metric}", f"before_true_{metric}", "true_peak_step", "before_true_peak_step"
    row |= medians([{"difference": change} for change in changes], ["difference"])
    row |= medians([{"against_authors": change} for change in against], ["against_authors"])
    return row | medians(done, [metric, f"before_{metric}", *true, *COST, *AFTER])


def _against_authors(records: Sequence[Record], own: Sequence[Record], metric: str) -> list[float]:
    """Differences of a strategy's records to those with `METHOD`, pair by pair."""
    keys = ("clip", "seed", "embedder")
    theirs = {
        tuple(record[key] for key in keys): record[metric]
        for record in records
        if record["retime"] == METHOD and record["status"] == DONE
    }
    found = [(record[metric], theirs.get(tuple(record[key] for key in keys))) for record in own]
    return [value - other for value, other in found if other is not None]


def could_be_retimed(record: Record, metric: str) -> bool:
    """Whether there was a change to retime, in the clip and in the one that lends its map."""
    return record["ended"] != "no change" and bool(np.isfinite(record[f"before_{metric}"]))


def _reasons(records: Sequence[Record]) -> str:
    """Why rows were not done, or have no shape: each reason with the number of its rows."""
    found = Counter(
        (record["status"].replace("_", " "), record["reason"].removeprefix("not run: "))
        for record in records
        if record["reason"]
    )
    return "; ".join(f"{count} {status}: {reason}" for (status, reason), count in found.items())


def _pair_row(record: Record, names: Mapping[str, str]) -> dict[str, Any]:
    row = {name: record.get(name) for name in PAIR_COLUMNS}
    return row | {
        "pair": record["clip"],
        "strategy": record["retime"],
        "measure": names[record["embedder"]],
    }
