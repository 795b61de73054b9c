"""Settings of a generator that decide pacing: their values, where these come from, how they act."""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from spf.errors import ConfigError
from spf.video import MAX_FRAMES
from spf.video.write import FASTEST, SLOWEST
from spf.yaml_files import brief

SET = "set for this run"
STORED = "of the repository's files"
PUBLISHED = "the authors' published defaults"
LONGEST = 40
"""Letters of a text that a plan shows."""
LARGEST_SIDE = 2**12
"""Pixels of a clip's or still's side: no model makes more."""
LARGEST = 2**31 - 1
"""Whole number that the libraries take."""
LIMITS: Mapping[str, dict[str, Any]] = {
    "seed": {"least": 0, "whole": True},
    "num_frames": {"least": 2, "most": MAX_FRAMES, "whole": True},
    "steps": {"least": 1, "whole": True},
    "fps": {"least": SLOWEST, "most": FASTEST},
    "guidance": {"above": 0},
}
"""Arguments of `number` for what every generator is asked."""


@dataclass(frozen=True)
class Setting:
    """A value that takes effect, and whose it is: `SET`, `STORED` or `PUBLISHED`."""

    value: Any
    source: str


def chosen(value: Any, own: Setting) -> Setting:
    """What takes effect where the user may have chosen; None is no choice, nor is what is so
    anyway."""
    return own if value is None or value == own.value else Setting(value, SET)


def number(
    name: str,
    value: Any,
    above: float | None = None,
    least: float = -math.inf,
    most: float = math.inf,
    whole: bool = False,
    group: str = "model",
) -> Any:
    """The value, None included. group : of the settings, for the error; "" where they have none.

    Raises ConfigError for anything but such a number, and for one that libraries cannot hold.
    """
    if value is None:
        return None
    fits = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    bound = LARGEST if whole else sys.float_info.max
    over = above is None or not fits or value > above
    if fits and over and max(least, -bound) <= value <= min(most, bound):
        return value
    kind = "a whole number" if whole else "a number"
    if above is not None:
        kind += f" above {above:g}"
    elif math.isfinite(most):
        kind += f" from {least:g} to {most:g}"
    elif math.isfinite(least):
        kind += f", at least {least:g}"
    where = f"{group}.{name}" if group else name
    raise ConfigError(f"{where}={brief(value)} must be {kind}")


def sides(value: Any, least: int = 1, group: str = "model") -> tuple[int, int] | None:
    """The value of `size`, (height, width) in pixels, None included. Raises ConfigError for
    anything else, and for sides outside `least` .. `LARGEST_SIDE`."""
    if value is None:
        return None
    whole = isinstance(value, list | tuple) and [type(x) for x in value] == [int, int]
    if not whole or min(value) < least or max(value) > LARGEST_SIDE:
        rule = f"[height, width] in pixels, {least} to {LARGEST_SIDE} each"
        raise ConfigError(f"{group}.size={brief(value)} must be {rule}")
    return value[0], value[1]


def flag(name: str, value: Any) -> bool:
    """The value of a switch. Raises ConfigError for anything else."""
    if not isinstance(value, bool):
        raise ConfigError(f"model.{name}={brief(value)} must be true or false")
    return value


def as_json(settings: Mapping[str, Setting]) -> str:
    """The values as one line of JSON, sorted by name."""
    values = {name: one.value for name, one in settings.items()}
    return json.dumps(values, sort_keys=True, ensure_ascii=False)


def described(settings: Mapping[str, Setting]) -> list[str]:
    """A line for each source, with its values."""
    lines = []
    for source in (SET, STORED, PUBLISHED):
        values = [f"{name} {_short(x.value)}" for name, x in settings.items() if x.source == source]
        if values:
            lines.append(f"{source}: {', '.join(values)}")
    return lines


def _short(value: Any) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST else f"{value[:LONGEST]}...")
    if value is None:
        return "by the clip"
    return f"{value:g}" if isinstance(value, float) else str(value)


def stored_shift(scheduler: Mapping[str, Any]) -> float | None:
    """The flow shift of a scheduler's configuration; None where it depends on the clip."""
    if scheduler.get("use_dynamic_shifting"):
        return None
    return scheduler.get("flow_shift", scheduler.get("shift", 1.0))


@contextmanager
def adjusted(pipe: Any, flow_shift: float | None = None, **config: Any) -> Iterator[None]:
    """A pipeline with another flow shift s, and other entries of its configuration, for a while.

    A noise level t of the even schedule becomes s t / (1 + (s - 1) t). None leaves what is there.
    The schedulers are made anew from their configurations: no file changes, nor does the pipeline
    afterwards.
    """
    schedulers = {
        name: kept
        for name in ("scheduler", "audio_scheduler")
        if flow_shift is not None and (kept := getattr(pipe, name, None)) is not None
    }
    changed = {name: value for name, value in config.items() if value is not None}
    before = {name: pipe.config[name] for name in changed}
    try:
        for name, kept in schedulers.items():
            setattr(pipe, name, _shifted(kept, flow_shift))
        pipe.register_to_config(**changed)
        yield
    finally:
        for name, kept in schedulers.items():
            setattr(pipe, name, kept)
        pipe.register_to_config(**before)


def _shifted(scheduler: Any, flow_shift: float | None) -> Any:
    known = scheduler.config
    name = next((name for name in ("flow_shift", "shift") if name in known), None)
    if name is None:
        raise ConfigError(f"model.flow_shift: a {type(scheduler).__name__} has none; leave it null")
    change = {name: flow_shift}
    if "use_dynamic_shifting" in known:
        change["use_dynamic_shifting"] = False  # it would put the clip's own in its place
    return type(scheduler).from_config(known, **change)
