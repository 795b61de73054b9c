"""Figures of the synthetic benchmark."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.known_pacing.errors import PacingResults
from benchmarks.known_pacing.studies import FIGURE_LABELS
from benchmarks.known_pacing.tables import measure_rows
from spf.figures import PALETTE, REFERENCE, png

INK, SOFT = "#111827", "#4b5563"


def draw_figures(results: PacingResults, embedder: str) -> dict[str, tuple[bytes, str]]:
    """PNG and alternative text of every figure whose study was run, by its path."""
    return {path: (png(figure), alt) for path, figure, alt in _figures(results, embedder)}


def _figures(results: PacingResults, embedder: str) -> Iterator[tuple[str, Figure, str]]:
    if not results.of("grid").empty:
        alt = "Measured against true progress for every pacing law and motion"
        yield "truth.png", _small_multiples(results, embedder), alt
    if not results.of("leakage").empty:
        yield "leakage.png", _leakage(results, embedder), "Change that each kind of motion fakes"
    if results.strips:
        yield "invariance.png", _invariance(results, embedder), _invariance_alt(results)
    if not results.of("ladder").empty:
        alt = "Calibrated error against the steepness of a jump, by motion"
        title = "Rank correlation of every measure with the true unevenness, by motion"
        yield "measures.png", _measures(results, embedder), title
        yield "steepness.png", _steepness(results, embedder), alt


def _small_multiples(results: PacingResults, embedder: str) -> Figure:
    """A panel for each law (columns) and motion (rows): the truth and every measured curve."""
    grid = results.of("grid")
    laws, motions = (list(dict.fromkeys(grid[name])) for name in ("law", "motion"))
    figure = Figure(
        figsize=(2.1 * len(laws) + 0.8, 2.0 * len(motions) + 0.7), dpi=110, layout="constrained"
    )
    panels = figure.subplots(len(motions), len(laws), sharex=True, sharey=True, squeeze=False)
    for row, motion in enumerate(motions):
        for column, law in enumerate(laws):
            axes = panels[row, column]
            members = grid[(grid["motion"] == motion) & (grid["law"] == law)]
            for clip in members["clip"]:
                curve = results.curves[clip]
                axes.plot(curve["u"], curve["progress"], color=PALETTE[0], lw=0.8, alpha=0.5)
            axes.plot(curve["u"], curve["truth"], "--", color=INK, lw=1.2)
            axes.set(xticks=[0, 1], yticks=[0, 1])
            axes.tick_params(labelsize=7)
            _bare(axes)
            if row == 0:
                axes.set_title(law.replace("_", " "), fontsize=9)
            if column == 0:
                axes.set_ylabel(motion.replace("translation-", "camera "), fontsize=8)
    title = f"measured (blue) and true (dashed) progress over time, embedder {embedder}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _leakage(results: PacingResults, embedder: str) -> Figure:
    still = results.of("leakage")
    table = still.groupby(["motion_kind", "strength"], sort=False)["leakage"].median()
    kinds = list(dict.fromkeys(still["motion_kind"]))
    strengths = sorted(set(still["strength"]))
    figure, axes = _plot(f"leakage of motion, embedder {embedder}")
    for number, strength in enumerate(strengths):
        places, width = _side_by_side(len(kinds), number, len(strengths))
        heights = [table[kind, strength] for kind in kinds]
        axes.bar(places, heights, width, color=PALETTE[number], label=f"{strength:.0%}")
    axes.axhline(1.0, ls="--", color=REFERENCE, lw=1)
    axes.set_xticks(range(len(kinds)), kinds, fontsize=8, rotation=30, ha="right")
    axes.set_ylabel("share of a morph's change")
    axes.legend(frameon=False, fontsize=8, title="strength", title_fontsize=8)
    return figure


def _clips_shown(results: PacingResults) -> pd.DataFrame:
    """The clips of the figure of invariance that were measured, in their order."""
    clips = results.of("invariance")
    found = clips[clips["clip"].isin(list(results.strips))].set_index("figure_label")
    return found.loc[[label for label in FIGURE_LABELS if label in found.index]]


def _invariance_alt(results: PacingResults) -> str:
    changes = [
        f"{label}, {clip['total_change']:.2f} and {clip['total_change_corrected']:.2f} rad"
        for label, clip in _clips_shown(results).iterrows()
    ]
    return (
        "Frames of five clips, their change and their progress over time, plain and corrected for "
        f"camera and light. Plain and corrected change: {'; '.join(changes)}"
    )


def _invariance(results: PacingResults, embedder: str) -> Figure:
    """A row for each clip: frames of it, its cumulative change and its progress."""
    clips = _clips_shown(results)
    width, tall, head = 9.0, 1.38, 0.72
    whole = head + len(clips) * tall + 0.22
    figure = Figure(figsize=(width, whole), dpi=110)
    most = 1.08 * clips[["total_change", "total_change_corrected"]].to_numpy().max()

    def axes(x: float, top: float, wide: float, high: float) -> Axes:
        return figure.add_axes((x / width, 1 - (top + high) / whole, wide / width, high / whole))

    def write(x: float, top: float, text: str, size: float, colour: str, **more: Any) -> None:
        figure.text(x / width, 1 - top / whole, text, fontsize=size, color=colour, **more)

    write(0.1, 0.27, f"change and progress under motion, embedder {embedder}", 10, INK)
    for x, text in ((5.08, "change in radians"), (7.2, "progress S")):
        write(x, head - 0.06, text, 8, SOFT)
    for number, (label, clip) in enumerate(clips.iterrows()):
        top, curve = head + number * tall, results.curves[clip["clip"]]
        image = np.asarray(Image.open(io.BytesIO(results.strips[clip["clip"]])))
        write(0.1, top + 0.15, str(label), 9, INK, weight="bold")
        verdict = f"motion explains {clip['motion_share']:.2f} of the change"
        verdict += ": flagged" if clip["mostly_motion"] else ""
        write(4.68, top + 0.15, verdict, 8, SOFT, ha="right")
        strip = axes(0.1, top + 0.24, 4.58, 4.58 * image.shape[0] / image.shape[1])
        strip.imshow(image)
        strip.set_axis_off()
        dotted = ":" if clip["explained"] else "-"
        for x, name, limit in ((5.08, "angle", most), (7.2, "progress", 1.08)):
            panel = axes(x, top + 0.04, 1.68, 0.98)
            panel.plot(curve["u"], curve[name], color="#93b4f5", lw=3.4, label="plain")
            second = curve[f"{name}_corrected"]
            style = dotted if name == "progress" else "-"
            panel.plot(curve["u"], second, style, color=PALETTE[1], lw=1.5, label="corrected")
            panel.set(xlim=(0, 1.01), ylim=(-0.04 * limit, limit), xticks=[0, 0.5, 1])
            if name == "progress":
                panel.plot(curve["u"], curve["truth"], "--", color=INK, lw=1.1, label="truth")
                panel.set_yticks([0, 0.5, 1])
                if clip["explained"]:
                    label = "no semantic change"
                    panel.text(0.98, 0.06, label, fontsize=7, color=PALETTE[1], ha="right")
            last = number == len(clips) - 1
            panel.tick_params(labelsize=7, labelbottom=last, length=2)
            if last:
                panel.set_xlabel("share of the time", fontsize=8)
            _bare(panel)
    figure.legend(
        *panel.get_legend_handles_labels(), loc="upper right", ncols=3, fontsize=8,
        frameon=False, bbox_to_anchor=(0.992, 1 - 0.1 / whole), borderaxespad=0.0,
    )  # fmt: skip
    return figure


def _steepness(results: PacingResults, embedder: str) -> Figure:
    ladder = results.of("ladder")
    figure, axes = _plot(f"error against steepness (median, quartiles), embedder {embedder}", 6)
    for number, (motion, group) in enumerate(ladder.groupby("motion", sort=False)):
        error = group.groupby("steepness")["calibrated_error"]
        middle, low, high = error.median(), error.quantile(0.25), error.quantile(0.75)
        colour = PALETTE[number]
        axes.plot(middle.index, middle, "o-", color=colour, ms=4, label=str(motion))
        axes.fill_between(middle.index, low, high, color=colour, alpha=0.15, lw=0)
    axes.set_xscale("log")
    axes.set(xlabel="steepness of the jump", ylabel="calibrated error")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _measures(results: PacingResults, embedder: str) -> Figure:
    rows, motions = measure_rows(results.of("ladder"))
    shown = [row for row in rows if row["status"] == "done"]
    figure, axes = _plot(f"measures of pacing, embedder {embedder}")
    for number, motion in enumerate(motions):
        places, height = _side_by_side(len(shown), number, len(motions))
        values = [row[motion] for row in shown]
        axes.barh(places, values, height, color=PALETTE[number], label=motion)
    axes.set_yticks(range(len(shown)), [row["measure"] for row in shown], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(min(0, axes.get_xlim()[0]), 1)
    axes.set_xlabel("rank correlation with the true unevenness")
    figure.legend(frameon=False, fontsize=8, loc="outside right center")
    return figure


def _plot(title: str, width: float = 8) -> tuple[Figure, Axes]:
    """A figure of one plot."""
    figure = Figure(figsize=(width, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10)
    _bare(axes)
    return figure, axes


def _side_by_side(groups: int, number: int, count: int) -> tuple[np.ndarray, float]:
    """Places (groups,) of the bars of one of `count` series, and a bar's width."""
    width = 0.8 / count
    return np.arange(groups) + (number - (count - 1) / 2) * width, width * 0.94


def _bare(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
