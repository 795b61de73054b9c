"""Packets of a clip, written into an MP4 as they are: a part of its pictures, and its sound."""

from __future__ import annotations

import heapq
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spf.errors import ClipError
from spf.files import moved_into_place
from spf.video.decode import videos_of
from spf.video.write import open_mp4

SAME_TIME = 1e-3
"""Seconds by which a packet and its frame may be apart: Matroska stores whole milliseconds."""


@dataclass(frozen=True, eq=False)
class Packets:
    """The packets of a video stream, in the order of decoding. shown : (T,) int64, their times in
    `unit`. keys : (T,) bool, whether one can be decoded without those before it."""

    shown: np.ndarray
    keys: np.ndarray
    unit: Fraction


class Span(NamedTuple):
    """Packets `begin` to `end` (included), which show the frames `first` to `last`."""

    begin: int
    end: int
    first: int
    last: int


def packets_of(path: str | os.PathLike[str], stream: int, times: Sequence[float]) -> Packets | None:
    """The packets of a stream, where each shows one of the frames at `times` (seconds from the
    first) and MP4 can hold them; else None."""
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
    shown = packets.shown
    place = np.argsort(np.argsort(shown, kind="stable"))  # frame of each packet
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
    """Write the frames of a span into an MP4, and the first sound track up to the packet before
    `stop`, in seconds since the clip's first frame. Raises ClipError where that is refused."""
    import av

    zero = float(packets.shown.min() * packets.unit)
    begin = float(packets.shown[span.begin] * packets.unit)
    with (
        _copied(path, out, "its packets cannot be copied", "encode it again") as output,
        av.open(f"file:{path}") as seen,
        av.open(f"file:{path}") as heard,
    ):
        video = videos_of(seen)[stream]
        target = output.add_stream_from_template(video)
        queues = [_span_packets(seen, video, target, packets, span)]
        if heard.streams.audio:
            audio = heard.streams.audio[0]
            other = output.add_stream_from_template(audio)
            queues.append(_packets(heard, audio, other, begin, zero + stop))
        _interleave(output, *queues)


def _span_packets(
    container: Any, video: Any, target: Any, packets: Packets, span: Span
) -> Iterator[tuple[float, int, Any]]:
    """(seconds, stream, packet) of a span, with times that count from its first frame."""
    shown = packets.shown[span.begin : span.end + 1] - packets.shown[span.begin]
    used = shown[shown >= 0]  # but for frames that lead to the keyframe
    # Matroska has no times of decoding: those of display serve, as early as reordering needs.
    decoded = iter(np.sort(used) - np.max(np.sort(used) - used))
    for index, packet in enumerate(p for p in container.demux(video) if p.size):
        if index > span.end:
            return
        if index < span.begin or shown[index - span.begin] < 0:
            continue
        packet.pts, packet.dts = int(shown[index - span.begin]), int(next(decoded))
        packet.stream = target
        yield float(packet.dts * video.time_base), target.index, packet


# Sound


def has_sound(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds a sound track. What is no file of that kind has none."""
    import av

    with suppress(av.FFmpegError, OSError, ValueError), av.open(f"file:{path}") as container:
        return bool(container.streams.audio)
    return False


def write_with_sound(
    write: Callable[[Path], object], clip: Path, out: Path, start: float = 0.0, stop: float = inf
) -> list[str]:
    """Write an MP4 by `write`, with the first sound track of a clip, if any, nothing encoded again;
    returns a note where that cannot be joined and is left out.

    The MP4 begins with the clip's frame at `start`; the sound ends with the packet before `stop`,
    in seconds since the clip's first frame.
    """
    import av

    if not has_sound(clip):
        write(out)
        return []
    silent = out.with_name(f".spf-{secrets.token_hex(8)}.mp4")
    try:
        write(silent)
        with (
            _copied(clip, out, "its sound cannot be copied", "add it with an editor") as output,
            av.open(f"file:{silent}") as seen,
            av.open(f"file:{clip}") as heard,
        ):
            video, audio = seen.streams.video[0], heard.streams.audio[0]
            targets = [output.add_stream_from_template(stream) for stream in (video, audio)]
            best = heard.streams.best("video")
            unit = best.time_base if best is not None else None
            first = float((best.start_time or 0) * unit) if best and unit else 0.0
            sound = _packets(heard, audio, targets[1], first + start, first + stop)
            _interleave(output, _packets(seen, video, targets[0]), sound)
    except ClipError as error:
        if not silent.exists():
            raise
        os.replace(silent, out)
        return [f"the sound is dropped: {error.reason}"]
    finally:
        silent.unlink(missing_ok=True)
    return []


@contextmanager
def _copied(clip: object, out: str | os.PathLike[str], failure: str, remedy: str) -> Iterator[Any]:
    """An MP4 that packets of a clip are copied into, whole or not at all."""
    import av

    try:
        with moved_into_place(Path(out)) as temporary, open_mp4(temporary) as output:
            yield output
    except (OSError, ValueError, av.FFmpegError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ClipError(clip, f"{failure} ({why})", remedy) from None


def _interleave(output: Any, *queues: Iterator[tuple[float, int, Any]]) -> None:
    """Write the packets of all streams in the order of their times."""
    for _, _, packet in heapq.merge(*queues, key=lambda entry: entry[:2]):
        output.mux(packet)


def _packets(
    container: Any, stream: Any, target: Any, start: float = 0.0, stop: float = inf
) -> Iterator[tuple[float, int, Any]]:
    """(seconds, stream, packet) from `start` up to `stop`, with times that count from `start`."""
    shift = round(start / stream.time_base)
    for packet in container.demux(stream):
        if packet.dts is None:  # the mark at the end
            continue
        shown = packet.dts if packet.pts is None else packet.pts
        if shown * stream.time_base >= stop:
            continue
        packet.dts, packet.pts = packet.dts - shift, shown - shift
        if shift > 0 and packet.pts + (packet.duration or 0) <= 0:
            continue  # before the first frame
        packet.stream = target
        yield float(packet.dts * stream.time_base), target.index, packet
