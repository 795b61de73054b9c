"""Tiles: parts of a video that shows several clips side by side, cut without loss."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from spf.errors import ClipError

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
