"""Curve + target -> time map -> a clip with another pacing."""

from spf.retime.timemap import TARGETS, time_map

__all__ = ["TARGETS", "time_map"]
