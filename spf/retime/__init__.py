"""Curve + target -> time map -> a clip with another pacing.

The package is a function too: `spf.retime("clip.mp4", out="even.mp4")` is `spf.retiming.retime`.
"""

import sys
from types import ModuleType
from typing import Any

from spf.retime.targets import TARGETS, make_target
from spf.retime.timemap import distance_to_target, time_map

__all__ = ["TARGETS", "distance_to_target", "make_target", "time_map"]


class _Callable(ModuleType):
    """A module that stands for a function of the same name, in whatever order they are imported."""

    def __call__(self, *args: Any, **settings: Any) -> Any:
        from spf.retiming import retime

        return retime(*args, **settings)

    @property
    def __signature__(self) -> Any:
        from inspect import signature

        from spf.retiming import retime

        return signature(retime)


sys.modules[__name__].__class__ = _Callable
