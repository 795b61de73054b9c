"""Curves of clips that show the frame under the pointer: what the page needs for them."""

import base64
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.generated.figures import compared, named
from benchmarks.generated.strategies import STEERED, kind_of
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.measuring import read_curve
from benchmarks.harness.records import DONE, Record
from spf.generators.kept import DAMAGE, unpack

PLAYERS = 3
"""Of a run: each costs some 100 kB."""

TILE = 96
"""Height of a frame in a sheet, pixels at most."""
ACROSS = 10
"""Frames beside each other in a sheet."""


@dataclass(frozen=True)
class Sheet:
    """All frames of a clip in one picture, `ACROSS` beside each other."""

    label: str
    source: str
    across: int
    down: int
    aspect: float


@dataclass(frozen=True)
class Player:
    """A clip before and after: sheets of T frames, and what is drawn over the time.

    times : (T,) seconds. u : (T,) share of the time, 0..1. lines : name -> progress (T,), 0..1; the
    first ones belong to the sheets.
    """

    title: str
    times: list[float]
    u: list[float]
    lines: dict[str, list[float]]
    sheets: list[Sheet]

    def path(self, name: str, width: float, height: float) -> str:
        """SVG path of a line in a box of that size."""
        points = zip(self.u, self.lines[name], strict=True)
        return "M" + " ".join(f"{x * width:.1f},{(1 - y) * height:.1f}" for x, y in points)

    def data(self) -> dict[str, Any]:
        """What the page's script reads."""
        shown = list(self.lines)[: len(self.sheets)]
        return {
            "times": self.times,
            "u": self.u,
            "lines": [self.lines[name] for name in shown],
            "names": shown,
        }


def players(records: Sequence[Record], folder: RunFolder) -> list[Player]:
    """Of the first clips of a run that keeps frames: the clip as it was, under the paper's own
    method, and under the best other warp."""
    kept = [r for r in records if r["status"] == DONE and r.get("file") and r.get("before_file")]
    groups: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in kept:
        if record["embedder"] == kept[0]["embedder"] and kind_of(record["retime"]) == STEERED:
            groups[record["clip"], record["seed"]].append(record)
    found = []
    for (clip, _), group in list(groups.items())[:PLAYERS]:
        try:
            if chosen := compared(group):
                found.append(_player(clip, chosen, folder))
        except DAMAGE:
            continue  # the frames are gone; the tables do not need them
    return found


def _player(title: str, chosen: Sequence[Record], folder: RunFolder) -> Player:
    curves = [read_curve(folder, record) for record in chosen]
    curve = curves[0]
    after = {named(x): one["progress"] for x, one in zip(chosen, curves, strict=True)}
    target = {f"target: {chosen[0]['target']}": curve["target"]}
    lines = {"baseline": curve["before"], **after, **target}
    clips = (chosen[0]["before_file"], *(record["file"] for record in chosen))
    sheets = [
        sheet(name, unpack(folder.read(path)).frames)
        for name, path in zip(lines, clips, strict=False)
    ]
    return Player(
        title,
        _rounded(curve["time"]),
        _rounded(curve["u"]),
        {name: _rounded(line) for name, line in lines.items()},
        sheets,
    )


def sheet(label: str, frames: NDArray[np.uint8]) -> Sheet:
    """A sheet of frames (T, H, W, 3) uint8 RGB, as WebP."""
    height, width = frames.shape[1:3]
    if height > TILE:
        size = (max(1, round(width * TILE / height)), TILE)
        frames = np.stack([cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in frames])
    down = -(-len(frames) // ACROSS)
    padded = np.zeros((down * ACROSS, *frames.shape[1:]), np.uint8)
    padded[: len(frames)] = frames
    rows = padded.reshape(down, ACROSS, *frames.shape[1:]).swapaxes(1, 2)
    picture = rows.reshape(down * frames.shape[1], ACROSS * frames.shape[2], 3)
    return Sheet(label, webp(Image.fromarray(picture), 75), ACROSS, down, width / height)


def webp(picture: Image.Image, quality: int) -> str:
    """A picture as a data URL."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) for value in values]
