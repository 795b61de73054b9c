"""A generator like the shipped one in miniature, with random weights, and runs that retime it."""

import json
from dataclasses import asdict
from pathlib import Path

import harness
import torch
from diffusers import WanTransformer3DModel
from pipelines import sharpen

from benchmarks.generated.experiment import RetimeGenerated
from benchmarks.harness import session
from spf.generators.tiny.sampling import SETTINGS_FILE, SamplerSettings

SHORT = "benchmark.retimes=[none,rope_flat]"

MODEL = {
    "patch_size": (1, 8, 8), "num_attention_heads": 2, "attention_head_dim": 32, "in_channels": 10,
    "out_channels": 3, "text_dim": 8, "freq_dim": 32, "ffn_dim": 64, "num_layers": 2,
    "cross_attn_norm": False, "rope_max_seq_len": 64,
}  # fmt: skip


def save_tiny(folder):
    """Weights whose clips change unevenly and follow a warp; `model.path=` takes the folder."""

    torch.manual_seed(0)
    model = sharpen(WanTransformer3DModel(**MODEL))
    with torch.no_grad():
        # Deaf to the noise, a frame knows its time by its distance to the marked ends alone.
        model.patch_embedding.weight[:, :3] = 0.0
        model.patch_embedding.weight[:, 3] *= 10.0
    model.save_pretrained(folder)
    settings = SamplerSettings((32, 32), num_frames=9, min_frames=5, max_frames=33, num_steps=2)
    (folder / SETTINGS_FILE).write_text(json.dumps(asdict(settings)))
    return folder


def composed(weights, output, *more):
    words = ["embedder=histogram", f"model.path={weights}"]
    words += ["benchmark.num_pairs=2", f"output={output}", *more]
    return harness.compose(*words)


def run(weights, output, *more):
    return session.run(composed(weights, output, *more), quiet=True)


def made(weights, *more):
    benchmark = session.build(composed(weights, Path("unused"), *more))
    assert isinstance(benchmark, RetimeGenerated)
    return benchmark
