"""What a generated clip is judged by, beside its curve: the renderer's truth, and its frames."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.generated.pairs import Pair
from spf.errors import SpfError
from spf.generators.base import GeneratedClip, resized
from spf.pacing.targets import Target, pinned
from spf.progress import Curve, Settings, fit
from spf.progress.metrics import mean_absolute, unit_time

Array = NDArray[np.float64]

ORACLE = "oracle"
ORACLE_LABEL = "oracle (renderer)"
ARC = 1.2
"""Radians from p = 0 to p = 1 on the great circle that makes a curve of a parameter."""

REPEATED = 1.0 / 255.0
"""Root mean square difference, in 0..1, below which a frame repeats the one before it: less than
one grey level."""

DEFINITIONS = (
    "true_linearity_mae: time average of |q - u|, q = (p - p_first) / (p_last - p_first), p the "
    "parameter of the nearest true render; true_target_mae: the same against the target; "
    "true_peak_step: largest step of q over the mean step; residual: mean squared distance (0..1) "
    "of the frames to the nearest true render, which ghosting raises, and so does more of the "
    "morph's middle: nearest, which shows the baseline's own frames alone, is the measure for the "
    "others; residual_ratio: over the baseline's; end_mse: the larger mean squared error (0..1) of "
    "the end frames; repeated_frames: share of frames within one grey level of the one before."
)


def clip_times(clip: GeneratedClip) -> Array:
    """Seconds (T,) of the frames."""
    return np.arange(len(clip.frames)) / clip.fps


def oracle_curve(pair: Pair, clip: GeneratedClip, settings: Settings) -> Curve:
    """The curve of an embedder that sees the renderer's parameter and nothing else."""
    p = ARC * parameter(pair, clip)
    return fit(np.stack([np.cos(p), np.sin(p)], axis=1), clip_times(clip), **vars(settings))


def parameter(pair: Pair, clip: GeneratedClip) -> Array:
    """The renderer's parameter (T,) of the frames, 0..1. Raises SpfError for another size."""
    assert pair.oracle is not None
    if clip.frames.shape[1:] != pair.first.shape:
        sizes = " and ".join(f"{x.shape[-2]}x{x.shape[-3]}" for x in (clip.frames, pair.first))
        raise SpfError(f"{pair.name}: clip and renders differ in size ({sizes}); set model.size")
    return pair.oracle.parameter(clip.frames)


def judge(pair: Pair, clip: GeneratedClip, target: Target) -> dict[str, Any]:
    """Columns that need no embedder; those of the renderer only where the pair has an oracle."""
    frames = clip.frames / 255.0
    ends = [(frames[0], pair.first)] + ([] if pair.last is None else [(frames[-1], pair.last)])
    size = clip.frames.shape[1], clip.frames.shape[2]
    errors = [np.square(made - resized(given, size) / 255.0).mean() for made, given in ends]
    change = np.sqrt(np.square(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)))
    values: dict[str, Any] = {
        "end_mse": float(max(errors)),
        "repeated_frames": float((change < REPEATED).mean()),
    }
    if pair.oracle is not None:
        values |= true_pacing(parameter(pair, clip), clip_times(clip), target)
        values["residual"] = float(pair.oracle.residual(clip.frames).mean())
    return values


def true_pacing(p: Array, times: Array, target: Target) -> dict[str, float]:
    """Figures of the renderer's parameter p (T,); NaN where it ends where it began."""
    names = ("true_linearity_mae", "true_target_mae", "true_peak_step")
    if p[-1] == p[0]:
        return dict.fromkeys(names, float("nan"))
    q, u = (p - p[0]) / (p[-1] - p[0]), unit_time(times)
    found = (
        mean_absolute(q - u, u),
        mean_absolute(q - pinned(target, u), u),
        float(np.abs(np.diff(q)).max() * (len(q) - 1)),
    )
    return dict(zip(names, found, strict=True))
