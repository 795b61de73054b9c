"""Figures of the synthetic benchmark."""

import io
from collections.abc import Iterator

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
TRUTH = "Measured against true progress for every pacing law and motion"
MEASURES = "Rank correlation of every measure with the true unevenness, by motion"
STEEPNESS = "Calibrated error against the steepness of a jump, by motion"


def draw_figures(results: PacingResults, embedder: str) -> Iterator[tuple[str, str, bytes, str]]:
    """Every study that was run: its name, and path, PNG and alternative text of a figure of it."""
    for study, path, draw, alt in (
        ("grid", "truth.png", _small_multiples, TRUTH),
        ("leakage", "leakage.png", _leakage, "Change that each kind of motion fakes"),
        ("ladder", "measures.png", _measures, MEASURES),
        ("ladder", "steepness.png", _steepness, STEEPNESS),
    ):
        if not results.of(study).empty:
            yield study, path, png(draw(results, embedder)), alt
    if results.strips:
        drawn = png(_invariance(results, embedder))
        yield "invariance", "invariance.png", drawn, _invariance_alt(results)


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
    figure = Figure(figsize=(9, 1.4 * len(clips) + 0.7), dpi=110, layout="constrained")
    panels = figure.subplots(len(clips), 3, width_ratios=(4.6, 1.7, 1.7), squeeze=False)
    most = 1.08 * clips[["total_change", "total_change_corrected"]].to_numpy().max()
    for (strip, change, progress), (label, clip) in zip(panels, clips.iterrows(), strict=True):
        curve = results.curves[clip["clip"]]
        strip.imshow(np.asarray(Image.open(io.BytesIO(results.strips[clip["clip"]]))))
        strip.set_axis_off()
        flag = ": flagged" if clip["mostly_motion"] else ""
        verdict = f"motion explains {clip['motion_share']:.2f} of the change{flag}"
        strip.set_title(str(label), loc="left", fontsize=9, color=INK, weight="bold")
        strip.set_title(verdict, loc="right", fontsize=8, color=SOFT)
        for axes, name, limit in ((change, "angle", most), (progress, "progress", 1.08)):
            second = curve[f"{name}_corrected"]
            style = ":" if clip["explained"] and name == "progress" else "-"
            axes.plot(curve["u"], curve[name], color="#93b4f5", lw=3.4, label="plain")
            axes.plot(curve["u"], second, style, color=PALETTE[1], lw=1.5, label="corrected")
            axes.set(xlim=(0, 1.01), ylim=(-0.04 * limit, limit), xticks=[0, 0.5, 1])
            axes.tick_params(labelsize=7, labelbottom=strip is panels[-1, 0], length=2)
            _bare(axes)
        progress.plot(curve["u"], curve["truth"], "--", color=INK, lw=1.1, label="truth")
        progress.set_yticks([0, 0.5, 1])
        if clip["explained"]:
            text = "no semantic change"
            progress.text(0.98, 0.06, text, fontsize=7, color=PALETTE[1], ha="right")
    panels[0, 1].set_title("change in radians", loc="left", fontsize=8, color=SOFT)
    panels[0, 2].set_title("progress S", loc="left", fontsize=8, color=SOFT)
    for axes in panels[-1, 1:]:
        axes.set_xlabel("share of the time", fontsize=8)
    title = f"change and progress under motion, embedder {embedder}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=INK)
    lines = progress.get_legend_handles_labels()
    figure.legend(*lines, loc="upper right", ncols=3, fontsize=8, frameon=False)
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
