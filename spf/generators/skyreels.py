"""SkyReels-V2 image-to-video (Skywork 2025), built on Wan's transformer, through diffusers."""

from contextlib import AbstractContextManager
from typing import ClassVar

from spf.generators.base import Defaults
from spf.generators.settings import PUBLISHED, Setting, adjusted
from spf.generators.wan import WanGenerator

# The authors' own, as their script for this model has it.
NEGATIVE_PROMPT = (
    "Bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, "
    "images, static, overall gray, worst quality, low quality, JPEG compression residue, ugly, "
    "incomplete, extra fingers, poorly drawn hands, poorly drawn faces, deformed, disfigured, "
    "misshapen limbs, fused fingers, still picture, messy background, three legs, many people in "
    "the background, walking backwards"
)
FLOW_SHIFT = 5.0
"""As documented for image-to-video; the conversion for diffusers stores a scheduler without one."""


class SkyReels(WanGenerator):
    """SkyReels-V2-I2V 1.3B at 540P (`1.3b-540p`), 14B at 540P (`14b-540p`) or 720P (`14b-720p`).

    The last frame goes the way that diffusers made for it, but the authors' own script gives these
    weights a first frame only. Their diffusion-forcing models, which move positions from chunk to
    chunk, are no part of this.
    """

    name = "skyreels"
    pipeline_class = "SkyReelsV2ImageToVideoPipeline"
    by_variant: ClassVar = {
        "1.3b-540p": Defaults(97, 24.0, 50, 5.0, NEGATIVE_PROMPT),
        "14b-540p": Defaults(97, 24.0, 50, 5.0, NEGATIVE_PROMPT),
        "14b-720p": Defaults(121, 24.0, 50, 5.0, NEGATIVE_PROMPT),
    }

    @property
    def native_size(self) -> tuple[int, int]:  # type: ignore[override]
        return (720, 1280) if self.variant.endswith("720p") else (544, 960)

    def own_settings(self) -> dict[str, Setting]:
        return super().own_settings() | {"flow_shift": Setting(FLOW_SHIFT, PUBLISHED)}

    def _adjusted(self) -> AbstractContextManager[None]:
        pipe = self.pipeline
        if pipe.transformer.config.pos_embed_seq_len is None:
            # diffusers 0.42 hands both images on as a batch of two, which only a transformer with
            # positions for image tokens joins; the published ones have none and would fail.
            encode = type(pipe).encode_image
            pipe.encode_image = lambda images, device: encode(pipe, images, device).flatten(0, 1)[
                None
            ]
        return adjusted(pipe, self.chosen["flow_shift"] or FLOW_SHIFT)
