"""Text-to-image pipelines of diffusers, which make the stills that a clip begins and ends with."""

import gc
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt
from typing import Any, ClassVar

from spf.generators.base import Image, nearest, one_line_failures, to_uint8
from spf.generators.loading import place
from spf.generators.memory import Workload, check_memory
from spf.generators.published import DTYPES, PublishedPipeline, random_state
from spf.generators.stills import Described, Ends, StillImage
from spf.generators.weights import component_parameters
from spf.names import choose
from spf.numbers import number, optional_number, optional_size

OFFLOADS = ("none", "model", "sequential")
MULTIPLE, FINEST = 64, 16
"""Pixels of which height and width are multiples: chosen here, and those of `size`."""


@dataclass(frozen=True)
class Published:
    """Its authors' settings. more : further arguments of each call."""

    steps: int
    guidance: float
    more: Mapping[str, Any] = field(default_factory=dict)


class TextToImage(PublishedPipeline):
    """A pipeline that makes an image of a description.

    variant, path, device, dtype : see `PublishedPipeline`; path may hold any text-to-image
    pipeline. size : (height, width) of every still; None is the pipeline's own area in the shape of
    the clip. seed : of the noise, the same for both ends. strength : 0 to 1, how far the last still
    may leave the first, from which it is made by image-to-image; None makes both from noise.

    Making the object loads nothing: `check` looks for weights and memory, the first still loads.
    """

    group: ClassVar[str] = "stills"
    area: ClassVar[int] = 1024 * 1024
    """Pixels of an image that it was trained on."""
    defaults: ClassVar[dict[str, "Published"]]
    """What the authors publish, by variant."""

    def __init__(
        self,
        variant: str | None = None,
        *,
        offload: str = "none",
        size: Sequence[int] | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        seed: int = 0,
        strength: float | None = None,
        **common: Any,
    ) -> None:
        super().__init__(variant, **common)
        self.offload = choose(str(offload), OFFLOADS, "offload")
        sides = optional_size("stills.size", size, MULTIPLE)
        self.size = sides and (sides[0] // FINEST * FINEST, sides[1] // FINEST * FINEST)
        own = self.defaults[self.variant]
        self.steps = optional_number("stills.steps", steps, least=1, whole=True) or own.steps
        optional_number("stills.guidance", guidance, least=0)
        self.guidance = own.guidance if guidance is None else float(guidance)
        self.seed = number("stills.seed", seed, least=0, whole=True)
        least = 1 / self.steps  # a single step
        self.strength = optional_number("stills.strength", strength, least=least, most=1)

    def check(self) -> None:
        """Raises UnavailableError where weights are missing or do not fit into free memory."""
        if "pipeline" in self.__dict__:
            return
        counts = component_parameters(self.folder, self.fetch_command)
        weights = Workload(
            counts, {"": DTYPES[self.dtype]}, offload=self.offload, on_gpu=self.device != "cpu"
        )
        check_memory(self.name, weights, self.device, "stills")

    def identity(self) -> dict[str, Any]:
        """All that determines a still made from noise, but its description, size and seed."""
        return super().identity() | {
            "steps": self.steps,
            "guidance": self.guidance,
            "more": self.defaults[self.variant].more,
        }

    def still(
        self, description: str, size: tuple[int, int], seed: int, start: Image | None = None
    ) -> Image:
        """The image (height, width, 3) of a description; with `start`, made from that image by
        `strength`. Raises SpfError where memory runs out, or pixels are not finite."""
        from diffusers import AutoPipelineForImage2Image
        from PIL import Image as Pillow

        pipe, more = self.pipeline, dict(self.defaults[self.variant].more)
        if start is not None:
            pipe = AutoPipelineForImage2Image.from_pipe(pipe)
            pipe.set_progress_bar_config(disable=True)
            more |= {"image": Pillow.fromarray(start), "strength": self.strength}
        with one_line_failures(self.name, "use stills.offload=model or a smaller stills.size"):
            made = pipe(
                prompt=description,
                height=size[0],
                width=size[1],
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                generator=random_state(seed),
                output_type="np",
                **more,
            )
            (image,) = to_uint8(self.name, made.images)
        return image

    def size_for(self, clip: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of stills for clips of that (height, width)."""
        if self.size is not None:
            return self.size
        scale = sqrt(self.area / (clip[0] * clip[1]))
        return nearest((clip[0] * scale, clip[1] * scale), MULTIPLE)

    def frames(self, pairs: Sequence[Described], size: tuple[int, int]) -> list[Ends]:
        """Stills to be made; see `Stills`. Raises UnavailableError as `check`."""
        self.check()
        size, made_by = self.size_for(size), self.identity()
        found: list[Ends] = []
        for pair in pairs:
            first = StillImage(self, pair.first, size, made_by)
            start = None if self.strength is None else first
            last = None if pair.last is None else StillImage(self, pair.last, size, made_by, start)
            found.append((first, last))
        return found

    def release(self) -> None:
        """Free the memory that the pipeline takes."""
        import torch

        self.__dict__.pop("pipeline", None)
        gc.collect()
        torch.cuda.empty_cache()

    @cached_property
    def pipeline(self) -> Any:
        """The loaded pipeline, where its offloading wants it."""
        import torch
        from diffusers import AutoPipelineForText2Image

        half = all(".fp16" in file.suffixes for file in self.weights())
        with self.explained(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipe = AutoPipelineForText2Image.from_pretrained(
                self.folder,
                torch_dtype=getattr(torch, self.dtype),
                variant="fp16" if half else None,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
        # It warns at each still of a VAE that decodes in float32, as SDXL's has to.
        logging.getLogger("diffusers.models.modeling_utils").setLevel(logging.ERROR)
        pipe.set_progress_bar_config(disable=True)
        pipe.watermark = None  # SDXL's would depend on what else is installed
        place(pipe, self.offload, self.device)
        return pipe


class StableDiffusionXL(TextToImage):
    """Stable Diffusion XL (Podell et al. 2023, arXiv 2307.01952)."""

    name = "sdxl"
    half = "float16"
    defaults: ClassVar = {"base": Published(50, 5.0)}


class Flux(TextToImage):
    """FLUX.1 of Black Forest Labs; schnell is distilled to 4 steps without guidance."""

    name = "flux"
    defaults: ClassVar = {
        "dev": Published(50, 3.5),
        "schnell": Published(4, 0.0, {"max_sequence_length": 256}),
    }
