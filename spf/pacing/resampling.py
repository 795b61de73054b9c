"""Show a clip at other times: its frames, moved along a time map, streamed.

At position 3.25 the result shows what lies a quarter of the way from frame 3 to frame 4; at a whole
position it shows that frame itself, bit for bit. Every method looks at the two frames from the
nearer one (`_Gap.seen`), never from the earlier one, so that resampling the reversed clip along the
reversed map gives the reversed result, bit for bit.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from spf.names import choose
from spf.pacing.motion import Flows, between

Image = NDArray[np.uint8]

PLACES = 2**16
"""Places distinguished between two frames: the rounding of positions must not decide bits."""


def resampled(frames: Iterable[Image], positions: ArrayLike, method: str) -> Iterator[Image]:
    """The frames of a clip at the positions of a time map.

    frames : (H, W, 3) uint8 RGB each, T of them, all of one size: an array or anything that yields
        them. They are taken as they are needed, and two are held at a time.
    positions : (N,) float64, non-decreasing, in frames: 0 .. T - 1. They are rounded to 1 / 65536.
    method : a name of `METHODS`. "nearest" shows the nearer frame, "blend" the cross-fade of both,
        "flow" both moved along their optical flow (`spf.pacing.motion`), which is computed once
        for two frames, and only where the result needs it.

    Yields N images (H, W, 3) uint8 RGB; whole positions give the frame itself, not a copy.

    Raises, at once, ConfigError for an unknown method and ValueError for positions that fall, are
    not finite or lie below 0; and while it yields, ValueError for a position past the last frame.
    """
    show = METHODS[choose(method, METHODS, "method")]
    return _shown(iter(frames), _places(positions), show)


def is_identity(positions: ArrayLike, count: int) -> bool:
    """Whether a time map shows each of a clip's `count` frames at its own place."""
    return bool(np.array_equal(_places(positions), PLACES * np.arange(count)))


@dataclass(eq=False)
class _Gap:
    """What lies between two neighbouring frames."""

    earlier: Image
    later: Image

    def seen(self, share: float) -> tuple[Image, Image, float]:
        """The nearer frame, the farther one, and how far from the nearer one: 0 .. 1/2.

        In the very middle the order is that of the frames' bytes, which knows no direction of time.
        """
        tied = share == 0.5 and self.later.tobytes() < self.earlier.tobytes()
        if share > 0.5 or tied:
            return self.later, self.earlier, 1.0 - share
        return self.earlier, self.later, share

    @cached_property
    def motion(self) -> Flows:
        return between(self.earlier, self.later)


def _blend(gap: _Gap, share: float) -> Image:
    near, far, share = gap.seen(share)
    return np.asarray(cv2.addWeighted(near, 1.0 - share, far, share, 0.0), np.uint8)


def _flow(gap: _Gap, share: float) -> Image:
    near, far, share = gap.seen(share)
    motion = gap.motion if near is gap.earlier else gap.motion.reversed()
    return motion.compensated(near, far, share)


METHODS: dict[str, Callable[[_Gap, float], Image]] = {
    "nearest": lambda gap, share: gap.seen(share)[0],
    "blend": _blend,
    "flow": _flow,
}


def _places(positions: ArrayLike) -> NDArray[np.int64]:
    """Positions in units of 1 / PLACES. Halves are rounded to even, which survives a reversal."""
    frames = np.asarray(positions, dtype=np.float64)
    if frames.ndim != 1 or not np.isfinite(frames).all():
        raise ValueError(f"positions must be (N,) finite numbers, not {frames.shape}")
    places = np.rint(frames * PLACES).astype(np.int64)
    if (places < 0).any() or (np.diff(places) < 0).any():
        raise ValueError("positions must not fall, and not lie below 0")
    return places


def _shown(
    frames: Iterator[Image], places: NDArray[np.int64], show: Callable[[_Gap, float], Image]
) -> Iterator[Image]:
    index, current = 0, _next(frames, 0)
    ahead: Image | None = None
    for wanted, group in groupby(places.tolist(), key=lambda place: place // PLACES):
        while index < wanted:
            index += 1
            current, ahead = (_next(frames, index) if ahead is None else ahead), None
        gap: _Gap | None = None
        for place in group:
            share = place % PLACES / PLACES
            if share == 0.0:
                yield current
                continue
            if gap is None:
                ahead = _next(frames, index + 1)
                gap = _Gap(current, ahead)
            yield show(gap, share)


def _next(frames: Iterator[Image], index: int) -> Image:
    for image in frames:
        return image
    raise ValueError(f"the clip has {index} frames; a position past the last one was asked for")
