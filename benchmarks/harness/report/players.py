"""Pairs of a run with the frames of all strategies: what the page's figure needs for them."""

import base64
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from benchmarks.harness.cells import Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.measuring import read_curve
from benchmarks.harness.records import DONE, Record, printer
from spf.embedders import label
from spf.generators.cached import DAMAGE, unpack
from spf.pacing.strategies import (
    AUTHORS_CODE,
    AUTHORS_WORKFLOW,
    RESAMPLINGS,
    RETIMES,
    NoRetime,
    Regenerate,
    Rope,
    RopeIterative,
)
from spf.progress.segments import PENALTY
from spf.thumbnails import tiled

BYTES = 2_000_000
"""Of the frames of a run: pairs are taken until there are so many."""

TILE = 96
"""Height of a frame in a sheet, pixels at most."""
ACROSS = 10
"""Frames beside each other in a sheet."""

PLAIN = NoRetime.name
METHOD, WORKFLOW, REFINED = AUTHORS = (
    f"{Rope.name} ({AUTHORS_CODE})",
    f"{Rope.name} ({AUTHORS_WORKFLOW})",
    f"{RopeIterative.name} ({AUTHORS_CODE})",
)
"""Labels of plain generation and of the paper's own method: with the settings of the authors'
script, with those of their workflow, and with those of the script and refinement."""

SEGMENTED = f"{Regenerate.name} (penalty={PENALTY:g}, strategy={PLAIN})"
"""Label of the paper's own method for existing clips: its segmentation, each segment as the model
makes it."""


STEERED, RESAMPLED, REGENERATED = "steered", "resampled", "regenerated"
CONTROL, UNTOUCHED = "control", "untouched"
"""Kinds of strategies: a warped clock, the clip's own frames, regenerated between some of them,
another pair's map, nothing."""

OUR_BEST = "our best warp (chosen on these clips)"
"""What sentences call the warp of ours that lowers the distance most: a choice by the same clips,
whose figure is therefore too good."""


def kind_of(label: str) -> str:
    """The kind of a strategy by its label; what is no way to retime is a control."""
    name = label.partition(" ")[0]
    if name in RESAMPLINGS:
        return RESAMPLED
    others = {PLAIN: UNTOUCHED, Regenerate.name: REGENERATED}
    return others.get(name, STEERED if name in RETIMES else CONTROL)


def is_ours(label: str) -> bool:
    """Whether it is a warp of ours: with settings that are not the authors'."""
    return kind_of(label) == STEERED and label not in AUTHORS


@dataclass(frozen=True)
class Take:
    """A pair by one strategy, as the page's script reads it.

    line : (T,) progress, 0..1. value : its distance to the target, as the table of pairs prints it;
    "" where it has none. source : all frames in one image, `across` beside each other.
    """

    line: list[float]
    value: str
    source: str
    across: int
    down: int
    aspect: float


@dataclass(frozen=True)
class ComparedPair:
    """A pair by all strategies, the plain clip first.

    times : (T,) seconds. u : (T,) share of the time, 0..1. target : (T,) progress asked for.
    """

    title: str
    times: list[float]
    u: list[float]
    target: list[float]
    takes: dict[str, Take]


@dataclass(frozen=True)
class Player:
    """The pairs of a run. metric : what the values of the takes are. ours : the strategy that is
    beside the paper's method at first; "" where there is none."""

    metric: str
    target: str
    ours: str
    pairs: list[ComparedPair]

    @property
    def names(self) -> list[str]:
        """Strategies that some pair has."""
        return list(dict.fromkeys(name for pair in self.pairs for name in pair.takes))

    @property
    def shown(self) -> list[str]:
        """Strategies that are shown at first: plain, the paper's method, ours. Each that some pair
        has, whatever the first lacks: its place is empty then."""
        return [name for name in (PLAIN, METHOD, self.ours) if name in self.names]

    @property
    def choices(self) -> list[str]:
        """Strategies that may stand beside the paper's method."""
        return [name for name in self.names if name not in (PLAIN, METHOD)]

    def data(self) -> dict[str, Any]:
        """What the page's script reads."""
        first = [name for name in (PLAIN, METHOD) if name in self.names]
        return {"first": first, "pairs": [asdict(pair) for pair in self.pairs]}


def make_player(
    records: Sequence[Record], folder: RunFolder, tables: Mapping[str, Table], ours: str = ""
) -> Player | None:
    """The pairs of a run with their frames, measured by its embedder; None where it has none.

    tables : of the run, by name; the values come from that of its pairs. ours : see `Player`.
    """
    whole = [r for r in records if r["status"] == DONE and r.get("file") and r.get("before_file")]
    if not whole:
        return None
    embedder, target = whole[0]["embedder"], str(whole[0]["target"])
    groups: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in whole:
        if record["embedder"] == embedder:
            groups[record["clip"], record["seed"]].append(record)
    several = len({seed for _, seed in groups}) > 1
    metric = "linearity_mae" if target == "linear" else "target_mae"
    values: dict[Any, dict[str, str]] = defaultdict(dict)
    for table in (one for name, one in tables.items() if name.startswith("retimed_pairs")):
        text = printer(table)
        for row in (row for row in table.rows if row["measure"] == label(embedder)):
            values[row["pair"], row["seed"]][row["strategy"]] = text(row, metric)
    found: list[ComparedPair] = []
    size = 0
    for (clip, seed), group in groups.items():
        title = f"{clip}, seed {seed}" if several else clip
        try:
            pair = _pair(title, group, folder, values[clip, seed])
        except DAMAGE:
            continue  # the frames are gone; the tables do not need them
        size += sum(len(take.source) for take in pair.takes.values())
        if found and size > BYTES:
            break
        found.append(pair)
    return Player(metric, target, ours, found) if found else None


def _pair(
    title: str, group: Sequence[Record], folder: RunFolder, values: Mapping[str, str]
) -> ComparedPair:
    curves = [read_curve(folder, record) for record in group]

    def take(name: str, progress: pd.Series, file: str) -> Take:
        frames = unpack(folder.read(file)).frames
        return make_take(progress.round(4).tolist(), values.get(name, ""), frames)

    takes = {PLAIN: take(PLAIN, curves[0]["before"], group[0]["before_file"])}
    for record, curve in zip(group, curves, strict=True):
        if (name := record["retime"]) != PLAIN and len(curve) == len(curves[0]):
            takes[name] = take(name, curve["progress"], record["file"])
    time, u, target = (curves[0][name].round(4).tolist() for name in ("time", "u", "target"))
    return ComparedPair(title, time, u, target, takes)


def make_take(line: list[float], value: str, frames: NDArray[np.uint8]) -> Take:
    """A take of frames (T, H, W, 3) uint8 RGB, which are made no higher than `TILE`."""
    height, width = frames.shape[1:3]
    if height > TILE:
        size = (max(1, round(width * TILE / height)), TILE)
        frames = np.stack([cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in frames])
    source = webp(Image.fromarray(tiled(frames, ACROSS)), 75)
    return Take(line, value, source, ACROSS, -(-len(frames) // ACROSS), width / height)


def webp(image: Image.Image, quality: int) -> str:
    """An image as a data URL."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
