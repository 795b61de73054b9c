"""The limits that clips are checked against, as one table: options, files and findings read it."""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Limit:
    """What a limit bounds, its value on the command line, and its unit in a finding.

    most : the largest limit that makes sense; the smallest is 0.
    """

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
