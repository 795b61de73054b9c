"""Which source frame each frame of the retimed clip shows."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from spf.progress import Curve
from spf.words import choose

Array = NDArray[np.float64]
Target = Callable[[Array], Array]

TARGETS: dict[str, Target] = {"linear": lambda u: u}


def time_map(curve: Curve, target: str | Target = "linear", num_frames: int | None = None) -> Array:
    """Source positions tau_k = S^-1(g(k / (N - 1))) that give a clip the pacing g (method, 2).

    Parameters
    ----------
    curve : of the source clip, T frames.
    target : a word of `TARGETS`, or an increasing function g on 0 .. 1 with g(0) = 0, g(1) = 1.
    num_frames : N, at least 2; None keeps T.

    Returns
    -------
    (N,) float64 in frames, non-decreasing, from 0 to T - 1; plateaus by `Curve.inverse`.

    Raises ConfigError for an unknown word, ValueError for a target that is not such a function,
    for N below 2, and for a curve without semantic change, which has no inverse.
    """
    count = len(curve) if num_frames is None else num_frames
    if count < 2:
        raise ValueError(f"num_frames must be at least 2, not {num_frames!r}")
    law = TARGETS[choose(target, TARGETS, "target")] if isinstance(target, str) else target
    wanted = np.asarray(law(np.linspace(0.0, 1.0, count)), dtype=np.float64)
    ends = abs(wanted[0]) < 1e-9 and abs(wanted[-1] - 1.0) < 1e-9
    if wanted.shape != (count,) or not ends or not (np.diff(wanted) >= 0).all():
        raise ValueError("a target must increase from g(0) = 0 to g(1) = 1")
    wanted[0], wanted[-1] = 0.0, 1.0
    return curve.inverse(wanted)
