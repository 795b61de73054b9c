"""Embeddings -> Curve, for one clip or for thousands at once."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spf.progress.curve import MONOTONE, Curve, Monotone, Noise, Settings
from spf.progress.cuts import separation
from spf.progress.distances import Rows, as_embeddings, stacked_angles
from spf.progress.noise import noise_level, noise_spread
from spf.progress.solver import RIDGE, SIGMA, WINDOW, System, ridge_for

Array = NDArray[np.float64]

STACK_BYTES = 32 << 20  # of embeddings that one thread stacks at a time while many clips are fitted


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

    z : (T, D) float32 or float64 embeddings, T at least 2; rows need not have unit length.
    times : (T,) strictly increasing seconds; None means frame indices.
    window : pairs up to this many frames apart, at least 1.
    sigma : width of the weights in frames, above 0.
    ridge : at least 0. The default 1e-5 becomes 0, with the mean pinned, above 5,000 frames,
        where it would bend the curve; any other value is used as it is.
    power : above 0; 1 is the paper's, 2 sharpens segmentation.
    monotone : "gradient" (default), "peer" (exactly the authors'), "increments", "isotonic".
    noise : "none" (the paper's), or "nugget": every distance d becomes sqrt(max(d^2 - n^2, 0)), n
        the `noise_level`.

    Raises ValueError for embeddings with NaN, zero rows or fewer than 2 frames, times that do not
    increase, and settings out of range.

    Time O(T window (D + window)), memory O(T window) beside the input.
    """
    settings = Settings(window, sigma, ridge, power, monotone, noise)
    rows = as_embeddings(z)
    stamps = as_times(times, len(rows))
    system = _system(settings, len(rows))
    return _fit_angles(stacked_angles(rows[None], window), [stamps], system, settings)[0]


def _system(settings: Settings, length: int) -> System:
    ridge = ridge_for(settings.ridge, length)
    return System.build(length, settings.window, settings.sigma, ridge)


def fit_many(
    embeddings: Iterable[ArrayLike],
    times: Sequence[ArrayLike | None] | None = None,
    device: str = "auto",
    **settings: Any,
) -> list[Curve]:
    """`fit` for many clips: those of equal length share one factorisation and one batch.

    embeddings, times, settings : as those of `fit`, the first two for each clip, whose lengths and
    dimensions may differ. device : "auto", "cpu" or "cuda", where the embeddings come from; the fit
    is on the CPU with each, as it takes less than 0.3% of the time of a clip's embedding.

    Returns the curves in the order of the input. Raises ValueError as `fit` does, with the
    index of the clip in front.
    """
    chosen = Settings(**settings)
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, not {device!r}")
    embeddings = list(embeddings)
    if times is not None and len(times) != len(embeddings):
        raise ValueError(f"{len(times)} time arrays for {len(embeddings)} clips")
    clips: list[Rows] = []
    stamps: list[Array] = []
    for index, z in enumerate(embeddings):
        with _clip_named(index):
            clips.append(as_embeddings(z))
            stamps.append(as_times(times[index] if times is not None else None, len(clips[-1])))
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, rows in enumerate(clips):
        groups[rows.shape].append(index)
    curves: dict[int, Curve] = {}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for (length, _), members in groups.items():
            system = _system(chosen, length)
            size = max(1, STACK_BYTES // clips[members[0]].nbytes)
            parts = [members[start : start + size] for start in range(0, len(members), size)]

            def fit_part(part: list[int], system: System = system) -> list[Curve]:
                try:
                    stack = np.stack([clips[index] for index in part])
                    angles = stacked_angles(stack, chosen.window)
                except ValueError:
                    for index in part:  # name the clip
                        with _clip_named(index):
                            stacked_angles(clips[index][None], chosen.window)
                    raise
                return _fit_angles(angles, [stamps[index] for index in part], system, chosen)

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
    """Time stamps (T,) float64, strictly increasing; frame indices for None."""
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
    levels, spreads, apart = noise_level(angles), noise_spread(angles), separation(angles)
    accumulate = MONOTONE[settings.monotone]
    fitted = system.solve(angles**settings.power)
    angle = accumulate(fitted)
    plain_change = angle[:, -1]
    if settings.noise == "nugget":
        without = np.sqrt(np.clip(angles**2 - levels[:, None, None] ** 2, 0.0, None))
        fitted = system.solve(without**settings.power)
        angle = accumulate(fitted)
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
