"""The rows of a leaderboard's tables."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from benchmarks.ranking.groups import (
    ORDER_BY,
    SHOWN,
    UNDIRECTED,
    Array,
    Clip,
    Group,
    finite,
    groups_of,
    usable,
)
from benchmarks.ranking.standing import Standing
from benchmarks.running.records import DONE, FAILED, Record
from benchmarks.scoring import statistics
from spf.embedders import label
from spf.progress import METRICS
from spf.progress.metrics import MINIMAL_RANKED_FRAMES

COUNTS = ["pairs", "clips", "measured", "failed", "missing", "no_change", "too_short"]
PLACES = ["group", "order", "rank", "generator", "tied_with"]
MEAN = [ORDER_BY, "interval_95", "best", "remark"]
COLUMNS = [*PLACES, *MEAN, *SHOWN[1:], *COUNTS, "embedder"]
METRIC_COLUMNS = ["group", "generator", "metric", "better", "mean", "interval_95", "pairs"]
COMPARISON_COLUMNS = [
    "group",
    "generator",
    "against",
    "difference",
    "difference_95",
    "effect",
    "superiority",
    "p",
    "p_holm",
    "told_apart",
    "detectable",
    "pairs",
]
CATEGORY_COLUMNS = ["category", *PLACES, *MEAN, *COUNTS]

Row = dict[str, Any]


def board_rows(standings: Iterable[Standing]) -> list[Row]:
    """One row for each generator, best first within each group, those that lack clips last."""
    return [row for standing in standings for row in _group_rows(standing)]


def leaderboard_rows(records: Iterable[Record]) -> list[Row]:
    """The rows of records."""
    return board_rows(map(Standing.of, groups_of(records)))


def _group_rows(standing: Standing) -> list[Row]:
    group = standing.group
    rows = [_row(group, name, group.complete[name]) for name in standing.names]
    compared = len(rows) > 1
    for index, row in enumerate(rows):
        row["order"] = 1 + standing.place(index) if compared else None
        if not compared:
            row["remark"] = "no other complete generator has exactly its pairs"
        elif not group.ranked:
            row["remark"] = f"order only: {len(group.pairs)} common pair(s)"
    if group.ranked:
        limits = intervals(standing.values, ORDER_BY)
        for index, row in enumerate(rows):
            row["rank"] = standing.ranks[index]
            row["tied_with"] = standing.ties(index)
            row["interval_95"] = limits[index]
            row["best"] = float(standing.best[index])
    for name, found in group.incomplete.items():
        row = _row(group, name, found)
        row["remark"] = "unranked: pairs are missing"
        rows.append(row)
    return rows


def _row(group: Group, name: str, found: Mapping[Clip, Record]) -> Row:
    records = list(found.values())
    used = [record for record in records if usable(record)]
    done = [record for record in records if record["status"] == DONE]
    failed = sum(record["status"] == FAILED for record in records)
    row: Row = dict.fromkeys(COLUMNS)
    row |= {
        "group": group.number,
        "generator": name,
        "embedder": label(records[0]["embedder"]),
        "pairs": len({pair for pair, _ in found}),
        "clips": len(records),
        "measured": len(used),
        "failed": failed,
        "missing": len(group.clips) - len(done) - failed,
        "no_change": sum(not finite(record[ORDER_BY]) for record in done),
        "too_short": sum(record["frames"] < MINIMAL_RANKED_FRAMES for record in done),
        "remark": "",
    }
    if used:
        row |= {metric: _mean(used, metric) for metric in SHOWN}
    return row


def _mean(records: list[Record], metric: str) -> float:
    """Mean over pairs of the means over seeds."""
    by_pair: dict[str, list[float]] = defaultdict(list)
    for record in records:
        by_pair[record["clip"]].append(record[metric])
    return float(np.mean([np.mean(values) for values in by_pair.values()]))


def intervals(values: Array, metric: str) -> list[str]:
    """95% intervals of the columns' means (pairs, k) as text, within the metric's bounds."""
    limits = statistics.mean_interval(values, f"leaderboard {metric}")
    known = METRICS.get(metric)
    if known is not None:
        limits = np.clip(limits, known.minimum, known.maximum)
    return [as_interval(low, high) for low, high in limits]


def as_interval(low: float, high: float) -> str:
    """An interval as tables print it."""
    return f"{low:.4f} .. {high:.4f}"


def metric_rows(standings: Iterable[Standing], quality: Iterable[str]) -> list[Row]:
    """Mean and interval of every metric and quality dimension for the ranked generators."""
    rows: list[Row] = []
    for standing in standings:
        group = standing.group
        if not group.ranked:
            continue
        for metric in [*SHOWN, *quality]:
            if not group.has(metric):
                continue
            values = group.values(metric)
            limits = intervals(values, metric)
            better = METRICS[metric].direction if metric in METRICS else "higher"
            better = "none" if metric == UNDIRECTED else better
            for index, name in enumerate(group.complete):
                row = {"group": group.number, "generator": name, "metric": metric, "better": better}
                row |= {"mean": float(values[:, index].mean()), "interval_95": limits[index]}
                rows.append(row | {"pairs": len(group.pairs)})
    return rows


def comparison_rows(standings: Iterable[Standing]) -> list[Row]:
    """Every ranked generator against the best one and against the next better one."""
    rows: list[Row] = []
    for standing in standings:
        if standing.group.ranked:
            count = len(standing.names)
            against = [(k, other) for k in range(1, count) for other in sorted({0, k - 1})]
            rows += _comparison_rows(standing, against)
    return rows


def _comparison_rows(standing: Standing, against: list[tuple[int, int]]) -> list[Row]:
    first, second = (list(side) for side in zip(*against, strict=True))
    differences = standing.values[:, first] - standing.values[:, second]
    limits = statistics.mean_interval(differences, f"leaderboard {ORDER_BY}")
    widest = METRICS[ORDER_BY].maximum - METRICS[ORDER_BY].minimum
    limits = np.clip(limits, -widest, widest)
    smallest = statistics.detectable(len(differences), standing.strictest)
    spreads = smallest * differences.std(axis=0, ddof=1)
    rows = []
    for column, (one, other) in enumerate(against):
        apart = standing.told_apart[one, other]
        rows.append(
            {
                "group": standing.group.number,
                "generator": standing.names[one],
                "against": standing.names[other],
                "difference": float(differences[:, column].mean()),
                "difference_95": as_interval(*limits[column]),
                "effect": statistics.hedges_g(differences[:, column]),
                "superiority": statistics.superiority(differences[:, column]),
                "p": float(standing.p[one, other]),
                "p_holm": float(standing.p_holm[one, other]),
                "told_apart": "yes" if apart else "tied",
                "detectable": float(spreads[column]) if np.isfinite(smallest) else None,
                "pairs": len(differences),
            }
        )
    return rows


def category_rows(records: Iterable[Record]) -> list[Row]:
    """The leaderboard of each category of transition by itself."""
    by_category: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_category[record.get("category") or ""].append(record)
    rows: list[Row] = []
    for category in sorted(filter(None, by_category)):
        for row in leaderboard_rows(by_category[category]):
            rows.append({"category": category} | {name: row[name] for name in CATEGORY_COLUMNS[1:]})
    return rows
