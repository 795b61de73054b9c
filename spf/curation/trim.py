"""Cut the dead beginning and end off a clip, and its sound with them."""

import math
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from spf.errors import ClipError, ConfigError
from spf.measurement import Measurement
from spf.progress.metrics import FLICKER, NO_CHANGE, unranked_reason
from spf.progress.stretches import Stretch, dead_ends
from spf.video import Reader, Sampling, write_mp4
from spf.video.cut import Packets, Span, copy_part, copy_span, packets_of
from spf.video.sound import has_sound, join_sound
from spf.video.write import exact_rate

SAME_TIME = 1e-3
"""Seconds within which times are those of a constant rate."""


@dataclass(frozen=True, eq=False)
class Trim:
    """What is to be cut off a clip.

    dead : its named dead stretches that touch the beginning and the end; None where none does.
    first, last : frames that are kept. times : (T,) float64 of the clip, seconds from 0. end : when
    its last frame ends. stream : index among its video streams. span : of its packets that are
    copied; None where the pictures are encoded again. how : the reason, for people. notes : lines
    on what to look at.
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
        """Seconds at which the first frame that is kept begins."""
        return float(self.times[self.first])

    @property
    def stop(self) -> float:
        """Seconds at which the last frame that is kept ends."""
        whole = self.last + 1 == len(self.times)
        return self.end if whole else float(self.times[self.last + 1])


def plan_trim(measured: Measurement, margin: float = 0.0, copy: bool = False) -> Trim | None:
    """What to cut off a measured clip; None where no named dead stretch touches an end of it.

    margin : seconds of each dead stretch that stay. copy : whether packets are copied even where
    frames of the dead stretches stay with them; else they are copied only where nothing more stays.

    Raises ConfigError for a margin that is none; ClipError for a clip without semantic change, for
    one without a frame rate, and where copying is asked for and not possible.
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise ConfigError(f"margin is {margin!r}; give seconds of at least 0")
    curve, info = measured.curve, measured.embeddings.info
    assert info is not None  # it was a file
    if measured.embeddings.unit != "s":
        raise ClipError(info.path, "it has no frame rate", "make a video of it first")
    reason = unranked_reason(curve)
    if reason == NO_CHANGE or not curve.changes:
        raise ClipError(info.path, NO_CHANGE, "nothing would be left: make it again")
    last = int(np.flatnonzero(~measured.repeats)[-1])
    dead = dead_ends(curve, measured.named_stretches, last)
    times = curve.times - curve.times[0]
    first, last = _kept(times, dead, margin)
    if (first, last) == (0, len(times) - 1):
        return None
    notes = []
    if reason == FLICKER:
        share = f"{curve.noise_share:.0%} of its change is noise from frame to frame"
        notes.append(f"flicker: {share}; look at what is cut off")
    end = max(times[-1] + float(np.median(np.diff(times))), 0.0)
    packets = packets_of(info.path, info.stream, times)
    span = None if packets is None else copy_span(packets, first, last)
    if span is None and copy:
        reason = "its packets cannot be copied frame by frame into an MP4"
        raise ClipError(info.path, reason, "leave --copy out")
    if span is None:
        how = "encoded again: its packets cannot be copied frame by frame into an MP4"
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
    return Trim(
        info.path, dead, first, last, times, end, info.stream, packets, span, how, tuple(notes)
    )


def _kept(
    times: np.ndarray, dead: tuple[Stretch | None, Stretch | None], margin: float
) -> tuple[int, int]:
    """First and last frame without the dead ends but for the margin."""
    lead, tail = dead
    begin = times[0] if lead is None else times[lead.stop] - margin
    until = times[-1] if tail is None else times[tail.start] + margin
    first = int(np.searchsorted(times, begin - SAME_TIME))
    return first, int(np.searchsorted(times, until + SAME_TIME, "right")) - 1


def carry_out(
    trim: Trim, out: Path, on_progress: Callable[[int], object] | None = None
) -> list[str]:
    """Write what is kept as an MP4, whole or not at all; returns notes.

    on_progress : called with each frame that is encoded. Pictures are copied, or encoded again as
    H.264 at crf 16 with their own times; sound is copied either way, from the packet that is heard
    at the first picture, in its place. Raises ClipError where the clip cannot be read or the disk
    refuses.
    """
    notes = []
    if trim.span is not None and trim.packets is not None:
        try:
            copy_part(trim.clip, out, trim.stream, trim.packets, trim.span, trim.stop)
            return []
        except ClipError as error:
            notes.append(f"encoded again: {error.reason}")
    if not has_sound(trim.clip):
        _encode(trim, out, on_progress)
        return notes
    pictures = out.with_name(f".spf-{secrets.token_hex(8)}.mp4")
    try:
        _encode(trim, pictures, on_progress)
        try:
            join_sound(pictures, trim.clip, out, trim.start, trim.stop)
        except ClipError as error:
            os.replace(pictures, out)
            notes.append(f"the sound is dropped: {error.reason}")
    finally:
        pictures.unlink(missing_ok=True)
    return notes


def _encode(trim: Trim, out: Path, on_progress: Callable[[int], object] | None) -> None:
    times = trim.times[trim.first : trim.last + 1] - trim.start
    rate = exact_rate((len(times) - 1) / times[-1])
    even = np.abs(times - np.arange(len(times)) / float(rate)).max() < SAME_TIME
    write_mp4(out, _frames(trim, on_progress), rate, times=None if even else times.tolist())


def _frames(trim: Trim, on_progress: Callable[[int], object] | None) -> Iterator[np.ndarray]:
    with Reader(trim.clip, Sampling(stream=trim.stream)) as reader:
        for image, _ in islice(reader, trim.first, trim.last + 1):
            yield image
            if on_progress is not None:
                on_progress(1)
