"""Wan 2.1 in miniature."""

from __future__ import annotations

from pathlib import Path

import pipelines

VARIANTS = ("vace-1.3b", "flf2v")


def save(folder: Path, variant: str = "vace-1.3b") -> Path:
    """VACE, with a control block at the first of two layers, or `flf2v`; 4 latent channels."""
    if variant == "flf2v":
        return pipelines.save_wan(folder, variant)
    from diffusers import WanVACEPipeline

    transformer = pipelines.wan_transformer(
        2,
        channels=4,
        kind="WanVACETransformer3DModel",
        vace_layers=[0],
        vace_in_channels=4 + 4 + 8 * 8,  # what is kept, what is filled in, and the mask
    )
    pipe = WanVACEPipeline(transformer=transformer, **pipelines.wan_parts())
    pipe.save_pretrained(folder)
    return folder
