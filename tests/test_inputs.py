"""Inputs that people really have, each with what is right: a table that is tested and printed.

The inputs are drawn by drawn_inputs.py. `python tests/test_inputs.py [FOLDER]` prints the table,
for those of a folder of the same layout where one is given. A row is a `Case`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import numpy as np
import pytest
from drawn_inputs import DRAWN

import spf
from spf.embedders import load_embedder
from spf.errors import SpfError
from spf.measurement import Measurement, measure_clip
from spf.progress.metrics import unranked_reason
from spf.video import Clip, load

pytestmark = ffmpeg.needed

Found = tuple[str, bool]
"""What was found, in words, and whether it is right."""


@dataclass(frozen=True)
class Case:
    """An input (file or folder, from the folder of all), what is right, and how it is seen."""

    name: str
    right: str
    check: Callable[[Path], Found]


def linearity(path: Path) -> float:
    return float(spf.score(spf.measure(path, embedder="tiny", cache=False))["linearity_mae"])


def summary(clip: Clip) -> str:
    longest = np.diff(clip.times).max(initial=0)
    text = f"{len(clip.times)} frames to {clip.times[-1]:.4g}, longest step {longest:.2g}"
    return "; ".join([text, *clip.notes])


def as_other(other: str, within: float = 0.004) -> Callable[[Path], Found]:
    """As long and as paced as another input beside it, without a note."""

    def check(path: Path) -> Found:
        clip, beside = load(path), load(path.parent / other)
        ours, theirs = linearity(path), linearity(path.parent / other)
        if clip.info.fps and beside.info.fps:
            alike = abs(clip.times[-1] - beside.times[-1]) < 0.041
        else:  # a folder has no seconds
            alike = len(clip.times) == len(beside.times)
        found = f"{summary(clip)}; linearity_mae {ours:.4f}, {other} {theirs:.4f}"
        return found, alike and abs(ours - theirs) < within and not clip.notes

    return check


def same_frames(other: str, levels: int) -> Callable[[Path], Found]:
    """The frames of a folder beside it, within so many levels."""

    def check(path: Path) -> Found:
        clip, beside = load(path), load(path.parent / other)
        same = clip.frames.shape == beside.frames.shape
        apart = np.abs(clip.frames.astype(int) - beside.frames).max() if same else 255
        return f"{summary(clip)}; {apart} levels apart", apart <= levels

    return check


def noted(note: str, frames: int | None = None) -> Callable[[Path], Found]:
    """With a note (every part between * in it), of so many frames."""

    def check(path: Path) -> Found:
        clip = load(path)
        text = " ".join(clip.notes)
        counted = frames in (None, len(clip.frames))
        return summary(clip), counted and all(part in text for part in note.split("*"))

    return check


def even_change(path: Path) -> Found:
    clip = load(path)
    levels = clip.frames.mean((1, 2, 3))
    return f"{summary(clip)}; levels {levels[0]:.0f} to {levels[-1]:.0f}", bool(np.ptp(levels) > 5)


def transparent(path: Path) -> Found:
    """Black in a corner that is transparent, where white is stored."""
    clip = load(path)
    level = clip.frames[:, :8, :8].mean()
    return f"{summary(clip)}; a transparent corner has level {level:.0f}", bool(level < 8)


def keeps_aspect(path: Path) -> Found:
    clip = load(path)
    bars = not clip.frames[-1][:, :8].any()
    return summary(clip), bars and any("its size changes from" in note for note in clip.notes)


def measured(path: Path, embedder: str = "tiny") -> Measurement:
    return measure_clip(path, load_embedder(embedder))


def pulled_down(path: Path) -> Found:
    """Repeats are said and counted out: no false jump, and the distinct frames do not stall."""
    found = measured(path)
    scores = spf.score(found.curve) | found.distinct_scores
    said = "; ".join(found.embeddings.notes)
    stalls = scores["stall_fraction_distinct"]
    named = [part.kind for part in found.named_stretches]
    text = f"{said}; stalls {scores['stall_fraction']:.2f}, distinct {stalls:.2f}; named {named}"
    return text, "repeat the one before" in said and stalls < 0.05 and not named


def begins_black(path: Path) -> Found:
    notes = "; ".join(measured(path).embeddings.notes)
    return notes, "black beginning" in notes


def as_without_bars(path: Path) -> Found:
    inner = path.parent / "inner.mp4"
    beside = inner if inner.exists() else path.parent / "even.mp4"
    ours, theirs = linearity(path), linearity(beside)
    notes = "; ".join(measured(path).embeddings.notes)
    text = f"{notes}; linearity_mae {ours:.4f}, {beside.name} {theirs:.4f}"
    return text, abs(ours - theirs) < 0.02 and "black bars" in notes


def both_cuts(path: Path) -> Found:
    named = [(part.kind, part.start) for part in measured(path).named_stretches]
    return f"{named}", [start for kind, start in named if kind == "cut"] == [15, 31]


def unranked(reason: str, *embedders: str) -> Callable[[Path], Found]:
    """With a reason why it has no rank, by each of the embedders."""

    def check(path: Path) -> Found:
        found = {name: unranked_reason(measured(path, name).curve) for name in embedders}
        return f"{found}", set(found.values()) == {reason}

    return check


EVERY = ("tiny", "histogram", "efficientnet")
HELD = "as dropped.mkv: the hold is time, nothing is lost"
UNKNOWN = {
    "ycgco": "YCgCo",
    "ictcp": "ICtCp",
    "p3-pq-chromaderived": "chroma-derived",
    "bt2020cl": "BT.2020 constant luminance",
}
CASES = [
    *(
        Case(f"01-avi-drop-frames/{name}", HELD, as_other("dropped.mkv"))
        for name in ("dropped.avi", "dropped-xvid.avi")
    ),
    *(
        Case(f"03-mjpeg-exif/timelapse.{kind}", "as the JPEGs in jpg", as_other("jpg"))
        for kind in ("avi", "mov", "mkv")
    ),
    *(
        Case(f"04-webm-alpha/{name}", "transparency over black", transparent)
        for name in ("vp8.webm", "vp9.webm")
    ),
    Case("04-webm-alpha/white-vp9.webm", "as white.png", as_other("white.png")),
    *(
        Case(
            f"05-colour-tags/{name}.mp4", f"a note that names {matrix}", noted(f"{matrix}*assumed")
        )
        for name, matrix in UNKNOWN.items()
    ),
    Case("06-apng/dispose-previous.png", "as true-frames", same_frames("true-frames", 0)),
    Case("06-apng/veil-over.png", "as veil-true", same_frames("veil-true", 2)),
    *(
        Case(f"07-pulldown/{name}.mp4", "repeats said; no false jump", pulled_down)
        for name in ("24-to-30", "24-to-60", "on-twos", "on-fours")
    ),
    Case("08-metric/lead-in-1.mp4", "a black beginning", begins_black),
    Case("08-metric/lead-in-12.mp4", "a black beginning", begins_black),
    Case("08-metric/letterbox.mp4", "as without bars, within 0.02", as_without_bars),
    Case("08-metric/loop3.mp4", "both cuts", both_cuts),
    Case("08-metric/strobe.mp4", "flicker", unranked("flicker", *EVERY)),
    Case("08-metric/strobe-3.mp4", "flicker", unranked("flicker", *EVERY)),
    *(
        Case(f"09-static/still-{name}", "no change", unranked("no semantic change", *EVERY))
        for name in ("mjpeg.avi", "mpeg4.mp4", "vp9.webm", "x264-default.mp4", "x264-g25.mp4")
    ),
    Case("12-frame-folders/tiff-float", "scaled", even_change),
    Case("12-frame-folders/with-masks", "12 frames, a note", noted("left out*_mask", 12)),
    Case("12-frame-folders/two-formats", "12 frames, a note", noted("left out*format", 12)),
    Case("15-stills/clip.mjpeg", "50 frames", noted("25 frames per second assumed", 50)),
    Case("16-theora-hold/hold.ogv", "as hold.mp4, nothing lost", as_other("hold.mp4")),
    Case("19-size-change/turned-midway.ts", "the aspect is kept, a note", keeps_aspect),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the path of an input, and draws its folder at the first time."""
    root = tmp_path_factory.mktemp("inputs")
    return lambda name: drawn(root, name)


def drawn(root: Path, name: str) -> Path:
    folder = root / name.partition("/")[0]
    if not folder.exists():
        folder.mkdir()
        DRAWN[folder.name](folder)
    return root / name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_inputs_that_people_have(inputs: Callable[[str], Path], case: Case) -> None:
    found, right = case.check(inputs(case.name))
    assert right, f"{case.right}: {found}"


def table(root: Path) -> int:
    """Print what is found of each input in a folder; returns how many are wrong or missing."""
    wrong = 0
    print("| input | right | found | ok |\n| --- | --- | --- | --- |")
    for case in CASES:
        try:
            found, right = case.check(drawn(root, case.name))
        except SpfError as error:
            found, right = str(error), False
        wrong += not right
        print(f"| {case.name} | {case.right} | {found} | {'yes' if right else 'no'} |", flush=True)
    return wrong


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        sys.exit(min(table(Path(sys.argv[1] if len(sys.argv) > 1 else made)), 1))
