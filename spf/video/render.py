"""A decoded frame of a video file as the image that is displayed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spf.errors import ClipError
from spf.video.clip import check_size, over_black

if TYPE_CHECKING:
    import av

MAX_PIXEL_ASPECT = 16  # a more extreme one is a damaged header
# Colour matrices by their numbers in H.273, as every codec has them.
CONVERTIBLE = frozenset({1, 2, 4, 5, 6, 7, 9})  # swscale's; 2 is undeclared, which it reads as 601
MATRICES = {
    0: "RGB", 3: "reserved", 8: "YCgCo", 10: "BT.2020 constant luminance", 11: "SMPTE ST 2085",
    12: "chroma-derived non-constant luminance", 13: "chroma-derived constant luminance",
    14: "ICtCp", 15: "IPT-C2", 16: "YCgCo-Re", 17: "YCgCo-Ro",
}  # fmt: skip
WIDE = 9  # BT.2020, of primaries and matrices
HDR = (16, 18)  # PQ and HLG, of transfer functions


class Renderer:
    """Frames of one stream as RGB images, all of the first one's displayed size.

    Colours follow the declared matrix and range, else BT.601, limited range, as in FFmpeg. Where
    swscale cannot convert the matrix, BT.2020 is assumed if primaries or transfer are those of
    BT.2020 or HDR, otherwise BT.601. Frames of another size are fitted in with black bars.
    """

    def __init__(self, path: Path, first: av.VideoFrame, aspect: Fraction | None) -> None:
        from av.video.reformatter import VideoReformatter

        self._path = path
        self._reformatter = VideoReformatter()
        self.aspect = Fraction(aspect.numerator, aspect.denominator) if aspect else Fraction(1)
        if not Fraction(1, MAX_PIXEL_ASPECT) <= self.aspect <= MAX_PIXEL_ASPECT:
            self.aspect = Fraction(1)
        self._stored = (first.width, first.height)
        self._width, self._height = self._square(first)
        check_size(path, self._width, self._height)
        self._transpose, self._flip_x, self._flip_y = _orientation(first)
        # Clockwise; a mirrored frame counts as what follows its mirroring left to right.
        upright = 180 if self._flip_y else 0
        self.rotation = (90 if self._flip_x else 270) if self._transpose else upright
        size = (self._width, self._height)
        self.width, self.height = size[::-1] if self._transpose else size
        self._notes: dict[str, str] = {}  # by kind: of many sizes, the first one

    def _square(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Size with square pixels: the short side of a pixel grows, so that no detail is lost."""
        return (
            round(frame.width * max(self.aspect, Fraction(1))),
            round(frame.height / min(self.aspect, Fraction(1))),
        )

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """(height, width, 3) uint8 RGB, contiguous. Raises ClipError for unknown pixel formats."""
        if (frame.width, frame.height) == self._stored:
            image = self._converted(frame, self._width, self._height)
        else:
            image = self._fitted(frame)
        if self._transpose:
            image = image.swapaxes(0, 1)
        image = image[:: -1 if self._flip_y else 1, :: -1 if self._flip_x else 1]
        return np.ascontiguousarray(image)

    def _fitted(self, frame: av.VideoFrame) -> np.ndarray:
        first = "{} x {}".format(*self._stored)
        note = f"its size changes from {first} to {frame.width} x {frame.height}"
        self._notes.setdefault("size", f"{note}: fitted into the first, with bars where needed")
        width, height = self._square(frame)
        scale = min(self._width / width, self._height / height)
        # A pixel of rounding is no bar.
        width, height = (
            whole if abs(part * scale - whole) < 1.5 else max(1, round(part * scale))
            for part, whole in ((width, self._width), (height, self._height))
        )
        image = np.zeros((self._height, self._width, 3), np.uint8)
        top, left = (self._height - height) // 2, (self._width - width) // 2
        image[top : top + height, left : left + width] = self._converted(frame, width, height)
        return image

    def _converted(self, frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
        from av.error import FFmpegError
        from av.video.reformatter import Interpolation

        alpha = any(component.is_alpha for component in frame.format.components)
        resized = (frame.width, frame.height) != (width, height)
        try:
            image = self._reformatter.reformat(
                frame,
                width=width,
                height=height,
                format="rgba" if alpha else "rgb24",
                src_colorspace=self._assumed(frame),
                interpolation=Interpolation.BICUBIC if resized else Interpolation.BILINEAR,
                threads=1,
            ).to_ndarray()
        except MemoryError:
            raise
        except FFmpegError:
            reason = f"its pixel format {frame.format.name} cannot be converted to RGB"
            raise ClipError(self._path, reason, "convert it to H.264") from None
        return over_black(image) if alpha else image

    def _assumed(self, frame: av.VideoFrame) -> Any:
        """The matrix to use in place of the declared one; None where that one can be used."""
        from av.video.reformatter import Colorspace

        declared = int(frame.colorspace)
        if declared in CONVERTIBLE or frame.format.is_rgb:
            return None
        wide = frame.color_primaries == WIDE or frame.color_trc in HDR
        name = MATRICES.get(declared, f"number {declared}")
        assumed = "BT.2020" if wide else "BT.601"
        note = f"its colour matrix ({name}) cannot be converted: {assumed} assumed"
        self._notes.setdefault("matrix", note)
        return WIDE if wide else Colorspace.ITU601

    def notes(self) -> list[str]:
        """What was assumed or changed, one line of a kind."""
        return list(self._notes.values())


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """(transpose, flip x, flip y), done in this order, that the display matrix asks for, rounded to
    right angles: it maps a stored pixel (x, y) to (a x + c y, b x + d y), and its rows are (a b u),
    (c d v), (x y w), 32-bit integers."""
    from av.sidedata.sidedata import Type

    if "_missing_" not in vars(Type):  # PyAV before 19 fails on any kind newer than itself
        Type._missing_ = classmethod(_unknown)  # type: ignore[method-assign, assignment]
    side_data: Any = frame.side_data
    data = side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def _unknown(kind: Any, value: object) -> Any:
    """A member of PyAV's enumeration for a number that it does not list, as PyAV 19 makes them."""
    member = object.__new__(kind)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return member
