"""Complete diffusers pipelines in miniature with random weights, saved as folders.

Random models barely react to where their tokens stand; the norms of queries and keys are scaled up,
so that attention is sharp and a warp shows.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

TEXT = 32  # width of text features
SHARP = 5.0  # factor on the weights of the norms of queries and keys
LOUD = 3.0  # factor on what attention and the model give out
WAN = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 32,  # 6 temporal bands
    "text_dim": TEXT,
    "freq_dim": 32,
    "ffn_dim": 64,
    "num_layers": 2,
    "rope_max_seq_len": 64,
}


@cache
def tokenizer() -> Any:
    """Bytes as tokens: nothing is downloaded."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "</s>", "<unk>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*special, *letters])}
    bare = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=bare,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=512,
    )


def sharpen(transformer: Any) -> Any:
    """Make attention sharp and its effect loud, and shake what is initialised to zero."""
    import torch

    with torch.no_grad():
        for name, parameter in transformer.named_parameters():
            if "norm_q" in name or "norm_k" in name:
                parameter.mul_(SHARP)
            elif "attn1.to_out" in name or name.startswith("proj_out"):
                parameter.mul_(LOUD)
            elif not parameter.any():
                parameter.normal_(std=0.1)
    return transformer.eval()


def wan_transformer(
    seed: int = 0, channels: int = 12, kind: str = "WanTransformer3DModel", **more: Any
) -> Any:
    import diffusers
    import torch

    torch.manual_seed(seed)
    settings = {**WAN, "in_channels": channels, "out_channels": 4, **more}
    return sharpen(getattr(diffusers, kind)(**settings))


def wan_parts(**vae: Any) -> dict[str, Any]:
    """What the pipelines of Wan's family share: text encoder, scheduler, a VAE with 4 channels."""
    import torch
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(1)
    text = UMT5EncoderModel(
        UMT5Config(vocab_size=300, d_model=TEXT, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    )
    shape: dict[str, Any] = {"base_dim": 8, "z_dim": 4, "dim_mult": [1, 1, 1, 1]}
    coder = AutoencoderKLWan(
        num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4, **(shape | vae)
    )
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return {
        "tokenizer": tokenizer(),
        "text_encoder": text.eval(),
        "vae": coder.eval(),
        "scheduler": scheduler,
    }


def image_parts(kind: str = "CLIPVisionModel") -> dict[str, Any]:
    """An image encoder of 5 tokens, and its processor."""
    import transformers

    vision = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        image_size=16, patch_size=8, projection_dim=16,
    )  # fmt: skip
    size = {"height": 16, "width": 16}
    return {
        "image_encoder": getattr(transformers, kind)(vision).eval(),
        "image_processor": transformers.CLIPImageProcessor(size=size, crop_size=size),
    }


IMAGE = {"image_dim": 16, "added_kv_proj_dim": 64}
"""Settings of a transformer that looks at the tokens of `image_parts`."""


def save_wan(folder: Path, variant: str = "i2v") -> Path:
    """Wan2.2-I2V (two experts), `flf2v` (image encoder) or `ti2v` (one expert, timesteps by token),
    with 4 latent channels."""
    from diffusers import WanImageToVideoPipeline

    shape: dict[str, Any] = {}
    more: dict[str, Any] = {}
    if variant == "i2v":
        more["transformer"] = wan_transformer(2)
        more["transformer_2"] = wan_transformer(3)
        more["boundary_ratio"] = 0.9
    elif variant == "ti2v":
        shape |= {"is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12}
        shape |= {"scale_factor_spatial": 16, "dim_mult": [1, 2, 2, 2]}
        more["transformer"] = wan_transformer(2, channels=4)
        more["expand_timesteps"] = True
    else:
        more["transformer"] = wan_transformer(2, pos_embed_seq_len=2 * 5, **IMAGE)
        more |= image_parts()
    WanImageToVideoPipeline(**wan_parts(**shape), **more).save_pretrained(folder)
    return folder


def ltx2_transformer(rope_type: str = "split", seed: int = 0, **more: Any) -> Any:
    import torch
    from diffusers import LTX2VideoTransformer3DModel

    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "in_channels": 4,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": 20,  # dim 40: 6 bands for each axis, and padding
        "cross_attention_dim": 40,
        "audio_in_channels": 4,
        "audio_out_channels": 4,
        "audio_num_attention_heads": 2,
        "audio_attention_head_dim": 8,
        "audio_cross_attention_dim": 16,
        "num_layers": 2,
        "qk_norm": "rms_norm_across_heads",
        "caption_channels": TEXT,
        "rope_double_precision": rope_type == "split",
        "rope_type": rope_type,
    }
    return sharpen(LTX2VideoTransformer3DModel(**{**settings, **more}))


def save_ltx2(folder: Path, rope_type: str = "split") -> Path:
    """LTX-2 with 4 latent channels, temporal factor 8 and spatial factor 32."""
    import torch
    from diffusers import (
        AutoencoderKLLTX2Audio,
        AutoencoderKLLTX2Video,
        FlowMatchEulerDiscreteScheduler,
        LTX2ConditionPipeline,
    )
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    torch.manual_seed(1)
    text = Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config={
                "vocab_size": 300, "hidden_size": 8, "intermediate_size": 16, "head_dim": 8,
                "num_hidden_layers": 2, "num_attention_heads": 1, "num_key_value_heads": 1,
            },
            vision_config={
                "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
                "num_attention_heads": 1, "image_size": 16, "patch_size": 8,
            },
            mm_tokens_per_image=1,
            image_token_index=290, boi_token_index=291, eoi_token_index=292,
        )
    )  # fmt: skip
    connectors = LTX2TextConnectors(
        caption_channels=8, text_proj_in_factor=3, video_connector_num_attention_heads=2,
        video_connector_attention_head_dim=4, video_connector_num_layers=1,
        video_connector_num_learnable_registers=None, audio_connector_num_attention_heads=2,
        audio_connector_attention_head_dim=4, audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=None, rope_type=rope_type,
    )  # fmt: skip
    vae = AutoencoderKLLTX2Video(
        latent_channels=4, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 16, 32),
        layers_per_block=(1, 1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1),
        spatial_compression_ratio=32, temporal_compression_ratio=8,
    )  # fmt: skip
    audio = AutoencoderKLLTX2Audio(
        base_channels=4, ch_mult=(1,), num_res_blocks=1, resolution=32, latent_channels=1,
        mel_bins=16, norm_type="pixel",
    )  # fmt: skip
    vocoder = LTX2Vocoder(
        in_channels=32, hidden_channels=8, upsample_kernel_sizes=[4, 4], upsample_factors=[2, 2],
        resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]],
    )  # fmt: skip
    transformer = ltx2_transformer(rope_type, caption_channels=8)
    LTX2ConditionPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae.eval(),
        audio_vae=audio.eval(),
        text_encoder=text.eval(),
        tokenizer=tokenizer(),
        connectors=connectors.eval(),
        transformer=transformer,
        vocoder=vocoder.eval(),
    ).save_pretrained(folder)
    return folder


def frames(height: int = 32, width: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Two pictures (height, width, 3) uint8 that differ."""
    first = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    last = 255 - first[::-1, ::-1]
    return tuple(x.repeat(8, axis=0).repeat(8, axis=1) for x in (first, last))  # type: ignore[return-value]


def aligned(module: Any) -> Any:
    """A module whose weights lie where torch puts new ones, not where they are in their file: some
    processors' matrix products round otherwise at other addresses."""
    for weight in module.parameters():
        weight.data = weight.data.clone()
    return module


def loaded(generator: Any) -> Any:
    """An adapter whose pipeline is loaded, with aligned weights."""
    import torch

    for part in generator.pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            aligned(part)
    return generator
