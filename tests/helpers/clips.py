"""Small clips, written with PyAV and Pillow, whose frames are known by their grey levels."""

import os
import re
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from spf.errors import ConfigError, SpfError

# SVT-AV1 talks to the terminal otherwise.
os.environ.setdefault("SVT_LOG", "1")

import av
from av.video.reformatter import ColorRange, Colorspace

BASE, STEP = 20, 4  # grey level of frame 0, and from one frame to the next


def grey(count, height=48, width=64):
    """Frames (height, width, 3) of levels BASE, BASE + STEP, ...; at most 58 of them."""
    return [np.full((height, width, 3), BASE + STEP * i, np.uint8) for i in range(count)]


def number(image):
    """Which frame of `grey` an image is, whatever was lost in coding."""
    return round((float(image.mean()) - BASE) / STEP)


def corners(height=48, width=64):
    """One image whose quarters differ: red, green / blue, white, read like a page."""
    quarters = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]], np.uint8)
    return quarters.repeat(height // 2, axis=0).repeat(width // 2, axis=1)


def encode(
    path, frames, codec="libx264", pix_fmt="yuv420p", rate=25, stamps=None, unit=None, aspect=None,
    matrix=None, options=None, colour=None, audio=False, streams=(), **container,
):  # fmt: skip
    """Write a video. stamps : in `unit`, by default 0, 1, ... in 1 / rate. matrix : of display, 9
    integers. colour : (matrix, range) as FFmpeg numbers them. streams : more of video."""
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no encoder {codec}")
    unit = unit or 1 / Fraction(rate)
    every = [list(frames), *streams]
    space = Colorspace.ITU709 if colour and colour[0] == 1 else Colorspace.ITU601
    full = ColorRange.JPEG if colour and colour[1] == 2 else ColorRange.MPEG
    form = {"format": pix_fmt, "dst_colorspace": space, "dst_color_range": full}
    with av.open(str(path), "w", **container) as output:
        opened = [output.add_stream(codec, rate=rate, options=dict(options or {})) for _ in every]
        for stream, images in zip(opened, every, strict=True):
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = pix_fmt
            stream.codec_context.time_base = unit
            if aspect:
                stream.codec_context.sample_aspect_ratio = aspect
            if matrix:
                stream.set_display_matrix(list(matrix))
            if colour:
                stream.codec_context.colorspace, stream.codec_context.color_range = colour
        sound = output.add_stream("aac", rate=8000) if audio else None
        for stream, images in zip(opened, every, strict=True):
            for index, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                if pix_fmt not in {"rgba", "bgra", "gbrp"}:
                    frame = frame.reformat(**form)
                frame.pts, frame.time_base = index if stamps is None else stamps[index], unit
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        if sound is not None:
            _silence(output, sound)
    return path


def mux(path, codec, pix_fmt, packets, extradata=None):
    """Encoded frames (48, 64, 3) as packets of a video, at 25 frames a second."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        if extradata:
            stream.codec_context.extradata = extradata
        for index, data in enumerate(packets):
            packet = av.Packet(data)
            packet.pts = packet.dts = index
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.is_keyframe = codec == "mjpeg" or index == 0
            output.mux(packet)
    return path


def encode_sound(path, cover=None):
    with av.open(str(path), "w") as output:
        if cover is not None:
            picture = output.add_stream("mjpeg", rate=1)
            picture.height, picture.width = cover.shape[:2]
            picture.pix_fmt = "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        sound = output.add_stream("aac", rate=8000)
        if cover is not None:
            frame = av.VideoFrame.from_ndarray(cover).reformat(format="yuvj420p")
            output.mux(picture.encode(frame))
            output.mux(picture.encode(None))
        _silence(output, sound)
    return path


def _silence(output, sound):
    tone = av.AudioFrame(format="fltp", layout="mono", samples=1024)
    tone.rate, tone.pts = 8000, 0
    for plane in tone.planes:
        plane.update(bytes(plane.buffer_size))
    output.mux(sound.encode(tone))
    output.mux(sound.encode(None))


def cut(source, path, share):
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def damage(source, path, begin, length, seed=0):
    """A copy with `length` bytes overwritten by noise, from the share `begin` of the file on."""
    data = source.read_bytes()
    position = int(len(data) * begin)
    noise = np.random.default_rng(seed).integers(0, 256, length, dtype=np.uint8).tobytes()
    path.write_bytes(data[:position] + noise + data[position + length :])
    return path


def noise(count, height=96, width=128, seed=0):
    """Frames that do not compress well, so that every packet has many bytes."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (count, height // 8, width // 8, 3), dtype=np.uint8)
    return list(coarse.repeat(8, axis=1).repeat(8, axis=2))


def animate(path, frames, durations, **save):
    first, *rest = map(Image.fromarray, frames)
    how = {"save_all": True, "append_images": rest, "duration": list(durations), "loop": 0}
    first.save(path, **how, **save)
    return path


def numbers(clip):
    return [number(frame) for frame in clip.frames]


@contextmanager
def refused(message, kind=ConfigError):
    """An error of exactly that class, in one line that has the message (a pattern)."""
    with pytest.raises(SpfError) as caught:
        yield caught
    assert type(caught.value) is kind
    text = str(caught.value)
    assert re.search(message, text), text
    assert not re.search("\n|Errno|avcodec", text), text


def read_corners(image):
    """The quarters of an image, as `corners` ("RGBW")."""
    names = {(1, 0, 0): "R", (0, 1, 0): "G", (0, 0, 1): "B", (1, 1, 1): "W"}
    height, width = image.shape[:2]
    rows, columns = (height // 4, height * 3 // 4), (width // 4, width * 3 // 4)
    return "".join(names[tuple((image[y, x] > 127).astype(int))] for y in rows for x in columns)


def remux(source, path, stamp, **container):
    """Copy the packets of a video without B-frames; `stamp(index, time)` gives their new times."""
    with av.open(str(source)) as original, av.open(str(path), "w", **container) as output:
        old = original.streams.video[0]
        new = output.add_stream_from_template(old)
        for index, packet in enumerate(p for p in original.demux(old) if p.size):
            packet.pts = packet.dts = stamp(index, packet.pts)
            packet.stream = new
            output.mux(packet)
    return path
