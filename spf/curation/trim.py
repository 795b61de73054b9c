"""Cut the dead beginning and end off a clip, and its sound with them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from spf.errors import ClipError
from spf.measurement import Measurement
from spf.numbers import number
from spf.progress.metrics import FLICKER, NO_CHANGE, unranked_reason
from spf.progress.stretches import Stretch, dead_ends
from spf.video import Reader, Sampling, write_mp4
from spf.video.packets import (
    SAME_TIME,
    Packets,
    Span,
    copy_part,
    copy_span,
    packets_of,
    write_with_sound,
)
from spf.video.write import exact_rate


@dataclass(frozen=True, eq=False)
class Trim:
    """What is to be cut off a clip.

    dead : its named dead stretches at the beginning and the end, if any. first, last : frames that
    stay. times : (T,) float64, seconds from 0. end : when its last frame ends. span : of `packets`,
    which are copied; None where the frames are encoded again. how : the reason.
    """

    clip: Path
    dead: tuple[Stretch | None, Stretch | None]
    first: int
    last: int
    times: np.ndarray
    end: float
    stream: int
    packets: Packets | None
    span: Span | None
    how: str
    notes: tuple[str, ...] = ()

    @property
    def start(self) -> float:
        """Seconds at which the first frame that stays begins."""
        return float(self.times[self.first])

    @property
    def stop(self) -> float:
        """Seconds at which the last frame that stays ends."""
        whole = self.last + 1 == len(self.times)
        return self.end if whole else float(self.times[self.last + 1])


def plan_trim(measured: Measurement, margin: float = 0.0, copy: bool = False) -> Trim | None:
    """What to cut off a measured clip; None where no named dead stretch touches an end of it.

    margin : seconds of each dead stretch that stay. copy : whether packets are copied even where
    frames of the dead stretches stay with them. Raises ConfigError for a margin that is none, and
    ClipError for a clip without semantic change or rate, and for one that cannot be copied.
    """
    number("margin", margin, least=0)
    curve, info = measured.curve, measured.embeddings.info
    assert info is not None  # it was a file
    if measured.embeddings.unit != "s":
        raise ClipError(info.path, "it has no frame rate", "make a video of it first")
    unranked = unranked_reason(curve)
    if unranked == NO_CHANGE or not curve.changes:
        raise ClipError(info.path, NO_CHANGE, "nothing would be left: make it again")
    last = int(np.flatnonzero(~measured.repeats)[-1])
    lead, tail = dead = dead_ends(curve, measured.named_stretches, last)
    times = curve.times - curve.times[0]
    begin = times[lead.stop] - margin if lead else times[0]
    until = times[tail.start] + margin if tail else times[-1]
    first = int(np.searchsorted(times, begin - SAME_TIME))
    last = int(np.searchsorted(times, until + SAME_TIME, "right")) - 1
    if (first, last) == (0, len(times) - 1):
        return None
    end = max(times[-1] + float(np.median(np.diff(times))), 0.0)
    packets = packets_of(info.path, info.stream, times)
    span = None if packets is None else copy_span(packets, first, last)
    if span is None:
        reason = "its packets cannot be copied frame by frame into an MP4"
        if copy:
            raise ClipError(info.path, reason, "leave --copy out")
        how = f"encoded again: {reason}"
    elif (span.first, span.last) == (first, last):
        how = "copied as it is: the cuts lie at keyframes"
    elif copy:
        how = "copied as it is, from the keyframe before to the next frame that needs no later one"
        first, last = span.first, span.last
        if (first, last) == (0, len(times) - 1):
            reason = "no keyframe lies in its dead ends, so that copying cuts nothing off"
            raise ClipError(info.path, reason, "leave --copy out")
    else:
        how = "encoded again: the cuts do not lie at keyframes"
        span = None
    share = f"{curve.noise_share:.0%} of its change is noise from frame to frame"
    notes = (f"flicker: {share}; look at what is cut off",) if unranked == FLICKER else ()
    return Trim(info.path, dead, first, last, times, end, info.stream, packets, span, how, notes)


def carry_out(trim: Trim, out: Path, on_frame: Callable[[int], object] = int) -> list[str]:
    """Write what stays as an MP4, whole or not at all; returns notes. Raises ClipError.

    on_frame : called with 1 for each frame that is encoded, at crf 16 with its own time.
    """
    notes = []
    if trim.span is not None and trim.packets is not None:
        try:
            copy_part(trim.clip, out, trim.stream, trim.packets, trim.span, trim.stop)
            return []
        except ClipError as error:
            notes.append(f"encoded again: {error.reason}")
    write = partial(_encode, trim, on_frame=on_frame)
    return notes + write_with_sound(write, trim.clip, out, trim.start, trim.stop)


def _encode(trim: Trim, out: Path, on_frame: Callable[[int], object]) -> None:
    times = trim.times[trim.first : trim.last + 1] - trim.start
    rate = exact_rate((len(times) - 1) / times[-1])
    even = np.abs(times - np.arange(len(times)) / float(rate)).max() < SAME_TIME

    def frames() -> Iterator[np.ndarray]:
        with Reader(trim.clip, Sampling(stream=trim.stream)) as reader:
            for image, _ in islice(reader, trim.first, trim.last + 1):
                yield image
                on_frame(1)

    write_mp4(out, frames(), rate, times=None if even else times.tolist())
