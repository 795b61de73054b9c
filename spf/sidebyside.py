"""Clips beside each other, each above its progress curve along which a dot runs."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from spf.progress.metrics import unit_time

Image = NDArray[np.uint8]
Array = NDArray[np.float64]


class Pacing(Protocol):
    """Times (T,) in seconds, increasing, and progress (T,) 0..1; a `Curve` is one."""

    @property
    def times(self) -> Array: ...
    @property
    def progress(self) -> Array: ...


Panel = tuple[Iterable[Image], Pacing, str]

SIDE, LARGEST = 256, 640
"""Pixels to which a small clip's longer side is enlarged, by whole factors, and a large one's is
reduced."""
TITLE_HEIGHT, CURVE_HEIGHT, GAP, BORDER = 28, 120, 16, 10
INK, SOFT, BLUE, RED = (31, 41, 55), (156, 163, 175), (37, 99, 235), (220, 38, 38)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def side_by_side(clips: Sequence[Panel], fps: float) -> Iterator[Image]:
    """Frames (H, W, 3) uint8 RGB, H and W even, that play the clips at once.

    clips : (frames, curve, title) for each; frames (h, w, 3) uint8 RGB, an array or anything that
    yields them, one for each point of the curve, whose times tell when each is shown. Lengths,
    sizes and rates may differ. A clip that has ended shows its last frame. Letters that are not
    ASCII become question marks. fps : of the result. One frame of each clip is held at a time.

    Raises ValueError where there is no clip, or a curve does not belong to its frames.
    """
    if not clips:
        raise ValueError("there are no clips to show beside each other")
    panels = [_Panel(*clip) for clip in clips]
    height = max(panel.height for panel in panels)
    height += height % 2
    gap = np.full((height, GAP, 3), 255, np.uint8)
    for tick in range(round(max(panel.times[-1] for panel in panels) * fps) + 1):
        row: list[Image] = []
        for panel in panels:
            row += [gap, panel.draw(tick / fps, 0.5 / fps, height)]
        yield np.hstack([*row, gap])


class _Panel:
    """One clip: its title, its frames, its curve."""

    def __init__(self, frames: Iterable[Image], curve: Pacing, title: str) -> None:
        self.name = title
        self.title = title.encode("ascii", "replace").decode()
        self.count = len(curve.progress)
        if isinstance(frames, np.ndarray) and len(frames) != self.count:
            raise self._other_count(len(frames))
        self.times = curve.times - curve.times[0]
        self.frames = iter(frames)
        self.index = 0
        self.image = self._next(0)
        rows, columns = self.image.shape[:2]
        longer = max(rows, columns)
        factor = max(1, round(SIDE / longer)) if longer <= LARGEST else LARGEST / longer
        self.picture = max(1, round(rows * factor)), max(1, round(columns * factor))
        self.width = max(self.picture[1], SIDE)
        self.width += self.width % 2
        self.height = TITLE_HEIGHT + self.picture[0] + CURVE_HEIGHT
        x = BORDER + unit_time(curve.times) * (self.width - 2 * BORDER)
        y = CURVE_HEIGHT - BORDER - curve.progress * (CURVE_HEIGHT - 2 * BORDER)
        self.points = np.rint(np.stack([x, y], axis=1)).astype(np.int32)
        self.plot = np.full((CURVE_HEIGHT, self.width, 3), 255, np.uint8)
        left, right = (BORDER, CURVE_HEIGHT - BORDER), (self.width - BORDER, BORDER)
        cv2.line(self.plot, left, right, SOFT, 1, cv2.LINE_AA)
        cv2.polylines(self.plot, [self.points], False, BLUE, 2, cv2.LINE_AA)
        self.shown = self._scaled(self.image)

    def draw(self, time: float, slack: float, height: int) -> Image:
        """The panel (height, W, 3) at a time in seconds: the last frame that has come by then, or
        comes within the slack."""
        before = self.index
        while self.index + 1 < self.count and self.times[self.index + 1] < time + slack:
            self.index += 1
            self.image = self._next(self.index)
        if self.index != before:
            self.shown = self._scaled(self.image)
        made = np.full((height, self.width, 3), 255, np.uint8)
        text = f"{min(time, self.times[-1]):.2f} s"
        room = cv2.getTextSize(text, FONT, 0.4, 1)[0][0]
        cv2.putText(made, text, (self.width - room, 18), FONT, 0.4, SOFT, 1, cv2.LINE_AA)
        title = self._fitting(self.width - room - BORDER)
        cv2.putText(made, title, (0, 18), FONT, 0.45, INK, 1, cv2.LINE_AA)
        left = (self.width - self.picture[1]) // 2
        bottom = TITLE_HEIGHT + self.picture[0]
        made[TITLE_HEIGHT:bottom, left : left + self.picture[1]] = self.shown
        plot = self.plot.copy()
        centre = (int(self.points[self.index, 0]), int(self.points[self.index, 1]))
        cv2.circle(plot, centre, 6, RED, -1, cv2.LINE_AA)
        made[height - CURVE_HEIGHT :] = plot
        return made

    def _next(self, index: int) -> Image:
        image = next(self.frames, None)
        if image is None:
            raise self._other_count(index)
        if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
            found = f"{image.shape} {image.dtype}"
            raise ValueError(f"{self.name}: frames must be (H, W, 3) uint8, not {found}")
        return image

    def _other_count(self, frames: int) -> ValueError:
        counts = f"{self.count} points, the clip {frames} frames"
        return ValueError(f"{self.name}: the curve has {counts}; they must be equal")

    def _scaled(self, image: Image) -> Image:
        """The frame as large as it is shown."""
        rows, columns = self.picture
        larger = rows >= image.shape[0]
        how = cv2.INTER_NEAREST if larger else cv2.INTER_AREA
        return np.asarray(cv2.resize(image, (columns, rows), interpolation=how), np.uint8)

    def _fitting(self, room: int) -> str:
        """The title, cut to a width in pixels."""
        title = self.title
        while title and cv2.getTextSize(title, FONT, 0.45, 1)[0][0] > room:
            title = title[:-1]
        return title
