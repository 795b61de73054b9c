"""Embedding: does the model have to wait for frames, and what does taking them in batches gain?

On the CPU the model is a ViT-Tiny/16 at 96 pixels; on a GPU the paper's ViT-B/16 at 512 pixels in
float16; both with random weights, saved and loaded as any folder of open_clip's is. The model alone
encodes one prepared batch again and again; the decoder alone reads the clip. Embedding cannot be
faster than the slower of them. On the CPU they also share its cores: with t_m and t_d core-seconds
a frame, at most t_m / (t_m + t_d) can be reached where the model alone already uses every core.
So there the model, alone and together, gets all cores but one.

A third model only waits, as the CPU does for a GPU, 5 ms a frame: it shows what the pipeline costs
where cores are not what is missing.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from bench_tools import Row, Sizes, in_turns

ROOT = Path(__file__).resolve().parent.parent
TURNS = 3
WAIT = 0.005  # seconds a frame

TEXT = {"context_length": 8, "vocab_size": 64, "width": 64, "heads": 2, "layers": 1}
SQUASH = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}
TINY: dict[str, Any] = {
    "embed_dim": 192,
    "vision_cfg": {
        "image_size": 96,
        "layers": 12,
        "width": 192,
        "head_width": 64,
        "patch_size": 16,
    },
}
REAL: dict[str, Any] = {
    "embed_dim": 768,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 512,
        "timm_model_name": "vit_base_patch16_siglip_512",
        "timm_pool": "map",
        "timm_proj": "none",
    },
}


class Waiting:
    """An embedder whose model takes no core: `WAIT` seconds a frame."""

    name = "waiting"
    control = False
    batch_size = 16

    def prepare(self, image: np.ndarray) -> np.ndarray:
        import cv2

        return cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        time.sleep(WAIT * len(batch))
        return batch.mean(axis=(1, 2)).astype(np.float32) + 1

    def identity(self) -> dict[str, Any]:
        return {"embedder": self.name}


def embedding_on_cpu(sizes: Sizes) -> dict[str, float]:
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() - 1))
    with _folder() as folder:
        tower = _tower(folder / "tower", "clip", TINY, "cpu")
        path = _video(folder / "clip.mp4", sizes.embedded, 256, 256)
        return _compare(tower, path, sizes.embedded)


def embedding_with_a_waiting_model(sizes: Sizes) -> dict[str, float]:
    with _folder() as folder:
        path = _video(folder / "clip.mp4", sizes.embedded, 256, 256)
        return _compare(Waiting(), path, sizes.embedded)


def embedding_on_gpu_from_memory(sizes: Sizes) -> dict[str, float]:
    if not _has_gpu():
        return {}
    count = 4 * sizes.embedded
    with _folder() as folder:
        tower = _tower(folder / "tower", "siglip", REAL, "cuda")
        frames = np.concatenate([_frames(32, 720, 1280)] * (count // 32))
        return _compare(tower, frames, len(frames)) | _precision(tower, folder / "tower", frames)


def embedding_on_gpu_from_h264(sizes: Sizes) -> dict[str, float]:
    if not _has_gpu():
        return {}
    count = 4 * sizes.embedded
    with _folder() as folder:
        tower = _tower(folder / "tower", "siglip", REAL, "cuda")
        return _compare(tower, _video(folder / "clip.mp4", count, 720, 1280), count)


WORKLOADS = (
    embedding_on_cpu,
    embedding_with_a_waiting_model,
    embedding_on_gpu_from_memory,
    embedding_on_gpu_from_h264,
)


def _compare(tower: Any, source: Any, count: int) -> dict[str, float]:
    """Frames per second of the parts and of the whole, which take turns, once warm."""
    from spf.embedders import embed_clip
    from spf.video import Reader

    size = tower.batch_size
    stack = getattr(tower, "stack", np.stack)
    in_memory = isinstance(source, np.ndarray)
    images = list(source[:size]) if in_memory else [image for image, _ in Reader(source)][:size]
    batch = stack([tower.prepare(image) for image in images])
    batches = max(1, count // size)

    def model() -> None:
        for _ in range(batches):
            tower.encode(batch)

    def decoder() -> None:
        if not in_memory:
            for _ in Reader(source):
                pass

    def one_at_a_time() -> None:
        for image in source if in_memory else (image for image, _ in Reader(source)):
            tower.encode(stack([tower.prepare(image)]))

    def whole() -> None:
        embed_clip(source, tower)

    calls = (model, decoder, one_at_a_time, whole)
    for call in calls:
        call()
    taken = in_turns(TURNS, *((call, 1) for call in calls))
    done = (batches * len(images), count, count, count)
    names = ("model", "decoder", "single", "whole")
    return {name: n / seconds for name, n, seconds in zip(names, done, taken, strict=True)}


def _precision(tower: Any, folder: Path, frames: np.ndarray) -> dict[str, float]:
    """Largest angle (radians) to float32 on the GPU, and to float32 on the CPU with Pillow."""
    import spf
    from spf.embedders import load_embedder

    few = frames[:8]
    found = {}
    rough = spf.embed(few, tower).astype(np.float64)
    for name, device in (("to_float32", "cuda"), ("to_cpu", "cpu")):
        exact = spf.embed(few, load_embedder("siglip", device, path=folder, precision="float32"))
        chord = np.linalg.norm(rough - exact.astype(np.float64), axis=1)
        found[name] = float(2 * np.arcsin(chord / 2).max())
    return found


def _tower(folder: Path, word: str, config: dict[str, Any], device: str) -> Any:
    """An embedder with that image tower, a small text tower and random weights."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    from spf.embedders import load_embedder

    folder.mkdir()
    whole = {"model_cfg": config | {"text_cfg": TEXT}, "preprocess_cfg": SQUASH}
    (folder / "open_clip_config.json").write_text(json.dumps(whole))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", precision="fp32")
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return load_embedder(word, device, path=folder)


def _frames(count: int, height: int, width: int) -> np.ndarray:
    """A texture that slides, with a little noise: neither trivial nor hopeless to compress."""
    import cv2

    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (height // 32, (width + count) // 32 + 1, 3), dtype=np.uint8)
    wide = cv2.resize(coarse, (width + count, height), interpolation=cv2.INTER_CUBIC)
    noise = random.integers(0, 8, (height, width, 3), dtype=np.uint8)
    return np.stack([cv2.add(wide[:, k : k + width], noise) for k in range(count)])


def _video(path: Path, count: int, height: int, width: int) -> Path:
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))
    import clips

    frames = _frames(32, height, width)
    return clips.encode(path, [frames[k % 32] for k in range(count)], rate=24)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="spf-bench-") as name:
        yield Path(name)


def _has_gpu() -> bool:
    if not os.path.exists("/dev/nvidiactl"):
        return False
    import torch

    return torch.cuda.is_available()


def table_rows(sizes: Sizes, found: dict[str, dict[str, float]]) -> list[Row]:
    """Two lines for each workload: against its parts, and against one frame at a time."""
    small, large = sizes.embedded, 4 * sizes.embedded
    cpu, gpu = "ViT-Tiny/16 at 96 px, float32", "ViT-B/16 at 512 px, float16"
    lines = [
        (
            "embedding_on_cpu",
            f"embed, CPU (model on all cores but one), {cpu}, {small} frames",
            1.5,
        ),
        (
            "embedding_with_a_waiting_model",
            f"embed, model that waits, {small} frames",
            None,
        ),
        ("embedding_on_gpu_from_memory", f"embed, GPU, {gpu}, {large} frames in memory, 720p", 8),
        ("embedding_on_gpu_from_h264", f"embed, GPU, {gpu}, {large} frames of 720p H.264", 8),
    ]
    rows = []
    for name, what, bar in lines:
        fps = found[name]
        if not fps:
            rows.append(Row(what, "-", "not run: no GPU", ">= 0.9; >= 8 times", None))
            continue
        in_memory = name.endswith("memory")
        slowest = fps["model"] if in_memory else min(fps["model"], fps["decoder"])
        parts = f"model alone {fps['model']:.0f}"
        parts += "" if in_memory else f", decoder alone {fps['decoder']:.0f}"
        share = fps["whole"] / slowest
        compared = f"{fps['whole']:.0f} frames/s; {parts} frames/s"
        rows.append(Row(what, compared, f"{share:.2f} of the slower", ">= 0.9", share >= 0.9))
        gain = fps["whole"] / fps["single"]
        met = None if bar is None else gain >= bar
        compared = f"one frame at a time: {fps['single']:.0f} frames/s"
        bar_text = "-" if bar is None else f">= {bar:g} times"
        rows.append(Row("", compared, f"{gain:.2f} times faster", bar_text, met))
        if "to_cpu" in fps:
            to_gpu, to_cpu = fps["to_float32"], fps["to_cpu"]
            compared = f"largest angle to float32 there {to_gpu:.1e}, on the CPU {to_cpu:.1e} rad"
            rows.append(Row("", compared, f"{max(to_gpu, to_cpu):.1e} rad", "-", None))
    return rows
