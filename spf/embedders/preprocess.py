"""What a tower sees of a frame: resized, cropped and normalised as its own library does it."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spf.embedders.base import Image

if TYPE_CHECKING:
    from torch import Tensor

LONG = 8
"""Frames this many times as long as wide are never resized whole, which could take gigabytes."""


@dataclass(frozen=True)
class Preprocess:
    """Frame (H, W, 3) uint8 -> image (size, size, 3) uint8 -> (3, size, size) float32.

    size : pixels a side of what the model sees. resize : "squash" makes both sides `edge` long,
    "shortest" and "longest" that side, and preserves the proportions; a centred square of `size` is
    cut out, with `fill` where there is nothing. rounding : of half an odd rest above or left of it:
    torchvision rounds to even, transformers down. interpolation : "bicubic" or "bilinear".
    mean, std : of each channel, of pixels scaled to 0 .. 1. Raises ValueError for others.
    """

    size: int
    resize: str
    edge: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fill: int = 0
    rounding: str = "even"

    def __post_init__(self) -> None:
        if self.resize not in ("squash", "shortest", "longest"):
            raise ValueError(f"resizing {self.resize!r}")
        if self.interpolation not in ("bicubic", "bilinear"):
            raise ValueError(f"interpolation {self.interpolation!r}")
        if not 1 <= self.size <= self.edge:
            raise ValueError(f"a side of {self.size} out of {self.edge} pixels")

    def identity(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after resizing."""
        if self.resize == "squash":
            return self.edge, self.edge
        if self.resize == "longest":
            ratio = max(height, width) / self.edge
            return max(1, round(height / ratio)), max(1, round(width / ratio))
        long = int(self.edge * max(height, width) / min(height, width))
        return (self.edge, long) if height <= width else (long, self.edge)

    def prepare(self, image: Image) -> Image:
        """(size, size, 3) uint8 of a frame, by Pillow, which lets other threads run meanwhile."""
        from PIL import Image as Pillow

        rows, columns = self.resized(*image.shape[:2])
        how = Pillow.Resampling[self.interpolation.upper()]
        whole = Pillow.fromarray(image)
        if self.is_long(*image.shape[:2]):
            top, left = self._offset(rows), self._offset(columns)
            down, right = image.shape[0] / rows, image.shape[1] / columns
            height, width = min(rows, self.size), min(columns, self.size)
            box = (left * right, top * down, (left + width) * right, (top + height) * down)
            return np.asarray(whole.resize((width, height), how, box))
        return self._cut(np.asarray(whole.resize((columns, rows), how)))

    def prepare_on(self, image: "Tensor") -> "Tensor":
        """(size, size, 3) uint8 of a frame (H, W, 3) uint8, on the frame's device.

        As `prepare` but for rounding: Pillow rounds to whole levels between its two passes.
        """
        import torch

        rows, columns = self.resized(*image.shape[:2])
        planes = image.permute(2, 0, 1)[None].float()
        planes = torch.nn.functional.interpolate(
            planes, (rows, columns), mode=self.interpolation, antialias=True
        )
        return self._cut(planes[0].permute(1, 2, 0).round_().clamp_(0, 255).to(torch.uint8))

    def normalise(self, images: "Tensor") -> "Tensor":
        """(B, 3, size, size) float32 of (B, size, size, 3) uint8."""
        import torch

        planes = images.permute(0, 3, 1, 2).float().div_(255)
        mean, std = (
            torch.tensor(values, device=planes.device).view(3, 1, 1)
            for values in (self.mean, self.std)
        )
        return planes.sub_(mean).div_(std)

    def is_long(self, height: int, width: int) -> bool:
        """Whether a frame is too long to be resized whole."""
        return self.resize == "shortest" and max(self.resized(height, width)) > LONG * self.edge

    def _offset(self, length: int) -> int:
        rest = max(0, length - self.size)
        return round(rest / 2) if self.rounding == "even" else rest // 2

    def _cut(self, image: Any) -> Any:
        """The middle of an image (array or tensor), with `fill` around it where it is small."""
        rows, columns = image.shape[:2]
        top, left = self._offset(rows), self._offset(columns)
        middle = image[top : top + self.size, left : left + self.size]
        height, width = middle.shape[:2]
        if (height, width) == (self.size, self.size):
            return middle
        shape = self.size, self.size, 3
        is_array = isinstance(image, np.ndarray)
        whole = (
            np.full(shape, self.fill, np.uint8) if is_array else image.new_full(shape, self.fill)
        )
        down, right = (self.size - height) // 2, (self.size - width) // 2
        whole[down : down + height, right : right + width] = middle
        return whole


def three(value: Any) -> tuple[float, float, float]:
    """One number for each channel; one number alone is for all of them."""
    red, green, blue = (value,) * 3 if isinstance(value, int | float) else value
    return float(red), float(green), float(blue)
