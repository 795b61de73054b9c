"""The verdict on a clip, clips checked one after the other, and their rows and JUnit XML."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from spf.cache import Cache
from spf.curation.limits import LIMITS, SECONDS
from spf.embedders import Embedder
from spf.errors import ClipError, ConfigError, UnavailableError, one_line
from spf.files import moved_into_place
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
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
HEAD = 200
"""Bytes for the line of JUnit's totals, which are known at the end."""


@dataclass(frozen=True)
class Value:
    """A number of a clip; NaN where it is not defined. part : the stretch that it is of, if any."""

    number: float
    part: Stretch | None = None


@dataclass(frozen=True)
class Finding:
    """Why a clip fails. limit : a name of `LIMITS`, "no_semantic_change", "flicker" or
    "too_few_frames". value, threshold : NaN where they are not defined. text : one line."""

    limit: str
    value: float
    threshold: float
    text: str


@dataclass(frozen=True)
class Verdict:
    """The verdict on a clip: its findings, or why it could not be read. values : number of each
    limit, whether or not it is set; NaN where it is not defined, none where it is unreadable."""

    clip: str
    status: Status
    findings: tuple[Finding, ...] = ()
    values: Mapping[str, float] | None = None
    unreadable: str = ""

    @property
    def reasons(self) -> list[str]:
        """One line each; none where the clip passes."""
        return [self.unreadable] if self.unreadable else [found.text for found in self.findings]


def check_clips(
    clips: Iterable[str],
    embedder: Embedder,
    limits: Mapping[str, float],
    sampling: Sampling | None = None,
    cache: Cache | None = None,
    nuisance: str = "none",
) -> Iterator[Verdict]:
    """A verdict for each clip, as it is measured: nothing is held but the clip at hand.

    limits : as `checked_limits` gives them. nuisance : as in `measure_clip`; it is what
    max_motion_share bounds, and moves no other value.
    What cannot be read is a verdict "unreadable" that says why. Raises UnavailableError where the
    embedder itself cannot run.
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
            reason = one_line(f"unreadable: {_reason(error, clip)}", None)
            verdict = Verdict(clip, "unreadable", unreadable=printable(reason))
        yield verdict


def _reason(error: Exception, clip: str) -> str:
    """Why a clip cannot be read."""
    if isinstance(error, ClipError):
        return f"{error.reason}; {error.remedy}"
    if isinstance(error, ConfigError):  # a stream that this clip does not have
        return str(error).removeprefix(f"{clip}: ")
    return one_line(f"{type(error).__name__}: {error}")  # of a library, on frames it did not expect


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
    """What each limit bounds, of one clip.

    named : its `named_stretches`. stall : stall_fraction, of the frames that repeat none. last :
    the last frame that repeats none. timed : whether times are seconds. Without semantic change
    nothing but the change and the noise is defined; without seconds nothing that needs them.
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
        values |= {
            "max_dead": _seconds(max(dead, key=lambda part: part.seconds, default=None)),
            "max_dead_start": _seconds(first),
            "max_dead_end": _seconds(final),
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

    Whatever the limits, a clip fails without semantic change, where it flickers (`Curve.flickers`;
    a max_noise of the user's own decides in place of the embedder's threshold), and with fewer than
    5 frames, of which most metrics are chance: no limit on its shape could be trusted. A value that
    is not defined fails its limit.
    """
    found = []
    unchanged = no_change_reason(curve) is not None
    if unchanged:
        text, change = no_change_text(curve), curve.total_change
        found.append(Finding("no_semantic_change", change, curve.noise_floor, text))
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
            text = _text(name, value, threshold, "s" if timed else "frames")
            found.append(Finding(name, value.number, threshold, text))
    return found


def no_change_text(curve: Curve) -> str:
    """Why a curve has no semantic change."""
    same = "its frames show one image" if curve.is_still else "its total is within its noise"
    return f"{NO_CHANGE}: {same}"


def _text(name: str, value: Value, threshold: float, time: str) -> str:
    unit, part = f" {LIMITS[name].unit}".rstrip(), value.part
    place = f" from {part.start_time:.2f} to {part.stop_time:.2f} {time}" if part else ""
    side = "above" if name.startswith("max_") else "below"
    return f"{name}: {value.number:.3g}{unit}{place}, {side} {threshold:g}{unit}"


def _seconds(part: Stretch | None) -> Value:
    return Value(part.seconds if part else 0.0, part)


def as_row(verdict: Verdict, embedder: str) -> Row:
    """A verdict with `COLUMNS`: plain values, None where a number is not defined. reason : one
    text; findings : the same one by one, with the values and the limits."""
    values = dict.fromkeys(LIMITS) | _defined(verdict.values or {})
    found = [_defined(asdict(finding)) for finding in verdict.findings]
    about = printable(verdict.clip), verdict.status, "; ".join(verdict.reasons), embedder
    return dict(zip(COLUMNS, (*about, *values.values(), found), strict=True))


def _defined(values: Mapping[str, Any]) -> Row:
    """The values, None in place of NaN."""
    return {name: None if value != value else value for name, value in values.items()}


@contextmanager
def junit_file(path: str | os.PathLike[str]) -> Iterator[Callable[[Verdict], None]]:
    """What writes a verdict into a file of JUnit XML, which is in place when the block ends whole.

    Each clip is a test case: a failure where a limit is not met, an error where it is unreadable.
    Names are escaped, and letters that XML cannot hold become backslash escapes. Verdicts are
    written as they come; the totals stand in a line that is left free for them. Raises OSError.
    """
    counts: Counter[str] = Counter()
    with moved_into_place(Path(path)) as temporary, open(temporary, "wb") as file:
        file.write(DECLARATION + b" " * HEAD + b"\n")

        def add(verdict: Verdict) -> None:
            counts[verdict.status] += 1
            file.write(f"{_test_case(verdict)}\n".encode())

        yield add
        file.write(b"</testsuite></testsuites>\n")
        file.seek(len(DECLARATION))
        failed = f'failures="{counts["fail"]}" errors="{counts["unreadable"]}"'
        totals = f'tests="{counts.total()}" {failed}'
        head = f'<testsuites {totals}><testsuite name="spf check" {totals}>'
        file.write(head.ljust(HEAD).encode())
        file.flush()
        os.fsync(file.fileno())


def _test_case(verdict: Verdict) -> str:
    case = f'<testcase classname="spf.check" name={quoteattr(printable(verdict.clip))}'
    if verdict.status == "pass":
        return f"{case}/>"
    tag = "failure" if verdict.status == "fail" else "error"
    kind = quoteattr(",".join(found.limit for found in verdict.findings) or verdict.status)
    message, text = quoteattr("; ".join(verdict.reasons)), escape("\n".join(verdict.reasons))
    return f"{case}><{tag} type={kind} message={message}>{text}</{tag}></testcase>"
