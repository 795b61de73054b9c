"""Image towers that open_clip loads: SigLIP and SigLIP 2 (Zhai et al. 2023; Tschannen et al. 2025),
the paper's embedder, and CLIP (Radford et al. 2021)."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar

from spf.embedders.preprocess import Preprocess, three
from spf.embedders.tower import Tower

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

# What open_clip fills in where a configuration has nothing.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class OpenClipTower(Tower):
    """`open_clip.create_model("local-dir:FOLDER")` and its `encode_image`, before normalisation.

    The folder holds open_clip_config.json and open_clip_model.safetensors. The text tower is
    loaded with the rest, and then dropped.
    """

    packages: ClassVar = ("open_clip_torch", "timm")
    sigmoid: ClassVar[bool]
    """Whether the family is trained with a sigmoid loss, which leaves a bias in the weights."""
    quick_gelu: ClassVar[tuple[str, ...]] = ()
    """Variants whose weights were trained with QuickGELU, whatever their configuration is."""

    def _is_mine(self, tensors: Collection[str]) -> bool:
        visual = any(name.startswith("visual.") for name in tensors)
        return visual and ("logit_bias" in tensors) == self.sigmoid

    def _read_preprocess(self) -> Preprocess:
        config = self._read_json("open_clip_config.json")
        model: dict[str, Any] = config["model_cfg"]
        if "multimodal_cfg" in model or "hf_model_name" in model["text_cfg"]:
            raise ValueError("a CoCa model, or one whose text tower is elsewhere")
        steps = {k: v for k, v in config.get("preprocess_cfg", {}).items() if v is not None}
        size = model["vision_cfg"].get("image_size", 224)
        width, height = size if isinstance(size, list) else (size, size)
        if width != height:
            raise ValueError(f"images of {width} x {height}")
        return Preprocess(
            size=width,
            resize=steps.get("resize_mode", "shortest"),
            edge=width,
            interpolation=steps.get("interpolation", "bicubic"),
            mean=three(steps.get("mean", MEAN)),
            std=three(steps.get("std", STD)),
            fill=steps.get("fill_color", 0),
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


class Siglip(OpenClipTower):
    """SigLIP 2 ViT-B/16 at 512 pixels, as the paper uses it, or another size.

    Settings as in `Tower`; variants in `spf.weights.EMBEDDER_PINS`.
    """

    name = "siglip"
    sigmoid = True


class ClipTower(OpenClipTower):
    """CLIP ViT-B/32 trained on LAION-2B; `model="l14-openai"` is OpenAI's ViT-L/14.

    Settings as in `Tower`; variants in `spf.weights.EMBEDDER_PINS`.
    """

    name = "clip"
    sigmoid = False
    quick_gelu: ClassVar = ("l14-openai",)
