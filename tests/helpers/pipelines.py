"""Complete diffusers pipelines in miniature with random weights, saved as folders: attention is
sharpened, or where a token stands would hardly show."""

from copy import deepcopy
from functools import cache

import diffusers
import numpy as np
import torch
import transformers

TEXT = 32  # width of text features
SHARP, LOUD = 5.0, 3.0  # factors on the norms of queries and keys, and on what attention gives out
WAN = {
    "patch_size": (1, 2, 2), "num_attention_heads": 2, "attention_head_dim": 32,  # 6 temporal bands
    "out_channels": 4, "text_dim": TEXT, "freq_dim": 32, "ffn_dim": 64, "num_layers": 2,
    "rope_max_seq_len": 64,
}  # fmt: skip
TEMPORAL, HEAD = 12, 28  # of FramePack: 6 temporal bands
IMAGE = {"image_dim": 16, "added_kv_proj_dim": 64}
"""Settings of a transformer that looks at the tokens of `image_parts`."""


@cache
def tokenizer():
    """Bytes as tokens: nothing is downloaded."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    special = ["<pad>", "</s>", "<unk>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*special, *letters])}
    bare = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    names = dict(zip(("pad_token", "eos_token", "unk_token"), special, strict=True))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bare, model_max_length=512, **names
    )


def sharpen(transformer):
    """Make attention sharp and its effect loud, and shake what is initialised to zero."""
    with torch.no_grad():
        for name, parameter in transformer.named_parameters():
            if "norm_q" in name or "norm_k" in name:
                parameter.mul_(SHARP)
            elif "attn1.to_out" in name or name.startswith("proj_out"):
                parameter.mul_(LOUD)
            elif not parameter.any():
                parameter.normal_(std=0.1)
    return transformer.eval()


def wan_transformer(seed=0, channels=12, kind="WanTransformer3DModel", **more):
    torch.manual_seed(seed)
    return sharpen(getattr(diffusers, kind)(**{**WAN, "in_channels": channels, **more}))


def text_encoder(kind="T5"):
    config = getattr(transformers, f"{kind}Config")
    small = config(vocab_size=300, d_model=TEXT, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return getattr(transformers, f"{kind}EncoderModel")(small).eval()


def unipc(**more):
    return diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, **more
    )


def wan_parts(**vae):
    """What the pipelines of Wan's family share: text encoder, scheduler, a VAE with 4 channels."""
    torch.manual_seed(1)
    parts = {"tokenizer": tokenizer(), "text_encoder": text_encoder("UMT5")}
    shape = {
        "base_dim": 8, "z_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1,
        "latents_mean": [0.0] * 4, "latents_std": [1.0] * 4,
    }  # fmt: skip
    vae = diffusers.AutoencoderKLWan(**(shape | vae)).eval()
    return parts | {"vae": vae, "scheduler": unipc(flow_shift=3.0)}


def image_parts(kind="CLIPVisionModel"):
    vision = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        image_size=16, patch_size=8, projection_dim=16,
    )  # fmt: skip
    size = {"height": 16, "width": 16}
    return {
        "image_encoder": getattr(transformers, kind)(vision).eval(),
        "image_processor": transformers.CLIPImageProcessor(size=size, crop_size=size),
    }


def save_wan(folder, variant="i2v"):
    """By its variant: two experts, `ti2v` with timesteps by token, `flf2v`, `vace-1.3b`."""
    pipeline, shape, more = diffusers.WanImageToVideoPipeline, {}, {}
    if variant == "i2v":
        more = {f"transformer{x}": wan_transformer(seed) for seed, x in ((2, ""), (3, "_2"))}
        more["boundary_ratio"] = 0.9
    elif variant == "ti2v":
        shape = {"is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12}
        shape |= {"scale_factor_spatial": 16, "dim_mult": [1, 2, 2, 2]}
        more = {"transformer": wan_transformer(2, channels=4), "expand_timesteps": True}
    elif variant == "flf2v":
        more = {"transformer": wan_transformer(2, pos_embed_seq_len=2 * 5, **IMAGE)}
        more |= image_parts()
    else:
        pipeline, kind = diffusers.WanVACEPipeline, "WanVACETransformer3DModel"
        inputs = 4 + 4 + 8 * 8  # what is kept, what is filled in, and the mask
        control = {"vace_layers": [0], "vace_in_channels": inputs}
        more = {"transformer": wan_transformer(2, channels=4, kind=kind, **control)}
    pipeline(**wan_parts(**shape), **more).save_pretrained(folder)
    return folder


def save_skyreels(folder, variant="", **more):
    """As the published ones: no positions for image tokens, an image processor that knows texts
    too, and a scheduler without flow shift. more : settings of the transformer."""
    parts = wan_parts() | image_parts("CLIPVisionModelWithProjection")
    parts["image_processor"] = transformers.CLIPProcessor(
        parts["image_processor"], parts["tokenizer"]
    )
    parts["scheduler"] = unipc()
    transformer = wan_transformer(2, kind="SkyReelsV2Transformer3DModel", **IMAGE, **more)
    diffusers.SkyReelsV2ImageToVideoPipeline(transformer=transformer, **parts).save_pretrained(
        folder
    )
    return folder


def save_ltxv(folder, variant=""):
    """In the layout of 0.9.5 and later: temporal factor 8, a decoder that is told the time."""
    torch.manual_seed(1)
    text = text_encoder()
    vae = diffusers.AutoencoderKLLTXVideo(
        latent_channels=4, block_out_channels=(8, 8, 8, 16, 16),
        down_block_types=("LTXVideo095DownBlock3D",) * 4,
        downsample_type=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        layers_per_block=(1, 1, 1, 1, 1), spatio_temporal_scaling=(True,) * 4,
        decoder_block_out_channels=(8, 16, 32), decoder_layers_per_block=(1, 1, 1, 1),
        decoder_spatio_temporal_scaling=(True,) * 3, decoder_inject_noise=(False,) * 4,
        upsample_residual=(True,) * 3, upsample_factor=(2, 2, 2), timestep_conditioning=True,
        spatial_compression_ratio=32, temporal_compression_ratio=8,
    )  # fmt: skip
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_layers=2, caption_channels=TEXT,
        num_attention_heads=2, attention_head_dim=20, cross_attention_dim=40,  # 6 bands and padding
    )  # fmt: skip
    diffusers.LTXConditionPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(), vae=vae.eval(), text_encoder=text,
        tokenizer=tokenizer(), transformer=sharpen(transformer),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def save_ltx2(folder, rope_type="split"):
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder

    torch.manual_seed(1)
    config = transformers.Gemma3Config(
        text_config={
            "vocab_size": 300, "hidden_size": 8, "intermediate_size": 16, "head_dim": 8,
            "num_hidden_layers": 2, "num_attention_heads": 1, "num_key_value_heads": 1,
        },
        vision_config={
            "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 1, "image_size": 16, "patch_size": 8,
        },
        mm_tokens_per_image=1, image_token_index=290, boi_token_index=291, eoi_token_index=292,
    )  # fmt: skip
    text = transformers.Gemma3ForConditionalGeneration(config)
    shape = {"num_attention_heads": 2, "attention_head_dim": 4, "num_layers": 1}
    shape["num_learnable_registers"] = None
    both = {f"{x}_connector_{name}": y for x in ("video", "audio") for name, y in shape.items()}
    connectors = LTX2TextConnectors(
        caption_channels=8, text_proj_in_factor=3, rope_type=rope_type, **both
    )
    vae = diffusers.AutoencoderKLLTX2Video(
        latent_channels=4, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 16, 32),
        layers_per_block=(1, 1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1),
        spatial_compression_ratio=32, temporal_compression_ratio=8,
    )  # fmt: skip
    audio = diffusers.AutoencoderKLLTX2Audio(
        base_channels=4, ch_mult=(1,), num_res_blocks=1, resolution=32, latent_channels=1,
        mel_bins=16, norm_type="pixel",
    )  # fmt: skip
    vocoder = LTX2Vocoder(
        in_channels=32, hidden_channels=8, upsample_kernel_sizes=[4, 4], upsample_factors=[2, 2],
        resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]],
    )  # fmt: skip
    torch.manual_seed(0)
    transformer = diffusers.LTX2VideoTransformer3DModel(
        in_channels=4, out_channels=4, num_layers=2, caption_channels=8, cross_attention_dim=40,
        num_attention_heads=2, attention_head_dim=20,  # dim 40: 6 bands for each axis, and padding
        audio_in_channels=4, audio_out_channels=4, audio_num_attention_heads=2,
        audio_attention_head_dim=8, audio_cross_attention_dim=16, qk_norm="rms_norm_across_heads",
        rope_type=rope_type, rope_double_precision=rope_type == "split",
    )  # fmt: skip
    diffusers.LTX2ConditionPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae.eval(), audio_vae=audio.eval(), text_encoder=text.eval(), tokenizer=tokenizer(),
        connectors=connectors.eval(), transformer=sharpen(transformer), vocoder=vocoder.eval(),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def save_framepack(folder, variant=""):
    """FramePack: 4 latent channels, temporal factor 4, spatial factor 8, sections of 2 latents."""
    from diffusers.pipelines.hunyuan_video import pipeline_hunyuan_video_framepack as upstream

    torch.manual_seed(1)
    words = deepcopy(tokenizer())  # and the pipeline's template, whose first 95 tokens it cuts off
    words.add_tokens(upstream.DEFAULT_PROMPT_TEMPLATE["template"].replace("{}", " ").split())
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2}
    text, small = {"vocab_size": 512, **layers}, {"hidden_size": 8, "intermediate_size": 8}
    llama = transformers.LlamaConfig(hidden_size=16, intermediate_size=16, **text)
    llama = transformers.LlamaModel(llama)
    clip = transformers.CLIPTextConfig(bos_token_id=0, eos_token_id=1, **small, **text)
    clip = transformers.CLIPTextModel(clip)
    vision = transformers.SiglipVisionConfig(image_size=16, patch_size=8, **small, **layers)
    vision = transformers.SiglipVisionModel(vision)
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
        text_encoder=llama.eval(), tokenizer=words, transformer=sharpen(transformer),
        vae=vae.eval(), scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder_2=clip.eval(), tokenizer_2=tokenizer(), image_encoder=vision.eval(),
        feature_extractor=transformers.SiglipImageProcessor(size={"height": 16, "width": 16}),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def frames(height=32, width=32):
    first = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    last = 255 - first[::-1, ::-1]
    return tuple(x.repeat(8, axis=0).repeat(8, axis=1) for x in (first, last))


def loaded(generator):
    """An adapter whose pipeline is loaded, with weights where torch puts new ones, not where they
    are in their file: some processors' matrix products round otherwise at other addresses."""
    for part in generator.pipeline.components.values():
        for weight in part.parameters() if isinstance(part, torch.nn.Module) else ():
            weight.data = weight.data.clone()
    return generator
