"""Wan 2.1 between two frames: VACE (Jiang et al. 2025) and FLF2V (Wan Team 2025), by diffusers."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spf.errors import ConfigError
from spf.generators.base import Defaults, Image, Plan, Request
from spf.generators.wan import NEGATIVE_PROMPT, SEQUENCE, WanGenerator

GREY = 0.5
"""Of the frames that VACE is to fill in: 0 in the VAE's range from -1 to 1."""


class Wan21(WanGenerator):
    """Wan2.1-VACE-1.3B (`vace-1.3b`) and 14B (`vace-14b`), which fill in a video and may be left
    open at its end, or Wan2.1-FLF2V-14B (`flf2v`), trained on first and last frames.

    VACE's control tokens pass through the same rotary tables as the others: one warp moves both.
    It gets no reference images, which would stand before the first latent.
    """

    name = "wan21"
    by_variant: ClassVar = {
        "vace-1.3b": Defaults(81, 16.0, 50, 5.0, NEGATIVE_PROMPT),
        "vace-14b": Defaults(81, 16.0, 50, 5.0, NEGATIVE_PROMPT),
        "flf2v": Defaults(81, 16.0, 50, 5.5, NEGATIVE_PROMPT),
    }

    @property
    def held(self) -> tuple[int, int]:  # type: ignore[override]
        """VACE holds its control tokens, and what each of their blocks adds to the others."""
        layers = self.config("transformer")[0].get("vace_layers", ())
        return (5 + len(layers) + bool(layers), 0)

    def plan(self, request: Request) -> Plan:
        """As its base; raises ConfigError where a last frame is missing that the model needs."""
        if request.last is None and self.variant == "flf2v":
            raise ConfigError("wan21 variant flf2v needs a last frame; give one, or use vace-14b")
        return super().plan(request)

    @property
    def pipeline_class(self) -> str:  # type: ignore[override]
        return WanGenerator.pipeline_class if self.variant == "flf2v" else "WanVACEPipeline"

    def _inputs(self, plan: Plan) -> dict[str, Any]:
        if self.variant == "flf2v":
            return super()._inputs(plan)
        video, mask = to_fill_in(plan.first, plan.last, plan.num_frames)
        # A batch of one: its size is read from axes 2 and 3.
        return {"video": video[None], "mask": mask[None], "max_sequence_length": SEQUENCE}


def to_fill_in(
    first: Image, last: Image | None, num_frames: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What VACE takes: a video (N, H, W, 3) in 0 .. 1 of a request's frames with grey between them,
    and its mask (N, H, W, 1), 0 where a frame is known and 1 where one is to be made.

    first, last : (H, W, 3) uint8; None leaves the end open.
    """
    video = np.full((num_frames, *first.shape), GREY, dtype=np.float32)
    mask = np.ones((*video.shape[:3], 1), dtype=np.float32)
    for index, image in ((0, first), (-1, last)):
        if image is not None:
            video[index] = image / np.float32(255.0)
            mask[index] = 0.0
    return video, mask
