"""Clips that are there before anything is done with them, and what their frames are judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.generated.scores import REPEATED, true_pacing
from benchmarks.harness.folder import RunFolder, slug
from spf.errors import ClipError, SpfError
from spf.generators.folder import FolderClip, clip_digest, clips_of
from spf.identity import digest
from spf.names import printable
from spf.pacing.targets import Target
from spf.video import Reader, load, probe, write_mp4
from synthetic.clips import Content, SyntheticClip, content
from synthetic.laws import law
from synthetic.morph_pairs import HELD_OUT_PAIRS
from synthetic.oracle import RenderOracle

SMALL, LARGER = (32, 32), (64, 64)
"""(height, width) in pixels: of the shipped generator's clips, and more."""

FRAMES = 33
"""Of a rendered clip. The steepest of its laws makes steps of 0.15 of the whole then."""

MORPHS = (0, 2)
"""Of `HELD_OUT_PAIRS`."""

SCENES = ("shape-drop-gear", "arrangement-scatter-pyramid", "cat-motorcycle-patches")
PACINGS = law("sigmoid_jump", steepness=19.0), law("two_jumps", steepness=32.0), law("ease_in")
"""For the clips of a category, in turn: abrupt, abrupt twice, and merely uneven."""


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
class ExistingClip:
    """A clip of a folder, or one that is rendered, so that its pacing is known."""

    name: str
    category: str
    clip: FolderClip | SyntheticClip

    @property
    def rendered(self) -> bool:
        return isinstance(self.clip, SyntheticClip)

    def identity(self) -> Any:
        """What determines its pixels; None where the file cannot be read."""
        clip = self.clip
        return clip.identity() if isinstance(clip, SyntheticClip) else clip_digest(clip)

    def path(self, folder: RunFolder) -> Path:
        """Where it lies; a rendered one is written into the run's folder where it is not there.

        Raises ClipError for a problem that finding it has shown.
        """
        if isinstance(self.clip, FolderClip):
            if self.clip.problem is not None:
                raise self.clip.problem
            return self.clip.path
        path = folder.path(f"clips/{slug(self.name)}-{digest(self.identity())[:8]}.mp4")
        if not path.exists():
            write_mp4(path, self.clip.frames(), self.clip.fps)
        return path

    @property
    def source(self) -> str:
        """What tables call its file, wherever it lies."""
        if isinstance(self.clip, SyntheticClip):
            return "rendered"
        return f"{self.clip.generator}/{printable(self.clip.path.name)}".strip("/")

    @cached_property
    def size(self) -> tuple[int, int] | None:
        """(height, width) in pixels; None where it cannot be read."""
        if isinstance(self.clip, SyntheticClip):
            return self.clip.size
        try:
            info = probe(self.clip.path)
        except SpfError:
            return None  # computing the cell says what is wrong
        return info.height, info.width

    @cached_property
    def oracle(self) -> RenderOracle | None:
        """Reads the true parameter off frames of its size; None for clips of a folder."""
        clip = self.clip
        if isinstance(clip, FolderClip):
            return None
        return RenderOracle(clip.content.painter(clip.size, seed=clip.seed))

    def named(self, error: ClipError) -> ClipError:
        """The same error by the clip's place: rows must not depend on how a path was typed."""
        return ClipError(self.source, error.reason, error.remedy)


def load_clips(folder: str | None) -> list[ExistingClip]:
    """The clips of a folder; rendered ones, small and larger, for None. Errors as `clips_of`."""
    if folder is not None:
        return [
            ExistingClip("/".join(filter(None, (clip.generator, clip.pair))), clip.generator, clip)
            for clip in clips_of(str(folder))
        ]
    return [
        *_rendered("morphs 32x32", _morphs(), SMALL),
        *_rendered("scenes 64x64", [(content(name), 1000) for name in SCENES], LARGER),
    ]


def _morphs() -> list[tuple[Content, int]]:
    return [HELD_OUT_PAIRS[index] for index in MORPHS]


def _rendered(
    category: str, contents: Sequence[tuple[Content, int]], size: tuple[int, int]
) -> list[ExistingClip]:
    made = []
    for (shown, seed), pacing in zip(contents, PACINGS, strict=False):
        clip = SyntheticClip(shown, pacing, num_frames=FRAMES, size=size, seed=seed)
        made.append(ExistingClip(f"{shown.name}-{pacing.name}", category, clip))
    return made


def looked_at(path: Path, size: tuple[int, int] | None = None) -> tuple[NDArray[np.uint8], float]:
    """Every frame of a clip, reduced, (T, h, w, 3) uint8; and the share of frames that repeat.

    size : (h, w); None is its own size with at most `SIDE` pixels. One whole frame is held.
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
    return np.stack(small), repeats / max(len(small) - 1, 1)


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
    source, before_repeated = looked_at(before)
    result, repeated = source, before_repeated
    if after != before:
        result, repeated = looked_at(after, source.shape[1:3])
    values: dict[str, Any] = {
        "before_repeated_frames": before_repeated,
        "repeated_frames": repeated,
        "source_distance": source_distance(result, source),
    }
    if clip.oracle is not None:
        for prefix, path in (("before_", before), ("", after)):
            shown = load(path)
            found = true_pacing(clip.oracle.parameter(shown.frames), shown.times, target)
            found["residual"] = float(clip.oracle.residual(shown.frames).mean())
            values |= {f"{prefix}{name}": value for name, value in found.items()}
    return values
