"""SkyReels-V2 image-to-video in miniature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pipelines


def save(folder: Path, **more: Any) -> Path:
    """As the published ones: no positions for image tokens, an image processor that knows texts
    too, and a scheduler without flow shift.

    more : settings of the transformer.
    """
    from diffusers import SkyReelsV2ImageToVideoPipeline, UniPCMultistepScheduler
    from transformers import CLIPProcessor

    parts = pipelines.wan_parts() | pipelines.image_parts("CLIPVisionModelWithProjection")
    parts["image_processor"] = CLIPProcessor(parts["image_processor"], parts["tokenizer"])
    parts["scheduler"] = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True
    )
    transformer = pipelines.wan_transformer(
        2, kind="SkyReelsV2Transformer3DModel", **pipelines.IMAGE, **more
    )
    SkyReelsV2ImageToVideoPipeline(transformer=transformer, **parts).save_pretrained(folder)
    return folder
