"""CLIP (Radford et al. 2021): LAION's ViT-B/32, or OpenAI's ViT-L/14."""

from collections.abc import Collection
from typing import ClassVar

from spf.embedders.openclip import OpenClipTower, has_image_tower


class Clip(OpenClipTower):
    """CLIP ViT-B/32 trained on LAION-2B; `model="l14-openai"` is OpenAI's ViT-L/14.

    Settings as in `Tower`; variants in `spf.weights.EMBEDDER_PINS`.
    """

    name = "clip"
    quick_gelu: ClassVar = ("l14-openai",)

    def _is_mine(self, tensors: Collection[str]) -> bool:
        return has_image_tower(tensors) and "logit_bias" not in tensors
