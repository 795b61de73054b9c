"""What a generated clip is judged by, beside its curve: the renderer's truth, and its frames."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.generated.pairs import Pair
from spf.embedders import Embedder
from spf.errors import SpfError
from spf.generators.base import GeneratedClip, resized
from spf.pacing.targets import Target, pinned
from spf.progress import Curve, Settings, fit
from spf.progress.metrics import mean_absolute, unit_time
from spf.quality import Conditions
from spf.quality.fidelity import MAXIMAL_PSNR, end_fidelity

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
    "others; residual_ratio: over the baseline's; first_psnr, last_psnr: dB of the end frames "
    f"against the request's own as the model got them, {MAXIMAL_PSNR:.1f} for equal ones; "
    "first_angle, last_angle: radians between their embeddings; repeated_frames: share of frames "
    "within one grey level of the one before."
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


def conditions(pair: Pair, clip: GeneratedClip) -> Conditions:
    """What a clip was generated from; the frames at its size, as generators bring them to it."""
    size = (clip.frames.shape[1], clip.frames.shape[2])
    last = None if pair.last is None else resized(pair.last, size)
    return Conditions(resized(pair.first, size), last, pair.prompt)


def judge(
    pair: Pair, clip: GeneratedClip, target: Target, embedder: Embedder | None = None
) -> dict[str, Any]:
    """Columns of a clip beside its curve's: those of the renderer only where the pair has an
    oracle; angles of the end frames by the embedder, where one is used."""
    frames = clip.frames / 255.0
    change = np.sqrt(np.square(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)))
    values: dict[str, Any] = {
        **end_fidelity(clip.frames[0], clip.frames[-1], conditions(pair, clip), embedder),
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
