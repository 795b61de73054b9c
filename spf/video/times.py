"""Time stamps as files have them, made usable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import Any, TypeVar

T = TypeVar("T")


def steady(
    stamped: Iterable[tuple[float | None, T]], step: float
) -> Iterator[tuple[float, T, bool]]:
    """Times that increase strictly from 0, each with its item and whether it had to be repaired.

    stamped: (time stamp in seconds or None, item). step: the average frame step in seconds.
    A time stamp that is missing, repeated, behind the one before it, or ahead of its time (more
    than two steps, and the next one is behind it again) is replaced by the time before it plus one
    step, or half the way to the next one where that is nearer. Where the clock itself jumps back,
    as in joined files, it goes on from there. One item is read ahead.
    """
    previous: float | None = None
    origin = 0.0
    end: list[tuple[Any, Any]] = [(None, None)]  # behind the last
    for (stamp, item), (following, _) in pairwise(chain(stamped, end)):
        after = None if following is None else following - origin
        if previous is None:
            first = stamp if stamp is not None else following
            origin = (first or 0.0) - (step if stamp is None and following is not None else 0.0)
            previous = 0.0
            yield 0.0, item, stamp is None
            continue
        time = None if stamp is None else stamp - origin
        room = after is not None and after > previous
        good = time is not None and time > previous
        if good and room and after <= time and time - previous > 2 * step:  # type: ignore[operator]
            good = False
        if not good:
            fixed = previous + step
            if room:
                fixed = min(fixed, (previous + after) / 2)  # type: ignore[operator]
            elif time is not None:
                origin += time - fixed
            time = fixed
        assert time is not None
        previous = time
        yield time, item, not good
