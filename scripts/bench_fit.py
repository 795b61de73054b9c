"""The progress function: fit, fit_many and segment, against plain versions of them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from bench_tools import MB, Row, Sizes, extra_memory, in_turns
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
DIM = 768  # of the default embedder of the paper


def clip(frames: int, dim: int = DIM, seed: int = 0) -> NDArray[np.float32]:
    """Unit rows (frames, dim) float32: an uneven walk along a great circle, with noise.

    Made in small blocks, so that no large temporary array is left in the allocator.
    """
    random = np.random.default_rng(seed)
    plane, _ = np.linalg.qr(random.standard_normal((dim, 2)))
    start, towards = plane.T.astype(np.float32)
    steps = random.random(frames - 1) ** 2
    angle = np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum() * 1.4
    z = np.empty((frames, dim), dtype=np.float32)
    for first in range(0, frames, 128):
        rows = z[first : first + 128]
        at = angle[first : first + 128, None].astype(np.float32)
        random.standard_normal(out=rows, dtype=np.float32)
        rows *= np.float32(0.02 / np.sqrt(dim))
        rows += np.cos(at) * start + np.sin(at) * towards
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return z


def plain_dense_fit(
    z: NDArray[np.float32], window: int = 30, sigma: float = 20.0, ridge: float = 1e-5
) -> NDArray[np.float64]:
    """Raw progress function (T,) as the paper's formula reads, with NumPy and no loop over pairs.

    A (pairs, T) holds S_j - S_i, and (A'WA + ridge I) S = A'W b is solved densely.
    """
    rows = z.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    i, j = np.triu_indices(len(rows), 1)
    near = j - i <= window
    i, j = i[near], j[near]
    b = np.arccos(np.clip(rows @ rows.T, -1, 1))[i, j]
    weight = np.exp(-((j - i) ** 2) / (2 * sigma**2))
    A = np.zeros((len(i), len(rows)))
    A[np.arange(len(i)), j] = 1
    A[np.arange(len(i)), i] = -1
    weighted = weight[:, None] * A
    solution = np.linalg.solve(A.T @ weighted + ridge * np.eye(len(rows)), weighted.T @ b)
    return np.asarray(solution, dtype=np.float64)


def dense_and_fit(sizes: Sizes) -> dict[str, float]:
    import spf

    z = clip(sizes.dense)
    difference = np.abs(spf.fit(z).fitted - plain_dense_fit(z)).max()
    dense, fit = in_turns(3, (lambda: plain_dense_fit(z), 1), (lambda: spf.fit(z), 5))
    return {"dense": dense, "fit": fit, "difference": difference}


def memory_of_fit(sizes: Sizes) -> dict[str, float]:
    import spf

    spf.fit(clip(64))
    z = clip(sizes.dense)
    return {"bytes": extra_memory(lambda: spf.fit(z))}


def memory_of_dense(sizes: Sizes) -> dict[str, float]:
    plain_dense_fit(clip(64))
    z = clip(sizes.dense)
    return {"bytes": extra_memory(lambda: plain_dense_fit(z))}


def long_clip(sizes: Sizes) -> dict[str, float]:
    import spf

    once, twice = clip(sizes.long), clip(2 * sizes.long)
    spf.fit(once)
    short, long = in_turns(sizes.repeats, (lambda: spf.fit(once), 1), (lambda: spf.fit(twice), 1))
    return {"once": short, "twice": long}


def memory_of_long_clip(sizes: Sizes) -> dict[str, float]:
    import spf

    spf.fit(clip(64))
    z = clip(sizes.long)
    return {"bytes": extra_memory(lambda: spf.fit(z))}


def segmentation(sizes: Sizes) -> dict[str, float]:
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))
    import segment_oracles as oracles

    import spf

    curve = spf.fit(clip(sizes.cut, dim=32))
    penalty = 1e-4  # so small that there are several segments to agree on
    segments = spf.segment(curve, penalty=penalty)
    found: list[tuple[list[oracles.Line], float]] = []
    brute, ours = in_turns(
        3,
        (lambda: found.append(oracles.brute_segmentation(curve.times, curve.progress, penalty)), 1),
        (lambda: spf.segment(curve, penalty=penalty), 10),
    )
    lines, optimum = found[0]
    cost = penalty * len(segments)
    for piece in segments:
        inside = slice(piece.start, piece.stop)
        straight = piece.slope * curve.times[inside] + piece.intercept
        cost += float(((curve.progress[inside] - straight) ** 2).sum())
    return {
        "brute": brute,
        "ours": ours,
        "excess": cost - optimum,
        "segments": len(segments),
        "same_cuts": float([p.start for p in segments] == [p.start for p in lines]),
    }


def long_segmentation(sizes: Sizes) -> dict[str, float]:
    import spf

    spf.segment(spf.fit(clip(64, dim=32)))
    curve = spf.fit(clip(sizes.cut_long, dim=32))
    memory = extra_memory(lambda: spf.segment(curve))
    (taken,) = in_turns(sizes.repeats, (lambda: spf.segment(curve), 1))
    return {"seconds": taken, "bytes": memory}


def many_clips(sizes: Sizes) -> dict[str, float]:
    import spf

    clips = [clip(sizes.clip_frames, seed=seed) for seed in range(sizes.clips)]
    few = clips[:50]
    together, alone = spf.fit_many(few), [spf.fit(z) for z in few]
    difference = max(
        float(np.abs(one.fitted - other.fitted).max())
        for one, other in zip(together, alone, strict=True)
    )
    many, loop = in_turns(
        min(3, sizes.repeats),
        (lambda: spf.fit_many(clips), 1),
        (lambda: [spf.fit(z) for z in clips], 1),
    )
    return {"many": many, "loop": loop, "difference": difference}


def fits_on_gpu(sizes: Sizes) -> dict[str, float]:
    """Seconds of `fit_many`, and of the same with its angles computed by torch on a GPU."""
    from unittest.mock import patch

    import torch

    import spf

    device = "cuda" if torch.cuda.is_available() else "cpu"
    clips = [clip(sizes.clip_frames, seed=seed) for seed in range(sizes.clips // 10)]

    def angles(stack: NDArray[np.float32], window: int) -> NDArray[np.float64]:
        """As `stacked_angles`: by the chord for every pair, in float64."""
        rows = torch.from_numpy(stack).to(device, torch.float64)
        rows = rows / torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        count, length, _ = rows.shape
        found = torch.zeros(count, length, min(window, length - 1), device=device).double()
        for lag in range(1, found.shape[-1] + 1):
            chord = torch.linalg.vector_norm(rows[:, lag:] - rows[:, :-lag], dim=-1)
            found[:, : length - lag, lag - 1] = 2.0 * torch.asin((chord / 2.0).clamp(max=1.0))
        return found.cpu().numpy()

    def by_torch() -> list[spf.Curve]:
        with patch("spf.progress.fit.stacked_angles", angles):
            return spf.fit_many(clips)

    pairs = zip(spf.fit_many(clips), by_torch(), strict=True)
    difference = max(float(np.abs(one.fitted - other.fitted).max()) for one, other in pairs)
    turns = min(3, sizes.repeats)
    cpu, gpu = in_turns(turns, (lambda: spf.fit_many(clips), 1), (by_torch, 1))
    return {"numpy": cpu, device: gpu, "difference": difference}


WORKLOADS = (
    dense_and_fit,
    memory_of_fit,
    memory_of_dense,
    long_clip,
    memory_of_long_clip,
    segmentation,
    long_segmentation,
    many_clips,
    fits_on_gpu,
)
ONE_CORE = {"long_clip", "memory_of_long_clip"}


def table_rows(sizes: Sizes, found: dict[str, dict[str, float]]) -> list[Row]:
    """The table, with every bar judged."""
    fit, dense = found["dense_and_fit"], found["memory_of_dense"]["bytes"]
    ratio = fit["dense"] / fit["fit"]
    memory = found["memory_of_fit"]["bytes"]
    long, long_memory = found["long_clip"], found["memory_of_long_clip"]["bytes"]
    doubling = long["twice"] / long["once"]
    cut, cut_long, many = found["segmentation"], found["long_segmentation"], found["many_clips"]
    cut_ratio = cut["brute"] / cut["ours"]
    same = abs(cut["excess"]) < 1e-9 and bool(cut["same_cuts"])
    many_ratio = many["loop"] / many["many"]
    torch = found["fits_on_gpu"]
    device = next(name for name in ("cuda", "cpu") if name in torch)
    return [
        Row(
            f"fit, {sizes.dense} frames",
            f"plain dense solver {fit['dense']:.2f} s over fit {1e3 * fit['fit']:.1f} ms; "
            f"solutions differ by {fit['difference']:.0e} rad",
            f"{ratio:.0f} times faster",
            ">= 100 times",
            ratio >= 100,
        ),
        Row(
            f"fit, {sizes.dense} frames, memory",
            f"peak above the input; the plain dense solver: {dense / MB:.0f} MB",
            f"{memory / MB:.1f} MB",
            "< 60 MB",
            memory < 60 * MB,
        ),
        Row(
            f"fit, {sizes.long:,} frames, one core",
            "time of fit",
            f"{long['once']:.2f} s",
            "<= 1.5 s",
            long["once"] <= 1.5,
        ),
        Row(
            f"fit, {sizes.long:,} frames, memory",
            f"peak above the input of {sizes.long * DIM * 4 / MB:.0f} MB, one core",
            f"{long_memory / MB:.0f} MB",
            "< 400 MB",
            long_memory < 400 * MB,
        ),
        Row(
            f"fit, {2 * sizes.long:,} frames, one core",
            f"{long['twice']:.2f} s over {long['once']:.2f} s for half as many",
            f"{doubling:.2f} times longer",
            "<= 2.3 times",
            doubling <= 2.3,
        ),
        Row(
            f"segment, {sizes.cut} frames",
            f"lstsq for every (i, j) {cut['brute']:.2f} s over segment {1e3 * cut['ours']:.2f} ms; "
            f"{cut['segments']:.0f} segments, {'the same optimum' if same else 'NOT the optimum'}",
            f"{cut_ratio:.0f} times faster",
            ">= 300 times",
            cut_ratio >= 300 and same,
        ),
        Row(
            f"segment, {sizes.cut_long:,} frames",
            "time of segment",
            f"{cut_long['seconds']:.2f} s",
            "<= 2 s",
            cut_long["seconds"] <= 2,
        ),
        Row(
            f"segment, {sizes.cut_long:,} frames, memory",
            "peak above the curve",
            f"{cut_long['bytes'] / MB:.0f} MB",
            "< 300 MB",
            cut_long["bytes"] < 300 * MB,
        ),
        Row(
            f"fit_many, {sizes.clips:,} clips of {sizes.clip_frames} frames",
            f"loop of fit {many['loop']:.2f} s over fit_many {many['many']:.2f} s; "
            f"solutions differ by {many['difference']:.0e} rad",
            f"{many_ratio:.1f} times faster",
            ">= 5 times",
            many_ratio >= 5,
        ),
        Row(
            f"fit_many, {sizes.clips // 10:,} clips, angles by torch on {device}",
            f"{torch['numpy']:.2f} s by NumPy on the CPU over {torch[device]:.2f} s",
            f"{torch['numpy'] / torch[device]:.2f} times faster",
            "-",
            None,
        ),
    ]
