"""LTX-2 (Lightricks 2025), through diffusers: video with sound, of which the video is returned."""

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from spf.generators.base import Defaults, Plan, Request, pil_images
from spf.generators.clock import Clock, Layout, TemporalRope, latent_clock
from spf.generators.memory import tokens
from spf.generators.pipeline import DiffusersGenerator
from spf.generators.settings import Option, dynamic_shift
from spf.numbers import switch

NEGATIVE_PROMPT = "worst quality, inconsistent motion, blurry, jittery, distorted"
# What the authors change between the two beside the weights (docstring of diffusers' pipeline).
VARIANT = {
    "v2.0": {"use_cross_timestep": False, "spatio_temporal_guidance_blocks": [29]},
    "v2.3": {"use_cross_timestep": True, "spatio_temporal_guidance_blocks": [28]},
}
GUIDANCE = {
    "stg_scale": Option(1.0, {"least": 0}),
    "modality_scale": Option(3.0, {"least": 0}),
    "guidance_rescale": Option(0.7, {"least": 0, "most": 1}),
    "motion_speed": Option(1.0, {"above": 0}),
}
"""The defaults of diffusers' LTX2ConditionPipeline; the sound's own scales stay as there."""


class Ltx2(DiffusersGenerator):
    """LTX-2.0 (`v2.0`) or LTX-2.3 (`v2.3`).

    Settings as in `DiffusersGenerator`; warp_audio : whether the rotary embeddings of the sound and
    between sound and video follow the warp too, or stay on the clock. crf : of H.264, through which
    the request's frames are sent before they are encoded, as in training: without (0), clips begin
    with still frames. stg_scale, modality_scale, guidance_rescale : of guidance against the model
    with skipped attention, against video without sound, and of the rescaling after it;
    motion_speed : of the scene against real time. A flow_shift takes the place of one that grows
    with the clip's latents.
    """

    name = "ltx2"
    by_variant: ClassVar = {
        "v2.0": Defaults(121, 24.0, 40, 3.0, NEGATIVE_PROMPT),
        "v2.3": Defaults(121, 24.0, 30, 3.0, NEGATIVE_PROMPT),
    }
    # 33 is what diffusers takes for `crf=None` with the text encoder of both.
    options: ClassVar = {
        "crf": Option(33, {"least": 0, "most": 51, "whole": True}),
        **GUIDANCE,
    }
    factor = 8
    multiple = 32
    native_size = (512, 768)
    held = (36, 0)  # both clocks' rotations and modulation, for each token
    together = True
    appends = True

    def __init__(
        self, variant: str | None = None, *, warp_audio: bool = False, **common: Any
    ) -> None:
        super().__init__(variant, **common)
        self.warp_audio = switch("model.warp_audio", warp_audio)

    def ropes(self) -> list[TemporalRope]:
        """The video's clock, and those of the sound where that is asked for."""
        transformer = self.pipeline.transformer
        names = ["rope"]
        if self.warp_audio:
            names += ["audio_rope", "cross_attn_rope", "cross_attn_audio_rope"]
        return [ltx2_rope(transformer, name) for name in names]

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"warp_audio": self.warp_audio}

    def _clip_shift(self, scheduler: Mapping[str, Any], plan: Plan) -> float:
        load = self.workload({}, plan)
        assert load.dims is not None
        return dynamic_shift(scheduler, tokens(load, load.dims), (1024, 0.95), (4096, 2.05))

    def _clock(self, num_frames: int, fps: float) -> Clock:
        return latent_clock(num_frames, self.factor, fps)

    def _pipeline_class(self) -> Any:
        return _exact_pipeline()

    def plan(self, request: Request) -> Plan:
        plan = super().plan(request)
        plan.notes.append("the sound track is dropped")
        return plan

    def _inputs(self, plan: Plan) -> dict[str, Any]:
        from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition

        conditions = [
            LTX2VideoCondition(image, index=index, crf=self.option("crf"))
            for index, image in zip((0, -1), pil_images(plan), strict=True)
            if image is not None
        ]
        guidance = {name: self.option(name) for name in GUIDANCE}
        return {
            "conditions": conditions,
            "frame_rate": plan.fps,
            **guidance,
            **VARIANT[self.variant],
        }


def ltx2_rope(transformer: Any, name: str) -> TemporalRope:
    """A clock of diffusers' LTX2VideoTransformer3DModel; positions are seconds.

    An LTX2AudioVideoRotaryPosEmbed turns a coordinate x by (2 x / extent - 1) pi / 2
    theta^(k / (K - 1)) in its K = dim // (2 axes) bands, lowest first; time's extent is
    `base_num_frames` seconds. Channels are band-major and axis-minor (time first), after padding;
    each band has two neighbouring channels in the layout "interleaved" (B, N, dim), one in "split"
    (B, heads, N, head_dim / 2).
    """
    import torch

    rope: Any = getattr(transformer, name)
    axes = 3 if name == "rope" else 1
    bands = rope.dim // (2 * axes)
    # As the module computes them, to the last bit: errors would grow with the highest rates.
    kind = torch.float64 if rope.double_precision else torch.float32
    rates = torch.pow(rope.theta, torch.linspace(0.0, 1.0, bands, dtype=kind)) * torch.pi / 2.0
    omega = rates.float().double().numpy() * 2.0 / rope.base_num_frames
    if rope.rope_type == "split":
        layout = Layout(rope.dim // 2 - axes * bands, axes, 1, heads_axis=1)
    else:
        layout = Layout(rope.dim % (2 * axes), 2 * axes, 2, heads_axis=None)

    def positions(module: Any, inputs: tuple[Any, ...]) -> Any:
        return inputs[0][0, 0].double().mean(dim=-1)  # middles of [start, end); a batch shares them

    def noise_level(arguments: dict[str, Any]) -> Any:
        return arguments["sigma"].detach().max().float() / 1000.0

    return TemporalRope(transformer, rope, omega, layout, positions, noise_level)


@cache
def _exact_pipeline() -> Any:
    """LTX2ConditionPipeline with a last frame that is the last frame."""
    import diffusers

    upstream: Any = diffusers.LTX2ConditionPipeline

    class ExactLtx2(upstream):
        """A keyframe stands at the last of its latent's frames; upstream it is the first of them,
        factor - 1 frames too early for index=-1."""

        def _prepare_keyframe_coords(self, *args: Any, **named: Any) -> Any:
            named["pixel_frame_idx"] += self.vae_temporal_compression_ratio - 1
            return super()._prepare_keyframe_coords(*args, **named)

    return ExactLtx2
