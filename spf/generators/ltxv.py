"""LTX-Video 0.9 (Lightricks 2025) of 2 and 13 billion parameters, through diffusers."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spf.generators import ignore
from spf.generators.base import Defaults, Plan
from spf.generators.clock import Clock, Layout, TemporalRope, latent_clock, timestep_level
from spf.generators.ltx2 import NEGATIVE_PROMPT
from spf.generators.pipeline import DiffusersGenerator
from spf.generators.settings import PUBLISHED, Setting, adjusted
from spf.numbers import number

DISTILLED = (1000.0, 993.0, 987.0, 981.0, 975.0, 909.0, 725.0, 0.03)
"""Timesteps of the distilled models' first pass."""


@dataclass(frozen=True)
class Schedule:
    """What a variant's authors set beside `Defaults` (diffusers' page on LTX-Video)."""

    defaults: Defaults
    image_noise: float
    guidance_rescale: float = 0.0
    timesteps: tuple[float, ...] | None = None


_DISTILLED = Schedule(
    Defaults(161, 24.0, len(DISTILLED), 1.0, NEGATIVE_PROMPT), 0.0, timesteps=DISTILLED
)
SCHEDULES = {
    "0.9.5": Schedule(Defaults(161, 24.0, 40, 3.0, NEGATIVE_PROMPT), 0.025),
    "0.9.7-dev": Schedule(Defaults(161, 24.0, 30, 5.0, NEGATIVE_PROMPT), 0.0, 0.7),
    "0.9.7-distilled": _DISTILLED,
    "0.9.8-distilled": _DISTILLED,
}

DECODE_TIMESTEP, DECODE_NOISE_SCALE = 0.05, 0.025


class LtxVideo(DiffusersGenerator):
    """LTX-Video 0.9.5 (2 billion parameters), 0.9.7 or 0.9.8 (13 billion), in one pass: the clip is
    not enlarged by the upscaler that goes with the 13 billion.

    Settings as in `DiffusersGenerator`. image_cond_noise_scale : noise on the given frames, times
    the square of the noise level; None is the variant's. decode_timestep, decode_noise_scale : the
    noise level that the decoder is told, and the share of noise that it is given.
    """

    name: ClassVar[str] = "ltxv"
    factor: ClassVar[int] = 8
    multiple: ClassVar[int] = 32
    native_size: ClassVar[tuple[int, int]] = (512, 768)
    held: tuple[int, int] = (21, 0)  # modulation and rotations, for each token
    together: ClassVar[bool] = True
    appends: ClassVar[bool] = True

    def __init__(
        self,
        variant: str | None = None,
        *,
        image_cond_noise_scale: float | None = None,
        decode_timestep: float = DECODE_TIMESTEP,
        decode_noise_scale: float = DECODE_NOISE_SCALE,
        **common: Any,
    ) -> None:
        super().__init__(variant, **common)
        if image_cond_noise_scale is None:
            image_cond_noise_scale = SCHEDULES[self.variant].image_noise
        self.noise = {
            "image_cond_noise_scale": image_cond_noise_scale,
            "decode_timestep": decode_timestep,
            "decode_noise_scale": decode_noise_scale,
        }
        for name, value in self.noise.items():
            number(f"model.{name}", value, least=0, most=1)
        self.chosen |= self.noise

    @property
    def defaults(self) -> Defaults:
        return SCHEDULES[self.variant].defaults

    def ropes(self) -> list[TemporalRope]:
        return [ltxv_rope(self.pipeline.transformer)]

    def own_settings(self) -> dict[str, Setting]:
        own = (SCHEDULES[self.variant].image_noise, DECODE_TIMESTEP, DECODE_NOISE_SCALE)
        named = zip(self.noise, own, strict=True)
        return super().own_settings() | {name: Setting(x, PUBLISHED) for name, x in named}

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

    def _timesteps(self, steps: int, own: Sequence[float] | None) -> list[float]:
        """The variant's own timesteps, or the pipeline's, by the chosen flow shift."""
        from diffusers.pipelines.ltx.pipeline_ltx_condition import linear_quadratic_schedule

        levels = (1000.0 * linear_quadratic_schedule(steps)).tolist() if own is None else own
        shift = self.chosen["flow_shift"] or 1.0
        return [shift * t / (1.0 + (shift - 1.0) * t / 1000.0) for t in levels]

    def _pipeline_class(self) -> Any:
        from diffusers import LTXConditionPipeline

        return LTXConditionPipeline  # 0.9.5 is stored as text-to-video, hence by name

    def _call(self, plan: Plan, **common: Any) -> tuple[NDArray[Any], list[str]]:
        from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition
        from PIL import Image

        conditions = [LTXVideoCondition(Image.fromarray(plan.first), frame_index=0)]
        if plan.last is not None:
            # A latent of one frame, placed where that begins, as the first one is.
            last = Image.fromarray(plan.last)
            conditions.append(LTXVideoCondition(last, frame_index=plan.num_frames - 1))
        schedule, notes = SCHEDULES[self.variant], []
        timesteps = schedule.timesteps
        if timesteps is not None and plan.steps != len(timesteps):
            made_for = f"{self.variant} was distilled for {len(timesteps)}"
            notes.append(f"{plan.steps} steps on the general schedule: {made_for}")
            timesteps = None
        made = self.pipeline(
            conditions=conditions,
            frame_rate=plan.fps,
            timesteps=self._timesteps(plan.steps, timesteps),
            guidance_rescale=schedule.guidance_rescale,
            **self.noise,
            **common,
        )
        return made.frames[0], notes


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
