"""Write clips, never half, and tiles of them without loss."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spf.errors import ClipError
from spf.files import moved_into_place
from spf.numbers import number

Times = Sequence[float] | None
NTSC = [Fraction(base * 1000, 1001) for base in (24, 30, 48, 60, 120)]
SLOWEST, FASTEST = 0.001, 1000
"""Frames a second of clips that are written."""
CLOCK = 90_000
"""Ticks a second of a variable rate; those of MPEG."""
# x264's output depends on the number of threads; a fixed one gives the same bytes everywhere.
THREADS = 4
# With its macroblock tree, x264 gave different bytes for identical small frames now and then.
REPEATABLE = {"x264-params": "mbtree=0"}


def open_mp4(path: Path) -> Any:
    """An MP4 to write into, whose index comes first. A path is never read as an address."""
    import av

    return av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"})


def write_mp4(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    fps: float | Fraction,
    crf: int = 16,
    times: Times = None,
) -> None:
    """Write frames, each (H, W, 3) uint8 RGB and all of one size, as H.264 yuv420p in an MP4.

    frames are streamed; an odd width or height becomes even by repeating the last column or row.
    fps: written as an exact fraction (29.97 becomes 30000/1001). crf: 0 (best) to 51. times: of
    each frame, in seconds, increasing from 0; a variable rate, of which fps is the mean. Raises
    `ConfigError` for a bad rate or crf, `ValueError` for frames of a wrong shape or type,
    `ClipError` where there is no frame or the disk refuses; nothing is left behind then.
    """
    import av

    path, rate = Path(path), exact_rate(fps)
    number("crf", crf, least=0, most=51)
    with _refusals(path), moved_into_place(path) as temporary:
        output = open_mp4(temporary)
        try:
            _encode(output, _checked(path, frames), rate, crf, times)
            output.close()
        except BaseException:
            # Closing writes the trailer, which fails where nothing was written yet.
            with suppress(OSError, ValueError, av.FFmpegError):
                output.close()
            raise


def write_png(folder: str | os.PathLike[str], frames: Iterable[np.ndarray]) -> None:
    """Write frames, each (H, W, 3) uint8 RGB and all of one size, as 000000.png, 000001.png, ...

    A folder that an earlier call wrote is replaced. Raises `ClipError` where it holds anything
    else, where there is no frame or the disk refuses, `ValueError` for frames of a wrong shape or
    type; nothing is left behind then.
    """
    from PIL import Image

    folder = Path(folder)
    with _refusals(folder):
        _check_replaceable(folder)
        with moved_into_place(folder) as temporary:
            temporary.mkdir()
            for index, image in enumerate(_checked(folder, frames)):
                Image.fromarray(image).save(temporary / f"{index:06d}.png", compress_level=4)
            _check_replaceable(folder)


def exact_rate(fps: float | Fraction) -> Fraction:
    """Frames per second as the fraction that is meant: NTSC rates within 0.005, others up to a
    denominator of 1001. Raises `ConfigError` unless `SLOWEST` <= fps <= `FASTEST`."""
    number("fps", fps, least=SLOWEST, most=FASTEST)
    if isinstance(fps, Fraction):
        return fps
    near = (rate for rate in NTSC if abs(fps - rate) < 0.005)
    return next(near, Fraction(fps).limit_denominator(1001))


def _encode(
    output: Any, frames: Iterator[np.ndarray], rate: Fraction, crf: int, times: Times
) -> None:
    import av
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    flags = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    unit = 1 / rate if times is None else Fraction(1, CLOCK)
    stream = output.add_stream("libx264", rate=rate, options=REPEATABLE | {"crf": str(crf)})
    stream.pix_fmt, context = "yuv420p", stream.codec_context
    context.thread_count, context.time_base = THREADS, unit
    context.color_range, context.colorspace = 1, 6  # limited, BT.601, as readers assume anyway
    context.color_primaries, context.color_trc = 1, 1  # BT.709, near to sRGB
    for index, image in enumerate(frames):
        image = np.pad(image, [(0, n % 2) for n in image.shape[:2]] + [(0, 0)], mode="edge")
        if index == 0:
            stream.height, stream.width = image.shape[:2]
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            interpolation=flags,
            threads=1,
        )
        frame.pts = index if times is None else round(times[index] * CLOCK)
        frame.time_base = unit
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


class _FramesError(Exception):
    """An error of the caller's frames, not of the disk."""


def _marked(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    try:
        yield from frames
    except OSError as error:
        raise _FramesError from error


def _checked(path: Path, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, contiguous; raises where one does not fit the first, or there is none."""
    shape = None
    for index, frame in enumerate(_marked(frames)):
        image = np.asarray(frame)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            found = f"{image.shape} {image.dtype}"
            raise ValueError(f"frame {index} is {found}; frames are (H, W, 3) uint8")
        if shape is not None and image.shape != shape:
            raise ValueError(f"frame {index} is {image.shape}, the first one {shape}")
        shape = image.shape
        yield np.ascontiguousarray(image)
    if shape is None:
        raise ClipError(path, "there are no frames to write", "give one frame or more")


def _check_replaceable(folder: Path) -> None:
    if not os.path.lexists(folder):
        return
    if not folder.is_dir() or folder.is_symlink():
        raise ClipError(folder, "it exists and is not a folder", "choose another name")
    if any(not re.fullmatch(r"\d{6,}\.png", name) for name in os.listdir(folder)):
        raise ClipError(folder, "the folder holds other files", "choose another folder")


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turn what the disk or the encoder refuses into a `ClipError`; the frames' errors pass."""
    import av

    try:
        yield
    except _FramesError as error:
        raise error.__cause__ or error from None
    except (OSError, av.FFmpegError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        remedy = "check the folder, its permissions and the space on the disk"
        raise ClipError(path, f"it cannot be written ({why})", remedy) from None


# Tiles: parts of a video that shows several clips side by side


CHROMA = {"yuv420p": 2, "yuvj420p": 2, "yuv444p": 1, "yuvj444p": 1}
"""Pixel formats that can be cut, and the pixels that share a colour in each direction."""
SHOWN_AS = ("color_range", "colorspace", "color_primaries", "color_trc", "sample_aspect_ratio")


class Tile(NamedTuple):
    """A part of an image, in pixels; x and y are its left and upper edge."""

    x: int
    y: int
    width: int
    height: int


def cut_tile(source: str | os.PathLike[str], tile: Tile, out: str | os.PathLike[str]) -> None:
    """Write a tile of an MP4 as an MP4 whose frames and time stamps are the source's, exactly:
    lossless H.264 of the stored planes, unconverted. Raises ClipError where that is impossible."""
    import av

    with _opened(source) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        step = CHROMA.get(str(context.pix_fmt))
        if step is None:
            reason = f"tiles of {context.pix_fmt} are not cut, only of {', '.join(CHROMA)}"
            raise ClipError(source, reason, "convert it")
        inside = tile.x + tile.width <= context.width and tile.y + tile.height <= context.height
        if not inside or any(side % step for side in tile):
            reason = f"{tile} does not fit {context.width} x {context.height} {context.pix_fmt}"
            raise ClipError(source, reason, f"give multiples of {step} inside the image")
        graph = av.filter.Graph()
        crop = f"{tile.width}:{tile.height}:{tile.x}:{tile.y}:exact=1"
        nodes = graph.add_buffer(template=stream), graph.add("crop", crop), graph.add("buffersink")
        graph.link_nodes(*nodes).configure()
        with av.open(f"file:{out}", "w", format="mp4") as output:
            # Quantiser 0 is lossless for 8 bits.
            made: Any = output.add_stream(
                "libx264", rate=stream.average_rate, options={"qp": "0", "preset": "veryfast"}
            )
            made.width, made.height, made.pix_fmt = tile.width, tile.height, context.pix_fmt
            made.codec_context.time_base = stream.time_base
            for name in SHOWN_AS:
                if getattr(context, name) is not None:
                    setattr(made.codec_context, name, getattr(context, name))
            for frame in container.decode(stream):
                graph.push(frame)
                output.mux(made.encode(graph.pull()))
            output.mux(made.encode(None))


def frames_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256, 64 hexadecimal digits, of the frames that an MP4 decodes to, without any conversion:
    the planes of one after the other. `ffmpeg -i PATH -fps_mode passthrough -f rawvideo - |
    sha256sum` prints the same.

    Every decoder of H.264 gives the same numbers, while files depend on the version of an encoder,
    and RGB on that of the conversion. Raises ClipError where it cannot be decoded.
    """
    digest = hashlib.sha256()
    with _opened(path) as container:
        for frame in container.decode(video=0):
            if frame.format.name not in CHROMA:
                raise ClipError(path, f"its pixel format is {frame.format.name}", "convert it")
            digest.update(frame.to_ndarray().tobytes())
    return digest.hexdigest()


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """An MP4 that is a file, and no list that leads to others."""
    import av

    try:
        with av.open(f"file:{Path(path)}", format="mp4") as container:
            yield container
    except av.FFmpegError as error:
        why = error.strerror or type(error).__name__
        raise ClipError(path, f"it is no MP4 that can be decoded ({why})", "get it again") from None
