"""What the generators that run through diffusers share: loading, memory, sizes, seeds, progress."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from spf.devices import choose_device
from spf.errors import ConfigError, SpfError, UnavailableError
from spf.generators.base import (
    GeneratedClip,
    Image,
    Request,
    Watch,
    check_warp,
    next_count,
    not_finite,
    one_line_failures,
    resized,
    to_uint8,
)
from spf.generators.clock import Clock, ClockWarp, TemporalRope
from spf.generators.loading import LoadOptions
from spf.generators.weights import (
    INDEX,
    MODEL_REPOSITORIES,
    check_memory,
    command,
    component_parameters,
    find_pipeline,
    memory_needed,
    pipeline_index,
)
from spf.identity import code_hash, digest, file_digest, installed
from spf.remade import Remade
from spf.weights import LOCK, sha256_of
from spf.words import choose

if TYPE_CHECKING:
    from torch import Generator as RandomState

DTYPES = {"float32": 4, "float16": 2, "bfloat16": 2}
PACKAGES = ("torch", "diffusers", "transformers")


@dataclass(frozen=True)
class Defaults:
    """What a model makes where a request leaves it open; its authors' own settings."""

    num_frames: int
    fps: float
    steps: int
    guidance: float
    negative_prompt: str


@dataclass(frozen=True, eq=False)
class Plan:
    """A request with nothing left open, and what had to be changed to fulfil it."""

    first: Image
    last: Image | None
    prompt: str
    negative_prompt: str
    seed: int
    num_frames: int
    fps: float
    steps: int
    guidance: float
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        return self.first.shape[0], self.first.shape[1]


class DiffusersGenerator(Remade, ABC):
    """A pipeline of diffusers as a generator.

    variant : which of the model's published versions. path : a local folder in diffusers' layout;
    None looks in the cache of the hub; nothing is ever downloaded, no code of a repository is run,
    and weights are read from safetensors only. device : auto, cpu, cuda, cuda:N. dtype : of the
    weights; auto is bfloat16 on a GPU and float32 on the CPU. size : (height, width) of the result;
    None is that of the first frame, brought to the next size that the model can make. The others
    are those of `LoadOptions`.

    Making the object loads nothing: `check` looks for weights and memory, the first clip loads.
    """

    name: ClassVar[str]
    native_size: ClassVar[tuple[int, int]]
    """(height, width) in pixels of the clips that it was made for."""
    unwarpable: ClassVar[str] = ""
    """Why its clock cannot be warped; "" where it can."""
    float32_parts: ClassVar[tuple[str, ...]] = ()
    """Components that are always loaded in float32."""

    def __init__(
        self,
        variant: str | None = None,
        path: str | os.PathLike[str] | None = None,
        device: str = "auto",
        dtype: str = "auto",
        offload: str = "none",
        size: Sequence[int] | None = None,
        lora: Any = None,
        gguf: Any = None,
        quantize: str | None = None,
        tiling: bool = False,
        slicing: bool = False,
        compile: bool = False,
        attention: str | None = None,
    ) -> None:
        known = MODEL_REPOSITORIES[self.name]
        self.variant = choose(str(variant or next(iter(known))), known, f"variant of {self.name}")
        self.path = path
        self.device = choose_device(device)
        chosen = "bfloat16" if self.device != "cpu" else "float32"
        self.dtype = chosen if dtype == "auto" else choose(str(dtype), DTYPES, "dtype")
        self.loading = LoadOptions(
            lora, gguf, quantize, str(offload), tiling, slicing, compile, attention
        )
        whole = size is None or all(isinstance(x, int) and not isinstance(x, bool) for x in size)
        if not whole or (size is not None and (len(size) != 2 or min(size) < 1)):
            raise ConfigError(f"model.size={size!r} must be [height, width] in pixels")
        self.size = None if size is None else (size[0], size[1])

    # What each model says of itself

    @property
    @abstractmethod
    def defaults(self) -> Defaults:
        """Settings for what a request leaves open."""

    @property
    @abstractmethod
    def factor(self) -> int:
        """Frames by which its clips grow: it makes factor n + 1."""

    @property
    @abstractmethod
    def multiple(self) -> int:
        """Pixels of which height and width must be multiples."""

    @abstractmethod
    def _clock(self, num_frames: int, fps: float) -> Clock: ...

    @abstractmethod
    def ropes(self) -> list[TemporalRope]:
        """The clocks of the loaded model that a warp turns."""

    @abstractmethod
    def _pipeline_class(self) -> Any: ...

    @abstractmethod
    def _call(self, plan: Plan, **common: Any) -> tuple[NDArray[Any], list[str]]:
        """Video (T, H, W, 3) in 0 .. 1, and notes."""

    # The protocol

    def check(self) -> None:
        """Raises UnavailableError where weights are missing or do not fit into free memory."""
        if "pipeline" in self.__dict__:
            return  # it is loaded already
        loading, remedy = self.loading, command(self.name, self.variant)
        loading.check(self.folder, self._pipeline_class, self.device)
        counts = component_parameters(self.folder, remedy, loading.replaced)
        counts |= loading.parameters()
        width = {"": DTYPES[self.dtype], **dict.fromkeys(self.float32_parts, 4), **loading.widths()}
        needed = memory_needed(counts, width, loading.offload, self.device != "cpu")
        check_memory(self.name, needed, self.device, loading.offload)

    @classmethod
    def lacking(cls) -> str:
        """What is not here that this model needs with its default settings; "" if nothing."""
        try:
            find_pipeline(cls.name, next(iter(MODEL_REPOSITORIES[cls.name])), None)
        except UnavailableError as error:
            return str(error)
        return ""

    def clock(self, request: Request) -> Clock:
        plan = self.plan(request)
        return self._clock(plan.num_frames, plan.fps)

    def generate(
        self, request: Request, warp: ClockWarp | None = None, watch: Watch | None = None
    ) -> GeneratedClip:
        """The clip of a request; see `Generator`."""
        plan = self.plan(request)
        check_warp(self, warp, self._clock(plan.num_frames, plan.fps))
        self.check()
        with one_line_failures(self.name):
            applied = nullcontext() if warp is None else warp.applied(self.ropes())
            with applied:
                video, notes = self._call(plan, **self._common(plan, watch))
            frames = to_uint8(self.name, video)
        if len(frames) != plan.num_frames:
            found = f"{len(frames)} frames instead of {plan.num_frames}"
            raise SpfError(f"{self.name}: the pipeline made {found}; report this")
        return GeneratedClip(frames, plan.fps, [*plan.notes, *notes])

    def identity(self) -> dict[str, Any]:
        """Settings, files and versions. Weights are read whole once; their hashes are then kept in
        a lock file beside them."""
        repository = MODEL_REPOSITORIES[self.name][self.variant]
        folder = self.folder
        small = sorted(file for file in folder.rglob("*.json") if file.name != LOCK)
        large = sorted(folder.rglob("*.safetensors"))
        files = [[str(file.relative_to(folder)), file_digest(file)] for file in small]
        files += [[str(file.relative_to(folder)), sha256_of(file, folder / LOCK)] for file in large]
        return {
            "name": self.name,
            "variant": self.variant,
            "repo": repository.repo if self.path is None else None,
            "revision": folder.name if self.path is None else None,
            "files": digest(files),
            "device": self.device.partition(":")[0],
            "dtype": self.dtype,
            "size": self.size,
            "loading": self.loading.identity(),
            "versions": installed(*PACKAGES, *self.loading.packages()),
            "code": code_hash(type(self)),
        }

    # Behind it

    @cached_property
    def folder(self) -> Any:
        """Folder (Path) of the weights. Raises UnavailableError where there is none."""
        return find_pipeline(self.name, self.variant, self.path)

    def plan(self, request: Request) -> Plan:
        """The request with the model's defaults filled in, and brought to what it can make."""
        defaults, notes = self.defaults, []
        asked = request.num_frames or defaults.num_frames
        count = next_count(asked, self.factor)
        if count != asked:
            rule = f"{self.name} makes {self.factor}n + 1"
            notes.append(f"{count} frames instead of {asked}: {rule}")
        height, width = self.size or request.first.shape[:2]
        size = _nearest(height, self.multiple), _nearest(width, self.multiple)
        if size != request.first.shape[:2]:
            given = f"{request.first.shape[1]}x{request.first.shape[0]}"
            notes.append(f"frames resized from {given} to {size[1]}x{size[0]}")
        guidance = defaults.guidance if request.guidance is None else float(request.guidance)
        negative = request.negative_prompt
        return Plan(
            first=resized(request.first, size),
            last=None if request.last is None else resized(request.last, size),
            prompt=request.prompt,
            negative_prompt=defaults.negative_prompt if negative is None else negative,
            seed=request.seed,
            num_frames=count,
            fps=float(request.fps or defaults.fps),
            steps=request.steps or defaults.steps,
            guidance=guidance,
            notes=notes + self.loading.notes,
        )

    def _common(self, plan: Plan, watch: Watch | None) -> dict[str, Any]:
        """Arguments that all pipelines take alike."""

        def after_step(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict:
            if not bool(tensors["latents"].isfinite().all()):
                raise not_finite(self.name, f"after step {step + 1} of {plan.steps} latents are")
            if watch is not None:
                watch(step + 1, plan.steps)
            return {}

        height, width = plan.size
        return {
            "prompt": plan.prompt,
            "negative_prompt": plan.negative_prompt,
            "height": height,
            "width": width,
            "num_frames": plan.num_frames,
            "num_inference_steps": plan.steps,
            "guidance_scale": plan.guidance,
            "generator": _random_state(plan.seed),
            "output_type": "np",
            "callback_on_step_end": after_step,
        }

    @cached_property
    def pipeline(self) -> Any:
        """The loaded pipeline, where its offloading wants it."""
        import torch

        dtypes = dict.fromkeys(self.float32_parts, torch.float32)
        dtypes["default"] = getattr(torch, self.dtype)
        try:
            return self.loading.load(self.folder, self._pipeline_class(), dtypes, self.device)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UnavailableError(
                f"{self.folder}: the pipeline cannot be loaded ({reason}); expected the files of "
                f"{MODEL_REPOSITORIES[self.name][self.variant].repo}"
            ) from None

    @cached_property
    def _index(self) -> dict[str, Any]:
        """model_index.json, where the weights are here; empty otherwise."""
        try:
            return pipeline_index(self.folder) if (self.folder / INDEX).is_file() else {}
        except UnavailableError:
            return {}


def _random_state(seed: int) -> "RandomState":
    """Noise is drawn on the CPU, so that it is the same on every device."""
    import torch

    return torch.Generator("cpu").manual_seed(seed)


def _nearest(length: int, multiple: int) -> int:
    return max(round(length / multiple), 1) * multiple
