"""Settings of a generator that decide pacing: their values, where these come from, how they act."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from spf.errors import ConfigError

SET = "set for this run"
STORED = "of the repository's files"
PUBLISHED = "the authors' published defaults"
KEYS = ("image_seq_len", "shift")
"""What follows base_ and max_ in a scheduler's configuration: tokens, and mu there."""
LONGEST = 40
"""Letters of a text that a plan shows."""


@dataclass(frozen=True)
class Setting:
    """A value that takes effect, and whose it is: `SET`, `STORED` or `PUBLISHED`."""

    value: Any
    source: str


@dataclass(frozen=True)
class Option:
    """A number that may be set for one model. published : the authors' own; None where that depends
    on the clip or its files. limits : as `spf.numbers.number` takes them."""

    published: float | None
    limits: Mapping[str, Any]


def as_json(settings: Mapping[str, Setting]) -> str:
    """The values as one line of JSON, sorted by name."""
    values = {name: one.value for name, one in settings.items()}
    return json.dumps(values, sort_keys=True, ensure_ascii=False)


def described(settings: Mapping[str, Setting]) -> list[str]:
    """A line for each source, with its values."""

    def short(value: Any) -> str:
        if isinstance(value, str):
            return repr(value if len(value) <= LONGEST else f"{value[:LONGEST]}...")
        if value is None:
            return "by the clip"
        return f"{value:g}" if isinstance(value, float) else str(value)

    lines: dict[str, list[str]] = {SET: [], STORED: [], PUBLISHED: []}
    for name, one in settings.items():
        lines[one.source].append(f"{name} {short(one.value)}")
    return [f"{source}: {', '.join(values)}" for source, values in lines.items() if values]


def dynamic_shift(
    scheduler: Mapping[str, Any], count: int, low: tuple[int, float], high: tuple[int, float]
) -> float:
    """The flow shift e^mu of a clip of `count` tokens: mu grows linearly through (tokens, mu) `low`
    and `high` (diffusers' calculate_shift). The scheduler's configuration goes first."""
    first, base = (scheduler.get(f"base_{x}", y) for x, y in zip(KEYS, low, strict=True))
    last, most = (scheduler.get(f"max_{x}", y) for x, y in zip(KEYS, high, strict=True))
    return round(math.exp(base + (most - base) * (count - first) / (last - first)), 4)


@contextmanager
def adjusted(pipe: Any, flow_shift: float | None = None, **config: Any) -> Iterator[None]:
    """A pipeline with another flow shift s, and other entries of its configuration, for a while.

    A noise level t of the even schedule becomes s t / (1 + (s - 1) t). None leaves what is there.
    """
    names = ("scheduler", "audio_scheduler") if flow_shift is not None else ()
    schedulers = {x: getattr(pipe, x) for x in names if getattr(pipe, x, None) is not None}
    changed = {name: value for name, value in config.items() if value is not None}
    before = {name: pipe.config[name] for name in changed}
    try:
        for name, scheduler in schedulers.items():
            setattr(pipe, name, _shifted(scheduler, flow_shift))
        pipe.register_to_config(**changed)
        yield
    finally:
        for name, scheduler in schedulers.items():
            setattr(pipe, name, scheduler)
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
