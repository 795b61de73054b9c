"""Limits for clips: what each bounds, files of them, and the verdict on one clip."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan, nan
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from spf.curation.bounds import LIMITS, SECONDS
from spf.errors import ConfigError
from spf.files import brief, read_yaml
from spf.measurement import Measurement
from spf.names import choose
from spf.progress import Curve
from spf.progress.metrics import MINIMAL_RANKED_FRAMES, NO_CHANGE, no_change_reason, score
from spf.progress.stretches import Stretch, dead_ends

Status = Literal["pass", "fail", "unreadable"]


@dataclass(frozen=True)
class Value:
    """A number of a clip; NaN where it is not defined. place : from and to when, where it has one,
    in seconds (frames where no rate is known)."""

    number: float
    place: tuple[float, float] | None = None


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


def read_limits(path: Path) -> dict[str, float]:
    """The limits of a YAML file, a mapping of names (`LIMITS`) to numbers.

    Raises ConfigError, in one line, where it cannot be read or holds anything else.
    """
    try:
        found = read_yaml(path)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"{path}: cannot be read ({why}); give a YAML file") from None
    except yaml.YAMLError as error:
        why = " ".join(str(getattr(error, "problem", None) or error).split())[:100]
        raise ConfigError(f"{path}: no valid YAML ({why}); write max_stall: 0.2") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: it holds {brief(found)}; write a line for each limit")
    try:
        return checked_limits(found)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def checked_limits(limits: Mapping[Any, Any]) -> dict[str, float]:
    """The limits with full names (hyphens serve too) as floats. Raises ConfigError for an unknown
    name, with the nearest one, and for a value that is none."""
    checked = {}
    for given, value in limits.items():
        name = choose(str(given), LIMITS, "limit")
        if name in checked:
            raise ConfigError(f"{name} is there twice; leave one out")
        number = isinstance(value, Real) and not isinstance(value, bool)
        most = LIMITS[name].most
        if not (number and math.isfinite(value) and 0 <= value <= most):
            known = "a number of at least 0" if most == inf else f"a number in 0 .. {most:g}"
            raise ConfigError(f"{name} is {brief(value)}; give {known}")
        checked[name] = float(value)
    return checked


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
            "max_jump": Value(jump.change, _place(jump)) if jump else Value(0.0),
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
        same = "its frames show one picture" if curve.is_still else "its total is within its noise"
        text = f"{NO_CHANGE}: {same}"
        found.append(Finding("no_semantic_change", curve.total_change, curve.noise_floor, text))
    if curve.flickers and "max_noise" not in limits:
        text = f"flicker: {curve.noise_share:.3g} of the change is noise from frame to frame"
        text += f", more than {curve.flicker_share:.3g}"
        found.append(Finding("flicker", curve.noise_share, curve.flicker_share, text))
    if len(curve) < MINIMAL_RANKED_FRAMES:
        text = f"too few frames: {len(curve)}, fewer than {MINIMAL_RANKED_FRAMES}"
        found.append(Finding("too_few_frames", len(curve), MINIMAL_RANKED_FRAMES, text))
    for name, threshold in limits.items():
        value = values[name]
        if isnan(value.number):
            if not (unchanged and (timed or name not in SECONDS)):  # said above
                why = "no frame rate, so no seconds" if name in SECONDS else "it is not defined"
                text = f"{name}: {why}; the limit is {threshold:g}"
                found.append(Finding(name, nan, threshold, text))
        elif value.number > threshold if name.startswith("max_") else value.number < threshold:
            text = _text(name, value, threshold, "s" if timed else "frames")
            found.append(Finding(name, value.number, threshold, text))
    return found


def _text(name: str, value: Value, threshold: float, time: str) -> str:
    unit = f" {LIMITS[name].unit}".rstrip()
    place = ""
    if value.place is not None:
        place = f" from {value.place[0]:.2f} to {value.place[1]:.2f} {time}"
    side = "above" if name.startswith("max_") else "below"
    return f"{name}: {value.number:.3g}{unit}{place}, {side} {threshold:g}{unit}"


def _seconds(part: Stretch | None) -> Value:
    return Value(0.0) if part is None else Value(part.seconds, _place(part))


def _place(part: Stretch) -> tuple[float, float]:
    return part.start_time, part.stop_time
