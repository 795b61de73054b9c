"""DINOv2 (Oquab et al. 2023), through transformers."""

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar

from spf.embedders.preprocess import Preprocess, three
from spf.embedders.tower import Tower

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

POOLINGS = ("cls", "patch_mean")
PATCHES = "embeddings.patch_embeddings.projection.weight"
RESAMPLE = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers, as preprocessor_config.json has them


class Dinov2(Tower):
    """`transformers.Dinov2Model`: the CLS token, or the mean of the patch tokens.

    pooling : "cls" or "patch_mean". layer : which block's tokens, -1 the last, 0 the first. Every
    layer's tokens go through the model's final layer norm, as in the authors' own
    `get_intermediate_layers`; with -1 that is the model's ordinary output. Later blocks are not
    computed. The other settings as in `Tower`; variants in `spf.weights.EMBEDDER_PINS`.

    The folder holds config.json, preprocessor_config.json and model.safetensors.
    """

    name = "dinov2"
    packages: ClassVar = ("transformers",)

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        model: str | None = None,
        pooling: str = "cls",
        layer: int = -1,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be {' or '.join(POOLINGS)}, not {pooling!r}")
        if not isinstance(layer, int) or isinstance(layer, bool):
            raise ValueError(f"layer must be a whole number, not {layer!r}")
        self.pooling = pooling
        super().__init__(path, model, device, precision, batch_size)
        if not -self.blocks <= layer < self.blocks:
            raise ValueError(
                f"layer must be within {-self.blocks} .. {self.blocks - 1}, not {layer}"
            )
        self.layer = layer % self.blocks

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"pooling": self.pooling, "layer": self.layer}

    def _read_preprocess(self) -> Preprocess:
        model = self._read_json("config.json")
        if (kind := model.get("model_type")) != "dinov2":
            raise ValueError(f"config.json is of a {kind} model, not of dinov2")
        self.blocks = int(model.get("num_hidden_layers", 12))
        config = self._read_json("preprocessor_config.json")
        size, crop = config["size"], config["crop_size"]
        steps = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
        if not all(config.get(step, True) for step in steps) or crop["width"] != crop["height"]:
            raise ValueError("a step is left out, or the crop is not square")
        if abs(config.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
            raise ValueError(f"rescale_factor {config['rescale_factor']}")
        return Preprocess(
            size=crop["height"],
            resize="shortest",
            edge=size["shortest_edge"],
            interpolation=RESAMPLE[config["resample"]],
            mean=three(config["image_mean"]),
            std=three(config["image_std"]),
            rounding="down",
        )

    def _is_mine(self, tensors: Collection[str]) -> bool:
        return any(name.endswith(PATCHES) for name in tensors)

    def _load(self) -> "Module":
        import torch
        from transformers import Dinov2Model
        from transformers.utils import logging

        logging.disable_progress_bar()  # of a second's loading
        loaded: Any = Dinov2Model.from_pretrained(
            self.folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
        model, report = loaded
        if report["missing_keys"]:
            missing = ", ".join(sorted(report["missing_keys"])[:3])
            raise self.unusable(f"{self.folder}: the weights lack {missing}")
        del model.encoder.layer[self.layer + 1 :]
        return model

    def _forward(self, model: "Module", planes: "Tensor") -> "Tensor":
        tokens = model(pixel_values=planes).last_hidden_state
        return tokens[:, 0] if self.pooling == "cls" else tokens[:, 1:].mean(dim=1)
