"""Text-to-image pipelines in miniature with random weights, saved as folders."""

from copy import deepcopy

import pipelines

WIDTH = pipelines.TEXT
TOKENS = 256  # that are read; each is a byte


def save(kind, folder, **saved):
    """A pipeline of the name that `stills=` takes: sdxl or flux."""
    import torch

    torch.manual_seed(1)
    {"sdxl": _sdxl, "flux": _flux}[kind]().save_pretrained(folder, **saved)
    return folder


def _tokenizer():
    found = deepcopy(pipelines.tokenizer())
    found.model_max_length = TOKENS
    return found


def _text(kind):
    from transformers import CLIPTextConfig

    return kind(
        CLIPTextConfig(
            vocab_size=300, hidden_size=WIDTH, intermediate_size=32, projection_dim=WIDTH,
            num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=TOKENS,
            bos_token_id=None, eos_token_id=1, pad_token_id=0,
        )
    ).eval()  # fmt: skip


def _vae(**more):
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4, **more,
    ).eval()  # fmt: skip


def _sdxl():
    import diffusers
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=32, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=(2, 4),
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH, cross_attention_dim=2 * WIDTH,
    )  # fmt: skip
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(), text_encoder=_text(CLIPTextModel),
        text_encoder_2=_text(CLIPTextModelWithProjection), tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer(), unet=unet.eval(), scheduler=diffusers.EulerDiscreteScheduler(),
    )  # fmt: skip


def _flux():
    import diffusers
    from transformers import CLIPTextModel

    transformer = diffusers.FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH,
        guidance_embeds=True, axes_dims_rope=(4, 4, 8),
    )  # fmt: skip
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1),
        text_encoder=_text(CLIPTextModel), tokenizer=_tokenizer(),
        text_encoder_2=pipelines.text_encoder(), tokenizer_2=_tokenizer(),
        transformer=transformer.eval(),
    )  # fmt: skip
