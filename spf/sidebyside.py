"""Clips beside each other, each above its progress curve along which a dot runs."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from spf.progress.metrics import unit_time

Image = NDArray[np.uint8]
Array = NDArray[np.float64]


class Pacing(Protocol):
    """Times (T,), increasing, and progress (T,) 0..1; a `Curve` is one."""

    @property
    def times(self) -> Array: ...
    @property
    def progress(self) -> Array: ...


Panel = tuple[Image, Pacing, str]

SIDE = 256
"""Pixels to which a small clip's longer side is enlarged, by whole factors."""
TITLE_HEIGHT, CURVE_HEIGHT, GAP, BORDER = 28, 120, 16, 10
INK, SOFT, BLUE, RED = (31, 41, 55), (156, 163, 175), (37, 99, 235), (220, 38, 38)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def side_by_side(clips: Sequence[Panel], fps: float) -> Iterator[Image]:
    """Frames (H, W, 3) uint8 RGB, H and W even, that play the clips at once.

    clips : (frames (T, h, w, 3) uint8 RGB, curve of T frames, title) for each; lengths and sizes
    may differ. A clip that has ended shows its last frame. Letters that are not ASCII become
    question marks. fps : frames a second, for the time that is written beside the title.

    Raises ValueError where there is no clip, or a curve does not belong to its frames.
    """
    if not clips:
        raise ValueError("there are no clips to show beside each other")
    for frames, curve, title in clips:
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise ValueError(f"{title}: frames must be (T, H, W, 3) uint8, not {frames.shape}")
        if len(frames) != len(curve.progress):
            counts = f"{len(curve.progress)} points, the clip {len(frames)} frames"
            raise ValueError(f"{title}: the curve has {counts}; they must be equal")
    panels = [_Panel(*clip) for clip in clips]
    height = max(panel.height for panel in panels)
    height += height % 2
    gap = np.full((height, GAP, 3), 255, np.uint8)
    for index in range(max(len(frames) for frames, _, _ in clips)):
        row: list[Image] = []
        for panel in panels:
            row += [gap, panel.draw(index, fps, height)]
        yield np.hstack([*row, gap])


class _Panel:
    """One clip: its title, its frames, its curve."""

    def __init__(self, frames: Image, curve: Pacing, title: str) -> None:
        self.frames = frames
        self.title = title.encode("ascii", "replace").decode()
        rows, columns = frames.shape[1:3]
        self.factor = max(1, round(SIDE / max(rows, columns)))
        self.picture = rows * self.factor, columns * self.factor
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

    def draw(self, index: int, fps: float, height: int) -> Image:
        """The panel (height, W, 3) at a frame, or at the last one."""
        index = min(index, len(self.frames) - 1)
        made = np.full((height, self.width, 3), 255, np.uint8)
        time = f"{index / fps:.2f} s"
        room = cv2.getTextSize(time, FONT, 0.4, 1)[0][0]
        cv2.putText(made, time, (self.width - room, 18), FONT, 0.4, SOFT, 1, cv2.LINE_AA)
        title = self._fitting(self.width - room - BORDER)
        cv2.putText(made, title, (0, 18), FONT, 0.45, INK, 1, cv2.LINE_AA)
        large = self.frames[index].repeat(self.factor, axis=0).repeat(self.factor, axis=1)
        left = (self.width - self.picture[1]) // 2
        bottom = TITLE_HEIGHT + self.picture[0]
        made[TITLE_HEIGHT:bottom, left : left + self.picture[1]] = large
        plot = self.plot.copy()
        centre = (int(self.points[index, 0]), int(self.points[index, 1]))
        cv2.circle(plot, centre, 6, RED, -1, cv2.LINE_AA)
        made[height - CURVE_HEIGHT :] = plot
        return made

    def _fitting(self, room: int) -> str:
        """The title, cut to a width in pixels."""
        title = self.title
        while title and cv2.getTextSize(title, FONT, 0.45, 1)[0][0] > room:
            title = title[:-1]
        return title
