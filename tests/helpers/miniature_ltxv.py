"""LTX-Video in miniature with random weights, in the layout of 0.9.5 and later."""

from __future__ import annotations

from pathlib import Path

import pipelines

CHANGES = {"image_cond_noise_scale": 0.5, "decode_timestep": 0.5, "decode_noise_scale": 0.5}
"""Another value of each setting of its own."""


def save(folder: Path) -> Path:
    """4 latent channels, temporal factor 8, spatial factor 32, a decoder that is told the time."""
    import torch
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXConditionPipeline,
        LTXVideoTransformer3DModel,
    )
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(1)
    text = T5EncoderModel(
        T5Config(vocab_size=300, d_model=pipelines.TEXT, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    )
    vae = AutoencoderKLLTXVideo(
        latent_channels=4, block_out_channels=(8, 8, 8, 16, 16),
        down_block_types=("LTXVideo095DownBlock3D",) * 4,
        downsample_type=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        layers_per_block=(1, 1, 1, 1, 1), spatio_temporal_scaling=(True,) * 4,
        decoder_block_out_channels=(8, 16, 32), decoder_layers_per_block=(1, 1, 1, 1),
        decoder_spatio_temporal_scaling=(True,) * 3, decoder_inject_noise=(False,) * 4,
        upsample_residual=(True,) * 3, upsample_factor=(2, 2, 2), timestep_conditioning=True,
        spatial_compression_ratio=32, temporal_compression_ratio=8,
    )  # fmt: skip
    transformer = LTXVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_layers=2, caption_channels=pipelines.TEXT,
        num_attention_heads=2, attention_head_dim=20, cross_attention_dim=40,  # 6 bands and padding
    )  # fmt: skip
    LTXConditionPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae.eval(),
        text_encoder=text.eval(),
        tokenizer=pipelines.tokenizer(),
        transformer=pipelines.sharpen(transformer),
    ).save_pretrained(folder)
    return folder
