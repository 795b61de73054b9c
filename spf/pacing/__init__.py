"""Curve + target -> time map -> a clip with another pacing."""

from spf.pacing.targets import TARGETS, make_target
from spf.pacing.timemap import distance_to_target, time_map

__all__ = ["TARGETS", "distance_to_target", "make_target", "time_map"]
