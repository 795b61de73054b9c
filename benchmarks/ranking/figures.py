"""Pacing against quality: one plot for each quality dimension."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Plot
from numpy.typing import NDArray

from benchmarks.ranking.groups import ORDER_BY, UNDIRECTED, Array, Group
from benchmarks.ranking.standing import Standing, runs
from benchmarks.running.cells import Figure
from benchmarks.running.folder import RunFolder
from benchmarks.scoring import statistics
from benchmarks.scoring.quality import QUALITY
from spf.plot import DPI, PALETTE, REFERENCE, png

MAXIMAL_NAMED = 30
"""Generators whose names a plot can hold; with more, only those of the front are named."""


def pareto_figures(
    standings: Iterable[Standing], quality: Iterable[str], folder: RunFolder, embedder: str
) -> tuple[list[Figure], list[str]]:
    """Plots of the groups with an order, and a sentence for each or for why there is none."""
    figures, said, without = [], [], []
    dimensions = list(quality)
    for standing in standings:
        if len(standing.names) < 2:
            continue
        group = standing.group
        scored = [name for name in dimensions if name != UNDIRECTED and group.has(name)]
        for dimension in scored:
            path = f"pareto/group{group.number}-{dimension.removeprefix(QUALITY)}.png"
            pacing, scores = group.values(ORDER_BY), group.values(dimension)
            front = pareto_front(pacing.mean(axis=0), scores.mean(axis=0))
            names = list(group.complete)
            folder.write(path, _plot(group, dimension, pacing, scores, front, embedder))
            best = ", ".join(name for name, first in zip(names, front, strict=True) if first)
            sentence = f"Group {group.number}, {dimension}: no generator beats {best} in both."
            said.append(sentence)
            figures.append(Figure(path, f"{ORDER_BY} against {dimension}: {', '.join(names)}"))
        if not scored:
            without.append(group.number)
    if without:
        said.append(
            f"Group {runs(without)}: no quality dimension was computed for all clips, by the same "
            "weights and versions, so there is no plot of pacing against quality."
        )
    return figures, said


def pareto_front(pacing: Array, quality: Array) -> NDArray[np.bool_]:
    """Which generators (k,) no other one beats: less uneven and no worse, or better and no more
    uneven. pacing (k,): lower is better; quality (k,): higher is better."""
    no_worse = (pacing[:, None] <= pacing) & (quality[:, None] >= quality)
    better = (pacing[:, None] < pacing) | (quality[:, None] > quality)
    return np.logical_not(np.any(no_worse & better, axis=0))


def _plot(
    group: Group,
    dimension: str,
    pacing: Array,
    scores: Array,
    front: NDArray[np.bool_],
    embedder: str,
) -> bytes:
    figure = Plot(figsize=(7, 4.6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    x, y = pacing.mean(axis=0), scores.mean(axis=0)
    if group.ranked:
        errors = [_errors(pacing, ORDER_BY), _errors(scores, dimension)]
        axes.errorbar(x, y, errors[1], errors[0], fmt="none", ecolor=REFERENCE, lw=0.9, alpha=0.6)
    order = [k for k in np.argsort(x, kind="stable") if front[k]]
    axes.plot(x[order], y[order], "--", color=PALETTE[0], lw=1.2, label="not beaten in both")
    for chosen, colour in ((front, PALETTE[0]), (~front, REFERENCE)):
        axes.plot(x[chosen], y[chosen], "o", color=colour, ms=6)
    for k, name in enumerate(group.complete):
        if front[k] or len(x) <= MAXIMAL_NAMED:
            place: dict[str, Any] = {
                "xytext": (5, 5),
                "textcoords": "offset points",
                "parse_math": False,
            }
            axes.annotate(name[:24], (x[k], y[k]), fontsize=8, **place)
    axes.set_xlabel(f"{ORDER_BY} (further left is more even)")
    axes.set_ylabel(f"{dimension} (higher is better)", parse_math=False)
    axes.margins(0.12)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    pairs = f"{len(group.pairs)} pairs"
    bars = ", bars are 95% intervals" if group.ranked else ""
    axes.set_title(f"Group {group.number}: {pairs}, embedder {embedder}{bars}", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    return png(figure)


def _errors(values: Array, metric: str) -> Array:
    """Distances (2, k) of the interval's limits from the means, for matplotlib."""
    mean = values.mean(axis=0)
    limits = statistics.mean_interval(values, f"leaderboard {metric}").T
    limits = np.where(np.isfinite(limits), limits, mean)
    return np.abs(limits - mean)
