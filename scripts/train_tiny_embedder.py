"""Train the shipped embedder from scratch, without data: python scripts/train_tiny_embedder.py

Self-supervision on procedural images (scripts/procedural_images.py). A sample is a scene A on its
way to a scene B, at a known share p of the way. Two losses on the unit vectors z of views of it,
each view with its own camera, light, noise and compression:

- contrastive (van den Oord et al. 2018, with the soft targets of i-Mix, Lee et al. 2021): z(p)
  picks A with probability 1 - p and B with p, among both ends of all samples of the batch;
- geodesic: z(p) lies on the great circle from z(A) to z(B), at the share p.

So the angle between two vectors grows with the change of what is shown and not with how it is seen.
The log and a checkpoint are written to --out; started again, it goes on from there.
"""

import argparse
import csv
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from procedural_images import SIDE, CollagePainter
from safetensors.torch import save_file
from torch.nn import functional
from torch.optim import swa_utils

from spf.embedders.tiny_network import TinyNetwork
from spf.files import moved_into_place

SIZE = 64
LEVELS = 5


@dataclass(frozen=True)
class Recipe:
    """All that determines the weights, but for the kind of machine."""

    seed: int = 0
    sequences: int = 12_000
    steps: int = 2_800
    samples: int = 128  # transitions in a batch, each seen in three views
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warm_up: int = 200
    horizon: int = 4_000  # steps in which the learning rate would fall to 0 along half a cosine
    cool_down: int = 800  # last steps, in which it is brought down to 0 linearly
    temperature: float = 0.1
    geodesic: float = 1.0
    average: float = 0.998  # decay of the averaged weights, which are the ones that are saved


def render_pool(recipe: Recipe, path: Path) -> NDArray[np.uint8]:
    """All sequences (N, LEVELS, SIDE, SIDE, 3) uint8, rendered once and then mapped from disk."""
    shape = (recipe.sequences, LEVELS, SIDE, SIDE, 3)
    if not path.exists():
        painter = CollagePainter(np.random.default_rng(recipe.seed))
        with moved_into_place(path) as temporary:
            pool = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
            for index in range(recipe.sequences):
                pool[index] = painter.sequence(LEVELS)
            pool.flush()
    pool = np.load(path, mmap_mode="r")
    assert pool.shape == shape, f"{path} is of another recipe; remove it"
    return pool


class Views:
    """Draws batches: transitions from the pool, each seen through cameras of its own."""

    def __init__(self, pool: NDArray[np.uint8], generator: np.random.Generator) -> None:
        self.pool, self.rng = pool, generator

    def batch(self, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Views (3, samples, 3, SIZE, SIZE) float32 of A, B and p; and p (samples,)."""
        views, shares = [], []
        for _ in range(samples):
            first, second, between, p = self._transition()
            views.append([self._seen(x) for x in (first, second, between)])
            shares.append(p)
        pixels = torch.from_numpy(np.array(views, np.float32)).permute(1, 0, 4, 2, 3)
        return pixels, torch.tensor(shares, dtype=torch.float32)

    def _transition(self) -> tuple[NDArray, NDArray, NDArray, float]:
        rng = self.rng
        index, other = rng.integers(len(self.pool), size=2)
        kind = rng.choice(["sequence", "dissolve", "wipe"], p=[0.5, 0.3, 0.2])
        if kind == "sequence":
            level = int(rng.integers(LEVELS))
            sequence = self.pool[index]
            return sequence[0], sequence[-1], sequence[level], level / (LEVELS - 1)
        first, second = self.pool[index, 0], self.pool[other, -1]
        p = float(np.clip(rng.uniform(-0.2, 1.2), 0, 1))
        if kind == "dissolve":
            return first, second, cv2.addWeighted(first, 1 - p, second, p, 0), p
        # Each pixel goes over at its own time; the times are smooth noise.
        coarse = rng.standard_normal((int(rng.integers(3, 14)),) * 2).astype(np.float32)
        field = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        gone = field <= np.quantile(field, p) if 0 < p < 1 else np.full(field.shape, p == 1)
        return first, second, np.where(gone[..., None], second, first), p

    def _seen(self, image: NDArray) -> NDArray[np.float32]:
        """(SIZE, SIZE, 3) float32 in -1..1: through a camera, a light, a sensor and a codec."""
        rng = self.rng
        window = SIDE * rng.uniform(0.62, 0.95)
        turn = math.radians(float(np.clip(rng.normal(0, 9), -30, 30)))
        scale = window / SIZE
        squeeze = math.exp(rng.normal(0, 0.06))
        cos, sin = math.cos(turn), math.sin(turn)
        linear = scale * np.array([[cos * squeeze, -sin], [sin, cos / squeeze]])
        centre = SIDE / 2 + rng.uniform(-0.2, 0.2, 2) * window
        offset = centre - linear @ np.full(2, SIZE / 2)
        flags, mode = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REFLECT_101
        matrix = np.column_stack([linear, offset])
        blur = rng.uniform()
        if scale > 1.4 or blur < 0.15:
            image = cv2.GaussianBlur(image, (0, 0), 0.45 * scale * (1 + 2 * (blur < 0.15)))
        seen = cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=flags, borderMode=mode)
        if rng.uniform() < 0.15:  # something that walks through
            place = tuple(int(x) for x in rng.integers(0, SIZE, 2))
            colour = tuple(int(x) for x in rng.integers(0, 256, 3))
            cv2.circle(seen, place, int(rng.integers(2, 9)), colour, -1, cv2.LINE_AA)
        light = seen.astype(np.float32) / 255
        if rng.uniform() < 0.8:
            gain = math.exp(rng.uniform(-0.7, 0.3)) * np.exp(rng.normal(0, 0.05, 3))
            light = light * gain.astype(np.float32)
            if rng.uniform() < 0.4:
                light = np.maximum(light, 0) ** np.float32(math.exp(rng.normal(0, 0.2)))
            light += np.float32(rng.normal(0, 0.04))
        if rng.uniform() < 0.5:
            deviation = np.float32(rng.exponential(0.025))
            light = light + deviation * rng.standard_normal(light.shape, np.float32)
        light = np.clip(light, 0, 1)
        if rng.uniform() < 0.25:
            pixels, quality = (light * 255).astype(np.uint8), int(rng.integers(12, 80))
            coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            light = cv2.imdecode(coded, cv2.IMREAD_COLOR).astype(np.float32) / 255
        return light * 2 - 1


def losses(
    vectors: torch.Tensor, shares: torch.Tensor, recipe: Recipe
) -> tuple[torch.Tensor, torch.Tensor]:
    """Contrastive and geodesic loss of vectors (3, samples, D), as in the head of this file."""
    first, second, view = functional.normalize(vectors.float(), dim=-1)
    keys = torch.cat([first, second])
    count = len(shares)
    rows = torch.arange(count)
    targets = torch.zeros(count, 2 * count)
    targets[rows, rows] = 1 - shares
    targets[rows, rows + count] += shares
    cosine = (first * second).sum(-1, keepdim=True).clamp(-0.999, 0.999)
    angle = torch.arccos(cosine)
    p = shares[:, None]
    circle = torch.sin((1 - p) * angle) * first + torch.sin(p * angle) * second
    circle = circle / torch.sin(angle)
    contrastive = functional.cross_entropy(view @ keys.T / recipe.temperature, targets)
    geodesic = (1 - (view * circle).sum(-1)).mean()
    return contrastive, geodesic


def train(recipe: Recipe, out: Path, threads: int, save_every: int = 100) -> None:
    """Train, or go on from the checkpoint in `out`; the averaged weights are written beside it."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n")
    pool = render_pool(recipe, out / f"pool-{recipe.seed}-{recipe.sequences}.npy")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(recipe.seed)
    network = TinyNetwork().to(device, memory_format=torch.channels_last)
    average = swa_utils.get_ema_multi_avg_fn(recipe.average)
    averaged = swa_utils.AveragedModel(network, multi_avg_fn=average, use_buffers=True)
    rates = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    optimiser = torch.optim.AdamW(network.parameters(), **rates)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda n: _rate(n, recipe))
    parts = {"network": network, "averaged": averaged, "optimiser": optimiser, "rate": schedule}
    checkpoint = out / "checkpoint.pt"
    done = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        done = state.pop("done")
        for name, part in parts.items():
            part.load_state_dict(state[name])
    with (out / "log.csv").open("a", newline="") as file:
        log = csv.writer(file)
        if done == 0:
            log.writerow(["step", "contrastive", "geodesic", "seconds"])
        started = time.perf_counter()
        for step in range(done, recipe.steps):
            views = Views(pool, np.random.default_rng([recipe.seed, step]))
            pixels, shares = views.batch(recipe.samples)
            pixels = pixels.flatten(0, 1).to(device, memory_format=torch.channels_last)
            with torch.autocast(device, torch.bfloat16):
                vectors = network(pixels).unflatten(0, (3, -1))
            contrastive, geodesic = losses(vectors, shares.to(device), recipe)
            optimiser.zero_grad(set_to_none=True)
            (contrastive + recipe.geodesic * geodesic).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            averaged.update_parameters(network)
            if step % 20 == 0:
                seconds = round(time.perf_counter() - started, 1)
                log.writerow([step, f"{contrastive:.4f}", f"{geodesic:.4f}", seconds])
                file.flush()
            if (step + 1) % save_every == 0 or step + 1 == recipe.steps:
                state = {name: part.state_dict() for name, part in parts.items()}
                with moved_into_place(checkpoint) as temporary:
                    torch.save({**state, "done": step + 1}, temporary)
                save_weights(averaged.module, out / "tiny.safetensors")


def _rate(step: int, recipe: Recipe) -> float:
    """Share of the learning rate: a linear warm-up, half a cosine, cut short by the cool-down."""
    rise = min(1.0, (step + 1) / recipe.warm_up)
    gone = (step - recipe.warm_up) / max(recipe.horizon - recipe.warm_up, 1)
    fall = 0.5 * (1 + math.cos(math.pi * min(max(gone, 0.0), 1.0)))
    return rise * fall * min(1.0, (recipe.steps - step) / recipe.cool_down)


def save_weights(network: torch.nn.Module, path: Path) -> None:
    """The weights in float16, whole numbers left out."""
    state = network.state_dict().items()
    weights = {name: x.half().contiguous() for name, x in state if x.is_floating_point()}
    with moved_into_place(path) as temporary:
        save_file(weights, temporary)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for log and weights")
    parser.add_argument("--threads", type=int, default=1)
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args())
    out, threads = options.pop("out"), options.pop("threads")
    train(Recipe(**options), out, threads)


if __name__ == "__main__":
    main()
