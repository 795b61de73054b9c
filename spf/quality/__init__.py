"""Clip -> quality dimensions of VBench (the benchmark itself is not wired in yet)."""

import os
from pathlib import Path

VBENCH_DIMENSIONS: dict[str, tuple[str, ...]] = {
    "subject_consistency": ("dino_model/dino_vitbase16_pretrain.pth",),
    "background_consistency": ("clip_model/ViT-B-32.pt",),
    "temporal_flickering": (),
    "motion_smoothness": ("amt_model/amt-s.pth",),
    "dynamic_degree": ("raft_model/models/raft-things.pth",),
    "aesthetic_quality": (
        "clip_model/ViT-L-14.pt",
        "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth",
    ),
    "imaging_quality": ("pyiqa_model/musiq_spaq_ckpt-358bb6af.pth",),
}
"""VBench's custom-input dimensions, each with its weights' files below `vbench_cache()`."""


def vbench_cache() -> Path:
    """Where VBench keeps its weights: VBENCH_CACHE_DIR, or ~/.cache/vbench."""
    return Path(os.environ.get("VBENCH_CACHE_DIR", Path.home() / ".cache" / "vbench"))


def missing_weights(dimension: str) -> list[str]:
    """Weights of a dimension that are not here, as paths below `vbench_cache()`."""
    return [name for name in VBENCH_DIMENSIONS[dimension] if not (vbench_cache() / name).is_file()]
