"""FramePack (Zhang and Agrawala 2025, arXiv 2504.12626), through diffusers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from spf.generators.base import Defaults, Plan, pil_images
from spf.generators.clock import Clock, Layout, TemporalRope, latent_clock, timestep_level
from spf.generators.memory import Workload
from spf.generators.pipeline import DiffusersGenerator
from spf.generators.settings import Option, dynamic_shift

FACTOR = 4
"""Frames of a latent."""
TRUE_SECTIONS = 4
"""Sections up to which each stands at its true time."""
LARGEST_SHIFT = 7.0
"""Of the flow shift that grows with a section's size (diffusers' pipeline)."""


class FramePack(DiffusersGenerator):
    """FramePackI2V on HunyuanVideo (13 billion parameters): sections of latents, the last one
    first, between the first frame and what comes later (inverted anti-drifting sampling).

    Settings as in `DiffusersGenerator`; latent_window : latents a section, 9 as it was trained;
    true_cfg : scale of classifier-free guidance with the negative prompt, which takes a second call
    a step; 1 is none, as the authors sample. A request's guidance is the distilled one.

    n sections of W latents and the first frame make 4 W n + 1 frames. Section m (from 0, in the
    order of time) holds the latents 1 + m W .. (m + 1) W, and the model gets exactly these as
    their times, and as those of the later latents that it sees as history; the first frame is at 0
    and the last one at 1 + n W, right after the clip. So a latent has one time wherever it appears,
    and a warp moves it there each time; history of half and quarter rate gets the mean of the
    rotations of its 2 and 4 latents, as without a warp. Beyond 4 sections the authors give all but
    the last 2 the same times, 2 or 3 sections after the first frame (`latent_paddings` in
    diffusers): the times are no clock then, and such a clip cannot be warped.
    """

    name = "framepack"
    pipeline_class = "HunyuanVideoFramepackPipeline"
    # The authors' own (demo_gradio.py): 5 seconds, which are 4 sections; distilled guidance 10.
    by_variant: ClassVar = {"i2v": Defaults(145, 30.0, 25, 10.0, "")}
    options: ClassVar = {
        "latent_window": Option(9, {"least": 1, "most": 33, "whole": True}),
        "true_cfg": Option(1.0, {"least": 1}),
    }
    multiple = 16
    native_size = (480, 832)
    held = (8, 0)  # single blocks join attention and feed-forward

    @property
    def latent_window(self) -> int:
        return self.option("latent_window")

    @property
    def factor(self) -> int:  # type: ignore[override]
        return FACTOR * self.latent_window

    def ropes(self) -> list[TemporalRope]:
        return [framepack_rope(self.pipeline.transformer)]

    def workload(self, parameters: Mapping[str, int], plan: Plan | None = None) -> Workload:
        """A section at a time, beside 1 + 2 + 16 latents of history at full, half and quarter rate
        (of which 1, 1/4 and 1/16 of the tokens) and the first and the last frame."""
        return replace(super().workload(parameters, plan), num_frames=self.factor + 1, appended=4)

    def _clip_shift(self, scheduler: Mapping[str, Any], plan: Plan) -> float:
        """That of a section's own tokens, at most `LARGEST_SHIFT`."""
        height, width = (side // self.multiple for side in plan.size)
        count = self.latent_window * height * width
        return min(dynamic_shift(scheduler, count, (256, 0.5), (4096, 1.15)), LARGEST_SHIFT)

    def _clock(self, num_frames: int, fps: float) -> Clock:
        clock, most = latent_clock(num_frames, FACTOR), TRUE_SECTIONS * self.factor + 1
        if num_frames <= most:
            return clock
        reason = f"of more than {TRUE_SECTIONS} sections ({most} frames) some share their times"
        return replace(clock, unwarpable=f"{reason}, and num_frames is {num_frames}")

    def _passes(self, plan: Plan) -> int:
        """Sections, each of which is denoised by itself."""
        return (plan.num_frames - 1) // self.factor

    def _inputs(self, plan: Plan) -> dict[str, Any]:
        """The pipeline makes ceil(num_frames / (4 W - 3)) sections."""
        first, last = pil_images(plan)
        return {
            "image": first,
            "last_image": last,
            "num_frames": self._passes(plan) * (self.factor - FACTOR + 1),
            "latent_window_size": self.latent_window,
            "true_cfg_scale": float(self.option("true_cfg")),
            "sampling_type": "inverted_anti_drifting",
        }


def framepack_rope(transformer: Any) -> TemporalRope:
    """The clock of diffusers' HunyuanVideoFramepackTransformer3DModel.

    omega_b = theta^(-2b / T) radians a latent, b < T / 2, highest first, T = rope_dim[0]; each
    turns the channels 2b and 2b + 1 of tables (N, head_dim), temporal channels first, frame-major.
    The rope runs once each for the section's latents, for first frame and next latent, and for both
    coarser histories, which are averaged afterwards; it gets the latents' indices.
    """
    rope: Any = transformer.rope
    temporal = rope.rope_dim[0]
    omega = float(rope.theta) ** (-2.0 * np.arange(temporal // 2) / temporal)

    def positions(module: Any, inputs: tuple[Any, ...]) -> Any:
        return inputs[0].double()

    layout = Layout(first=0, stride=2, width=2, heads_axis=None)
    return TemporalRope(transformer, rope, omega, layout, positions, timestep_level)
