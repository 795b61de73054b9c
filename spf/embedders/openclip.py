"""Image towers that open_clip loads: what SigLIP and CLIP share."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar

from spf.embedders.preprocess import Preprocess, three
from spf.embedders.tower import Tower

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

# What open_clip fills in where a configuration says nothing.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class OpenClipTower(Tower):
    """`open_clip.create_model("local-dir:FOLDER")` and its `encode_image`, before normalisation.

    The folder holds open_clip_config.json and open_clip_model.safetensors. The text tower is
    loaded with the rest, and then dropped.
    """

    packages: ClassVar = ("open_clip_torch", "timm")
    quick_gelu: ClassVar[tuple[str, ...]] = ()
    """Variants whose weights were trained with QuickGELU, whatever their configuration says."""

    def _read_preprocess(self) -> Preprocess:
        config = self._read_json("open_clip_config.json")
        model: dict[str, Any] = config["model_cfg"]
        if "multimodal_cfg" in model or "hf_model_name" in model["text_cfg"]:
            raise ValueError("a CoCa model, or one whose text tower is elsewhere")
        given = {k: v for k, v in config.get("preprocess_cfg", {}).items() if v is not None}
        size = model["vision_cfg"].get("image_size", 224)
        width, height = size if isinstance(size, list) else (size, size)
        if width != height:
            raise ValueError(f"pictures of {width} x {height}")
        return Preprocess(
            size=width,
            resize=given.get("resize_mode", "shortest"),
            edge=width,
            interpolation=given.get("interpolation", "bicubic"),
            mean=three(given.get("mean", MEAN)),
            std=three(given.get("std", STD)),
            fill=given.get("fill_color", 0),
        )

    def _load(self) -> "Module":
        import open_clip  # type: ignore[import-untyped]

        model = open_clip.create_model(
            f"local-dir:{self.folder}",
            precision="fp32",
            device="cpu",
            force_quick_gelu=self.model in self.quick_gelu,
            require_pretrained=True,
        )
        return model.visual

    def _forward(self, model: "Module", planes: "Tensor") -> "Tensor":
        return model(planes)


def has_image_tower(tensors: Collection[str]) -> bool:
    """Whether weights of these names hold an image tower of open_clip's."""
    return any(name.startswith("visual.") for name in tensors)
