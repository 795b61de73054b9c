"""Train the shipped generator from scratch on procedural morphs.

`python scripts/train_tiny_generator.py --out runs/tiny` renders its clips, trains, writes a line of
log.csv now and then, and a checkpoint from which the same command resumes. The averaged weights
are in `OUT/weights`, ready for `TinySampler(OUT/weights)`. The learning rate is constant after a
warm-up and falls to zero over the last `--decay` steps, so that `--steps` can be raised until then.
`--start FOLDER` begins from weights instead of noise; its optimisers begin anew.
"""

import argparse
import copy
import csv
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.tiny_generator_data import SIZE, Batch, draw_batch, render_pool  # noqa: E402
from spf.files import moved_into_place, write_atomic  # noqa: E402
from spf.generators.tiny.sampling import (  # noqa: E402
    SETTINGS_FILE,
    TEXT_DIM,
    SamplerSettings,
    conditioning,
    midway,
    no_text,
)

MODEL = {
    "patch_size": (1, 4, 4), "in_channels": 10, "out_channels": 3, "num_layers": 4,
    "num_attention_heads": 2, "attention_head_dim": 128,  # 22 temporal bands, as Wan's large models
    "text_dim": TEXT_DIM, "freq_dim": 128, "ffn_dim": 768,
    "cross_attn_norm": False, "rope_max_seq_len": 64,
}  # fmt: skip
SETTINGS = SamplerSettings((SIZE, SIZE), num_frames=24, min_frames=5, max_frames=33)


@dataclass(frozen=True)
class Config:
    """What determines the result, beside the library's versions and the processor."""

    steps: int = 2400
    decay: int = 700
    warmup: int = 100
    seed: int = 0
    seeds: int = 16  # contents of each pair
    frames: tuple[int, ...] = (8, 12, 24)
    frame_weights: tuple[float, ...] = (2, 2, 1.5)
    batch_frames: int = 96  # frames in a batch, whatever the clips' length
    matrix_rate: float = 0.015  # Muon
    vector_rate: float = 2e-3  # AdamW
    average: float = 0.996
    threads: int = 1


class SingleToken:
    """Cross-attention to one token, the same without the scores: its softmax is always 1."""

    def __call__(self, attn: nn.Module, hidden: Tensor, text: Tensor, *unused: object) -> Tensor:
        """(B, 1, D) that is added to every token."""
        return attn.to_out[0](attn.to_v(text))


class Clocks:
    """Hook on `transformer.rope` that gives each clip of a batch its own temporal positions."""

    def __init__(self, model: WanTransformer3DModel) -> None:
        bands = model.rope.t_dim // 2
        self.omega = 10000.0 ** (-torch.arange(bands, dtype=torch.float64) / bands)
        self.positions = torch.zeros(0)
        model.rope.register_forward_hook(self.replace)

    def show(self, batch: Batch) -> None:
        """Set the positions (B, T, bands) for the next call."""
        high = torch.arange(len(self.omega)) < batch.cut[:, None, None]
        self.positions = torch.where(high, batch.decoys[..., None], batch.times[..., None])

    def replace(
        self, rope: nn.Module, inputs: tuple[Tensor, ...], tables: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The tables (1, N, 1, D) with their temporal channels computed anew: (B, N, 1, D)."""
        batch, frames, bands = self.positions.shape
        angle = (self.positions * self.omega).repeat_interleave(2, dim=-1)[:, :, None]
        spatial = tables[0].shape[1] // frames

        def table(old: Tensor, values: Tensor) -> Tensor:
            old = old[0, :spatial, 0, 2 * bands :].expand(batch, frames, spatial, -1)
            temporal = values.float().expand(-1, -1, spatial, -1)
            return torch.cat([temporal, old], dim=-1).flatten(1, 2)[:, :, None]

        return table(tables[0], angle.cos()), table(tables[1], angle.sin())


class Trainer:
    """Model, its average, optimisers and random state: all that a checkpoint holds."""

    def __init__(self, config: Config, out: Path) -> None:
        self.config, self.out, self.step = config, out, 0
        torch.manual_seed(config.seed)
        self.generator = np.random.default_rng(config.seed)
        self.model = WanTransformer3DModel(**MODEL)
        for values in self.model.proj_out.parameters():
            nn.init.zeros_(values)
        for block in self.model.blocks:
            # Wan's own gates start near zero; open ones learn from the first step.
            with torch.no_grad():
                block.scale_shift_table.zero_()[:, [2, 5]] = 1.0
                block.attn1.norm_q.weight.fill_(1.5)
                block.attn1.norm_k.weight.fill_(1.5)
            block.attn2.set_processor(SingleToken())
            for name in ("to_q", "to_k", "norm_q", "norm_k"):
                getattr(block.attn2, name).requires_grad_(False)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.clocks = Clocks(self.model)
        # The residual stream stays in float32; autocast would keep it in bfloat16.
        self.model.patch_embedding.register_forward_hook(lambda module, inputs, out: out.float())
        learned = [p for p in self.model.parameters() if p.requires_grad]
        matrices = [p for p in self.model.blocks.parameters() if p.requires_grad and p.ndim == 2]
        chosen = {id(p) for p in matrices}
        vectors = [p for p in learned if id(p) not in chosen]
        self.optimisers = [
            torch.optim.Muon(matrices, lr=config.matrix_rate, weight_decay=0.02),
            torch.optim.AdamW(vectors, lr=config.vector_rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        self.rates = [group["lr"] for o in self.optimisers for group in o.param_groups]

    def rate(self) -> float:
        """Share of the full learning rate at this step."""
        config = self.config
        rest = (config.steps - self.step) / max(config.decay, 1)
        return min(1.0, (self.step + 1) / config.warmup, rest)

    def loss(self, batch: Batch) -> Tensor:
        """Weighted mean squared error of the predicted clean clips."""
        count, _, frames = batch.clips.shape[:3]
        # Where there is little to see of the clip, only the clock shows the progress. With too few
        # such levels each patch reads it off its own noise, and changes on its own.
        sigma = 0.1 + 0.9 * torch.rand(count)
        sigma = torch.where(torch.rand(count) < 0.6, 1.0 - 0.15 * torch.rand(count), sigma)
        first, last = batch.clips[:, :, 0], batch.clips[:, :, -1]
        known = conditioning(first, last, frames)
        level = sigma[:, None, None, None, None]
        noisy = (1 - level) * batch.clips + level * torch.randn_like(batch.clips)
        self.clocks.show(batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            change = self.model(
                hidden_states=torch.cat([noisy, known], dim=1),
                timestep=1000.0 * sigma,
                encoder_hidden_states=no_text(count),
                return_dict=False,
            )[0]
        clean = midway(first, last) + change.float()
        error = (clean - batch.clips).square().mean(dim=(1, 3, 4))
        # Most frames look like one of the ends; those between are what is to be learnt.
        between = (batch.progress > 0.02) & (batch.progress < 0.98)
        return ((1.0 + 2.0 * between) * error).mean()

    def advance(self, pool: np.ndarray) -> float:
        """One step of training; the loss."""
        config = self.config
        chances = np.array(config.frame_weights) / sum(config.frame_weights)
        frames = int(self.generator.choice(config.frames, p=chances))
        batch = draw_batch(self.generator, pool, config.batch_frames // frames, frames)
        loss = self.loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        share, rates = self.rate(), iter(self.rates)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = share * next(rates)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        decay = min(config.average, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.model.parameters()), 1.0 - decay
            )
        return loss.item()

    def save(self) -> None:
        """Write the checkpoint and the averaged weights."""
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "torch": torch.get_rng_state(),
            "numpy": json.dumps(self.generator.bit_generator.state),
        }
        with moved_into_place(self.out / "checkpoint.pt") as temporary:
            torch.save(state, temporary)
        with moved_into_place(self.out / "weights") as temporary:
            copy.deepcopy(self.average).half().save_pretrained(temporary)
            settings = json.dumps(asdict(SETTINGS), indent=2) + "\n"
            write_atomic(temporary / SETTINGS_FILE, settings)

    def start_from(self, folder: Path) -> None:
        """Begin with the weights in a folder."""
        start = WanTransformer3DModel.from_pretrained(
            folder, torch_dtype=torch.float32, use_safetensors=True, local_files_only=True
        ).state_dict()
        self.model.load_state_dict(start)
        self.average.load_state_dict(start)

    def resume(self) -> None:
        """Go on from the checkpoint where there is one."""
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        torch.set_rng_state(state["torch"])
        self.generator.bit_generator.state = json.loads(state["numpy"])


def train(trainer: Trainer, pool: np.ndarray, every: int) -> None:
    """Train to the end; log now and then, and save every so many steps."""
    config, out = trainer.config, trainer.out
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "config.json", json.dumps(asdict(config) | {"model": MODEL}, indent=2))
    started, losses = time.perf_counter(), []
    while trainer.step < config.steps:
        losses.append(trainer.advance(pool))
        if trainer.step % 25 == 0:
            row = {
                "step": trainer.step,
                "loss": f"{np.mean(losses):.6f}",
                "rate": f"{trainer.rate():.4f}",
                "seconds": f"{time.perf_counter() - started:.1f}",
            }
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            with open(out / "log.csv", "a", newline="") as file:
                writer = csv.DictWriter(file, row)
                if not file.tell():
                    writer.writeheader()
                writer.writerow(row)
            losses = []
        if trainer.step % every == 0 or trainer.step == config.steps:
            trainer.save()


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pool", type=Path, help="where the rendered clips are stored")
    parser.add_argument("--start", type=Path, help="folder of weights to begin with")
    options = ("steps", "decay", "seed", "threads")
    for name in options:
        parser.add_argument(f"--{name}", type=int, default=getattr(Config, name))
    parser.add_argument("--every", type=int, default=200, help="steps between checkpoints")
    parser.add_argument("--no-compile", action="store_true", help="without a C++ compiler")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = Config(**{name: getattr(args, name) for name in options})
    pool = render_pool(args.pool or args.out / "pool.npy", config.seeds)
    trainer = Trainer(config, args.out)
    if args.start is not None:
        trainer.start_from(args.start)
    trainer.resume()
    if not args.no_compile:
        torch._dynamo.config.recompile_limit = 64
        for block in trainer.model.blocks:
            block.compile(dynamic=False)
    train(trainer, pool, args.every)


if __name__ == "__main__":
    main()
