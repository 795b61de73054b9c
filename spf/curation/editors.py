"""The dead stretches, jumps and cuts of a clip for editors and players: CSV, EDL, chapters."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from spf.errors import ClipError, ConfigError
from spf.files import write_atomic
from spf.measurement import Measurement
from spf.names import printable
from spf.progress.metrics import NO_CHANGE, no_change_reason
from spf.progress.stretches import Stretch
from spf.video.write import exact_rate

NAMES = {"dead": "dead stretch", "jump": "jump", "cut": "hard cut"}
COLUMNS = ["kind", "start_frame", "stop_frame", "start", "stop", "seconds", "change", "speed"]
LARGEST_EDL = 999
"""Events; CMX 3600 numbers them with three digits."""
LEAST_CHAPTERS, CHAPTER_SECONDS = 3, 10
"""What YouTube asks for."""


class EditedPart(NamedTuple):
    """A part of a clip: when it begins and ends, in seconds, and what it is."""

    start: float
    stop: float
    title: str


@dataclass(frozen=True)
class EditedClip:
    """What an export needs of a clip. rate : frames a second. end : when its last frame ends, in
    seconds from its first. parts : the whole clip, none overlap."""

    name: str
    rate: Fraction
    end: float
    named: Sequence[Stretch]
    parts: Sequence[EditedPart]


def parts_of(named: Sequence[Stretch], last: float, end: float) -> list[EditedPart]:
    """A whole clip as parts: its named stretches and what lies between, divided at hard cuts.

    last, end : when its last frame begins and ends, seconds.
    """
    cuts = {part.stop_time for part in named if part.kind == "cut"}
    spans = [
        (part, part.start_time, end if part.stop_time >= last else part.stop_time)
        for part in named
        if part.kind != "cut"
    ]
    edges = sorted({0.0, end, *cuts, *(time for _, *ends in spans for time in ends)})
    parts = []
    for start, stop in pairwise(edges):
        inside = [part for part, begin, until in spans if begin <= start and stop <= until]
        title = "steady"
        if inside:
            title = f"{NAMES[inside[0].kind]} ({inside[0].change:.0%} of the change)"
        if start in cuts:
            title += ", after a hard cut"
        parts.append(EditedPart(start, stop, title))
    return parts


def export_stretches(measured: Measurement, path: Path) -> None:
    """Write what is named of a clip, in the format of the suffix (`format_of`).

    Raises ClipError where it has no frame rate, or the format cannot hold it.
    """
    curve, info, named = measured.curve, measured.embeddings.info, measured.named_stretches
    assert info is not None  # it was a file
    if measured.embeddings.unit != "s":
        reason = "it has no frame rate, so no times to export"
        raise ClipError(info.path, reason, "make a video of it first")
    first, last = float(curve.times[0]), float(curve.times[-1])
    rate = exact_rate((len(curve) - 1) / (last - first))
    end, unchanged = last + float(1 / rate), no_change_reason(curve) is not None
    parts = [EditedPart(0.0, end, NO_CHANGE)] if unchanged else parts_of(named, last, end)
    clip = EditedClip(printable(info.path.resolve().name), rate, end, named, parts)
    write_atomic(path, format_of(path)(clip))


def format_of(path: Path) -> Callable[[EditedClip], str]:
    """The format that a file gets by its suffix. Raises ConfigError for another suffix."""
    formats = {".csv": as_csv, ".edl": as_edl, ".ffmeta": as_ffmetadata, ".txt": as_youtube}
    if path.suffix.lower() not in formats:
        raise ConfigError(f"{path}: no format has that suffix; choose {', '.join(formats)}")
    return formats[path.suffix.lower()]


def as_csv(clip: EditedClip) -> str:
    """A line for each named stretch: frames from 0, seconds, share of the change, speed."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for x in clip.named:
        times = (f"{time:.6f}" for time in (x.start_time, x.stop_time, x.seconds))
        rows.writerow([x.kind, x.start, x.stop, *times, f"{x.change:.6g}", f"{x.speed:.6g}"])
    return text.getvalue()


def as_edl(clip: EditedClip) -> str:
    """An edit decision list (CMX 3600): an event for each part, cut together as in the clip, whose
    timecode counts from 00:00:00:00 and that of the programme from 01:00:00:00."""
    drop = "DROP FRAME" if _dropped(clip.rate) else "NON-DROP FRAME"
    lines = [f"TITLE: {clip.name[:70]}", f"FCM: {drop}", ""]
    hour = 3600 * round(clip.rate) - 54 * _dropped(clip.rate)
    spans = [(round(x.start * clip.rate), round(x.stop * clip.rate), x) for x in clip.parts]
    spans = [span for span in spans if span[1] > span[0]]
    if len(spans) > LARGEST_EDL:
        reason = f"it has {len(spans)} parts, and an EDL holds {LARGEST_EDL}"
        raise ClipError(clip.name, reason, "export it as .csv or .ffmeta")
    for number, (start, stop, part) in enumerate(spans, start=1):
        frames = (start, stop, hour + start, hour + stop)
        stamps = " ".join(timecode(frame, clip.rate) for frame in frames)
        lines.append(f"{number:03d}  {reel_name(clip.name):<8} V     C        {stamps}")
        lines.append(f"* FROM CLIP NAME: {clip.name}")
        lines.append(f"* COMMENT: {part.title}")
        if number == 1:
            lines.append(f"* COMMENT: {clip.rate} frames a second")
    return "\n".join(lines) + "\n"


def timecode(frame: int, rate: Fraction) -> str:
    """HH:MM:SS:FF of a frame, by SMPTE ST 12-1; HH:MM:SS;FF in drop frame, which leaves out the
    first 2 (of 60: 4) numbers of each minute that is no multiple of ten."""
    base, drop = round(rate), _dropped(rate)
    if drop:
        tens, rest = divmod(frame, 600 * base - 9 * drop)
        frame += drop * (9 * tens + max(0, (rest - drop) // (60 * base - drop)))
    seconds, frames = divmod(frame, base)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    mark = ";" if drop else ":"
    return f"{hours % 24:02d}:{minutes:02d}:{seconds:02d}{mark}{frames:02d}"


def _dropped(rate: Fraction) -> int:
    """Numbers that drop frame leaves out in a minute; 0 for rates that are counted non-drop."""
    return round(rate) // 15 if rate.denominator == 1001 and round(rate) % 30 == 0 else 0


def reel_name(name: str) -> str:
    """A clip's name as CMX 3600 can hold it; AX, as is customary, where nothing is left."""
    letters = re.sub(r"[^A-Z0-9]+", "_", Path(name).stem.upper()).strip("_")
    return letters[:8].rstrip("_") or "AX"


def as_ffmetadata(clip: EditedClip) -> str:
    """Chapters as FFmpeg reads them (`ffmpeg -i CLIP -i FILE -map_chapters 1 -c copy OUT`)."""
    lines = [";FFMETADATA1"]
    for part in clip.parts:
        start, stop = round(part.start * 1e6), round(part.stop * 1e6)
        lines += ["[CHAPTER]", "TIMEBASE=1/1000000", f"START={start}", f"END={stop}"]
        lines.append("title=" + re.sub(r"([=;#\\])", r"\\\1", part.title))
    return "\n".join(lines) + "\n"


def as_youtube(clip: EditedClip) -> str:
    """Chapters for the text below a video on YouTube: shorter parts are joined with those before.

    Raises ClipError where fewer chapters are left than YouTube takes.
    """
    chapters: list[tuple[int, list[str]]] = []
    for part in clip.parts:
        start = int(part.start)
        room = clip.end - start >= CHAPTER_SECONDS
        if not chapters or (start - chapters[-1][0] >= CHAPTER_SECONDS and room):
            chapters.append((start, []))
        if part.title not in chapters[-1][1]:
            chapters[-1][1].append(part.title)
    if len(chapters) < LEAST_CHAPTERS:
        rule = f"YouTube takes {LEAST_CHAPTERS} chapters of {CHAPTER_SECONDS} s or more"
        found = f"it lasts {clip.end:.1f} s and has {len(chapters)}"
        raise ClipError(clip.name, f"{rule}, and {found}", "export it as .ffmeta or .csv")
    hours = clip.end >= 3600
    lines = []
    for start, titles in chapters:  # what is steady is no news beside what is not
        news = [title for title in titles if title != "steady"] or titles
        minutes, seconds = divmod(start, 60)
        clock = f"{minutes // 60}:{minutes % 60:02d}" if hours else str(minutes)
        lines.append(f"{clock}:{seconds:02d} {'; '.join(news)}\n")
    return "".join(lines)
