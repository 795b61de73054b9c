"""What a clip is: its description, its frames, which of them are used, and the files that hold one.

An image is always a (H, W, 3) uint8 array, RGB, as displayed; a time is in seconds, 0 at the first
frame of the stream, or a frame index where no rate is known (a folder of images).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spf.errors import ClipError, ConfigError
from spf.numbers import number, optional_number, switch

# What the search of a folder takes for clips. ".png" is not here: it is a frame far more often.
SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
    ".wmv", ".flv", ".ogv", ".3gp", ".mjpeg", ".mjpg", ".gif", ".webp", ".apng",
})  # fmt: skip
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".avif"})

MAX_PIXELS = 2**26
"""In one frame: 8192 x 8192, twice an 8K video's; 192 MiB as RGB. More is refused unread."""
MAX_FRAMES = 2**18
"""In one clip that is embedded (3 hours at 24 a second): its vectors are all held in memory."""

AGAIN = "copy or download it again, or make it again"

Render = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Sampling:
    """Which frames of a clip are used: those in [start, end), of them every `stride`-th, of them
    the first `max_frames`.

    start, end: seconds since the first frame of the stream (frame indices in a folder of images).
    stream: index among the video streams; None takes the one that the container prefers.
    crop_bars: whether black bars are left out of what is embedded (`spf.video.pixels.Bars`).
    Raises `ConfigError` where a value makes no sense.
    """

    stride: int = 1
    max_frames: int | None = None
    start: float | None = None
    end: float | None = None
    stream: int | None = None
    crop_bars: bool = True

    def __post_init__(self) -> None:
        switch("sampling.crop_bars", self.crop_bars)
        number("sampling.stride", self.stride, least=1, whole=True)
        optional_number("sampling.max_frames", self.max_frames, least=1, whole=True)
        optional_number("sampling.stream", self.stream, least=0, whole=True)
        optional_number("sampling.start", self.start, least=0)
        optional_number("sampling.end", self.end, least=0)
        if self.end is not None and self.end <= (self.start or 0.0):
            begin = self.start or 0.0
            raise ConfigError(f"sampling: end {self.end:g} s is not after start {begin:g} s")


@dataclass(frozen=True)
class ClipInfo:
    """What is known about a clip before it is read whole.

    width, height: pixels as displayed, after rotation and after resampling to square pixels.
    rotation: degrees clockwise (0, 90, 180, 270) that the file asks for and that are applied.
    pixel_aspect: width / height of a stored pixel. fps: average frames per second. frames: count
    that the file declares. duration: seconds. None stands for what is not known.
    stream: which of the video streams (cover pictures are none) this is, from 0.
    """

    path: Path
    width: int
    height: int
    codec: str
    rotation: int
    pixel_aspect: float
    fps: float | None
    frames: int | None
    duration: float | None
    video_streams: int
    stream: int


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip in memory: frames (T, H, W, 3) uint8 RGB; times (T,) float64, strictly increasing;
    notes: one line for each thing that was lost or repaired."""

    frames: np.ndarray
    times: np.ndarray
    info: ClipInfo
    notes: list[str] = field(default_factory=list)


def check_size(path: object, width: int, height: int) -> None:
    """Raise `ClipError` where a frame is absurdly large or has no area."""
    if width * height > MAX_PIXELS:
        reason = f"a frame of {width} x {height} pixels is too large to be read"
        raise ClipError(path, reason, f"scale it to {MAX_PIXELS} pixels or fewer")
    if width < 1 or height < 1:
        raise ClipError(path, "its frames have no size", "the file is damaged: make it again")


def starved(path: object) -> ClipError:
    """The error of a decoder that asked for more memory than there is, or than it may have."""
    reason = "its decoder ran out of memory"
    return ClipError(path, reason, "scale it down, or make it again: its header may be damaged")


def over_black(rgba: np.ndarray) -> np.ndarray:
    """(H, W, 4) uint8 with straight alpha -> (H, W, 3) uint8, composited over black."""
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)


def plural(count: int, noun: str) -> str:
    """`1 frame`, `2 frames`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
