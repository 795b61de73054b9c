"""FramePack in miniature: sections of 2 latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pipelines

SETTINGS = {"latent_window": 2}
IGNORES = ("negative_prompt",)  # without true guidance
ABSOLUTE = "tokens of the text and the image are not rotated: to them, latents have a time"
TEMPORAL, HEAD = 12, 28  # 6 temporal bands


def transformer(seed: int = 0, **more: Any) -> Any:
    import torch
    from diffusers import HunyuanVideoFramepackTransformer3DModel

    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "in_channels": 4,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": HEAD,
        "rope_axes_dim": (TEMPORAL, 8, 8),
        "num_layers": 1,
        "num_single_layers": 1,
        "num_refiner_layers": 1,
        "text_embed_dim": 16,
        "pooled_projection_dim": 8,
        "image_proj_dim": 8,
        "has_image_proj": True,
        "has_clean_x_embedder": True,
    }
    return pipelines.sharpen(HunyuanVideoFramepackTransformer3DModel(**{**settings, **more}))


def tokenizer() -> Any:
    """Bytes as tokens, and the words of the pipeline's template, whose first 95 it cuts off."""
    from copy import deepcopy

    from diffusers.pipelines.hunyuan_video import pipeline_hunyuan_video_framepack as upstream

    made = deepcopy(pipelines.tokenizer())
    made.add_tokens(upstream.DEFAULT_PROMPT_TEMPLATE["template"].replace("{}", " ").split())
    return made


def save(folder: Path) -> Path:
    """4 latent channels, temporal factor 4 and spatial factor 8."""
    import torch
    from diffusers import (
        AutoencoderKLHunyuanVideo,
        FlowMatchEulerDiscreteScheduler,
        HunyuanVideoFramepackPipeline,
    )
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        LlamaConfig,
        LlamaModel,
        SiglipImageProcessor,
        SiglipVisionConfig,
        SiglipVisionModel,
    )

    torch.manual_seed(1)
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2}
    words = tokenizer()
    llama = LlamaModel(LlamaConfig(vocab_size=512, hidden_size=16, intermediate_size=16, **layers))
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=512,
            hidden_size=8,
            intermediate_size=8,
            bos_token_id=0,
            eos_token_id=1,
            **layers,
        )
    )
    vision = SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=8, intermediate_size=8, image_size=16, patch_size=8, **layers
        )
    )
    vae = AutoencoderKLHunyuanVideo(
        latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4
    )
    HunyuanVideoFramepackPipeline(
        text_encoder=llama.eval(),
        tokenizer=words,
        transformer=transformer(2),
        vae=vae.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder_2=clip.eval(),
        tokenizer_2=pipelines.tokenizer(),
        image_encoder=vision.eval(),
        feature_extractor=SiglipImageProcessor(size={"height": 16, "width": 16}),
    ).save_pretrained(folder)
    return folder
