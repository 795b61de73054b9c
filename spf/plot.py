"""Pictures of curves: one clip with its frames, and several clips over one another."""

import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from spf.measurement import Measurement
from spf.progress import Curve, score, unranked_reason
from spf.thumbnails import Thumbnails

PALETTE = ["#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f"]
REFERENCE = "#6b7280"
SHADES = {
    "dead": ("#9ca3af", "dead stretch"),
    "jump": ("#ef4444", "jump"),
    "cut": ("#7c3aed", "hard cut"),
}
AXIS = {"s": "time in seconds", "frames": "frame"}
DPI = 110
LEGEND_ROWS = 22
STRIP_FRAMES = 12
STRIP_ASPECT = 10.5  # width of the strip over its height


def plot_measurement(measured: Measurement, title: str, subtitle: str = "") -> bytes:
    """PNG of one clip: its curve, the straight reference, its segments and a strip of frames.

    Dead stretches are shaded grey and jumps red; the lines through the segments are drawn over
    the curve. The strip shows up to `STRIP_FRAMES` frames at even distances with their times.
    """
    curve = measured.curve
    figure = Figure(figsize=(9, 5.6), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=[4, 1])
    times = curve.times
    _straight(upper, times)
    upper.plot(times, curve.progress, color=PALETTE[0], lw=2.2, label="progress S")
    for number, part in enumerate(measured.segments):
        x = times[part.start : part.stop]
        y = part.slope * x + part.intercept
        name = "segments" if number == 0 else None
        upper.plot(x, y, color="#111827", lw=1.1, alpha=0.85, label=name)
        upper.plot(x[[0, -1]], y[[0, -1]], "o", color="#111827", ms=3)
    shaded: set[str] = set()
    for stretch in measured.named_stretches:
        colour, word = SHADES[stretch.kind]
        name = None if word in shaded else word
        shaded.add(word)
        span = stretch.start_time, stretch.stop_time
        upper.axvspan(*span, color=colour, alpha=0.22, lw=0, label=name)
    _axes(upper, AXIS[measured.embeddings.unit], "semantic progress")
    _title(upper, title, subtitle)
    upper.legend(loc="upper left", fontsize=8, frameon=False)
    _strip(lower, curve, measured.thumbnails, measured.embeddings.unit)
    return png(figure)


def plot_overlay(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str, subtitle: str = ""
) -> bytes:
    """PNG of several curves, each (u, progress), with the straight reference."""
    columns = -(-len(curves) // LEGEND_ROWS)
    figure = Figure(figsize=(8 + 1.6 * columns, 5), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    _straight(axes, np.array([0.0, 1.0]))
    for number, (name, (u, progress)) in enumerate(curves.items()):
        colour = PALETTE[number % len(PALETTE)]
        style = ["-", "--", ":", "-."][number // len(PALETTE) % 4]
        # Names come from folders: a leading underscore would hide them, a dollar start formulas.
        (line,) = axes.plot(u, progress, style, color=colour, lw=1.8)
        line.set_label("\u200b" + name)
    _axes(axes, "share of the clip's time", "semantic progress")
    _title(axes, title, subtitle)
    place: dict[str, Any] = {"loc": "outside right center", "ncols": columns}
    legend = figure.legend(fontsize=8, frameon=False, **place)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return png(figure)


def subtitle(curve: Curve, embedder: str) -> str:
    """The line under a plot's title: what measured it and the two numbers that say most."""
    change = f"total change {curve.total_change:.3g} rad"
    reason = unranked_reason(curve)
    if reason is not None:
        return f"embedder {embedder} · {reason} ({change}, noise floor {curve.noise_floor:.3g})"
    linearity = f"linearity_mae {score(curve)['linearity_mae']:.4f}"
    return f"embedder {embedder} · {linearity} · {change}, {curve.noise_share:.0%} of it noise"


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes that depend on nothing but the figure."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names in scripts that the font lacks are drawn as boxes; a warning for each helps nobody.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _straight(axes: Axes, times: Any) -> None:
    axes.plot(times[[0, -1]], [0, 1], "--", color=REFERENCE, lw=1.2, label="even pacing")


def _axes(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(-0.03, 1.03)
    axes.margins(x=0.01)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _title(axes: Axes, title: str, subtitle: str) -> None:
    axes.set_title(title, loc="left", fontsize=12, parse_math=False, pad=20 if subtitle else 8)
    if subtitle:
        axes.text(
            0, 1.02, subtitle, transform=axes.transAxes, fontsize=8.5, color="#4b5563",
            parse_math=False, va="bottom",
        )  # fmt: skip


def _strip(axes: Axes, curve: Curve, thumbnails: Thumbnails, unit: str) -> None:
    """Frames at even distances in time, each with its own time under it."""
    axes.set_axis_off()
    height, width = thumbnails.images[0].shape[:2]
    count = max(3, min(STRIP_FRAMES, int(STRIP_ASPECT * height / width), len(curve)))
    wanted = np.linspace(0, len(curve) - 1, count)
    shown = [thumbnails.nearest(round(frame)) for frame in wanted]
    shown = list(dict(shown).items())  # a short or thinned clip may give one frame twice
    gap = max(2, width // 16)
    canvas = np.full((height, len(shown) * (width + gap) - gap, 3), 255, np.uint8)
    for number, (frame, image) in enumerate(shown):
        left = number * (width + gap)
        canvas[:, left : left + width] = image[:height, :width]
        time = curve.times[frame]
        text = f"{time:.2f} s" if unit == "s" else f"{time:.0f}"
        axes.text(left + width / 2, height * 1.04, text, ha="center", va="top", fontsize=8)
    axes.imshow(canvas)
    axes.set_ylim(height * 1.25, 0)
