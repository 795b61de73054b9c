"""Training clips of the shipped generator: morphs with one abrupt change, in batches.

A clip shows a morph from p0 to p1. Its progress at time share u is a logistic step of width
`STEP_WIDTH` about a place that follows the mean colour of its end frames (`step_place`), so that a
model that sees them can know it. Some clips drift or dim evenly from end to end.

Each frame has a time, and the model knows it by the rotary position embedding alone. In 60% of
the clips the times are uneven, as in footage of variable frame rate. In half of the clips the
highest temporal bands are set to other times, so that the model learns to read its clock from the
low bands as well; a frequency-aware warp moves these most.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from spf.files import moved_into_place
from synthetic.morph_pairs import TRAINING_PAIRS

FloatArray = NDArray[np.float64]

SIZE = 32
MARGIN = 4
"""Pixels about the frame, so that the camera can drift."""
LEVELS = 33
"""Values of p of each morph in the pool; between them images are mixed."""
STEP_WIDTH = 0.035
LONGEST = 32
"""Longest clip in frames of even time, less one; clips of uneven time skip some of them."""


@dataclass(frozen=True)
class Batch:
    """Clips and what the model knows about their time."""

    clips: Tensor  # (B, 3, T, H, W) float32 in -1..1
    progress: Tensor  # (B, T) float32, 0 -> 1 within the clip
    times: Tensor  # (B, T) float32, frames: what the low bands show
    decoys: Tensor  # (B, T) float32, frames: what the bands below `cut` show
    cut: Tensor  # (B,) int64: number of highest bands that show the decoys


def step_place(first: Tensor, last: Tensor) -> Tensor:
    """Place (B,) of the step, a share of the clip's time in 0.3..0.7, of end frames in -1..1.

    Bright images change late and dark ones early, warm ones later than cold ones.
    """
    mean = 0.5 * (first + last).mean(dim=(2, 3))
    brightness = mean.mean(dim=1)
    warmth = mean[:, 0] - mean[:, 2]
    return 0.5 + 0.2 * torch.tanh(0.9 * brightness - 0.1 + 2.5 * warmth)


def step_progress(share: Tensor, place: Tensor) -> Tensor:
    """Progress (B, T) from exactly 0 to 1 at time shares (B, T) for steps at places (B,)."""
    value, start, end = (
        torch.sigmoid((u - place[:, None]) / STEP_WIDTH)
        for u in (share, torch.zeros(1, 1), torch.ones(1, 1))
    )
    return (value - start) / (end - start)


def uneven_times(generator: np.random.Generator, num_frames: int) -> FloatArray:
    """Increasing time shares (T,) from 0 to 1, dense about a random place."""
    u = np.linspace(0.0, 1.0, num_frames)
    with np.errstate(divide="ignore"):
        logit = np.log(u) - np.log1p(-u)
    width = 0.03 * np.exp(generator.uniform(-0.4, 1.6))
    dense = np.clip(generator.uniform(0.2, 0.8) + width * logit, 0.0, 1.0)
    evenness = generator.uniform() ** 2
    steps = np.diff(evenness * u + (1.0 - evenness) * dense)
    steps = steps * np.exp(generator.normal(0.0, generator.uniform(0.0, 0.5), steps.size))
    return np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum()


def render_pool(path: Path, seeds: int) -> NDArray[np.uint8]:
    """All training morphs (pairs x seeds, LEVELS, S, S, 3) uint8, rendered once to a .npy file."""
    count, side = len(TRAINING_PAIRS) * seeds, SIZE + 2 * MARGIN
    shape = (count, LEVELS, side, side, 3)
    if not path.exists():
        cv2.setNumThreads(1)
        with moved_into_place(path) as temporary:
            pool = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
            for index in range(count):
                seed, pair = divmod(index, len(TRAINING_PAIRS))
                paint = TRAINING_PAIRS[pair].painter((SIZE, SIZE), MARGIN, seed)
                for level, p in enumerate(np.linspace(0.0, 1.0, LEVELS)):
                    pool[index, level] = paint(float(p))
            pool.flush()
            os.sync()
    loaded = np.load(path, mmap_mode="r")
    if loaded.shape != shape:
        raise SystemExit(f"{path}: holds {loaded.shape}, not {shape}; delete it and start again")
    return loaded


def draw_batch(
    generator: np.random.Generator, pool: NDArray[np.uint8], batch: int, num_frames: int
) -> Batch:
    """Random clips of T frames; everything random comes from the generator."""
    even = np.linspace(0.0, 1.0, num_frames)

    def clock(regular: bool) -> FloatArray:
        return even if regular else uneven_times(generator, num_frames)

    regular = generator.uniform(size=batch) < 0.4
    length = np.where(regular, num_frames - 1, generator.uniform(num_frames - 1, LONGEST, batch))
    times = np.stack([clock(known) for known in regular])
    decoys = np.stack([clock(known) for known in generator.uniform(size=batch) < 0.5])
    cut = np.where(generator.uniform(size=batch) < 0.5, 0, generator.integers(1, 10, batch))
    # Half of the clips show a whole morph, the others a part of one.
    part = np.where(generator.uniform(size=batch) < 0.5, 1.0, generator.uniform(0.2, 1, batch))
    start = generator.uniform(0.0, 1.0, batch) * (1.0 - part)
    backward = generator.uniform(size=batch) < 0.5
    ends = np.stack([start, start + part], axis=1)
    ends[backward] = ends[backward, ::-1]

    index = generator.integers(0, len(pool), batch)
    drift = np.where(generator.uniform(size=(batch, 1, 1)) < 0.3, 3.0, 0.0)
    drift = drift * generator.uniform(-1.0, 1.0, (batch, 2, 2))
    dimming = np.where(generator.uniform(size=batch) < 0.15, 0.3, 0.0)
    gains = 1.0 - dimming[:, None] * generator.uniform(size=(batch, 2))
    symmetry = generator.integers(0, 8, batch)

    share = torch.tensor(times, dtype=torch.float32)

    def shown(level: FloatArray, at: Tensor) -> Tensor:
        """Images (B, N, 3, H, W) in -1..1 at p (B, N), with the motion at time shares `at`."""
        below = np.clip(np.floor(level * (LEVELS - 1)).astype(int), 0, LEVELS - 2)
        part = torch.tensor(level * (LEVELS - 1) - below, dtype=torch.float32)
        part = part[..., None, None, None]
        low, high = (
            torch.from_numpy(np.stack([pool[i, rows] for i, rows in zip(index, both, strict=True)]))
            for both in (below, below + 1)
        )
        images = (low * (1 - part) + high * part).permute(0, 1, 4, 2, 3)
        images = _moved(images, _between(torch.tensor(drift, dtype=torch.float32), at))
        gain = _between(torch.tensor(gains, dtype=torch.float32)[..., None], at)
        images = (images * gain[..., None, None]).clamp(0, 255)
        for clip, kind in enumerate(symmetry):
            turned = torch.rot90(images[clip], int(kind % 4), dims=(2, 3))
            images[clip] = turned.flip(3) if kind >= 4 else turned
        return images / 127.5 - 1.0

    borders = shown(ends, torch.tensor([[0.0, 1.0]]).expand(batch, 2))
    progress = step_progress(share, step_place(borders[:, 0], borders[:, 1]))
    p = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * progress.numpy().astype(float)
    return Batch(
        clips=shown(p, share).permute(0, 2, 1, 3, 4).contiguous(),
        progress=progress,
        times=torch.tensor(times * length[:, None], dtype=torch.float32),
        decoys=torch.tensor(decoys * length[:, None], dtype=torch.float32),
        cut=torch.tensor(cut),
    )


def _between(ends: Tensor, share: Tensor) -> Tensor:
    """(B, N, C) on the way between two values (B, 2, C) at shares (B, N)."""
    return ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * share[..., None]


def _moved(images: Tensor, offset: Tensor) -> Tensor:
    """Frames (B, N, 3, SIZE, SIZE) cut from images with margins at offsets (B, N, 2) pixels."""
    still = images[..., MARGIN:-MARGIN, MARGIN:-MARGIN].clone()
    moving = (offset != 0).flatten(1).any(dim=1)
    if not moving.any():
        return still
    moved = images[moving]
    side = images.shape[-1]
    axis = torch.arange(SIZE) + MARGIN + 0.5
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack([columns, rows], dim=-1) + offset[moving].flatten(0, 1)[:, None, None]
    flat = F.grid_sample(
        moved.flatten(0, 1), 2 * grid / side - 1, mode="bicubic", align_corners=False
    )
    still[moving] = flat.unflatten(0, moved.shape[:2])
    return still
