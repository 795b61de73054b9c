"""The sound of a clip beside other frames: its packets, as they are."""

from __future__ import annotations

import heapq
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import Any

from spf.errors import ClipError
from spf.files import moved_into_place, synchronise
from spf.video.write import open_mp4


def has_sound(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds a sound track. What is no file of that kind has none."""
    import av

    with suppress(av.FFmpegError, OSError, ValueError), av.open(f"file:{path}") as container:
        return bool(container.streams.audio)
    return False


def join_sound(
    frames: str | os.PathLike[str],
    clip: str | os.PathLike[str],
    out: str | os.PathLike[str],
    start: float = 0.0,
    stop: float = inf,
) -> None:
    """Write the frames of one MP4 and the first sound track of a clip into an MP4.

    Nothing is encoded again. The sound stays in its place relative to the clip's frame at `start`,
    which is the first one of `frames`, and ends with the packet before `stop`; seconds since the
    clip's first frame. Memory does not grow with the length.

    Raises ClipError where the clip's sound cannot be read, MP4 cannot hold its codec, or the disk
    refuses; nothing is left behind then.
    """
    import av

    with (
        copied(clip, out, "its sound cannot be copied", "add it with an editor") as output,
        av.open(f"file:{frames}") as seen,
        av.open(f"file:{clip}") as heard,
    ):
        video, audio = seen.streams.video[0], heard.streams.audio[0]
        targets = [output.add_stream_from_template(stream) for stream in (video, audio)]
        best = heard.streams.best("video")
        unit = best.time_base if best is not None else None
        first = float((best.start_time or 0) * unit) if best and unit else 0.0
        heard_packets = packets(heard, audio, targets[1], first + start, first + stop)
        interleave(output, packets(seen, video, targets[0]), heard_packets)


def write_with_sound(
    write: Callable[[Path], object], clip: Path, out: Path, start: float = 0.0, stop: float = inf
) -> list[str]:
    """Write frames by `write`, which takes the path of an MP4, with the clip's sound as in
    `join_sound`. Where that cannot be joined the frames are written alone; returns a note then."""
    silent = out.with_name(f".spf-{secrets.token_hex(8)}.mp4")
    try:
        write(silent)
        try:
            join_sound(silent, clip, out, start, stop)
        except ClipError as error:
            os.replace(silent, out)
            return [f"the sound is dropped: {error.reason}"]
    finally:
        silent.unlink(missing_ok=True)
    return []


@contextmanager
def copied(clip: object, out: str | os.PathLike[str], failure: str, remedy: str) -> Iterator[Any]:
    """An MP4 that packets of a clip are copied into; where that fails nothing is left behind, and
    the failure and the remedy are those of the ClipError."""
    import av

    try:
        with moved_into_place(Path(out)) as temporary:
            with open_mp4(temporary) as output:
                yield output
            synchronise(temporary)
    except (OSError, ValueError, av.FFmpegError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ClipError(clip, f"{failure} ({why})", remedy) from None


def interleave(output: Any, *queues: Iterator[tuple[float, int, Any]]) -> None:
    """Write the packets of all streams in the order of their times."""
    for _, _, packet in heapq.merge(*queues, key=lambda entry: entry[:2]):
        output.mux(packet)


def packets(
    container: Any, stream: Any, target: Any, start: float = 0.0, stop: float = inf
) -> Iterator[tuple[float, int, Any]]:
    """(seconds, stream, packet) of a stream that are heard or seen from `start` up to `stop`, their
    times counted from `start`."""
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
