"""Tiny image towers with random weights, saved as folders that the real loaders read."""

import json

import open_clip
import torch
from safetensors.torch import save_file
from transformers import Dinov2Config, Dinov2Model

TEXT = {"context_length": 8, "vocab_size": 64, "width": 64, "heads": 2, "layers": 1}
SIGLIP = {
    "model_cfg": {
        "embed_dim": 64, "init_logit_bias": -10, "custom_text": True, "text_cfg": TEXT,
        "vision_cfg": {
            "image_size": 160, "timm_model_name": "test_vit", "timm_model_pretrained": False,
            "timm_pool": "map", "timm_proj": "none",
        },
    },
    "preprocess_cfg": {
        "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash",
    },
}  # fmt: skip
CLIP = {
    "model_cfg": {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16},
        "text_cfg": TEXT,
    },
    "preprocess_cfg": {},  # as LAION's: everything is open_clip's default
}
PROCESSOR = {
    **dict.fromkeys(("do_center_crop", "do_convert_rgb", "do_normalize", "do_rescale"), True),
    "do_resize": True, "image_processor_type": "BitImageProcessor", "resample": 3,
    "crop_size": {"height": 56, "width": 56}, "size": {"shortest_edge": 64},
    "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
    "rescale_factor": 0.00392156862745098,
}  # fmt: skip


def save_open_clip(folder, config, seed=0):
    """An open_clip model of a configuration, with weights large enough to distinguish frames."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}", precision="fp32")
    _enlarge(model)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


def save_dinov2(folder, seed=0, **settings):
    small = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3}
    torch.manual_seed(seed)
    model = Dinov2Model(Dinov2Config(**small, image_size=56, patch_size=14, **settings))
    _enlarge(model)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


def save_all(root):
    """One folder for each family, by its name."""
    return {
        "siglip": save_open_clip(root / "siglip", SIGLIP),
        "clip": save_open_clip(root / "clip", CLIP),
        "dinov2": save_dinov2(root / "dinov2"),
    }


def _enlarge(model):
    """Random initial weights are so small that all pictures look alike."""
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.mul_(3)
