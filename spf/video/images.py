"""Frames of animated images and still images, through Pillow."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spf.errors import ClipError, ConfigError
from spf.video.clip import AGAIN, ClipInfo, Render, check_size, over_black

if TYPE_CHECKING:
    from PIL import Image

# What Pillow raises on damaged files.
DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip
TOO_LARGE = ("its frames are too large to be read", "scale it down")
ROUGH = "FFmpeg cannot compose it: what is transparent in it may look wrong; make a video of it"
ANIMATED = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
# Pillow finds the format in the content, and would start programs for some (EPS).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP", "AVIF")
RAW_JPEGS = frozenset({".mjpeg", ".mjpg"})
MAGIC = (b"GIF8", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")


def is_image(path: Path, head: bytes) -> bool:
    """Whether a file that begins with these bytes (16 or more) is an image for Pillow."""
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        from PIL import features

        return bool(features.check("avif"))
    if head.startswith(b"\xff\xd8\xff") and path.suffix.lower() in RAW_JPEGS:
        return False  # a film of JPEGs, one after the other
    return head.startswith(MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


class ImageSource:
    """Frames of one image file: GIF, WebP, PNG and AVIF with all their frames, others with the
    first.

    Times are the sums of the frames' durations, of which those of 10 ms and less count as 100 ms,
    as in browsers; an AVIF has time stamps. A first pass reads them and counts the frames.
    """

    def __init__(self, path: Path, stream: int | None) -> None:
        only_stream(path, stream)
        self._path = path
        self._rough = False  # whether FFmpeg could not compose all frames of an animated PNG
        self.decoded = 0
        self._image = open_image(path)
        try:
            self._animated = self._image.format in ANIMATED
            self._times, count, duration = self._measure()
            self.info = described(path, self._image, count)
        except BaseException:
            self._image.close()
            raise
        if len(self._times) > 1:
            fps = (len(self._times) - 1) / self._times[-1]
            self.info = replace(self.info, fps=fps, duration=duration)

    def _frames(self) -> Iterator[Image.Image]:
        """The frames as they are shown, decoded, each valid until the next; raises DAMAGE."""
        # A PNG's default picture may be no part of its animation.
        first = int(getattr(self._image, "default_image", False))
        for index in range(first, 2**31 if self._animated else 1):
            try:
                decode(self._path, self._image, index)
            except EOFError:
                return
            yield self._image

    def _measure(self) -> tuple[list[float], int, float]:
        """Times of the frames that can be read (s), the number of frames, and the duration (s)."""
        counted = self._image.format in {"WEBP", "PNG", "AVIF"}
        count = getattr(self._image, "n_frames", 1) if counted else 0
        if getattr(self._image, "default_image", False):
            count -= 1
        times, now = [], 0.0  # now in milliseconds, whose sums are exact
        try:
            for image in self._frames():
                if image.format == "AVIF":
                    now = float(image.info.get("timestamp", now))
                times.append(now / 1e3)
                duration = float(image.info.get("duration", 0))
                now += duration if duration > 10 else 100.0
        except DAMAGE:
            count = max(count, len(times) + 1)
        if not times:
            raise ClipError(self._path, "none of its frames can be decoded", AGAIN)
        return times, max(count, len(times)), now / 1e3

    def __iter__(self) -> Iterator[tuple[float, Render]]:
        # Opened anew: Pillow cannot go back behind a damaged place.
        self._image.close()
        self._image = open_image(self._path)
        frames, composed = self._frames(), self._composed()
        for time in self._times:
            try:
                decoded = next(frames)
                image = next(composed, decoded)
            except (StopIteration, *DAMAGE):
                return
            self.decoded += 1
            yield time, lambda image=image: self._on_canvas(render(self._path, image))  # type: ignore[misc]

    def _composed(self) -> Iterator[Image.Image]:
        """The frames of an animated PNG by FFmpeg, up to one that it cannot decode: Pillow, up to
        version 13, blends alpha over alpha wrongly and forgets what a frame had covered."""
        if self._image.format != "PNG" or len(self._times) < 2:
            return
        import av
        from PIL import Image

        try:
            with av.open(f"file:{self._path}", format="apng") as container:
                for frame in container.decode(video=0):
                    image = Image.fromarray(frame.to_ndarray(format="rgba"))
                    image.info = self._image.info  # an orientation
                    yield image
        except av.error.PatchWelcomeError:  # as of 16 bits that are blended
            self._rough = True
        except av.FFmpegError:
            return

    def _on_canvas(self, image: np.ndarray) -> np.ndarray:
        """A frame at the clip's size: a GIF's canvas grows where a frame reaches beyond it."""
        height, width = self.info.height, self.info.width
        if image.shape == (height, width, 3):
            return image
        part = image[:height, :width]
        return np.pad(part, [(0, height - len(part)), (0, width - part.shape[1]), (0, 0)])

    def report(self, complete: bool) -> tuple[int, list[str]]:
        declared = self.info.frames or 0
        lost = declared - self.decoded if complete else 0
        cause = "the file is truncated or damaged"
        notes = [f"{lost} of {declared} frames lost: {cause}"] if lost else []
        return lost, notes + [ROUGH] * self._rough

    def close(self) -> None:
        self._image.close()


def described(path: Path, image: Image.Image, frames: int) -> ClipInfo:
    """What a clip of images is, without a rate, by one of them."""
    width, height = oriented_size(image)
    codec, turned = (image.format or "image").lower(), _rotation(image)
    return ClipInfo(path, width, height, codec, turned, 1.0, None, frames, None, 1, 0)


def open_image(path: Path) -> Image.Image:
    """The opened image, not yet decoded; raises `ClipError`."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, for which our own limit follows
            image = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError:
        raise ClipError(path, *TOO_LARGE) from None
    except PermissionError:
        raise ClipError(path, "the file may not be read", "change its permissions") from None
    except DAMAGE:
        reason = "it cannot be decoded: it is cut off, damaged or no image"
        raise ClipError(path, reason, AGAIN) from None
    try:
        check_size(path, *image.size)
    except ClipError:
        image.close()
        raise
    return image


def decode(path: Path, image: Image.Image, index: int | None = None) -> None:
    """Decode an opened image, or its frame of that index. Raises ClipError, MemoryError, DAMAGE."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if index is not None:
                image.seek(index)
            check_size(path, *image.size)
            image.load()
    except Image.DecompressionBombError:
        raise ClipError(path, *TOO_LARGE) from None
    except OSError as error:
        if "out of memory" in str(error):  # as Pillow's decoders call it
            raise MemoryError from None
        raise


def only_stream(path: Path, stream: int | None) -> None:
    if stream:
        raise ConfigError(f"{path}: no video stream {stream}; images have 1 video stream, from 0")


def render(path: Path, image: Image.Image) -> np.ndarray:
    """The decoded image as displayed, (H, W, 3) uint8 RGB; ClipError for values out of range."""
    from PIL import ImageOps

    if _exif_orientation(image) in range(2, 9):
        image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        return np.repeat(_grey(path, np.asarray(image))[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        return over_black(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def _grey(path: Path, values: np.ndarray) -> np.ndarray:
    """Integers of 16 bits, or floating-point numbers from 0 to 1, as uint8."""
    top, slack = (1.0, 0.5) if values.dtype.kind == "f" else (65535, 0)
    low, high = values.min(), values.max()
    if not -slack <= low <= high <= top + slack:  # a resampled edge overshoots; NaN is neither
        reason = f"its values reach from {low:g} to {high:g}, and not from 0 to {top:g}"
        raise ClipError(path, reason, "store it with 8 or 16 bits")
    if top == 1.0:
        return np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    return ((values.astype(np.int64) + 128) // 257).astype(np.uint8)


def _exif_orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except (*DAMAGE, TypeError):
        return 1


def _rotation(image: Image.Image) -> int:
    return {3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}.get(_exif_orientation(image), 0)


def oriented_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if _rotation(image) in {90, 270} else (width, height)
