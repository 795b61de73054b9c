"""Text-to-image pipelines of diffusers, which make the stills that a clip begins and ends with."""

import gc
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt
from pathlib import Path
from typing import Any, ClassVar

from spf.devices import choose_device
from spf.errors import UnavailableError
from spf.generators.base import Image, one_line_failures, to_uint8
from spf.generators.loading import place
from spf.generators.memory import Workload, check_memory
from spf.generators.stills import Described, Frame, Still
from spf.generators.weights import (
    STILLS_REPOSITORIES,
    command,
    component_parameters,
    find_pipeline,
    plain_files,
)
from spf.identity import code_hash, digest, file_digest, installed
from spf.numbers import number, optional_number, optional_size
from spf.remade import Remade
from spf.weights import LOCK, sha256_of
from spf.words import choose

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
OFFLOADS = ("none", "model", "sequential")
MULTIPLE, FINEST = 64, 16
"""Pixels of which height and width are multiples: chosen here, and those of `size`."""


@dataclass(frozen=True)
class Published:
    """Settings that a pipeline's authors publish. more : further arguments of each call."""

    steps: int
    guidance: float
    more: Mapping[str, Any] = field(default_factory=dict)


class TextToImage(Remade):
    """A pipeline that makes an image of a description.

    variant : which of the published versions. path : a local folder of any text-to-image pipeline
    in diffusers' layout; None looks in the cache of the hub; nothing is downloaded, no code of a
    repository is run, weights are read from safetensors only. device, dtype, offload : as of the
    video generators. size : (height, width) of every still; None is the pipeline's own area in the
    shape of the clip. steps, guidance : None is what its authors publish. seed : of the noise, the
    same for both ends. strength : 0 to 1, how far the last still may leave the first, from which it
    is made by image-to-image; None makes both from noise.

    Making the object loads nothing: `check` looks for weights and memory, the first still loads.
    Raises ConfigError for settings that no pipeline can have.
    """

    name: ClassVar[str]
    half: ClassVar[str]
    """dtype on a GPU."""
    area: ClassVar[int] = 1024 * 1024
    """Pixels of an image that it was trained on."""
    defaults: ClassVar[dict[str, "Published"]]
    """What the authors publish, by variant."""

    def __init__(
        self,
        variant: str | None = None,
        path: str | os.PathLike[str] | None = None,
        device: str = "auto",
        dtype: str = "auto",
        offload: str = "none",
        size: Sequence[int] | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        seed: int = 0,
        strength: float | None = None,
    ) -> None:
        known = self.defaults
        self.variant = choose(str(variant or next(iter(known))), known, f"variant of {self.name}")
        self.path = path
        self.device = choose_device(device)
        chosen = "float32" if self.device == "cpu" else self.half
        self.dtype = chosen if dtype == "auto" else choose(str(dtype), BYTES, "dtype")
        self.offload = choose(str(offload), OFFLOADS, "offload")
        sides = optional_size("stills.size", size, MULTIPLE)
        self.size = sides and (sides[0] // FINEST * FINEST, sides[1] // FINEST * FINEST)
        own = known[self.variant]
        self.steps = optional_number("stills.steps", steps, least=1, whole=True) or own.steps
        optional_number("stills.guidance", guidance, least=0)
        self.guidance = own.guidance if guidance is None else float(guidance)
        self.seed = number("stills.seed", seed, least=0, whole=True)
        least = 1 / self.steps  # a single step
        self.strength = optional_number("stills.strength", strength, least=least, most=1)

    def check(self) -> None:
        """Raises UnavailableError, with the command, where weights are missing or do not fit into
        free memory."""
        if "pipeline" in self.__dict__:
            return
        remedy = command(self.name, self.variant, "stills")
        counts = component_parameters(self.folder, remedy)
        weights = Workload(
            counts, {"": BYTES[self.dtype]}, offload=self.offload, on_gpu=self.device != "cpu"
        )
        check_memory(self.name, weights, self.device, "stills")

    def identity(self) -> dict[str, Any]:
        """Everything that determines a still made from noise, but its description, size and seed:
        files, settings, versions, code."""
        small = sorted(x for x in self.folder.rglob("*.json") if x.name != LOCK)
        files = [[str(x.relative_to(self.folder)), file_digest(x)] for x in small]
        for file in self._weights():
            sha256 = sha256_of(file, self.folder / LOCK)
            files.append([str(file.relative_to(self.folder)), sha256])
        return {
            "name": self.name,
            "files": digest(files),
            "device": self.device.partition(":")[0],
            "dtype": self.dtype,
            "steps": self.steps,
            "guidance": self.guidance,
            "more": self.defaults[self.variant].more,
            "versions": installed("torch", "diffusers", "transformers"),
            "code": code_hash(type(self)),
        }

    def still(
        self, description: str, size: tuple[int, int], seed: int, start: Image | None = None
    ) -> Image:
        """The image (height, width, 3) of a description; with `start`, made from that image by
        `strength`. Raises SpfError where memory runs out, or pixels are not finite."""
        import torch
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
                generator=torch.Generator("cpu").manual_seed(seed),
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
        height, width = (max(round(x * scale / MULTIPLE), 1) * MULTIPLE for x in clip)
        return height, width

    def frames(
        self, pairs: Sequence[Described], size: tuple[int, int]
    ) -> list[tuple[Frame, Frame | None]]:
        """Stills to be made; see `Stills`. Raises UnavailableError as `check`."""
        self.check()
        size, made_by = self.size_for(size), self.identity()
        found: list[tuple[Frame, Frame | None]] = []
        for pair in pairs:
            first = Still(self, pair.first, size, made_by)
            start = None if self.strength is None else first
            last = None if pair.last is None else Still(self, pair.last, size, made_by, start)
            found.append((first, last))
        return found

    def release(self) -> None:
        """Free the memory that the pipeline takes."""
        if self.__dict__.pop("pipeline", None) is not None:
            import torch

            gc.collect()
            torch.cuda.empty_cache()

    @cached_property
    def folder(self) -> Path:
        """Folder of the weights. Raises UnavailableError where there is none."""
        return find_pipeline(self.name, self.variant, self.path, "stills")

    @cached_property
    def pipeline(self) -> Any:
        """The loaded pipeline, where its offloading wants it."""
        import torch
        from diffusers import AutoPipelineForText2Image

        half = all(".fp16" in file.suffixes for file in self._weights())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pipe = AutoPipelineForText2Image.from_pretrained(
                    self.folder,
                    torch_dtype=getattr(torch, self.dtype),
                    variant="fp16" if half else None,
                    use_safetensors=True,
                    local_files_only=True,
                    trust_remote_code=False,
                )
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UnavailableError(
                f"{self.folder}: the pipeline cannot be loaded ({reason}); expected one of text to "
                f"image, such as {STILLS_REPOSITORIES[self.name][self.variant].repo}"
            ) from None
        # It warns at each still of a VAE that decodes in float32, as SDXL's has to.
        logging.getLogger("diffusers.models.modeling_utils").setLevel(logging.ERROR)
        pipe.set_progress_bar_config(disable=True)
        pipe.watermark = None  # SDXL's would depend on what else is installed
        place(pipe, self.offload, self.device)
        return pipe

    def _weights(self) -> list[Path]:
        """The safetensors files that are loaded."""
        parts = sorted(path for path in self.folder.iterdir() if path.is_dir())
        return [file for part in parts for file in plain_files(part)]


class StableDiffusionXL(TextToImage):
    """Stable Diffusion XL (Podell et al. 2023, arXiv 2307.01952)."""

    name = "sdxl"
    half = "float16"
    defaults: ClassVar = {"base": Published(50, 5.0)}


class Flux(TextToImage):
    """FLUX.1 of Black Forest Labs; schnell is distilled to 4 steps without guidance."""

    name = "flux"
    half = "bfloat16"
    defaults: ClassVar = {
        "dev": Published(50, 3.5),
        "schnell": Published(4, 0.0, {"max_sequence_length": 256}),
    }
