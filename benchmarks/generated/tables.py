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
from benchmarks.harness.records import DONE, FAILED, NOT_RUN, Record
from benchmarks.harness.report.players import METHOD
from benchmarks.harness.statistics import median_interval, medians
from benchmarks.known_pacing.errors import Row
from spf.embedders import Embedder, label
from spf.pacing.strategies import Strategy
from spf.pacing.targets import Target
from spf.quality.fidelity import FIDELITY

SHIPPED = "tiny (shipped)"
COST = ("repeated_frames", "residual_ratio")
"""What an even pace may be bought with: frames that stand still, cross-fades."""

ENDS = tuple(f"{which}{name}" for name in FIDELITY for which in ("before_", ""))
AFTER = (*ENDS, "before_residual", "residual", "before_repeated_frames", "iterations")
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
    *COST,
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
    absent = len(records) - len(done) - failed
    headline = f"{len(done)} of {len(records)} rows done, {failed} failed, {absent} not run"
    names = {record["embedder"]: _label(record["embedder"], embedder) for record in records}
    aim = "linearity_mae" if described(target) == "linear" else "target_mae"
    rows = [
        row
        for measure in names
        for strategy in dict.fromkeys(record["retime"] for record in records)
        if (row := _row(records, measure, strategy, aim)) is not None
    ]
    for row in rows:
        row["measure"] = names[row["measure"]]
    suffix = "" if aim == "linearity_mae" else f"_{target_name(target)}"
    pairs = [_pair_row(record, names) for record in records]
    figures, films = draw_figures(done, folder, embedder, described(target))
    vbench = paired_table(records, f"vbench{suffix}")
    fidelity = [Section("VBench fidelity", [quality_sentence(vbench)], [vbench])] if vbench else []
    title = f"Strategies, towards the target {described(target)}"
    note = f"{_note(aim)} {DEFINITIONS} {defaults_of(strategies)}"
    table = Table.of_rows(f"retiming{suffix}", title, _columns(aim), rows, note)
    said = [
        line for name in names.values() for line in sentences(table, name, aim, described(target))
    ]
    return Summary(
        headline,
        [
            Section("Does the warp reach the target?", said, [table]),
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
                [Table.of_rows(f"retimed_pairs{suffix}", "All pairs", list(PAIR_COLUMNS), pairs)],
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
        aim,
        true,
        *COST,
        "better",
        "pairs",
        "failed",
        "not_run",
        "unchanging",
        "reason",
        "difference",
        "difference_95",
        "against_authors",
        "against_authors_95",
        f"before_{aim}",
        f"{aim}_95",
        f"before_{true}",
        "before_true_peak_step",
        "true_peak_step",
        *AFTER,
        "generator",
    ]


def _note(aim: str) -> str:
    return (
        "Medians over pairs and seeds with 95% bootstrap intervals. measure: what steers the warp "
        "and scores it. failed, not_run: of the pairs; reason: of these and of clips that do not "
        "change, with their number. unchanging: clips without semantic change, which cannot be "
        f"retimed. better: rows whose {aim} is below the baseline's, of those that could be "
        "retimed; a clip that changes no more is not better. against_authors: difference to "
        f"{METHOD}, the settings of the authors' script (authors_code), pair by pair. wrong_map "
        "is a control: the next pair's time map; nearest, blend and flow resample the baseline's "
        "frames, and generate nothing. "
        f"{SHIPPED}, as a generator, shows the mechanism, not the quality of large models."
    )


def _row(records: Sequence[Record], measure: str, strategy: str, aim: str) -> Row | None:
    own = [r for r in records if r["embedder"] == measure and r["retime"] == strategy]
    if not own:
        return None
    done = [record for record in own if record["status"] == DONE]
    usable = [record for record in done if could_be_retimed(record, aim)]
    changes = [record[aim] - record[f"before_{aim}"] for record in usable]
    against = [] if strategy == METHOD else _against_authors(records, usable, aim)
    name = f"retiming {measure} {strategy} {aim}"
    row: Row = {
        "strategy": strategy,
        "measure": measure,
        "pairs": len(own),
        "failed": sum(record["status"] == FAILED for record in own),
        "not_run": sum(record["status"] == NOT_RUN for record in own),
        "unchanging": len(done) - len(usable),
        "reason": _reasons(own),
        f"{aim}_95": median_interval([record[aim] for record in usable], name),
        "difference_95": median_interval(changes, f"{name} difference"),
        "better": f"{sum(change < 0 for change in changes)} of {len(usable)}",
        "against_authors_95": median_interval(against, f"{name} against the authors"),
        "generator": SHIPPED if own[0]["model"] == "tiny" else own[0]["model"],
    }
    plain = [aim, f"before_{aim}", f"true_{aim}", f"before_true_{aim}", "true_peak_step"]
    row |= medians([{"difference": change} for change in changes], ["difference"])
    row |= medians([{"against_authors": change} for change in against], ["against_authors"])
    return row | medians(done, [*plain, "before_true_peak_step", *COST, *AFTER])


def _against_authors(records: Sequence[Record], own: Sequence[Record], aim: str) -> list[float]:
    """Differences of a strategy's records to those with `METHOD`, pair by pair."""
    keys = ("clip", "seed", "embedder")
    theirs = {
        tuple(record[key] for key in keys): record[aim]
        for record in records
        if record["retime"] == METHOD and record["status"] == DONE
    }
    found = [(record[aim], theirs.get(tuple(record[key] for key in keys))) for record in own]
    return [value - other for value, other in found if other is not None]


def could_be_retimed(record: Record, aim: str) -> bool:
    """Whether there was a change to retime, in the clip and in the one that lends its map."""
    return record["ended"] != "no change" and bool(np.isfinite(record[f"before_{aim}"]))


def _reasons(records: Sequence[Record]) -> str:
    """Why rows were not done, or have no shape: each reason with the number of its rows."""
    said = Counter(
        (record["status"].replace("_", " "), record["reason"].removeprefix("not run: "))
        for record in records
        if record["reason"]
    )
    return "; ".join(f"{count} {status}: {reason}" for (status, reason), count in said.items())


def _pair_row(record: Record, names: Mapping[str, str]) -> dict[str, Any]:
    row = {name: record.get(name) for name in PAIR_COLUMNS}
    return row | {
        "pair": record["clip"],
        "strategy": record["retime"],
        "measure": names[record["embedder"]],
    }
