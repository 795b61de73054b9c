"""FramePack in miniature: sections of 2 latents."""

import pipelines

TEMPORAL, HEAD = 12, 28  # 6 temporal bands


def tokenizer():
    """Bytes as tokens, and the words of the pipeline's template, whose first 95 it cuts off."""
    from copy import deepcopy

    from diffusers.pipelines.hunyuan_video import pipeline_hunyuan_video_framepack as upstream

    made = deepcopy(pipelines.tokenizer())
    made.add_tokens(upstream.DEFAULT_PROMPT_TEMPLATE["template"].replace("{}", " ").split())
    return made


def save(folder, variant=""):
    """4 latent channels, temporal factor 4 and spatial factor 8."""
    import diffusers
    import torch
    import transformers

    torch.manual_seed(1)
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2}
    words = tokenizer()
    text = {"vocab_size": 512, **layers}
    llama = transformers.LlamaModel(
        transformers.LlamaConfig(hidden_size=16, intermediate_size=16, **text)
    )
    small = {"hidden_size": 8, "intermediate_size": 8}
    clip = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(bos_token_id=0, eos_token_id=1, **small, **text)
    )
    vision = transformers.SiglipVisionModel(
        transformers.SiglipVisionConfig(image_size=16, patch_size=8, **small, **layers)
    )
    vae = diffusers.AutoencoderKLHunyuanVideo(
        latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4
    )
    torch.manual_seed(2)
    transformer = diffusers.HunyuanVideoFramepackTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=HEAD,
        rope_axes_dim=(TEMPORAL, 8, 8), num_layers=1, num_single_layers=1, num_refiner_layers=1,
        text_embed_dim=16, pooled_projection_dim=8, image_proj_dim=8, has_image_proj=True,
        has_clean_x_embedder=True,
    )  # fmt: skip
    diffusers.HunyuanVideoFramepackPipeline(
        text_encoder=llama.eval(), tokenizer=words, transformer=pipelines.sharpen(transformer),
        vae=vae.eval(), scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder_2=clip.eval(), tokenizer_2=pipelines.tokenizer(), image_encoder=vision.eval(),
        feature_extractor=transformers.SiglipImageProcessor(size={"height": 16, "width": 16}),
    ).save_pretrained(folder)  # fmt: skip
    return folder
