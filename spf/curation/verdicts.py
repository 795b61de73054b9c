"""The verdict on a clip, clips checked one after the other, and their rows and JUnit XML."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import isnan, nan
from typing import Any, Literal, NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np

from spf.cache import Cache
from spf.curation.limits import LIMITS, SECONDS
from spf.embedders import Embedder
from spf.errors import ClipError, ConfigError, UnavailableError, one_line
from spf.files import write_atomic
from spf.measurement import Measurement, measure_clip
from spf.names import printable
from spf.progress import Curve
from spf.progress.metrics import MINIMAL_RANKED_FRAMES, NO_CHANGE, no_change_reason, score
from spf.progress.stretches import Stretch, dead_ends
from spf.video import Sampling

Status = Literal["pass", "fail", "unreadable"]
Row = dict[str, Any]
COLUMNS = ("clip", "verdict", "reason", "embedder", *LIMITS, "findings")
"""Of a row; the values are those that the limits bound, whether or not they are set."""
JUNIT_TAGS = {"fail": "failure", "unreadable": "error"}


class Value(NamedTuple):
    """A number of a clip; NaN where it is not defined. part : the stretch that it is of, if any."""

    number: float
    part: Stretch | None = None


@dataclass(frozen=True)
class Finding:
    """Why a clip fails, in one line; value and threshold are NaN where they are not defined."""

    limit: str
    value: float
    threshold: float
    text: str


@dataclass(frozen=True)
class Verdict:
    """Findings, or why the clip could not be read; the values that the limits bound, set or not."""

    clip: str
    status: Status
    findings: tuple[Finding, ...] = ()
    values: Mapping[str, float] | None = None
    unreadable: str = ""

    @property
    def reasons(self) -> list[str]:
        return [self.unreadable] if self.unreadable else [found.text for found in self.findings]


def check_clips(
    clips: Iterable[str],
    embedder: Embedder,
    limits: Mapping[str, float],
    sampling: Sampling | None = None,
    cache: Cache | None = None,
    nuisance: str = "none",
) -> Iterator[Verdict]:
    """A verdict for each clip, as it is measured; what cannot be read is "unreadable".

    limits : as `checked_limits` gives them. Raises UnavailableError where the embedder cannot run.
    """
    for clip in clips:
        try:
            measured = measure_clip(
                clip, embedder, sampling=sampling, cache=cache, guarded=True, nuisance=nuisance
            )
            verdict = judge(clip, measured, limits)
        except UnavailableError:
            raise
        except Exception as error:
            if isinstance(error, ClipError | ConfigError):  # also a stream that it does not have
                why = str(error).removeprefix(f"{getattr(error, 'clip', clip)}: ")
            else:
                why = one_line(f"{type(error).__name__}: {error}")  # of a library
            reason = one_line(f"unreadable: {why}", None)
            verdict = Verdict(clip, "unreadable", unreadable=printable(reason))
        yield verdict


def judge(clip: str, measured: Measurement, limits: Mapping[str, float]) -> Verdict:
    """The verdict on a measured clip; `limits` as `checked_limits` gives them."""
    timed = measured.embeddings.unit == "s"
    stall = score(measured.distinct)["stall_fraction"]
    last = int(np.flatnonzero(~measured.repeats)[-1])
    values = values_of(measured.curve, measured.named_stretches, stall, last, timed)
    if measured.corrected is not None:
        values["max_motion_share"] = Value(measured.corrected.motion_share)
    found = tuple(findings(measured.curve, values, limits, timed))
    numbers = {name: value.number for name, value in values.items()}
    return Verdict(clip, "fail" if found else "pass", found, numbers)


def values_of(
    curve: Curve, named: Sequence[Stretch], stall: float, last: int, timed: bool = True
) -> dict[str, Value]:
    """What each limit bounds, of one clip; NaN where its change or its times leave it undefined.

    stall : stall_fraction of the frames that repeat none. last : the last of these frames. timed :
    whether times are seconds.
    """
    scores = score(curve)
    values = {
        "max_stall": Value(stall),
        "max_linearity_mae": Value(scores["linearity_mae"]),
        "max_peak_speed": Value(scores["peak_speed_64"]),
        "max_noise": Value(curve.noise_share),
        "min_change": Value(curve.total_change),
        "min_change_rate": Value(scores["change_rate"]),
    }
    if no_change_reason(curve) is None:
        first, final = dead_ends(curve, named, last)
        dead = [part for part in named if part.kind == "dead"]
        sudden = [part for part in named if part.kind in ("jump", "cut")]
        jump = max(sudden, key=lambda part: part.change, default=None)
        longest = max(dead, key=lambda part: part.seconds, default=None)
        ends = {"max_dead": longest, "max_dead_start": first, "max_dead_end": final}
        values |= {k: Value(part.seconds if part else 0.0, part) for k, part in ends.items()}
        values |= {
            "max_jump": Value(jump.change if jump else 0.0, jump),
            "max_cuts": Value(float(sum(part.kind == "cut" for part in named))),
        }
    if not timed:
        values |= {name: Value(nan) for name in SECONDS}
    return {name: values.get(name, Value(nan)) for name in LIMITS}


def findings(
    curve: Curve, values: Mapping[str, Value], limits: Mapping[str, float], timed: bool = True
) -> list[Finding]:
    """Why a clip fails; nothing where it passes.

    Whatever the limits, a clip fails without semantic change, where it flickers (unless max_noise
    decides that), and with fewer than 5 frames. A value that is not defined fails its limit.
    """
    found = []
    unchanged = no_change_reason(curve) is not None
    if unchanged:
        change, floor = curve.total_change, curve.noise_floor
        found.append(Finding("no_semantic_change", change, floor, no_change_text(curve)))
    if curve.flickers and "max_noise" not in limits:
        text = f"flicker: {curve.noise_share:.3g} of the change is noise from frame to frame"
        text += f", more than {curve.flicker_share:.3g}"
        found.append(Finding("flicker", curve.noise_share, curve.flicker_share, text))
    if len(curve) < MINIMAL_RANKED_FRAMES:
        text = f"too few frames: {len(curve)}, fewer than {MINIMAL_RANKED_FRAMES}"
        counts = float(len(curve)), float(MINIMAL_RANKED_FRAMES)
        found.append(Finding("too_few_frames", *counts, text))
    for name, threshold in limits.items():
        value = values[name]
        if isnan(value.number):
            if not (unchanged and (timed or name not in SECONDS)):  # as above
                why = "no frame rate, so no seconds" if name in SECONDS else "it is not defined"
                text = f"{name}: {why}; the limit is {threshold:g}"
                found.append(Finding(name, nan, threshold, text))
        elif value.number > threshold if name.startswith("max_") else value.number < threshold:
            unit, part = f" {LIMITS[name].unit}".rstrip(), value.part
            place, time = "", "s" if timed else "frames"
            if part is not None:
                place = f" from {part.start_time:.2f} to {part.stop_time:.2f} {time}"
            side = "above" if name.startswith("max_") else "below"
            text = f"{name}: {value.number:.3g}{unit}{place}, {side} {threshold:g}{unit}"
            found.append(Finding(name, value.number, threshold, text))
    return found


def no_change_text(curve: Curve) -> str:
    """Why a curve has no semantic change."""
    same = "its frames show one image" if curve.is_still else "its total is within its noise"
    return f"{NO_CHANGE}: {same}"


def as_row(verdict: Verdict, embedder: str) -> Row:
    """A verdict with `COLUMNS`; findings : the reasons one by one, with values and limits."""
    values = dict.fromkeys(LIMITS) | dict(verdict.values or {})
    found = [asdict(finding) for finding in verdict.findings]
    about = printable(verdict.clip), verdict.status, "; ".join(verdict.reasons), embedder
    return dict(zip(COLUMNS, (*about, *values.values(), found), strict=True))


@contextmanager
def junit_file(path: str | os.PathLike[str]) -> Iterator[Callable[[Verdict], None]]:
    """What adds a verdict to JUnit XML, a test case each (a failure, or an error where the clip is
    unreadable), which is written when the block ends whole. Raises OSError."""
    counts: Counter[str] = Counter()
    root = Element("testsuites")
    suite = SubElement(root, "testsuite", name="spf check")

    def add(verdict: Verdict) -> None:
        counts[verdict.status] += 1
        name = printable(verdict.clip)  # XML cannot hold every letter
        case = SubElement(suite, "testcase", classname="spf.check", name=name)
        if verdict.status != "pass":
            kind = ",".join(found.limit for found in verdict.findings) or verdict.status
            tag, message = JUNIT_TAGS[verdict.status], "; ".join(verdict.reasons)
            SubElement(case, tag, type=kind, message=message).text = "\n".join(verdict.reasons)

    yield add
    for part in (root, suite):
        part.set("tests", str(counts.total()))
        for status, tag in JUNIT_TAGS.items():
            part.set(f"{tag}s", str(counts[status]))
    write_atomic(path, tostring(root, encoding="utf-8", xml_declaration=True))
