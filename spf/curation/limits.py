"""The limits that clips are checked against: a table, which options and findings read; files."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from spf.errors import ConfigError
from spf.files import brief, read_yaml
from spf.names import choose
from spf.numbers import number


@dataclass(frozen=True)
class Limit:
    """What a limit bounds, its value on the command line, the largest one, and its unit."""

    text: str
    metavar: str
    most: float = inf
    unit: str = ""


LIMITS: dict[str, Limit] = {
    "max_stall": Limit("Most of the time in which almost nothing changes", "SHARE", 1),
    "max_dead": Limit("Longest dead stretch", "SECONDS", unit="s"),
    "max_dead_start": Limit("Longest dead stretch at the beginning", "SECONDS", unit="s"),
    "max_dead_end": Limit("Longest dead stretch at the end", "SECONDS", unit="s"),
    "max_jump": Limit("Most of the change in one jump or hard cut", "SHARE", 1),
    "max_cuts": Limit("Most hard cuts", "N"),
    "max_linearity_mae": Limit("Largest linearity_mae", "X", 0.5),
    "max_peak_speed": Limit("Largest peak_speed_64", "X", 64, "x mean"),
    "max_noise": Limit("Largest noise_share", "SHARE"),
    "min_change": Limit("Least change, in radians", "RAD", unit="rad"),
    "min_change_rate": Limit("Least change per second", "RAD/S", unit="rad/s"),
    "max_motion_share": Limit("Most of the change that --nuisance explains", "SHARE", 1),
}
"""By name; a value above a max_, or below a min_, fails. Docs: docs/how-to/curate.md."""

SECONDS = ("max_dead", "max_dead_start", "max_dead_end", "min_change_rate")
"""Those whose value needs a frame rate."""


def read_limits(path: Path) -> dict[str, float]:
    """The limits of a YAML file; raises ConfigError where it cannot be read or holds others."""
    found = read_yaml(path)
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
    for key, value in limits.items():
        name = choose(str(key), LIMITS, "limit")
        if name in checked:
            raise ConfigError(f"{name} is there twice; leave one out")
        checked[name] = float(number(name, value, least=0, most=LIMITS[name].most))
    return checked
