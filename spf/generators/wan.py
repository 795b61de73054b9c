"""Wan 2.2 image-to-video (Wan Team 2025) and what its family shares, through diffusers."""

from contextlib import AbstractContextManager
from typing import Any, ClassVar

from spf.errors import ConfigError
from spf.generators.base import Defaults, Plan, Request, pil_images
from spf.generators.clock import TemporalRope, wan_rope
from spf.generators.pipeline import DiffusersGenerator
from spf.generators.settings import Option, Setting, adjusted

# The authors' own, as published with the model.
NEGATIVE_PROMPT = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，"
    "JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，"
    "手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)
SEQUENCE = 512
"""Text tokens; attention to image tokens counts on exactly so many."""


class WanGenerator(DiffusersGenerator):
    """What the models share whose transformer is Wan's: a latent is four frames and stands at a
    whole number, and takes first and last frame as images. The VAE runs in float32."""

    pipeline_class = "WanImageToVideoPipeline"
    factor = 4
    multiple = 16
    native_size = (480, 832)
    float32_parts = ("vae", "image_encoder")

    def ropes(self) -> list[TemporalRope]:
        """One for each expert: a second takes over at low noise."""
        names = ("transformer", "transformer_2")
        experts = (getattr(self.pipeline, name, None) for name in names)
        return [wan_rope(expert) for expert in experts if expert is not None]

    def _inputs(self, plan: Plan) -> dict[str, Any]:
        first, last = pil_images(plan)
        return {"image": first, "last_image": last, "max_sequence_length": SEQUENCE}


class Wan22(WanGenerator):
    """Wan2.2-I2V-A14B (`i2v`, two experts by noise level, both warped) or Wan2.2-TI2V-5B (`ti2v`,
    first frame only).

    Settings as in `DiffusersGenerator`; boundary_ratio : the noise level, 0 .. 1, below which the
    second expert takes over; guidance_scale_2 : its guidance, as the first one's where it is None.
    Both are for two experts only.
    """

    name = "wan22"
    by_variant: ClassVar = {
        "i2v": Defaults(81, 16.0, 40, 3.5, NEGATIVE_PROMPT),
        "ti2v": Defaults(121, 24.0, 50, 5.0, NEGATIVE_PROMPT),
    }
    options: ClassVar = {
        "guidance_scale_2": Option(None, {"above": 0}),
        "boundary_ratio": Option(None, {"least": 0, "most": 1}),
    }

    @property
    def multiple(self) -> int:  # type: ignore[override]
        return 32 if self._first_frame_only else 16

    @property
    def _first_frame_only(self) -> bool:
        return bool(self.config()[0].get("expand_timesteps", self.variant == "ti2v"))

    @property
    def held(self) -> tuple[int, int]:  # type: ignore[override]
        """TI2V's time modulates each token: six vectors and the embedding, six of them in float32
        too."""
        return (12, 6) if self._first_frame_only else (5, 0)

    def own_settings(self) -> dict[str, Setting]:
        index, source = self.config()
        own = super().own_settings()
        if (boundary := index.get("boundary_ratio")) is None:
            return own
        second = {"guidance_scale_2": own["guidance"]}
        return own | second | {"boundary_ratio": Setting(boundary, source)}

    def plan(self, request: Request) -> Plan:
        """As its base; raises ConfigError for a last frame that the model would ignore, and for
        settings of a second expert that is not there."""
        if self.config()[0].get("boundary_ratio") is None:
            for name in self.options:
                if self.chosen[name] is not None:
                    raise ConfigError(
                        f"model.{name}={self.chosen[name]:g}: wan22 variant {self.variant} has one "
                        "expert and no boundary_ratio; leave it null, or use model.variant=i2v"
                    )
        if request.last is not None and self._first_frame_only:
            raise ConfigError(
                "wan22 variant ti2v takes a first frame only and would silently ignore the last "
                "one; use model.variant=i2v or model=wan21, or give no last frame"
            )
        return super().plan(request)

    def settings(self, request: Request) -> dict[str, Setting]:
        """As its base; a second guidance that nobody chose is the first one."""
        found = super().settings(request)
        if "guidance_scale_2" in found and self.chosen["guidance_scale_2"] is None:
            found["guidance_scale_2"] = found["guidance"]
        return found

    def _adjusted(self) -> AbstractContextManager[None]:
        boundary = self.chosen["boundary_ratio"]
        return adjusted(self.pipeline, self.chosen["flow_shift"], boundary_ratio=boundary)

    def _inputs(self, plan: Plan) -> dict[str, Any]:
        return super()._inputs(plan) | {"guidance_scale_2": self.chosen["guidance_scale_2"]}
