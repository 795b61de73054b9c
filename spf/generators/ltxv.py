"""LTX-Video 0.9 (Lightricks 2025) of 2 and 13 billion parameters, through diffusers."""

import math
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import numpy as np

from spf.generators import ignore
from spf.generators.base import Defaults, Plan, Request, pil_images
from spf.generators.clock import Clock, Layout, TemporalRope, latent_clock, timestep_level
from spf.generators.ltx2 import NEGATIVE_PROMPT
from spf.generators.pipeline import DiffusersGenerator
from spf.generators.settings import Option, adjusted

DISTILLED = (1000.0, 993.0, 987.0, 981.0, 975.0, 909.0, 725.0, 0.03)
"""Timesteps of the distilled models' first pass."""


SHARE = {"least": 0, "most": 1}


class LtxVideo(DiffusersGenerator):
    """LTX-Video 0.9.5 (2 billion parameters), 0.9.7 or 0.9.8 (13 billion), in one pass: the clip is
    not enlarged by the upscaler that goes with the 13 billion.

    Settings as in `DiffusersGenerator`. image_cond_noise_scale : noise on the request's frames,
    times the square of the noise level. decode_timestep, decode_noise_scale : the noise level and
    the share of noise with which the decoder is called.
    """

    name = "ltxv"
    pipeline_class = "LTXConditionPipeline"
    by_variant: ClassVar = {
        "0.9.5": Defaults(161, 24.0, 40, 3.0, NEGATIVE_PROMPT),
        "0.9.7-dev": Defaults(161, 24.0, 30, 5.0, NEGATIVE_PROMPT),
        "0.9.7-distilled": Defaults(161, 24.0, len(DISTILLED), 1.0, NEGATIVE_PROMPT),
        "0.9.8-distilled": Defaults(161, 24.0, len(DISTILLED), 1.0, NEGATIVE_PROMPT),
    }
    options: ClassVar = {
        "image_cond_noise_scale": Option(None, SHARE),
        "decode_timestep": Option(0.05, SHARE),
        "decode_noise_scale": Option(0.025, SHARE),
    }
    factor = 8
    multiple = 32
    native_size = (512, 768)
    held = (21, 0)  # modulation and rotations, for each token
    together = True
    appends = True

    def published(self, name: str) -> Any:
        """As its base; noise on the request's frames is the variant's."""
        if name == "image_cond_noise_scale":
            return 0.025 if self.variant == "0.9.5" else 0.0
        return super().published(name)

    def ropes(self) -> list[TemporalRope]:
        return [ltxv_rope(self.pipeline.transformer)]

    def _clock(self, num_frames: int, fps: float) -> Clock:
        """Latents stand for the middle of their frames; the model places them where the first of
        these begins: at 0, 1, 9, 17 .. frames, in seconds."""
        clock = latent_clock(num_frames, self.factor)
        begins = np.maximum(self.factor * (clock.positions - 1) + 1, 0)
        return Clock(clock.frames, begins / fps)

    def _adjusted(self) -> AbstractContextManager[None]:
        """A scheduler that shifts nothing where the timesteps are shifted: the pipeline hands it
        these, of which it would shift the noise levels alone."""
        return adjusted(self.pipeline, None if self.chosen["flow_shift"] is None else 1.0)

    def plan(self, request: Request) -> Plan:
        """As its base; notes where a distilled model does not take its own steps."""
        plan = super().plan(request)
        if self._distilled and plan.steps != len(DISTILLED):
            made_for = f"{self.variant} was distilled for {len(DISTILLED)}"
            plan.notes.append(f"{plan.steps} steps on the general schedule: {made_for}")
        return plan

    @property
    def _distilled(self) -> bool:
        return self.variant.endswith("distilled")

    def _inputs(self, plan: Plan) -> dict[str, Any]:
        from diffusers.pipelines.ltx.pipeline_ltx_condition import (
            LTXVideoCondition,
            linear_quadratic_schedule,
        )

        # The last one becomes a latent of one frame, placed where that begins, as the first one is.
        conditions = [
            LTXVideoCondition(image, frame_index=index)
            for index, image in zip((0, plan.num_frames - 1), pil_images(plan), strict=True)
            if image is not None
        ]
        own = self._distilled and plan.steps == len(DISTILLED)
        times = DISTILLED if own else (1000.0 * linear_quadratic_schedule(plan.steps)).tolist()
        shift = self.chosen["flow_shift"] or 1.0
        return {
            "conditions": conditions,
            "frame_rate": plan.fps,
            "timesteps": [shift * t / (1.0 + (shift - 1.0) * t / 1000.0) for t in times],
            "guidance_rescale": 0.7 if self.variant == "0.9.7-dev" else 0.0,
            **{name: self.option(name) for name in self.options},
        }


def ltxv_rope(transformer: Any) -> TemporalRope:
    """The clock of diffusers' LTXVideoTransformer3DModel; positions are seconds.

    Its rope turns a coordinate x by theta^(b / (K - 1)) (2 x / extent - 1) pi / 2 in its K = dim //
    6 bands, lowest first; time's extent is `base_num_frames` seconds, so that omega_b =
    theta^(b / (K - 1)) pi / base_num_frames radians a second. One table (B, N, dim) serves all
    heads: padding, then bands, in each the axes (time first) with two neighbouring channels.
    Tokens of the last frame stand in front of the clip's.
    """
    import torch

    rope: Any = transformer.rope
    # As the module computes them, to the last bit: errors would grow with the highest rates.
    exponents = torch.linspace(0.0, math.log(rope.theta, rope.theta), rope.dim // 6)
    rates = rope.theta**exponents * math.pi / 2.0
    omega = rates.double().numpy() * 2.0 / rope.base_num_frames
    layout = Layout(first=rope.dim % 6, stride=6, width=2, heads_axis=None)

    def positions(module: Any, inputs: tuple[Any, ...]) -> Any:
        return inputs[5][0, 0].double()  # video_coords (B, 3, N); a batch shares them

    return TemporalRope(transformer, rope, omega, layout, positions, timestep_level)


# The pipeline always does so; where a flow shift is chosen, `_adjusted` has both agree.
ignore(
    "diffusers.schedulers.scheduling_flow_match_euler_discrete",
    "`timesteps` were passed without `sigmas`",
)
