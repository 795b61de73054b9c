"""A part of a video by its packets, as they are: where it can begin and end, and written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import Any

import numpy as np

from spf.video.decode import videos_of
from spf.video.sound import copied, interleave
from spf.video.sound import packets as sound_packets

SAME_TIME = 1e-3
"""Seconds by which a packet and its frame may be apart: Matroska stores whole milliseconds."""


@dataclass(frozen=True, eq=False)
class Packets:
    """The packets of a video stream, in the order of decoding. shown : (T,) int64, their times in
    `unit`. keys : (T,) bool, whether one can be decoded without those before it."""

    shown: np.ndarray
    keys: np.ndarray
    unit: Fraction

    @property
    def order(self) -> np.ndarray:
        """Index (T,) of the packet of each frame, in the order of display."""
        return np.argsort(self.shown, kind="stable")


@dataclass(frozen=True)
class Span:
    """Packets `begin` to `end` (included), which show the frames `first` to `last`."""

    begin: int
    end: int
    first: int
    last: int


def packets_of(path: str | os.PathLike[str], stream: int, times: Sequence[float]) -> Packets | None:
    """The packets of a stream, of which each shows one of the frames at `times`, in seconds from
    the first; None where they do not, as with packets that are hidden, damaged or hold none, and
    where MP4 cannot hold them."""
    import av

    shown, keys = [], []
    with suppress(av.FFmpegError, OSError, ValueError), av.open(f"file:{path}") as container:
        video = videos_of(container)[stream]
        with av.open(BytesIO(), "w", format="mp4") as output:
            if video.codec_context.name not in output.supported_codecs:
                return None
        for packet in container.demux(video):
            if packet.dts is None and not packet.size:  # the mark at the end
                continue
            if packet.pts is None or packet.is_discard or not packet.size:
                return None
            shown.append(packet.pts)
            keys.append(packet.is_keyframe)
        found = Packets(np.array(shown, np.int64), np.array(keys, bool), Fraction(video.time_base))
        seconds = np.sort(found.shown - found.shown.min()) * float(found.unit)
        if len(seconds) == len(times) and np.abs(seconds - times).max() < SAME_TIME:
            return found
    return None


def copy_span(packets: Packets, first: int, last: int) -> Span:
    """The shortest span of packets that shows the frames `first` to `last` and needs no others.

    It begins at a keyframe that comes after all earlier frames, and ends where no packet of it is
    shown later than its last frame; so it shows what is asked for, or some frames more at the ends.
    """
    shown, place = packets.shown, np.argsort(packets.order)  # frame of each packet
    highest = np.maximum.accumulate(shown)
    clean = packets.keys & (np.append(shown[0] - 1, highest[:-1]) < shown)
    begins = np.flatnonzero(clean & (place <= first))
    begin = int(begins[np.argmax(place[begins])]) if len(begins) else 0
    # The packets up to one are closed where they are as many as the frames up to the last of them.
    closed = np.maximum.accumulate(place) == np.arange(len(place))
    least = max(last, begin)
    end = least + int(np.argmax(closed[least:]))
    return Span(begin, end, int(place[begin]), end)


def copy_part(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    stream: int,
    packets: Packets,
    span: Span,
    stop: float,
) -> None:
    """Write the frames of a span and the first sound track beside them into an MP4, nothing encoded
    again; the sound ends with the packet before `stop`, in seconds since the clip's first frame.

    Raises ClipError where MP4 cannot hold them or the disk refuses; nothing is left behind then.
    """
    import av

    zero = float(packets.shown.min() * packets.unit)
    begin = float(packets.shown[span.begin] * packets.unit)
    with (
        copied(path, out, "its packets cannot be copied", "encode it again") as output,
        av.open(f"file:{path}") as seen,
        av.open(f"file:{path}") as heard,
    ):
        video = videos_of(seen)[stream]
        target = output.add_stream_from_template(video)
        queues = [_span_packets(seen, video, target, packets, span)]
        if heard.streams.audio:
            audio = heard.streams.audio[0]
            other = output.add_stream_from_template(audio)
            queues.append(sound_packets(heard, audio, other, begin, zero + stop))
        interleave(output, *queues)


def _span_packets(
    container: Any, video: Any, target: Any, packets: Packets, span: Span
) -> Iterator[tuple[float, int, Any]]:
    """(seconds, stream, packet) of a span, times counted from its first frame.

    Matroska has no times of decoding: they are those of display in their order, as much earlier as
    the frames that are decoded before they are shown need.
    """
    shown = packets.shown[span.begin : span.end + 1] - packets.shown[span.begin]
    used = shown[shown >= 0]  # but for frames that lead to the keyframe
    decoded = iter(np.sort(used) - np.max(np.sort(used) - used))
    for index, packet in enumerate(p for p in container.demux(video) if p.size):
        if index > span.end:
            return
        if index < span.begin or shown[index - span.begin] < 0:
            continue
        packet.pts, packet.dts = int(shown[index - span.begin]), int(next(decoded))
        packet.stream = target
        yield float(packet.dts * video.time_base), target.index, packet
