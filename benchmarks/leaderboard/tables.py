"""The tables of a leaderboard; the main one as JSON and in a terminal too."""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.harness import statistics
from benchmarks.harness.cells import Table
from benchmarks.harness.quality import reasons
from benchmarks.harness.records import Record
from benchmarks.harness.statistics import ALPHA, MINIMAL_RANKED_PAIRS, Array
from benchmarks.leaderboard import comparison
from benchmarks.leaderboard.comparison import (
    KNOWN,
    LINEARITY,
    SHOWN,
    Board,
    Group,
    left_out,
    losses,
    runs,
)
from spf.commands.compare import SCHEMA
from spf.commands.output import print_table
from spf.embedders import label
from spf.progress import METRICS
from spf.progress.metrics import NO_CHANGE

INTERVALS = [LINEARITY, "speed_cv_64", "peak_speed_64"]
"""Metrics that the leaderboard shows with intervals: the second and third see a jump in the middle,
which hardly moves the first."""

STATES = {"failed": "failed", "not_run": "not run", "no_change": NO_CHANGE}
STATES |= {"too_short": comparison.TOO_SHORT, "flickering": comparison.FLICKERS}
"""Columns that count the clips that cannot be ranked, by why."""

COUNTS = ["clips", "can_be_ranked", *STATES]
PLACES = ["group", "order", "rank", "generator", "tied_with", "best", "pairs"]
SIDES = ("", "_low", "_high")
EVERY_TWO = 100
"""Generators up to which every two are compared; with more, each with the best of its groups and
the next better one."""

FILE = "leaderboard.json"
WHOLE = ("group", "order", "rank", "pairs")

BOARD_NOTE = (
    "Means over the pairs that all generators of a group have (over its seeds first), with 95% "
    "studentised bootstrap intervals (_low, _high). A group is the largest set of generators that "
    "share enough pairs; what that leaves out is listed below. order: 1 is the most even; equal "
    "means share it. rank: 1 + the generators of the group that are significantly better; "
    "tied_with: its rows that do not differ significantly, by Holm-corrected paired sign-flip "
    "tests at 5% on all pairs that the two have. best: how often it is the most even of resampled "
    "common pairs. With fewer than "
    f"{MINIMAL_RANKED_PAIRS} common pairs there is an order, but no rank and no interval."
)
COMPARISON_NOTE = (
    "Every two generators on all pairs that these two have, whatever the others lack (with more "
    f"than {EVERY_TWO} generators: each against the best of its group and the next better one). "
    "difference: mean over the pairs of the generator's value less the other's, with its 95% "
    "interval. effect: Hedges' g of the paired differences. superiority: share of the pairs on "
    "which it is the more even. p_holm: corrected for the comparisons of all generators that "
    "shared pairs link. detectable: smallest true difference that is shown with a probability of "
    "80%; empty where so few pairs show none."
)
METRICS_NOTE = "Generators with a rank. better: the direction that is."


def leaderboard(board: Board) -> pd.DataFrame:
    """A row for each generator of each group, best first; then those that are in none."""
    clips, exclusion = board.clips, board.clips["exclusion"]
    placed = {name for group in board.groups for name in group.generators}
    alone = sorted(set(clips["generator"]) - placed)
    used = clips[clips["generator"].isin(alone) & (exclusion == "")]
    means = pd.DataFrame({name: comparison.pair_means(used, name).mean() for name in board.metrics})
    parts = [_group_rows(group, board) for group in board.groups]
    parts.append(means.reindex(alone).assign(note="compared with no other generator"))
    table = pd.concat([part for part in parts if len(part)] or parts)
    counts = clips.groupby("generator").agg(
        clips=("exclusion", "size"), embedder=("embedder", "first")
    )
    counts["embedder"] = counts["embedder"].map(label)
    for column, state in {"can_be_ranked": "", **STATES}.items():
        counts[column] = (exclusion == state).groupby(clips["generator"]).sum()
    table = table.join(counts).rename_axis("generator").reset_index()
    shown = [*dict.fromkeys([board.order_by, *INTERVALS])]
    limits = [f"{name}{side}" for name in shown for side in SIDES]
    rest = [name for name in (*board.second, *SHOWN) if name not in shown]
    return table.reindex(columns=[*PLACES, *limits, "note", *rest, *COUNTS, "embedder"])


def _group_rows(group: Group, board: Board) -> pd.DataFrame:
    table = pd.DataFrame({"order": 1 + group.places, "group": group.number})
    table["pairs"] = len(group.pairs)
    names = table.index
    for metric in board.metrics:
        values = group.values(metric)[names]
        table[metric] = values.mean(skipna=False)
        if group.ranked and metric in (board.order_by, *INTERVALS) and group.has(metric):
            table[[f"{metric}_low", f"{metric}_high"]] = intervals(values.to_numpy(), metric)
    table["note"] = f"order only: {len(group.pairs)} common pair(s)" * (not group.ranked)
    if group.ranked:
        signs = board.differences.signs.loc[names, names]
        table["rank"] = 1 + (signs > 0).sum()  # how many are significantly better
        tied = (signs == 0) & ~np.eye(len(names), dtype=bool)
        table["tied_with"] = [runs((np.flatnonzero(row) + 1).tolist()) for row in tied.to_numpy()]
        name = f"leaderboard {board.order_by}"
        ordered = losses(group.values(group.metric)[names], group.metric)
        table["best"] = statistics.probability_of_best(ordered, name)
    return table


def intervals(values: Array, metric: str) -> Array:
    """95% intervals (k, 2) of the columns' means (pairs, k), within the metric's bounds."""
    limits = statistics.mean_interval(values, f"leaderboard {metric}")
    known = KNOWN.get(metric)
    return limits if known is None else np.clip(limits, known.minimum, known.maximum)


def metrics(board: Board, quality: Iterable[str]) -> pd.DataFrame:
    """Mean and interval of every metric and quality dimension for the ranked generators."""
    columns = ["group", "generator", "metric", "better", "mean", "interval_low", "interval_high"]
    names = dict.fromkeys([board.order_by, *SHOWN, *quality])
    parts = []
    for group, metric in product((group for group in board.groups if group.ranked), names):
        if group.has(metric):
            values = group.values(metric)
            part = pd.DataFrame({"generator": values.columns, "mean": values.mean().to_numpy()})
            part[columns[-2:]] = intervals(values.to_numpy(), metric)
            better = KNOWN[metric].direction if metric in KNOWN else "higher"
            part["better"] = "none" if metric == comparison.UNDIRECTED else better
            parts.append(part.assign(group=group.number, metric=metric, pairs=len(group.pairs)))
    return (pd.concat(parts) if parts else pd.DataFrame()).reindex(columns=[*columns, "pairs"])


def comparisons(board: Board) -> pd.DataFrame:
    """Differences of two generators on all pairs that these two have; see `COMPARISON_NOTE`."""
    metric = board.order_by
    tests = board.differences.tests.copy()
    orders = [list(group.places.index) for group in board.groups]
    if len(set().union(*orders)) > EVERY_TWO:
        near = [(one[k], one[j]) for one in orders for k in range(1, len(one)) for j in {0, k - 1}]
        tests = tests[tests.index.isin(near)]
    values = board.differences.values[tests.index]
    sign = -1.0 if METRICS[metric].direction == "higher" else 1.0
    tests["difference"] = sign * tests["mean"]
    tests["superiority"] = [
        statistics.superiority(x.dropna().to_numpy()) for _, x in values.items()
    ]
    ranked = tests["pairs"] >= MINIMAL_RANKED_PAIRS
    widest = METRICS[metric].maximum - METRICS[metric].minimum
    limits = ["interval_low", "interval_high"]
    tests[[*limits, "effect", "detectable"]] = np.nan
    for _, own in tests[ranked].groupby("pairs"):  # each with its own pairs
        found = sign * np.stack([values[two].dropna() for two in own.index], axis=1)
        made = statistics.mean_interval(found, f"leaderboard {metric}")
        tests.loc[own.index, limits] = np.clip(made, -widest, widest)
        tests.loc[own.index, "effect"] = [statistics.hedges_g(one) for one in found.T]
        levels = {level: statistics.detectable(len(found), level) for level in set(own["level"])}
        smallest = own["level"].map(levels) * found.std(axis=0, ddof=1)
        tests.loc[own.index, "detectable"] = smallest[np.isfinite(smallest)]
    tests["result"] = np.select(
        [~ranked, tests["p_holm"] <= ALPHA, tests["mean"] == 0],
        ["order only", "significantly different", "equal"],
        "not significantly different",
    )
    columns = ["generator", "against", "pairs", "difference", *limits, "effect", "superiority"]
    columns += ["p", "p_holm", "result", "detectable"]
    return tests.reset_index().reindex(columns=columns)


def categories(records: Iterable[Record], order_by: str) -> pd.DataFrame:
    """The leaderboard of each category of transition by itself."""
    by_category = defaultdict(list)
    for record in records:
        by_category[record.get("category") or ""].append(record)
    parts = [
        leaderboard(Board.of(by_category[name], order_by)).assign(category=name)
        for name in sorted(filter(None, by_category))
    ]
    limits = [f"{order_by}{side}" for side in SIDES]
    columns = ["category", *PLACES, *limits, "note", *COUNTS]
    return (pd.concat(parts) if parts else pd.DataFrame()).reindex(columns=columns)


def clips(board: Board, quality: Iterable[str]) -> pd.DataFrame:
    """Every clip; the seed where there are several."""
    columns = ["generator", "pair", "seed", "category", "status", "reason", "notes", "frames"]
    shown = dict.fromkeys([board.order_by, *board.second, *SHOWN])
    columns += ["duration", *shown, "embedder", "input", *quality]
    table = board.clips
    if table["seed"].nunique() < 2:
        columns.remove("seed")
    return table.reindex(columns=columns).assign(embedder=table["embedder"].map(label))


def left_out_sentence(board: Board, table: pd.DataFrame) -> str:
    """What the first group leaves out, in one line; "" where that is nothing."""
    if not board.groups:
        return ""
    own = table.loc[table["group"] == 1, "clips"]
    found = {
        "clip(s) that can be ranked, which not all of its generators have": int(own.sum()),
        "generator(s), which have too few of its pairs": int(own.isna().sum()),
    }
    parts = [f"{count} {what}" for what, count in found.items() if count]
    return f"Left out of group 1: {'; '.join(parts)}." if parts else ""


def tables(board: Board, records: Sequence[Record], quality: Sequence[str]) -> dict[str, Table]:
    """All tables by their names; those without rows are left out."""
    apart, by_category = left_out(board.clips, board.groups), categories(records, board.order_by)
    two, every, name = comparisons(board), metrics(board, quality), "leaderboard"
    found = [
        Table(name, "Generators by evenness of pacing", leaderboard(board), BOARD_NOTE),
        Table(f"{name}_left_out", "What is not compared", apart),
        Table(f"{name}_comparisons", "Differences between generators", two, COMPARISON_NOTE),
        Table(f"{name}_metrics", "Every metric with its interval", every, METRICS_NOTE),
        Table(f"{name}_categories", "The leaderboard of each category by itself", by_category),
        Table("clips", "Every clip", clips(board, quality)),
    ]
    return {table.name: table for table in found if len(table.data)}


def document(board: Board, table: pd.DataFrame, messages: Sequence[str]) -> dict[str, Any]:
    """What `spf compare --json` prints (docs/reference/commands.md): the rows of the table
    `leaderboard`, with names for its ties, and beside them the messages about them."""
    ties: dict[Any, dict[str, list[str]]] = {}
    for group in board.groups:
        names, places = group.places.index, group.places.to_numpy()
        signs = board.differences.signs.loc[names, names].to_numpy()
        for k, name in enumerate(names):
            others = np.arange(len(names)) != k
            tied = (signs[k] == 0) & others & group.ranked
            equal = (places[k] == places) & others
            ties[group.number, name] = {"tied_with": [*names[tied]], "equal_to": [*names[equal]]}
    used = board.clips[board.clips["exclusion"] == ""]
    noise = used.groupby("generator")["noise_share"].mean()
    rows = []
    for line in table.to_dict("records"):
        row: dict[str, Any] = {str(name): value for name, value in line.items()}
        row |= {name: None if pd.isna(row[name]) else int(row[name]) for name in WHOLE}
        row |= ties.get((row["group"], row["generator"]), {"tied_with": [], "equal_to": []})
        row["note"] = row["note"] if isinstance(row["note"], str) else ""
        rows.append(row | {"noise_share": noise.get(row["generator"])})
    return {"schema": SCHEMA, "order_by": board.order_by, "messages": messages, "rows": rows}


def print_board(found: Mapping[str, Any]) -> None:
    """Print the rows of `document`: rank, generator, metric and interval, ties, noise, notes."""
    metric, rows = found["order_by"], found["rows"]
    left_out = {"group"} if len({row["group"] for row in rows} - {None}) < 2 else set()
    left_out |= set() if any(map(_notes, rows)) else {"notes"}
    shown = []
    for row in rows:
        low, high = (row.get(f"{metric}_{side}") for side in ("low", "high"))
        order = "-" if row["order"] is None else f"({row['order']})"
        cells = {
            "group": str(row["group"] or "-"),
            "rank": order if row["rank"] is None else str(row["rank"]),
            "generator": row["generator"],
            metric: row[metric],
            "95% interval": "-" if low is None or high is None else f"{low:.4f} to {high:.4f}",
            "ties": _ties(row),
            "pairs": str(row["pairs"] or "-"),
            "noise": row["noise_share"],
            "notes": _notes(row),
        }
        shown.append({name: cell for name, cell in cells.items() if name not in left_out})
    numeric = dict.fromkeys(("group", "rank", "95% interval", "pairs"), "")
    print_table(shown, numeric | {metric: ".4f", "noise": ".0%"}, stderr=True)
    if any(row["rank"] is None and row["order"] is not None for row in rows):
        least = f"fewer than {MINIMAL_RANKED_PAIRS} common pairs"
        print(f"(N): an order without rank or interval, from {least}", file=sys.stderr)


def missing_dimensions(records: Sequence[Record]) -> list[str]:
    """A line for each reason why dimensions of VBench have no value, and for how many clips."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        for dimension, reason in reasons(record).items():
            found[reason][dimension] += 1
    return [
        f"VBench without {', '.join(counts)} on {max(counts.values())} of {len(records)} clips: "
        f"{reason}"
        for reason, counts in found.items()
    ]


def _ties(row: Mapping[str, Any]) -> str:
    """Whose mean is equal, and how many others do not differ significantly."""
    equal = row["equal_to"]
    tied = len(set(row["tied_with"]) - set(equal))
    named = f"equal to {', '.join(equal) if len(equal) < 3 else f'{len(equal)} others'}"
    return ", ".join([named] * bool(equal) + [f"{tied} tied"] * bool(tied))


def _notes(row: Mapping[str, Any]) -> str:
    """Which of its clips are not compared, and whether it is compared with none."""
    states = [f"{row[name]} {state}" for name, state in STATES.items() if row[name]]
    return ", ".join(["not compared"] * (row["order"] is None) + states)
