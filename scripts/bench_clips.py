"""What `bench.py` measures of clips, models and whole commands.

A third kind of model only waits, as the CPU does for a GPU: it shows what the pipeline of embedding
costs where cores are not what is missing. The rotary module is called at the full shape of Wan 14B
at 480p; a block of its transformer takes minutes there on a CPU, so it is timed on a part of the
tokens, times so many. Attention grows with their square: a real block takes longer than that, and
the share that is printed is too large. A step is 40 blocks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from bench_workloads import (
    HD,
    ROOT,
    SMALL,
    SQUARE,
    TIMES,
    Call,
    Clip,
    Row,
    crossing,
    in_turns,
    seconds,
    sliding,
)
from numpy.typing import NDArray

import spf
from spf.embedders import embed_clip, load_embedder
from spf.pacing.resampling import resampled
from spf.video import Reader, write_mp4

EMBEDDED, RESAMPLED = 256, 24
"""Frames of a clip that is embedded (four times as many on a GPU), and of one that is resampled."""
MEASURED = 24
"""Clips of a leaderboard."""

# Embedding: does the model have to wait for frames, and what does taking them in batches gain?
# Together they cannot be faster than the slower of them. On the CPU they also share its cores, so
# there the model, alone and together, gets all cores but one.

VISION: dict[str, dict[str, Any]] = {
    "clip": {
        "embed_dim": 192,
        "vision_cfg": {
            "image_size": 96, "layers": 12, "width": 192, "head_width": 64, "patch_size": 16,
        },
    },
    "siglip": {
        "embed_dim": 768, "init_logit_bias": -10, "custom_text": True,
        "vision_cfg": {
            "image_size": 512, "timm_model_name": "vit_base_patch16_siglip_512",
            "timm_pool": "map", "timm_proj": "none",
        },
    },
}  # fmt: skip
"""ViT-Tiny/16 at 96 pixels for a CPU, the paper's ViT-B/16 at 512 for a GPU."""


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="spf-bench-") as name:
        yield Path(name)


class Waiting:
    """An embedder whose model takes no core, as with a GPU: 5 ms a frame."""

    name, control, batch_size = "waiting", False, 16

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)

    def encode(self, batch: NDArray[np.uint8]) -> Clip:
        time.sleep(0.005 * len(batch))
        return batch.mean(axis=(1, 2)).astype(np.float32) + 1

    def identity(self) -> dict[str, Any]:
        return {"embedder": self.name}


def random_tower(place: Path, name: str, device: str) -> Any:
    """An embedder of that size with random weights, saved and loaded as any open_clip folder is."""
    import towers

    text = {"context_length": 8, "vocab_size": 64, "width": 64, "heads": 2, "layers": 1}
    squash = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}
    config = {"model_cfg": VISION[name] | {"text_cfg": text}, "preprocess_cfg": squash}
    return load_embedder(name, device, path=towers.save_open_clip(place, config))


def compared_with_parts(
    what: str, tower: Any, source: Any, gain: float | None = None
) -> Iterator[Row]:
    """The whole against the slower of its parts, and against one frame at a time."""
    in_memory, size = isinstance(source, np.ndarray), tower.batch_size
    stack = getattr(tower, "stack", np.stack)

    def frames() -> Iterator[NDArray[np.uint8]]:
        yield from source if in_memory else (image for image, _ in Reader(source))

    count = sum(1 for _ in frames())
    some = [tower.prepare(image) for image in islice(frames(), size)]
    batch, batches = stack(some), max(1, count // size)
    calls: dict[str, Call] = {
        "model": lambda: [tower.encode(batch) for _ in range(batches)],
        "decoder": lambda: sum(1 for _ in frames()),
        "single": lambda: [tower.encode(stack([tower.prepare(x)])) for x in frames()],
        "whole": lambda: embed_clip(source, tower),
    }
    for call in calls.values():
        call()
    fps = {name: count / s for name, s in zip(calls, in_turns(3, *calls.values()), strict=True)}
    fps["model"] *= batches * len(some) / count
    whole, single = fps["whole"], fps["single"]
    parts = f"{whole:.0f} frames/s; model alone {fps['model']:.0f}"
    parts += "" if in_memory else f", decoder alone {fps['decoder']:.0f}"
    slower = fps["model"] if in_memory else min(fps["model"], fps["decoder"])
    yield Row(what, parts, whole / slower, "of the slower", least=0.9)
    yield Row("", f"one frame at a time: {single:.0f} frames/s", whole / single, TIMES, least=gain)


def embedding_on_cpu() -> Iterator[Row]:
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() - 1))
    with folder() as place:
        path = place / "clip.mp4"
        write_mp4(path, sliding(SQUARE, EMBEDDED), 24)
        for name, tower in (
            ("CPU, ViT-Tiny/16 at 96 px", random_tower(place / "tower", "clip", "cpu")),
            ("model that waits", Waiting()),
        ):
            yield from compared_with_parts(f"embed, {name}", tower, path)


def embedding_on_gpu() -> Iterator[Row]:
    import torch

    what = "embed, GPU, ViT-B/16 at 512 px, float16"
    if not torch.cuda.is_available():
        yield Row(what, "no GPU", None, "of the slower", least=0.9)
        return
    with folder() as place:
        tower = random_tower(place / "tower", "siglip", "cuda")
        frames = np.concatenate([sliding(HD, 32)] * (4 * EMBEDDED // 32))
        yield from compared_with_parts(f"{what}, frames in memory", tower, frames, 8)
        rough = spf.embed(frames[:8], tower).astype(np.float64)
        for device in ("cuda", "cpu"):
            exact = load_embedder("siglip", device, path=place / "tower", precision="float32")
            chord = np.linalg.norm(rough - spf.embed(frames[:8], exact), axis=1)
            angle = float(2 * np.arcsin(chord / 2).max())
            yield Row("", f"largest angle to float32 on {device}", angle, "rad")
        write_mp4(place / "clip.mp4", frames, 24)
        yield from compared_with_parts(f"{what}, H.264", tower, place / "clip.mp4", 8)


def resampling() -> Iterator[Row]:
    """Frames a second of a result half as fast as its clip, and twice as fast, without codecs."""
    frames, last = sliding(SMALL, RESAMPLED), RESAMPLED - 1
    maps = (np.linspace(0, last, 2 * RESAMPLED), np.arange(0.3, last, 2.0))
    for method, least in {"nearest": None, "blend": 30.0, "flow": 8.0}.items():

        def shown(positions: NDArray[np.float64], method: str = method) -> int:
            return sum(1 for _ in resampled(frames, positions, method))

        shown(maps[0])
        taken = in_turns(5, *(partial(shown, positions) for positions in maps))
        rates = [len(positions) / s for positions, s in zip(maps, taken, strict=True)]
        compared = "half as fast {:.0f}, twice as fast {:.0f} frames/s".format(*rates)
        what = f"resampling by {method}, {SMALL[1]} x {SMALL[0]}"
        yield Row(what, compared, min(rates), "frames/s", least)


# ReTime


def hook_overhead() -> Iterator[Row]:
    """What the hook on the rotary clock costs, against a denoising step of Wan 14B."""
    import torch
    from diffusers.models.transformers import transformer_wan as wan

    from spf.generators.clock import wan_rope
    from spf.pacing.warp import Warp

    heads, head_dim, latents, height, width = 40, 128, 21, 60, 104  # patches of 2 x 2
    tokens = latents * height // 2 * width // 2
    device = "cuda" if torch.cuda.is_available() else "cpu"
    part = 1 if device == "cuda" else 8

    class Positions(torch.nn.Module):
        """What is left of the transformer: its rope, called as it calls it."""

        def __init__(self) -> None:
            super().__init__()
            self.rope = wan.WanRotaryPosEmbed(head_dim, (1, 2, 2), 1024)

        def forward(self, hidden: Any, timestep: Any) -> Any:
            return self.rope(hidden)

    def timed(call: Call, turns: int) -> float:
        calls = (call, torch.cuda.synchronize) if device == "cuda" else (call,)
        in_turns(1, *calls)
        return in_turns(turns, lambda: [each() for each in calls])[0]

    warp = Warp(np.arange(float(latents)), 3.0 * np.sin(np.linspace(0, np.pi, latents)))
    plain, warped = Positions().to(device), Positions().to(device)
    warp.applied([wan_rope(warped)]).__enter__()  # for as long as this process lives
    with torch.inference_mode(), torch.device(device):
        step, grid = torch.full((1,), 800.0), torch.empty(1, 16, latents, height, width)
        bare, hooked = (timed(partial(rope, grid, timestep=step), 9) for rope in (plain, warped))
        dtype, dim = torch.bfloat16 if device == "cuda" else torch.float32, heads * head_dim
        block = wan.WanTransformerBlock(dim, 13824, heads, cross_attn_norm=True).to(dtype).eval()
        tables = tuple(torch.randn(1, tokens // part, 1, head_dim) for _ in range(2))
        hidden = torch.randn(1, tokens // part, dim, dtype=dtype)
        text, modulation = torch.randn(1, 512, dim, dtype=dtype), torch.randn(1, 6, dim)
        took = part * timed(lambda: block(hidden, text, modulation, tables), 3)
    compared = f"{1e3 * (hooked - bare):.3g} ms more; a block {1e3 * took:.3g} ms on {device}"
    share = 100 * (hooked - bare) / (40 * took)
    yield Row(f"warped rope of Wan 14B, {tokens} tokens", compared, share, "% of a step", most=1)


# Whole commands


def start_up() -> Iterator[Row]:
    """Seconds until a command that does nothing has ended."""
    for what, arguments, most in (
        ("import spf", ["-c", "import spf"], 0.5),
        ("spf --help", ["-m", "spf.cli", "--help"], 1.0),
        ("run.py --help", ["run.py", "--help"], 1.0),
    ):
        calls = [partial(_run, each) for each in (["-c", ""], arguments)]
        bare, taken = in_turns(6, *calls)
        yield Row(what, f"until it ends; bare Python {bare:.2f} s", taken, "s", most=most)


def leaderboard_again() -> Iterator[Row]:
    """A leaderboard with nothing stored, with embeddings cached, with all clips finished."""
    gone = {"nothing": ("results", "cache"), "embeddings cached": ("results",), "all finished": ()}
    taken: dict[str, list[float]] = {state: [] for state in gone}
    with _clips(MEASURED) as (clips, place):
        for _ in range(3):
            for state, found in taken.items():
                for name in gone[state]:
                    shutil.rmtree(place / name, ignore_errors=True)
                found.append(seconds(partial(_leaderboard, clips, place, 1)))
    cold, *others = (float(np.median(found)) for found in taken.values())
    for state, again in zip(list(taken)[1:], others, strict=True):
        what = f"leaderboard of {MEASURED} clips, tiny, 1 worker"
        yield Row(what, f"from nothing {cold:.1f} s, {state} {again:.1f} s", cold / again, TIMES)


def second_worker() -> Iterator[Row]:
    """One worker on one core, two on two: first cell to last, and the whole command."""
    what, parts = f"2 workers on 2 cores, {4 * MEASURED} clips", ("first cell to last", "all")
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        yield Row(what, "one core", None, "efficiency", least=0.85)
        return
    taken: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with _clips(4 * MEASURED) as (clips, place):
        for _ in range(3):
            for workers, found in taken.items():
                for name in ("results", "cache"):
                    shutil.rmtree(place / name, ignore_errors=True)
                whole = seconds(partial(_leaderboard, clips, place, workers, cores[:workers]))
                found.append((_cells_took(place / "results"), whole))
    one, two = (np.median(found, axis=0) for found in taken.values())
    for part, alone, both, least in zip(parts, one, two, (0.85, None), strict=True):
        compared = f"{part}: 1 on 1 core {alone:.1f} s, 2 on 2 cores {both:.1f} s"
        yield Row(what, compared, alone / both / 2, "efficiency", least)


def _run(arguments: Sequence[str], cores: Sequence[int] = (), **variables: str) -> None:
    """Run Python, on these cores alone where some are named."""
    subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        check=True,
        capture_output=True,
        preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
    )


def _leaderboard(clips: Path, place: Path, workers: int, cores: Sequence[int] = ()) -> None:
    overrides = ["benchmark=leaderboard", "model=folder", f"model.path={clips}", "logger=csv"]
    overrides += ["embedder=tiny", f"output={place / 'results'}", f"workers={workers}"]
    variables = {"OMP_NUM_THREADS": "1"} if cores else {}  # a worker is one core's
    _run(["run.py", *overrides], cores, SPF_CACHE_DIR=str(place / "cache"), **variables)


def _cells_took(output: Path) -> float:
    """Seconds from the beginning of the first cell to the end of the last one."""
    import pandas as pd

    (timings,) = output.glob("runs/*/timings.parquet")
    took = pd.read_parquet(timings).set_index("cell")["total"]
    ended = {
        path.parent.name: path.stat().st_mtime for path in output.glob("cells/*/manifest.json")
    }
    began = [end - took[name[: len(took.index[0])]] for name, end in ended.items()]
    return max(ended.values()) - min(began)


@contextmanager
def _clips(count: int) -> Iterator[tuple[Path, Path]]:
    """A folder of clips, GENERATOR/PAIR.mp4, that cross at paces of their own; one to work in."""
    with folder() as place:
        for number in range(count):
            path = place / "clips" / f"generator-{number // 6}" / f"pair-{number % 6}.mp4"
            write_mp4(path, crossing(number, SQUARE, 81), 16)
        yield place / "clips", place


WORKLOADS = (
    embedding_on_cpu, embedding_on_gpu, resampling, hook_overhead,
    start_up, leaderboard_again, second_worker,
)  # fmt: skip
