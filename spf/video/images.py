"""Frames of animated images, still images and folders of images, through Pillow.

Transparent pixels are composited over black. An EXIF orientation is applied. 16-bit grey pictures
are scaled to 8 bits.
"""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spf.errors import ClipError, ConfigError
from spf.video.clip import IMAGE_SUFFIXES, ClipInfo, Render, check_size, over_black, plural
from spf.words import printable

if TYPE_CHECKING:
    from PIL import Image

# What Pillow raises on damaged files.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)
ANIMATED = frozenset({"GIF", "WEBP", "PNG"})
# Pillow tells formats by their content, and would start programs for some (EPS).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
MAGIC = (b"GIF8", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")


def is_image(head: bytes) -> bool:
    """Whether a file that begins with these bytes (16 or more) is an image for Pillow."""
    return head.startswith(MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


class ImageSource:
    """Frames of one image file: GIF, WebP and PNG with all their frames, others with the first.

    Times are the sums of the frames' durations; durations of 10 ms and less count as 100 ms, as in
    browsers. A first pass reads the durations and counts the frames.
    """

    def __init__(self, path: Path, stream: int | None) -> None:
        _only_stream(path, stream)
        self._path = path
        self.decoded = 0
        self._image = _open(path)
        try:
            self._animated = self._image.format in ANIMATED
            # A PNG's default picture may be no part of its animation.
            self._begin = int(getattr(self._image, "default_image", False))
            self._times, count, duration = self._measure()
            width, height = _oriented_size(self._image)
        except BaseException:
            self._image.close()
            raise
        moving = len(self._times) > 1
        self.info = ClipInfo(
            path=path,
            width=width,
            height=height,
            codec=(self._image.format or "image").lower(),
            rotation=_rotation(self._image),
            pixel_aspect=1.0,
            fps=(len(self._times) - 1) / self._times[-1] if moving else None,
            frames=count,
            duration=duration if moving else None,
            video_streams=1,
            stream=0,
        )

    def _measure(self) -> tuple[list[float], int, float]:
        """Times of the frames that can be read (s), the number of frames, and the duration (s)."""
        count = getattr(self._image, "n_frames", 1) if self._image.format in {"WEBP", "PNG"} else 0
        times, now = [], 0.0  # now in milliseconds, whose sums are exact
        for index in range(self._begin, 2**31):
            try:
                _decode(self._path, self._image, index)
            except EOFError:
                break
            except DAMAGE:
                count = max(count, index + 1)
                break
            times.append(now / 1e3)
            duration = float(self._image.info.get("duration", 0))
            now += duration if duration > 10 else 100.0
            if not self._animated:
                break
        if not times:
            reason = "none of its frames can be decoded"
            raise ClipError(self._path, reason, "copy or download it again, or make it again")
        return times, max(count - self._begin, len(times)), now / 1e3

    def __iter__(self) -> Iterator[tuple[float, Render]]:
        # Opened anew: Pillow cannot go back behind a damaged place.
        self._image.close()
        self._image = image = _open(self._path)
        for index, time in enumerate(self._times):
            try:
                _decode(self._path, image, index + self._begin)
            except DAMAGE:
                return
            self.decoded += 1
            yield time, lambda: self._on_canvas(_render(image))

    def _on_canvas(self, image: np.ndarray) -> np.ndarray:
        """A frame at the clip's size: a GIF's canvas grows where a frame reaches beyond it."""
        height, width = self.info.height, self.info.width
        if image.shape == (height, width, 3):
            return image
        whole = np.zeros((height, width, 3), np.uint8)
        part = image[:height, :width]
        whole[: part.shape[0], : part.shape[1]] = part
        return whole

    def report(self, complete: bool) -> tuple[int, list[str]]:
        declared = self.info.frames or 0
        lost = declared - self.decoded if complete else 0
        cause = "the file is truncated or damaged"
        return lost, [f"{lost} of {declared} frames lost: {cause}"] if lost else []

    def close(self) -> None:
        self._image.close()


class FolderSource:
    """The images of a folder in natural order (frame2 before frame10), all of one size.

    There are no time stamps: times are indices in that order. An image that cannot be decoded is
    skipped and leaves a gap; hidden files and other suffixes are ignored.
    """

    def __init__(self, path: Path, stream: int | None) -> None:
        _only_stream(path, stream)
        try:
            files = [p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
        except PermissionError:
            raise ClipError(path, "the folder may not be read", "change its permissions") from None
        files = [p for p in files if p.is_file() and not p.name.startswith(".")]
        if not files:
            kinds = " ".join(sorted(IMAGE_SUFFIXES))
            raise ClipError(path, "the folder holds no images", f"put frames into it ({kinds})")
        self._files = sorted(files, key=lambda p: natural(p.name))
        self._bad: list[str] = []
        self.decoded = 0
        self._path = path
        self.info = self._describe()

    def _describe(self) -> ClipInfo:
        for file in self._files:
            try:
                with _open(file) as image:
                    width, height = _oriented_size(image)
                    codec, rotation = (image.format or "image").lower(), _rotation(image)
                break
            except ClipError:
                continue
        else:
            reason = "none of its images can be decoded"
            raise ClipError(self._path, reason, "make the images again")
        return ClipInfo(
            path=self._path,
            width=width,
            height=height,
            codec=codec,
            rotation=rotation,
            pixel_aspect=1.0,
            fps=None,
            frames=len(self._files),
            duration=None,
            video_streams=1,
            stream=0,
        )

    def __iter__(self) -> Iterator[tuple[float, Render]]:
        size = (self.info.width, self.info.height)
        for index, file in enumerate(self._files):
            try:
                with _open(file) as image:
                    _decode(file, image)
                    found = _oriented_size(image)
                    if found == size:
                        self.decoded += 1
                        yield float(index), lambda image=image: _render(image)  # type: ignore[misc]
                        continue
            except (ClipError, *DAMAGE):
                self._bad.append(file.name)
                continue
            name = printable(file.name)
            reason = f"{name} is {found[0]} x {found[1]}, the first image {size[0]} x {size[1]}"
            raise ClipError(self._path, reason, "scale the images to one size")
        if not self.decoded:
            reason = "none of its images can be decoded"
            raise ClipError(self._path, reason, "make the images again")

    def report(self, complete: bool) -> tuple[int, list[str]]:
        lost = len(self._bad)
        if not lost:
            return 0, []
        count = f"{lost} of {len(self._files)} frames lost"
        which = f"{plural(lost, 'image')} cannot be decoded, first {printable(self._bad[0])}"
        return lost if complete else 0, [f"{count}: {which}"]

    def close(self) -> None:
        pass


def natural(name: str) -> list[int | str]:
    """Sorting key in which numbers count as numbers: frame2 < frame10."""
    parts = re.split(r"(\d+)", name.lower())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)] + [name]


def _open(path: Path) -> Image.Image:
    """The opened image, not yet decoded; raises `ClipError`."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Our own limit follows below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError:
        raise _too_large(path) from None
    except PermissionError:
        raise ClipError(path, "the file may not be read", "change its permissions") from None
    except DAMAGE:
        reason = "it cannot be decoded: it is cut off, damaged or no image"
        raise ClipError(path, reason, "copy or download it again, or make it again") from None
    try:
        check_size(path, *image.size)
    except ClipError:
        image.close()
        raise
    return image


def _decode(path: Path, image: Image.Image, index: int | None = None) -> None:
    """Decode an opened image, or its frame of that index, whose canvas may be another one.

    Raises ClipError where it is too large, MemoryError, and DAMAGE.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            if index is not None:
                image.seek(index)
            check_size(path, *image.size)
            image.load()
    except Image.DecompressionBombError:
        raise _too_large(path) from None
    except OSError as error:
        if "out of memory" in str(error):  # as Pillow's decoders call it
            raise MemoryError from None
        raise


def _too_large(path: Path) -> ClipError:
    return ClipError(path, "its frames are too large to be read", "scale it down")


def _only_stream(path: Path, stream: int | None) -> None:
    if stream:
        raise ConfigError(f"{path}: no video stream {stream}; images have 1 video stream, from 0")


def _render(image: Image.Image) -> np.ndarray:
    """The decoded image as displayed, (H, W, 3) uint8 RGB, contiguous."""
    from PIL import ImageOps

    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.clip(np.asarray(image, dtype=np.int64), 0, 65535)
        grey = ((grey + 128) // 257).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if _rotation(image) or _mirrored(image):
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        return over_black(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def _exif_orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except (*DAMAGE, TypeError):
        return 1


def _rotation(image: Image.Image) -> int:
    return {3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}.get(_exif_orientation(image), 0)


def _mirrored(image: Image.Image) -> bool:
    return _exif_orientation(image) in {2, 4, 5, 7}


def _oriented_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if _rotation(image) in {90, 270} else (width, height)
