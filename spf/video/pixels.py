"""What pixels show beside the meaning of a clip: black bars, black frames, repeated frames."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Array = NDArray[np.float64]

SMALL = (64, 36)  # width and height at which frames are compared
COARSE = (16, 9)  # and at which a clip is distinguished from a still image
# Levels up to which a clip counts as a still image. Encoded stills ranged up to 9 with 12 encoders
# and settings and 10 images, but small ones go beyond it: by x264 at crf 30 with a keyframe every
# 25 frames, 10 images of noisy colours ranged up to 14.5 at 64x64, 6.8 at 128x128, 4.2 at 256x256.
STILL = 10.0
BLACK = 24  # level, of 255, up to which a pixel is black: encoded black is seldom above 16
BRIGHT = 48  # level above which a pixel of a bar shows that it is none
LEAST_BAR, MOST_BAR = 0.02, 0.4  # shares of a side that a bar takes
# A frame repeats the one before where its change is at most this share of the large changes near
# it (their 90th percentile): an encoder seldom repeats a frame exactly.
REPEAT = 0.2
NEAR = 12  # frames on either side that are near
PERIOD = 8  # frames within which one is repeated again in clips that are shown at another rate
LEAST_REPEATS = 5
RHYTHM = 0.7  # share of the distances between repeats that are the usual one, give or take a frame
FROZEN = 0.25  # mean change, in levels, up to which a frame counts as frozen
FROZEN_SHARE = 0.1  # share of a clip for which an end stands frozen to be noted


class BarsEndError(Exception):
    """A frame shows something where the frames before it had black bars."""


@dataclass
class Bars:
    """Black bars that a clip has in all frames, found in the first frame that is not black; pixels.

    `crop` raises BarsEndError where a later one shows something there. Bars come in pairs, on
    opposite sides, nearly equal, of 2 to 40% of the side each.
    """

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0
    known: bool = False

    def crop(self, image: Image) -> Image:
        """The frame (H, W, 3) without the bars."""
        height, width = image.shape[:2]
        if not self.known:
            levels = image.max(axis=2)
            if levels.max() <= BLACK:
                return image
            self.known = True
            self.top, self.bottom = _pair(levels.max(axis=1) > BLACK)
            self.left, self.right = _pair(levels.max(axis=0) > BLACK)
        inside = image[self.top : height - self.bottom, self.left : width - self.right]
        if inside.shape != image.shape:
            outside = (
                image[: self.top], image[height - self.bottom :],
                image[:, : self.left], image[:, width - self.right :],
            )  # fmt: skip
            if any(part.size and part.max() > BRIGHT for part in outside):
                raise BarsEndError
        return inside

    def notes(self) -> list[str]:
        sides = {name: getattr(self, name) for name in ("top", "bottom", "left", "right")}
        found = ", ".join(f"{name} {pixels}" for name, pixels in sides.items() if pixels)
        return [f"black bars are left out ({found} pixels)"] if found else []


def _pair(lit: NDArray[np.bool_]) -> tuple[int, int]:
    """Lengths of the dark ends of a side, where both are bars."""
    places = np.flatnonzero(lit)
    before, after = int(places[0]), len(lit) - 1 - int(places[-1])
    least, most = LEAST_BAR * len(lit), MOST_BAR * len(lit)
    alike = abs(before - after) <= 2 + 0.1 * max(before, after)
    return (before, after) if alike and least <= min(before, after) <= most else (0, 0)


@dataclass
class PixelStatistics:
    """Brightness and change of each frame, gathered a frame at a time.

    brightness : level 0 .. 255 of each frame's brightest part, averaged over 1/64 of its width.
    changes : mean absolute difference from the frame before, in levels; 0 for the first frame.
    """

    brightness: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    _before: NDArray[np.float32] | None = None
    _ends: NDArray[np.float32] | None = None  # (2, 9, 16, 3), lowest and highest so far

    def add(self, image: Image) -> None:
        small = np.asarray(cv2.resize(image, SMALL, interpolation=cv2.INTER_AREA), np.float32)
        self.brightness.append(float(small.max()))
        before = small if self._before is None else self._before
        self.changes.append(float(np.abs(small - before).mean()))
        self._before = small
        coarse = np.asarray(cv2.resize(small, COARSE, interpolation=cv2.INTER_AREA), np.float32)
        lowest, highest = (coarse, coarse) if self._ends is None else self._ends
        self._ends = np.stack([np.minimum(lowest, coarse), np.maximum(highest, coarse)])

    @property
    def range(self) -> float:
        """Largest difference, in levels, between two frames at the same place of the image,
        averaged over 1/16 of its width and 1/9 of its height."""
        return 0.0 if self._ends is None else float((self._ends[1] - self._ends[0]).max())


def repeated(changes: Array) -> NDArray[np.bool_]:
    """Which frames of a clip repeat the one before because it is shown at another rate.

    Such clips (24 frames a second shown at 30 or 60, animation on twos) repeat frames all along at
    even distances: at least 5 times, mostly within 8 frames of each other. changes : (T,) of
    `PixelStatistics`. Returns (T,) bool; all False where the repeats have no such rhythm.
    """
    if len(changes) < 2:
        return np.zeros(len(changes), bool)
    padded = np.pad(changes[1:], NEAR, constant_values=np.nan)
    near = np.nanquantile(sliding_window_view(padded, 2 * NEAR + 1), 0.9, axis=1)
    found = np.concatenate(([False], (changes[1:] <= REPEAT * near) & (near > FROZEN)))
    edges = np.flatnonzero(np.diff(np.concatenate(([0], found, [0]))))
    runs = [(start, stop) for start, stop in edges.reshape(-1, 2) if stop - start < PERIOD]
    gaps = np.diff([start for start, _ in runs])
    result = np.zeros(len(changes), bool)
    if len(runs) < LEAST_REPEATS or np.median(gaps) > PERIOD:
        return result
    if np.mean(np.abs(gaps - np.median(gaps)) <= 1) >= RHYTHM:
        for start, stop in runs:
            result[start:stop] = True
    return result


def pixel_notes(pixels: PixelStatistics, times: Array, unit: str) -> list[str]:
    """Lines on black and frozen ends of a clip, and on frames that repeat at a rhythm."""
    if pixels.range <= STILL:
        return ["all frames show the same image"] if len(times) > 1 else []
    brightness, changes = np.array(pixels.brightness), np.array(pixels.changes)
    count = len(times)
    repeats = repeated(changes)
    notes = []
    if repeats.any():
        distinct = int(count - repeats.sum())
        rate = f" ({(distinct - 1) / (times[-1] - times[0]):.3g} different ones a second)"
        notes.append(f"{count - distinct} of {count} frames repeat the one before{rate}")
    frozen = (changes <= FROZEN) & ~repeats
    for end, dark, still, shown in (
        ("beginning", brightness <= BLACK, frozen[1:], times),
        ("end", brightness[::-1] <= BLACK, frozen[:0:-1], times[::-1]),
    ):
        for state, run, least in (("black", dark, 1), ("frozen", still, FROZEN_SHARE * count)):
            length = int(np.argmin(np.append(run, False)))
            if least <= length < count - 1:
                lasts = abs(shown[length] - shown[0])
                size = f"{lasts:.2f} s" if unit == "s" else f"{lasts:.0f} frames"
                notes.append(f"{state} {end}: {size}")
                break
    return notes
