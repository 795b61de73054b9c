"""SigLIP and SigLIP 2 (Zhai et al. 2023; Tschannen et al. 2025): the paper's embedder."""

from collections.abc import Collection

from spf.embedders.openclip import OpenClipTower, has_image_tower


class Siglip(OpenClipTower):
    """SigLIP 2 ViT-B/16 at 512 pixels, as the paper uses it, or another size.

    Settings as in `Tower`; variants in `spf.weights.EMBEDDER_PINS`.
    """

    name = "siglip"

    def _is_mine(self, tensors: Collection[str]) -> bool:
        return has_image_tower(tensors) and "logit_bias" in tensors  # of the sigmoid loss
