"""Embeddings -> Curve, for one clip or for thousands at once."""

import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spf.progress.curve import Curve, Monotone, Noise, Settings, accumulate
from spf.progress.cuts import separation
from spf.progress.distances import Rows, as_embeddings, check_norms, stacked_angles
from spf.progress.noise import noise_level, noise_spread, subtract_noise
from spf.progress.solver import RIDGE, SIGMA, WINDOW, System, ridge_for

Array = NDArray[np.float64]

STACK_BYTES = 32 << 20
"""Embeddings that one thread stacks at a time while many clips are fitted."""


def fit(
    z: ArrayLike,
    times: ArrayLike | None = None,
    window: int = WINDOW,
    sigma: float = SIGMA,
    ridge: float = RIDGE,
    power: float = 1.0,
    monotone: Monotone = "gradient",
    noise: Noise = "none",
) -> Curve:
    """Fit the Semantic Progress Function of one clip (arXiv 2604.22554; method, section 1).

    Minimises  sum over pairs i < j <= i + window of w_ij (S_j - S_i - d_ij^power)^2
    + ridge * S'S,  with d_ij the angle between frames and w_ij = exp(-(i - j)^2 / (2 sigma^2)),
    then makes S non-decreasing and scales it to 0 .. 1.

    Parameters
    ----------
    z : (T, D) float32 or float64 embeddings, T at least 2; rows need not have unit length.
    times : (T,) strictly increasing seconds; None means frame indices.
    window : pairs up to this many frames apart, at least 1.
    sigma : width of the weights in frames, above 0.
    ridge : at least 0. The default 1e-5 becomes 0, with the mean pinned, above 5,000 frames,
        where it would bend the curve; any other value is used as given.
    power : above 0; 1 is the paper's, 2 sharpens segmentation.
    monotone : "gradient" (default), "peer" (exactly the authors'), "increments", "isotonic".
    noise : "none" (the paper's), or "nugget": the noise's share is taken out of every distance.

    Raises ValueError for embeddings with NaN, zero rows or fewer than 2 frames, times that do not
    increase, and settings out of range.

    Time O(T window (D + window)), memory O(T window) beside the input.
    """
    settings = Settings(window, sigma, ridge, power, monotone, noise)
    rows = as_embeddings(z)
    length = len(rows)
    stamps = as_times(times, length)
    system = System.build(length, window, sigma, ridge_for(ridge, length))
    return _fit_angles(stacked_angles(rows[None], window), [stamps], system, settings)[0]


def fit_many(
    embeddings: Iterable[ArrayLike],
    times: Sequence[ArrayLike | None] | None = None,
    window: int = WINDOW,
    sigma: float = SIGMA,
    ridge: float = RIDGE,
    power: float = 1.0,
    monotone: Monotone = "gradient",
    noise: Noise = "none",
    device: str = "auto",
) -> list[Curve]:
    """`fit` for many clips: those of equal length share one factorisation and one batch.

    Parameters are those of `fit`, with a sequence of embeddings (lengths and dimensions may
    differ) and of times. `device`: "cpu", "cuda", or "auto" (the GPU where there is one); on a
    GPU the angles are computed there, in float64, and agree with the CPU's to 1e-5.

    Returns the curves in the order of the input. Raises ValueError as `fit` does, with the
    index of the clip in front.
    """
    settings = Settings(window, sigma, ridge, power, monotone, noise)
    embeddings = list(embeddings)
    if times is not None and len(times) != len(embeddings):
        raise ValueError(f"{len(times)} time arrays were given for {len(embeddings)} clips")
    clips: list[Rows] = []
    stamps: list[Array] = []
    for index, z in enumerate(embeddings):
        with _clip_named(index):
            clips.append(as_embeddings(z))
            stamps.append(as_times(times[index] if times is not None else None, len(clips[-1])))
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, rows in enumerate(clips):
        groups[rows.shape].append(index)
    measure = torch_angles if _use_gpu(device) else stacked_angles
    curves: dict[int, Curve] = {}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for (length, _), members in groups.items():
            system = System.build(length, window, sigma, ridge_for(ridge, length))
            size = max(1, STACK_BYTES // clips[members[0]].nbytes)
            parts = [members[start : start + size] for start in range(0, len(members), size)]

            def fit_part(part: list[int], system: System = system) -> list[Curve]:
                try:
                    angles = measure(np.stack([clips[index] for index in part]), window)
                except ValueError:
                    for index in part:  # name the clip
                        with _clip_named(index):
                            measure(clips[index][None], window)
                    raise
                return _fit_angles(angles, [stamps[index] for index in part], system, settings)

            for part, fitted in zip(parts, threads.map(fit_part, parts), strict=True):
                curves.update(zip(part, fitted, strict=True))
    return [curves[index] for index in range(len(clips))]


@contextmanager
def _clip_named(index: int) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"clip {index}: {error}") from None


def as_times(times: ArrayLike | None, length: int) -> Array:
    """Time stamps (T,) float64, strictly increasing; frame indices where None is given."""
    if times is None:
        return np.arange(length, dtype=np.float64)
    stamps = np.array(times, dtype=np.float64)
    if stamps.shape != (length,):
        raise ValueError(f"times must have shape ({length},), one per frame, not {stamps.shape}")
    if not (np.isfinite(stamps).all() and (np.diff(stamps) > 0).all()):
        raise ValueError("times must be finite and strictly increasing")
    return stamps


def _fit_angles(
    angles: Array, times: list[Array], system: System, settings: Settings
) -> list[Curve]:
    """Curves of B clips of equal length from their angles (B, T, window)."""
    levels, spreads = noise_level(angles), noise_spread(angles)
    apart = separation(angles)
    fitted = system.solve(angles**settings.power)
    angle = accumulate(fitted, settings.monotone)
    plain_change = angle[:, -1]
    if settings.noise == "nugget":
        fitted = system.solve(subtract_noise(angles, levels) ** settings.power)
        angle = accumulate(fitted, settings.monotone)
    total = angle[:, -1:]
    progress = np.divide(angle, total, out=np.zeros_like(angle), where=total > 0)
    used = replace(settings, ridge=ridge_for(settings.ridge, system.length))
    return [
        Curve(
            progress[clip],
            angle[clip],
            fitted[clip],
            times[clip],
            noise_level=float(levels[clip]),
            noise_spread=float(spreads[clip]),
            plain_change=float(plain_change[clip]),
            settings=used,
            separation=apart[clip],
        )
        for clip in range(len(times))
    ]


def _use_gpu(device: str) -> bool:
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, not {device!r}")
    # Importing torch costs seconds: do so only where there is a driver, or it is loaded anyway.
    if device == "cpu" or not (
        device == "cuda" or "torch" in sys.modules or os.path.exists("/dev/nvidiactl")
    ):
        return False
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is cuda, but torch sees no CUDA device; use device='cpu'")
    return torch.cuda.is_available()


def torch_angles(stack: Rows, window: int, device: str = "cuda") -> Array:
    """`stacked_angles` computed by torch, in float64: by the chord for every pair."""
    import torch

    length = stack.shape[1]
    window = min(window, length - 1)
    rows = torch.from_numpy(stack).to(device, torch.float64)
    norms = torch.linalg.vector_norm(rows, dim=-1)
    check_norms(norms.cpu().numpy())
    rows = rows / norms[..., None]
    angles = torch.zeros(len(stack), length, window, dtype=torch.float64, device=device)
    for lag in range(1, window + 1):
        chord = torch.linalg.vector_norm(rows[:, lag:] - rows[:, :-lag], dim=-1)
        angles[:, : length - lag, lag - 1] = 2.0 * torch.asin(torch.clamp(chord / 2.0, max=1.0))
    return angles.cpu().numpy()
