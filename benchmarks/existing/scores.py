"""What a retimed existing clip is judged by, beside its curve: its frames, and the clip's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.existing.clips import ExistingClip
from benchmarks.generated.scores import REPEATED, true_pacing
from spf.pacing.targets import Target
from spf.video import Reader, load

SIDE = 128
"""Pixels of the longer side at which frames are compared: reduced, so that all can be held."""

BLOCK = 64
"""Frames that are compared at a time."""

DEFINITIONS = (
    "repeated_frames: share of frames within one grey level (root mean square) of the one before. "
    "source_distance: root mean square difference (0..1) of a frame of the result to the nearest "
    f"frame of the clip, at {SIDE} pixels, mean over the result: no true render of an existing "
    "clip is known, so that a frame that lies between two of the clip is as far from them as a "
    "ghost; nearest, which makes up nothing, shows how much of it is the encoder's. For "
    "rendered clips: true_linearity_mae, true_target_mae, true_peak_step: of the renderer's "
    "parameter, read off the frames of the MP4; residual: their mean squared distance (0..1) to "
    "the nearest true render, which ghosts raise and true frames in between do not."
)


@dataclass(frozen=True, eq=False)
class Look:
    """The frames of a clip, reduced: (T, h, w, 3) uint8; and the share of them that repeat."""

    frames: NDArray[np.uint8]
    repeated: float


def looked_at(path: Path, size: tuple[int, int] | None = None) -> Look:
    """Every frame of a clip, at (height, width); None is its own size with at most `SIDE` pixels.

    One whole frame is held at a time.
    """
    small: list[NDArray[np.uint8]] = []
    repeats = 0
    last: NDArray[np.float32] | None = None
    with Reader(path) as reader:
        for image, _ in reader:
            if size is None:
                scale = min(1.0, SIDE / max(image.shape[:2]))
                size = round(image.shape[0] * scale) or 1, round(image.shape[1] * scale) or 1
            now = image.astype(np.float32) / 255.0
            if last is not None:
                repeats += bool(np.sqrt(np.square(now - last).mean()) < REPEATED)
            last = now
            small.append(np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)))
    return Look(np.stack(small), repeats / max(len(small) - 1, 1))


def source_distance(result: NDArray[np.uint8], source: NDArray[np.uint8]) -> float:
    """Root mean square difference, 0..1, of frames (N, h, w, 3) to the nearest of (T, h, w, 3),
    mean over N."""
    theirs = source.reshape(len(source), -1).astype(np.float32) / 255.0
    power = np.square(theirs).sum(axis=1)
    found = []
    for start in range(0, len(result), BLOCK):
        own = result[start : start + BLOCK].reshape(-1, theirs.shape[1]).astype(np.float32) / 255.0
        nearest = (power - 2.0 * own @ theirs.T).argmin(axis=1)
        # The expanded square is good for the order, and too coarse for a small distance.
        found.append(np.sqrt(np.square(own - theirs[nearest]).mean(axis=1)))
    return float(np.concatenate(found).mean(dtype=np.float64))


def judge(clip: ExistingClip, before: Path, after: Path, target: Target) -> dict[str, Any]:
    """Columns that need no embedder; those of the renderer only for a rendered clip."""
    source = looked_at(before)
    result = source if after == before else looked_at(after, source.frames.shape[1:3])
    values: dict[str, Any] = {
        "before_repeated_frames": source.repeated,
        "repeated_frames": result.repeated,
        "source_distance": source_distance(result.frames, source.frames),
    }
    if clip.oracle is not None:
        for prefix, path in (("before_", before), ("", after)):
            shown = load(path)
            found = true_pacing(clip.oracle.parameter(shown.frames), shown.times, target)
            found["residual"] = float(clip.oracle.residual(shown.frames).mean())
            values |= {f"{prefix}{name}": value for name, value in found.items()}
    return values
