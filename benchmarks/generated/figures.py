"""Images and films of `retime_generated`: curves and frames of a pair, before and after."""

from collections import defaultdict
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from benchmarks.harness.cells import Figure
from benchmarks.harness.folder import RunFolder, slug
from benchmarks.harness.measuring import read_curve
from benchmarks.harness.records import Record, digits
from benchmarks.harness.report.players import (
    AUTHORS,
    CONTROL,
    METHOD,
    RESAMPLED,
    STEERED,
    UNTOUCHED,
    kind_of,
)
from spf.embedders import Embedder, label
from spf.figures import PALETTE, REFERENCE, png, side_by_side
from spf.generators.base import GeneratedClip
from spf.generators.cached import unpack
from spf.video import write_mp4

STRIP = 12
"""Frames of a strip."""
STRIP_HEIGHT = 96
CURVES = 12
"""Curves that one image can hold, the unwarped one included."""

STYLES = {STEERED: "-", RESAMPLED: "-.", CONTROL: ":"}


class Pacing(NamedTuple):
    """What a film shows of a curve."""

    times: NDArray[np.float64]
    progress: NDArray[np.float64]


def draw_figures(
    done: Sequence[Record], folder: RunFolder, embedder: Embedder, target: str
) -> tuple[list[Figure], list[Figure]]:
    """An image and a film for each pair and seed, by the run's embedder, in the folder."""
    groups: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in done:
        if record["embedder"] == embedder.name:
            groups[record["clip"], record["seed"]].append(record)
    several = len({seed for _, seed in groups}) > 1
    images, films = [], []
    for (pair, seed), records in groups.items():
        name, title = f"{slug(pair)}-{seed}", f"{pair}, seed {seed}" if several else pair
        chosen = compared(records)
        curves = {record["retime"]: read_curve(folder, record) for record in records}
        files = [records[0]["before_file"], *(record["file"] for record in chosen)]
        clips = [unpack(folder.read(path)) for path in files]
        captions = ["baseline", *(f"{named(x)}: {_change(x)}{_cost(x)}" for x in chosen)]
        strips = dict(zip(captions, clips, strict=True))
        lines = {name: curves[name] for name in _drawn(records)}
        drawing = _drawing(lines, strips, f"{title}, embedder {label(embedder)}, target {target}")
        image, film = f"pairs/{name}.png", f"films/{name}.mp4"
        folder.write(image, png(drawing))
        alt = f"Curves of {title} before and after retiming, and frames of both"
        images.append(Figure(image, alt, title))
        if not chosen:
            continue
        shown = [(chosen[0], "before", "baseline"), *((x, "progress", named(x)) for x in chosen)]
        panels = []
        for clip, (record, column, strategy) in zip(clips, shown, strict=True):
            curve = curves[record["retime"]]
            pacing = Pacing(curve["time"].to_numpy(), curve[column].to_numpy())
            panels.append((clip.frames, pacing, strategy))
        write_mp4(folder.path(film), side_by_side(panels, clips[0].fps), clips[0].fps)
        changes = "; ".join(f"{named(record)}, {_change(record)}" for record in chosen)
        alt = f"Film of {title}, baseline and retimed beside each other"
        films.append(Figure(film, alt, f"{title}: baseline; {changes}"))
    return images, films


def compared(records: Sequence[Record]) -> list[Record]:
    """Of one clip's records, what is shown beside the baseline: the paper's own method, the best
    other warp, the best resampling; without those that are not there."""
    paper = [x for x in records if x["retime"] == METHOD and np.isfinite(x["target_mae"])]
    others = [x for x in records if x["retime"] not in AUTHORS]
    found = [best_of(others, kind) for kind in (STEERED, RESAMPLED)]
    return [*paper, *filter(None, found)]


def named(record: Record) -> str:
    """A strategy as figures name it."""
    strategy = str(record["retime"])
    return f"{strategy} (the paper's method)" if strategy == METHOD else strategy


def best_of(records: Sequence[Record], kind: str) -> Record | None:
    """The clip of a kind of strategies (see `kind_of`) that is nearest to its target; None where
    there is none that could be retimed."""
    found = [x for x in records if kind_of(x["retime"]) == kind and np.isfinite(x["target_mae"])]
    return min(found, key=itemgetter("target_mae"), default=None)


def _drawn(records: Sequence[Record]) -> list[str]:
    """Labels of the curves in an image: where they are many, the nearest to the target,
    that of the authors' script and the control."""
    labels = [record["retime"] for record in records]
    if len(labels) <= CURVES:
        return labels
    finite = [record for record in records if np.isfinite(record["target_mae"])]
    nearest = sorted(finite, key=itemgetter("target_mae"))[: len(PALETTE) - 1]
    shown = {record["retime"] for record in nearest} | {METHOD}
    return [x for x in labels if x in shown or kind_of(x) in (CONTROL, UNTOUCHED)]


def _change(record: Record) -> str:
    """The distance to the target before and after, as tables print it."""
    before, after = (digits(record[name], 3) for name in ("before_target_mae", "target_mae"))
    return f"target_mae {before} to {after}"


def _cost(record: Record) -> str:
    """What even pacing may hide."""
    before, after = (digits(record[f"{x}repeated_frames"], 3) for x in ("before_", ""))
    ratio = record.get("residual_ratio")
    true = "" if ratio is None else f", residual_ratio {digits(ratio, 2)}"
    return f", repeated_frames {before} to {after}{true}"


def _drawing(
    curves: dict[str, pd.DataFrame], clips: dict[str, GeneratedClip], title: str
) -> Drawing:
    longest = max(map(len, curves))
    width = 8 + max(0, longest - 40) * 0.07  # the legend stands beside the curves
    drawing = Drawing(figsize=(width, 4.2 + 0.8 * len(clips)), dpi=90, layout="constrained")
    parts = drawing.subplots(1 + len(clips), 1, height_ratios=[4.2] + [0.8] * len(clips))
    upper = parts[0]
    first = next(iter(curves.values()))
    upper.plot(first["u"], first["target"], "--", color=REFERENCE, lw=1.2, label="target")
    upper.plot(first["u"], first["before"], color="#111827", lw=2, label="baseline")
    shown = [name for name in curves if kind_of(name) != UNTOUCHED]
    for number, name in enumerate(shown):
        colour = PALETTE[number % len(PALETTE)]
        style = STYLES[kind_of(name)]
        upper.plot(curves[name]["u"], curves[name]["progress"], style, color=colour, label=name)
    upper.set(xlabel="share of the clip's time", ylabel="semantic progress", ylim=(-0.03, 1.03))
    upper.grid(alpha=0.25)
    upper.spines[["top", "right"]].set_visible(False)
    upper.set_title(title, loc="left", fontsize=11, parse_math=False)
    legend = upper.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    for axes, (name, clip) in zip(parts[1:], clips.items(), strict=True):
        _strip(axes, clip.frames, name)
    return drawing


def _strip(axes: Axes, frames: NDArray[np.uint8], name: str) -> None:
    """Frames at even distances in time, beside each other."""
    height, width = frames.shape[1:3]
    count = min(len(frames), max(3, round(STRIP * height / width)))
    shown = frames[np.rint(np.linspace(0, len(frames) - 1, count)).astype(int)]
    if height > STRIP_HEIGHT:
        size = (round(width * STRIP_HEIGHT / height), STRIP_HEIGHT)
        shown = np.stack([cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in shown])
    gap = max(1, shown.shape[2] // 16)
    spaced = np.pad(shown, [(0, 0), (0, 0), (0, gap), (0, 0)], constant_values=255)
    axes.imshow(np.hstack(list(spaced))[:, :-gap], interpolation="nearest")
    axes.set_title(name, loc="left", fontsize=8, parse_math=False, pad=2)
    axes.set_axis_off()
