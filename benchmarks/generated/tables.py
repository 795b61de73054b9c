"""What the rows of `retime_generated` are worth together."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np

from benchmarks.generated.figures import draw_figures
from benchmarks.generated.scores import DEFINITIONS, ORACLE, ORACLE_LABEL
from benchmarks.generated.strategies import defaults_of, described
from benchmarks.harness.cells import Section, Summary, Table, sign
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
    printer,
)
from benchmarks.harness.report import players
from benchmarks.harness.report.players import METHOD, kind_of
from benchmarks.harness.statistics import median_interval, medians
from benchmarks.known_pacing.errors import Row
from spf.embedders import Embedder, label
from spf.pacing.strategies import Strategy
from spf.pacing.targets import Target
from spf.quality.fidelity import FIDELITY

Printer = Callable[[Row, str], str]

VERDICTS = {
    -1: "better: the map does NOT matter",
    0: "no clear difference",
    1: "worse, so the map matters",
}
"""What the interval of the control's difference shows, by its sign."""

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
    rows = []
    for measure, strategy in product(names, dict.fromkeys(record["retime"] for record in records)):
        own = [r for r in records if r["embedder"] == measure and r["retime"] == strategy]
        if own:
            rows.append(_row(records, own, metric) | {"measure": names[measure]})
    suffix = "" if metric == "linearity_mae" else f"_{getattr(target, 'name', 'given')}"
    pairs = [
        {name: record.get(name) for name in PAIR_COLUMNS}
        | {"pair": record["clip"], "strategy": record["retime"]}
        | {"measure": names[record["embedder"]]}
        for record in records
    ]
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
    every = Table.of_rows(f"retimed_pairs{suffix}", "All pairs", PAIR_COLUMNS, pairs)
    beside = "The clip as it was generated, and retimed; the dot runs along its curve."
    sections = [
        Section("Does the warp reach the target?", paragraphs, [table]),
        *fidelity,
        Section("Pairs", [], [], figures),
        Section("Side by side", [beside], [], films),
        Section("Every row", [], [every]),
    ]
    return Summary(counted(records), sections)


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


def _row(records: Sequence[Record], own: Sequence[Record], metric: str) -> Row:
    """The row of the records of one measure and strategy."""
    measure, strategy = own[0]["embedder"], own[0]["retime"]
    done = [record for record in own if record["status"] == DONE]
    changing = [record for record in done if could_be_retimed(record, metric)]
    changes = [record[metric] - record[f"before_{metric}"] for record in changing]
    against = [] if strategy == METHOD else _against_authors(records, changing, metric)
    name = f"retiming {measure} {strategy} {metric}"
    row: Row = {
        "strategy": strategy,
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


def sentences(table: Table, measure: str, metric: str, target: str) -> list[str]:
    """What the rows of one measure say: first the pacing before and after, by the paper's own
    method and by the best others beside it; then what the pacing hides; then the control."""
    text = printer(table)
    own = [row for row in table.rows if row["measure"] == measure and row["difference"] is not None]
    shown = _shown(own)
    paragraphs = []
    if any(shown.values()):
        found = "; ".join(f"{who} {_pacing(row, metric, text)}" for who, row in shown.items())
        paragraphs.append(
            f"Median {metric} of the clips of {own[0]['generator']}, target {target}, measured by "
            f"{measure}: {found}."
        )
    hidden = [line for row in shown.values() if row and (line := _hidden(row, text))]
    paragraphs += [f"What this pacing hides, by {measure}: {'; '.join(hidden)}."] * bool(hidden)
    for row in own:
        if kind_of(row["strategy"]) == players.CONTROL:
            verdict = "too few pairs for an interval"
            if row["difference_95"]:
                verdict = VERDICTS[sign(row["difference_95"])]
            paragraphs.append(
                f"Control by {measure}: with another pair's map {metric} is {text(row, metric)} "
                f"against {text(row, f'before_{metric}')} before, {verdict}."
            )
    return paragraphs


def _shown(rows: Sequence[Row]) -> dict[str, Row | None]:
    """The rows that are named, by what they are called; the paper's always, None if not run."""
    by_name = {row["strategy"]: row for row in rows}
    found: dict[str, Row | None] = {"the paper's method,": by_name.get(METHOD)}
    if players.WORKFLOW in by_name:
        found["with the settings of their workflow, which refines,"] = by_name[players.WORKFLOW]
    for who, kind in (
        (f"{players.OUR_BEST},", players.STEERED),
        ("the best resampling of the clip itself,", players.RESAMPLED),
    ):
        others = [row for row in rows if kind_of(row["strategy"]) == kind]
        others = [row for row in others if row["strategy"] not in players.AUTHORS]
        if others:
            found[who] = min(others, key=lambda row: row["difference"])
    return found


def _pacing(row: Row | None, metric: str, text: Printer) -> str:
    if row is None:
        return f"{METHOD}, has no value"  # not run, or nothing changed
    lower = row["difference"] < 0
    way = "lowers it" if lower else "does not lower it"
    doubt = ", not beyond doubt" if lower and sign(row["difference_95"]) == 0 else ""
    sentence = (
        f"{row['strategy']}, {way}, {_change(row, metric, text)}, better on {row['better']}{doubt}"
    )
    true = _change(row, f"true_{metric}", text)
    return f"{sentence}, by the renderer's parameter {true}" if true else sentence


def _hidden(row: Row, text: Printer) -> str:
    """What an even curve may be bought with: frames that go back and forth, stand still, or are
    cross-fades, and end frames that are not those asked for."""
    known = {"repeated_frames": "repeated frames", "residual": "distance to true renders"}
    known |= {"first_psnr": "dB of the first frame", "last_psnr": "dB of the last"}
    changes = {phrase: _change(row, name, text) for name, phrase in known.items()}
    listed = ", ".join(f"{phrase} {change}" for phrase, change in changes.items() if change)
    return f"{row['strategy']}, {listed}" if listed else ""


def _change(row: Row, name: str, text: Printer) -> str:
    """A value before and after; "" where either is missing."""
    if row.get(f"before_{name}") is None or row.get(name) is None:
        return ""
    return f"{text(row, f'before_{name}')} to {text(row, name)}"
