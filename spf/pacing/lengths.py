"""How many frames the result has, at which rate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spf.errors import ConfigError
from spf.names import choose
from spf.numbers import optional_number
from spf.pacing.targets import Target
from spf.pacing.timemap import source_times, time_map
from spf.progress import Curve
from spf.video.write import exact_rate

Array = NDArray[np.float64]

KEEP = ("length", "fastest")
"""What stays of the clip: its length, or the speed of what passes fastest in the result."""
LONGEST = 4.0
"""Times the clip's length that the result has at most, where the speed of its fastest part
stays: where nothing changes a retimed clip passes at any speed, and would last for ever."""
SAME_RATE = 1e-3


@dataclass(frozen=True)
class Wanted:
    """What is asked of the result's length. keep : a name of `KEEP`. num_frames, fps : None leaves
    them to `keep`. Raises ConfigError where they make no sense, or not together."""

    keep: str = "length"
    num_frames: int | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        choose(self.keep, KEEP, "keep")
        optional_number("frames", self.num_frames, least=2, whole=True)
        if self.fps is not None:
            exact_rate(self.fps)
        if self.keep == "fastest" and self.num_frames is not None:
            raise ConfigError("keep=fastest chooses the number of frames; give it or frames=N")


@dataclass(frozen=True)
class Length:
    """num_frames, fps : of the result, which has a constant rate. notes : lines on what is not as
    it was asked for."""

    num_frames: int
    fps: float
    notes: tuple[str, ...] = ()

    @property
    def times(self) -> Array:
        """Seconds (N,) at which the frames are shown, from 0."""
        return np.arange(self.num_frames) / self.fps


def length_of(
    curve: Curve, target: Target, wanted: Wanted, fps: float | None, cuts: Sequence[int] = ()
) -> Length:
    """The number of frames and the rate of the result.

    curve : of the clip, its times in seconds, or in frames where no rate is known. fps : of the
    clip's file; a clip with a variable rate gets its mean one, and so its length. cuts : those that
    are kept.

    keep="length" gives as many frames at the clip's rate; another fps as many as fill its time.
    keep="fastest" makes the result so long that nothing in it passes faster than it did, but at
    most `LONGEST` times as long. num_frames alone takes the clip's rate.

    Raises ConfigError where no rate is known.
    """
    if fps is None:
        if wanted.fps is None:
            raise ConfigError("the frames have no rate of their own; give one with fps=R (--fps R)")
        seconds = (len(curve) - 1) / wanted.fps
    else:
        seconds = float(curve.times[-1] - curve.times[0])
    rate = float(exact_rate(wanted.fps or _mean_rate(len(curve), seconds, fps)))
    if wanted.num_frames is not None:
        return Length(int(wanted.num_frames), rate)
    if wanted.keep == "length":
        return Length(_filling(seconds, rate), rate)
    speed = fastest(curve, target, cuts)
    longer = min(max(speed, 1.0), LONGEST)
    notes: tuple[str, ...] = ()
    if speed > LONGEST:
        left = f"its fastest part passes {speed / LONGEST:.3g} times as fast as it did"
        notes = (f"{LONGEST:g} times as long, the most that is made: {left}",)
    return Length(_filling(longer * seconds, rate), rate, notes)


def fastest(curve: Curve, target: Target, cuts: Sequence[int] = ()) -> float:
    """How many times as fast as it did the clip passes at most, in a result of the same length."""
    shown = source_times(time_map(curve, target, None, cuts), curve.times)
    return float(np.diff(shown).max() * (len(curve) - 1) / (curve.times[-1] - curve.times[0]))


def _mean_rate(count: int, seconds: float, fps: float | None) -> float:
    """Frames a second; the file's own where it is that, as time stamps are often rounded."""
    mean = min((count - 1) / seconds, 1000.0)
    return fps if fps is not None and abs(fps / mean - 1) < SAME_RATE else mean


def _filling(seconds: float, rate: float) -> int:
    return max(2, round(seconds * rate) + 1)
