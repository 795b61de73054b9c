"""The figures of a leaderboard: clips, their films, pairs, and pacing against quality."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot
from numpy.typing import NDArray

from benchmarks.harness.cells import Figure
from benchmarks.harness.folder import RunFolder, slug
from benchmarks.harness.measuring import read_curve
from benchmarks.harness.quality import QUALITY
from benchmarks.harness.records import DONE, Record
from benchmarks.harness.statistics import Array
from benchmarks.leaderboard.comparison import UNDIRECTED, Board, Group, listed, losses, runs
from benchmarks.leaderboard.tables import intervals
from spf.figures import DPI, PALETTE, REFERENCE, plot_overlay, png
from spf.progress import METRICS
from spf.progress.metrics import NO_CHANGE

MAXIMAL_NAMED = 30
"""Generators whose names a plot can hold; with more, only those of the front are named."""


def pair_figures(records: Iterable[Record], folder: RunFolder, embedder: str) -> list[Figure]:
    """One plot for each pair: the curves of all its generators."""
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


def pareto_figures(
    board: Board, quality: Sequence[str], folder: RunFolder, embedder: str
) -> tuple[list[Figure], list[str]]:
    """Plots of pacing against each quality dimension, by group, and a sentence for each or for why
    there is none."""
    figures, sentences, without = [], [], []
    metric = board.order_by
    for group in board.groups:
        scored = [name for name in quality if name != UNDIRECTED and group.has(name)]
        for dimension in scored:
            path = f"pareto/group{group.number}-{dimension.removeprefix(QUALITY)}.png"
            pacing, scores = group.values(metric), group.values(dimension)
            front = pareto_front(losses(pacing, metric).mean(axis=0), scores.mean().to_numpy())
            folder.write(path, _plot(group, metric, dimension, front, embedder))
            best = ", ".join(pacing.columns[front])
            where = f"Group {group.number}, {dimension}"
            sentences.append(f"{where}: no generator beats {best} in both.")
            figures.append(Figure(path, f"{metric} against {dimension}: {listed(pacing.columns)}"))
        if not scored:
            without.append(group.number)
    if without:
        sentences.append(
            f"Group {runs(without)}: no quality dimension was computed for all clips, by the same "
            "weights and versions, so there is no plot of pacing against quality."
        )
    return figures, sentences


def pareto_front(pacing: Array, quality: Array) -> NDArray[np.bool_]:
    """Which generators (k,) no other one beats: less uneven and no worse, or better and no more
    uneven. pacing (k,): lower is better; quality (k,): higher is better."""
    no_worse = (pacing[:, None] <= pacing) & (quality[:, None] >= quality)
    better = (pacing[:, None] < pacing) | (quality[:, None] > quality)
    return np.logical_not(np.any(no_worse & better, axis=0))


def _plot(
    group: Group, metric: str, dimension: str, front: NDArray[np.bool_], embedder: str
) -> bytes:
    figure = Plot(figsize=(7, 4.6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    pacing = group.values(metric)
    values = pacing.to_numpy(), group.values(dimension).to_numpy()
    x, y = (value.mean(axis=0) for value in values)
    order = [k for k in np.argsort(x, kind="stable") if front[k]]
    axes.plot(x[order], y[order], "--", color=PALETTE[0], lw=1.2, label="not beaten in both")
    for chosen, colour in ((front, PALETTE[0]), (~front, REFERENCE)):
        axes.plot(x[chosen], y[chosen], "o", color=colour, ms=6)
    for k, name in enumerate(pacing):
        if front[k] or len(x) <= MAXIMAL_NAMED:
            place: dict[str, Any] = {"xytext": (5, 5), "textcoords": "offset points"}
            axes.annotate(str(name)[:24], (x[k], y[k]), fontsize=8, parse_math=False, **place)
    side = "right" if METRICS[metric].direction == "higher" else "left"
    axes.set_xlabel(f"{metric} (further {side} is more even)")
    axes.set_ylabel(f"{dimension} (higher is better)", parse_math=False)
    axes.margins(0.12)
    if group.ranked:
        _bars(axes, x, y, intervals(values[0], metric), intervals(values[1], dimension))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    title = f"Group {group.number}: {len(group.pairs)} pairs, embedder {embedder}"
    title += ", bars are 95% intervals" if group.ranked else ""
    axes.set_title(title, fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    return png(figure)


def _bars(axes: Axes, x: Array, y: Array, across: Array, up: Array) -> None:
    """Intervals (k, 2) of points; an open end goes to the edge of the plot."""
    for side in (0, 1):
        ends = np.column_stack([across[:, side], up[:, side]])
        axes.update_datalim(np.where(np.isfinite(ends), ends, np.column_stack([x, y])))
    axes.autoscale_view()
    wide, tall = axes.get_xlim(), axes.get_ylim()
    style: dict[str, Any] = {"colors": REFERENCE, "lw": 0.9, "alpha": 0.6}
    axes.hlines(y, *np.clip(across, *wide).T, **style)
    axes.vlines(x, *np.clip(up, *tall).T, **style)
    axes.set(xlim=wide, ylim=tall)
