"""The clips of a study as its page holds them: all encoded alike, in sizes that a page can show."""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.generated.scores import clip_times
from benchmarks.user_study.trials import EVEN, JUMP
from spf.errors import ClipError
from spf.generators.base import Image
from spf.generators.cached import unpack
from spf.video import Reader, write_mp4

SMALL, ENLARGED, LARGE = 160, 320, 640
"""Pixels of the longer side: smaller clips are enlarged by a whole factor to at least `ENLARGED`,
without smoothing; larger ones are reduced to `LARGE`."""

CRF, GOLDEN = 18, 0.618034
LONGEST = 60.0
"""Seconds that a rater watches a clip."""
UNEVEN = 0.25
"""Share of the usual step by which times may differ: files round them, and a page plays a constant
rate."""
CHANGE = 8.0
"""Mean grey levels between the first and the last frame below which a jump is not plain to see."""


@dataclass(frozen=True, eq=False)
class Film:
    """An MP4, its ends (H, W, 3) uint8 RGB, its number of frames and their rate."""

    data: bytes
    first: Image
    last: Image
    frames: int
    fps: float


def film_of_file(path: Path, name: str) -> Film:
    """A clip's file as the page shows it. Raises ClipError, by `name`, where it cannot be shown."""
    with Reader(path) as reader:
        fps = reader.info.fps
        if fps is None:
            raise ClipError(name, "images have no rate", "make a video of them")
        return _film(reader, fps, name)


def cached_film(data: bytes, name: str) -> Film:
    """A generated clip (`spf.generators.cached.pack`) as the page shows it."""
    clip = unpack(data)
    return _film(zip(clip.frames, clip_times(clip).tolist(), strict=True), clip.fps, name)


def _film(frames: Iterable[tuple[Image, float]], fps: float, name: str) -> Film:
    """Encode a stream of frames. Raises ClipError where their times make no even film."""
    ends: list[Image] = []
    times: list[float] = []

    def shown() -> Iterator[Image]:
        for image, time in frames:
            times.append(time)
            if time > LONGEST:
                raise ClipError(name, f"it is longer than {LONGEST:g} s", "cut it for the study")
            ends[:] = [*ends[:1], resized(image)]
            yield ends[-1]

    data = _encoded(shown(), fps)
    steps = np.diff(times)
    if len(steps) < 1:
        raise ClipError(name, "it has 1 frame", "nothing changes in it: give a longer clip")
    if np.abs(steps - np.median(steps)).max() > UNEVEN * np.median(steps):
        remedy = "make it constant (ffmpeg -i CLIP -vf fps=24 NEW.mp4)"
        raise ClipError(name, "its frame rate varies, which is a pacing of its own", remedy)
    return Film(data, ends[0], ends[-1], len(times), fps)


def resized(image: Image) -> Image:
    """A frame as the page shows it, even in width and height."""
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer <= SMALL:
        factor = -(-ENLARGED // longer)
        return image.repeat(factor, axis=0).repeat(factor, axis=1)
    if longer <= LARGE:
        return image
    size = [max(2, round(side * LARGE / longer / 2) * 2) for side in (width, height)]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def check_films(film: Film, number: int) -> dict[str, bytes] | None:
    """The two clips of an attention check, made of the ends of a clip: `EVEN` fades from one to the
    other at a constant pace, `JUMP` stands still, cuts and stands still. None where the ends are
    alike, so that the cut would not be seen.

    number : of the check among those of one pair: each cuts at another place.
    """
    first, last = film.first.astype(np.float32), film.last.astype(np.float32)
    if film.frames < 3 or np.abs(last - first).mean() < CHANGE:
        return None
    place = 0.3 + 0.4 * ((0.5 + number * GOLDEN) % 1.0)
    cut = min(max(1, round(place * film.frames)), film.frames - 1)

    def mixed(shares: np.ndarray) -> bytes:
        mixes = (np.rint(first + share * (last - first)).astype(np.uint8) for share in shares)
        return _encoded(mixes, film.fps)

    jump = (np.arange(film.frames) >= cut).astype(float)
    return {EVEN: mixed(np.linspace(0.0, 1.0, film.frames)), JUMP: mixed(jump)}


def _encoded(frames: Iterable[Image], fps: float) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_mp4(path, frames, fps, CRF)
        return path.read_bytes()


def incomparable(clips: dict[str, dict[str, float]]) -> str:
    """Why clips of one pair, by their strategies, cannot be shown beside each other; "" where they
    can: the same shape of the frames, and a length that differs by less than a frame.

    clips : width, height (pixels), duration (seconds, of the last frame) and fps of each.
    """
    shapes = {name: clip["width"] / clip["height"] for name, clip in clips.items()}
    if max(shapes.values()) > 1.01 * min(shapes.values()):
        sizes = [f"{name} {clip['width']}x{clip['height']}" for name, clip in clips.items()]
        return f"the frames differ in shape ({', '.join(sizes)})"
    lengths = [clip["duration"] for clip in clips.values()]
    if max(lengths) - min(lengths) > 1.01 / min(clip["fps"] for clip in clips.values()):
        listed = [f"{name} {clip['duration']:.2f} s" for name, clip in clips.items()]
        return f"the clips differ in length ({', '.join(listed)})"
    return ""
