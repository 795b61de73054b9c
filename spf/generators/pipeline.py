"""What the generators that run through diffusers share: loading, memory, sizes, seeds, progress."""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from inspect import Parameter, Signature, signature
from itertools import count
from typing import Any, ClassVar

from spf.errors import ConfigError, SpfError, UnavailableError
from spf.generators import memory, settings
from spf.generators.base import (
    LIMITS,
    Defaults,
    GeneratedClip,
    OnProgress,
    Plan,
    Request,
    check_warp,
    fitted,
    nearest,
    next_count,
    not_finite,
    one_line_failures,
    resize_notes,
    resized,
    to_uint8,
)
from spf.generators.clock import Clock, ClockWarp, TemporalRope, latent_clock
from spf.generators.loading import OFFLOADS, LoadOptions
from spf.generators.memory import GIB
from spf.generators.published import DTYPES, PublishedPipeline, random_state
from spf.generators.settings import PUBLISHED, SET, STORED, Option, Setting
from spf.generators.weights import component_parameters, read_config
from spf.identity import installed
from spf.numbers import optional_number, optional_size


class DiffusersGenerator(PublishedPipeline, ABC):
    """A pipeline of diffusers as a generator.

    variant, path, device, dtype : see `PublishedPipeline`. size : (height, width) of the result;
    None is that of the first frame, brought to the next size that the model can make and no larger
    than `area` pixels; None is the area of `native_size`. lora and what follows, and offload : see
    `spf.generators.loading.LoadOptions`.

    num_frames, fps, steps, guidance, negative_prompt : what a request that leaves them open gets.
    flow_shift : s > 0 of the noise levels s t / (1 + (s - 1) t). None is the model's own.

    Making the object loads nothing: `check` looks for weights and memory, the first clip loads.
    """

    pipeline_class: str  # of diffusers: named, as some repositories name another one
    by_variant: ClassVar[Mapping[str, Defaults]]
    options: ClassVar[Mapping[str, Option]] = {}
    """Further settings, by name, which decide the clip."""
    factor: int  # it makes factor n + 1 frames
    multiple: int  # pixels of which height and width must be multiples
    native_size: ClassVar[tuple[int, int]]  # (height, width) of the clips that it was made for
    unwarpable: ClassVar[str] = ""  # why its clock cannot be warped
    float32_parts: ClassVar[tuple[str, ...]] = ()  # components always loaded in float32
    held: tuple[int, int] = (5, 0)  # of `spf.generators.memory.Dims`: held, held_float
    together: ClassVar[bool] = False  # one call denoises the clip with and without the prompt
    appends: ClassVar[bool] = False  # the last frame's latent is appended to the clip's own

    def __init_subclass__(cls) -> None:
        """Its `options` are arguments, which its signature shows."""
        *known, common = list(signature(cls.__init__).parameters.values())[1:]
        kind = Parameter.KEYWORD_ONLY
        own = [Parameter(name, kind, default=x.published) for name, x in cls.options.items()]
        cls.__signature__ = Signature([*known, *own, common])  # type: ignore[attr-defined]

    def __init__(
        self,
        variant: str | None = None,
        *,
        offload: str = "none",
        size: Sequence[int] | None = None,
        area: int | None = None,
        num_frames: int | None = None,
        fps: float | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        negative_prompt: str | None = None,
        flow_shift: float | None = None,
        lora: Any = None,
        gguf: Any = None,
        quantize: str | None = None,
        tiling: bool = False,
        slicing: bool = False,
        compile: bool = False,
        attention: str | None = None,
        **common: Any,
    ) -> None:
        own = {name: common.pop(name, None) for name in self.options}
        super().__init__(variant, **common)
        self.loading = LoadOptions(
            lora, gguf, quantize, str(offload), tiling, slicing, compile, attention
        )
        self.size = optional_size("model.size", size)
        if not isinstance(negative_prompt, str | None):
            raise ConfigError(f"model.negative_prompt={negative_prompt!r} must be text")
        native = self.native_size[0] * self.native_size[1]
        self.area = optional_number("model.area", area, least=1, whole=True) or native
        self.chosen: dict[str, Any] = {
            name: optional_number(f"model.{name}", value, **LIMITS[name])
            for name, value in zip(LIMITS, (num_frames, steps, fps, guidance), strict=True)
        }
        self.chosen["negative_prompt"] = negative_prompt
        self.chosen["flow_shift"] = optional_number("model.flow_shift", flow_shift, above=0)
        for name, value in own.items():
            value = optional_number(f"model.{name}", value, **self.options[name].limits)
            self.chosen[name] = None if value == self.published(name) else value

    @abstractmethod
    def ropes(self) -> list[TemporalRope]:
        """The clocks of the loaded model that a warp turns."""

    @abstractmethod
    def _inputs(self, plan: Plan) -> dict[str, Any]:
        """What its pipeline takes of a plan, beside what all take."""

    def _passes(self, plan: Plan) -> int:
        """How many times all denoising steps are gone through."""
        return 1

    @property
    def defaults(self) -> Defaults:
        return self.by_variant[self.variant]

    def published(self, name: str) -> Any:
        """The authors' own value of one of `options`."""
        return self.options[name].published

    def option(self, name: str) -> Any:
        """What takes effect of one of `options`."""
        value = self.chosen[name]
        return self.published(name) if value is None else value

    def _clock(self, num_frames: int, fps: float) -> Clock:
        return latent_clock(num_frames, self.factor)

    def _pipeline_class(self) -> Any:
        import diffusers

        return getattr(diffusers, self.pipeline_class)

    def check(self, request: Request | None = None) -> None:
        """Raises UnavailableError where weights are missing, or where they and the activations of
        the request (None: of a clip by default) do not fit into free memory."""
        if "pipeline" in self.__dict__:
            return  # it is loaded already
        self.loading.check(self.folder, self._pipeline_class(), self.device)
        makes = lambda count: next_count(max(count - self.factor + 1, 2), self.factor)  # noqa: E731
        load = self.workload(self.parameters(), None if request is None else self.plan(request))
        memory.check_memory(self.name, load, self.device, makes=makes)

    @classmethod
    def missing_requirements(cls) -> str:
        """What is not here that this model needs with its default settings; "" if nothing."""
        try:
            _ = cls(device="cpu").folder
        except UnavailableError as error:
            return str(error)
        return ""

    def clock(self, request: Request) -> Clock:
        plan = self.plan(request)
        return self._clock(plan.num_frames, plan.fps)

    def generate(
        self, request: Request, warp: ClockWarp | None = None, on_progress: OnProgress | None = None
    ) -> GeneratedClip:
        """The clip of a request; see `Generator`."""
        plan = self.plan(request)
        check_warp(self, warp, self._clock(plan.num_frames, plan.fps))
        self.check(request)
        with one_line_failures(self.name), self._adjusted():
            with nullcontext() if warp is None else warp.applied(self.ropes()):
                video = self.pipeline(**self._call_arguments(plan, on_progress)).frames[0]
            frames = to_uint8(self.name, video)
        if len(frames) != plan.num_frames:
            found = f"{len(frames)} frames instead of {plan.num_frames}"
            raise SpfError(f"{self.name}: the pipeline made {found}; report this")
        return GeneratedClip(frames, plan.fps, plan.notes)

    def identity(self) -> dict[str, Any]:
        """Settings, files and versions."""
        known = super().identity()
        return known | {
            "variant": self.variant,
            "repo": self.repository.repo if self.path is None else None,
            "revision": self.folder.name if self.path is None else None,
            "size": self.size,
            "area": self.area,
            **self.chosen,
            "loading": self.loading.identity(),
            "versions": known["versions"] | installed(*self.loading.packages()),
        }

    def config(self, component: str = "") -> tuple[Mapping[str, Any], str]:
        """The configuration of a component ("": model_index.json), and its source: that of the
        files, where they are here, or the excerpt that the authors publish."""
        try:
            return read_config(self.folder, component), STORED
        except UnavailableError:
            return self.repository.published.get(component, {}), PUBLISHED

    def own_settings(self) -> dict[str, Setting]:
        """What decides the clip where nothing is chosen, by the names in `chosen`."""
        scheduler, source = self.config("scheduler")
        own = {name: Setting(value, PUBLISHED) for name, value in vars(self.defaults).items()}
        shift = scheduler.get("flow_shift", scheduler.get("shift", 1.0))
        by_clip = scheduler.get("use_dynamic_shifting")
        own["flow_shift"] = Setting(None if by_clip else shift, source)
        named = ((name, self.published(name)) for name in self.options)
        return own | {name: Setting(x, PUBLISHED) for name, x in named if x is not None}

    def settings(self, request: Request) -> dict[str, Setting]:
        """Everything that decides the clip of a request beside its frames, prompt and seed."""
        plan = self.plan(request)
        found = self.own_settings()
        for name, own in found.items():
            if self.chosen[name] not in (None, own.value):
                found[name] = Setting(self.chosen[name], SET)
        for name in vars(self.defaults):
            if getattr(request, name) is not None:
                found[name] = Setting(getattr(plan, name), SET)
        if found["flow_shift"].value is None:
            scheduler, source = self.config("scheduler")
            found["flow_shift"] = Setting(self._clip_shift(scheduler, plan), source)
        return found | {"size": Setting(list(plan.size), SET)}

    def plan(self, request: Request) -> Plan:
        """The request with the model's defaults filled in, and brought to what it can make.

        Raises ConfigError for an area that is smaller than one latent.
        """
        defaults, notes = {**vars(self.defaults)}, []
        defaults |= {name: x for name in defaults if (x := self.chosen[name]) is not None}
        defaults |= {name: x for name in defaults if (x := getattr(request, name)) is not None}
        asked = defaults["num_frames"]
        defaults["num_frames"] = made = next_count(asked, self.factor)
        if made != asked:
            notes = [f"{made} frames instead of {asked}: {self.name} makes {self.factor}n + 1"]
        size = self._fitted((request.first.shape[0], request.first.shape[1]))
        notes += resize_notes(request.first, size)
        defaults |= {name: float(defaults[name]) for name in ("fps", "guidance")}
        first = resized(request.first, size)
        last = None if request.last is None else resized(request.last, size)
        notes += self.loading.notes
        return Plan(**{**vars(request), **defaults, "first": first, "last": last, "notes": notes})

    def describe(self, requests: Sequence[Request]) -> list[str]:
        """Its part of a plan, a line for each thing: weights, settings (of the first request),
        sizes, and the memory of the largest clip."""
        try:
            parameters, where = self.parameters(), f"{self.folder}"
        except UnavailableError as error:
            known, fetch = self.repository, f"to fetch: {self.fetch_command}"
            parameters = {name: round(1e9 * billions) for name, billions in known.parts.items()}
            state = fetch if self.path is None else f"not available: {error}"
            where = f"{known.repo} ({known.size}); {state}"
        effective = self.settings(requests[0])
        del effective["size"]  # a line of its own
        plans = [self.plan(request) for request in requests]
        sizes = Counter(
            f"{plan.size[1]}x{plan.size[0]} from {x.first.shape[1]}x{x.first.shape[0]}"
            for plan, x in zip(plans, requests, strict=True)
        )
        load = self.workload(parameters, max(plans, key=lambda x: math.prod(x.size) * x.num_frames))
        need = memory.estimate(load)
        here = f"{need.device / GIB:.1f} of the GPU" if load.on_gpu else f"{need.main / GIB:.1f}"
        decoded, width = 4 if "vae" in self.float32_parts else 2, {**load.width, "": 2}
        gpu = replace(load, on_gpu=True, activation=2, decoded=decoded, tiling=True, width=width)
        offloaded = ((way, memory.estimate(replace(gpu, offload=way))) for way in OFFLOADS)
        unknown = "" if load.dims else "; activations unknown"
        return [
            f"model {self.name} {self.variant}: {where}",
            f"run on {self.device} in {self.dtype}, offload {self.loading.offload}",
            *self.loading.notes,
            *settings.described(effective),
            f"sizes: {', '.join(f'{number} x {size}' for size, number in sizes.items())}; at most "
            f"{self.area} pixels, sides multiples of {self.multiple}",
            f"memory, estimated, GiB: {here} ({memory.described(need)}){unknown}",
            "on a GPU in bfloat16, tiled, by offload: "
            + ", ".join(f"{way} {taken.device / GIB:.1f}" for way, taken in offloaded),
        ]

    def parameters(self) -> dict[str, int]:
        """Numbers of them, by component. Raises UnavailableError where weights are missing."""
        counts = component_parameters(self.folder, self.fetch_command, self.loading.ggufs)
        return counts | self.loading.parameters()

    def workload(self, parameters: Mapping[str, int], plan: Plan | None = None) -> memory.Workload:
        """What decides the memory of a plan's clip; of one by default without a plan."""
        vae, _ = self.config("vae")
        token = (self.factor, self.multiple, self.multiple)
        dims = memory.dims_of(self.config("transformer")[0], vae, token)
        frames = self.chosen["num_frames"] or self.defaults.num_frames
        width = DTYPES[self.dtype]
        return memory.Workload(
            parameters,
            {"": width, **dict.fromkeys(self.float32_parts, 4), **self.loading.widths()},
            dims and replace(dims, held=self.held[0], held_float=self.held[1]),
            plan.size if plan else self._fitted(self.native_size),
            plan.num_frames if plan else next_count(frames, self.factor),
            activation=width,
            decoded=4 if "vae" in self.float32_parts else width,
            offload=self.loading.offload,
            tiling=self.loading.tiling,
            attention=memory.MATH if self.loading.attention == "_native_math" else "flash",
            batch=2 if self.together and (plan is None or plan.guidance > 1) else 1,
            appended=int(self.appends and (plan is None or plan.last is not None)),
            on_gpu=self.device != "cpu",
        )

    def _fitted(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the clip whose first frame has a size."""
        if self.size is None:
            return fitted(size, self.area, self.multiple)
        return nearest(self.size, self.multiple)

    def _clip_shift(self, scheduler: Mapping[str, Any], plan: Plan) -> float | None:
        """The flow shift that the model makes of a clip; None where it is not known."""
        return None

    def _adjusted(self) -> AbstractContextManager[None]:
        """The pipeline with the chosen settings that it takes from its configuration."""
        return settings.adjusted(self.pipeline, self.chosen["flow_shift"])

    def _call_arguments(self, plan: Plan, on_progress: OnProgress | None) -> dict[str, Any]:
        """All arguments of the pipeline, for a video (T, H, W, 3) in 0 .. 1."""
        done = count(1)

        def after_step(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict:
            if not bool(tensors["latents"].isfinite().all()):
                raise not_finite(self.name, f"after step {step + 1} of {plan.steps} latents are")
            if on_progress is not None:
                on_progress(next(done), plan.steps * self._passes(plan))
            return {}

        return {
            "prompt": plan.prompt,
            "negative_prompt": plan.negative_prompt,
            "height": plan.size[0],
            "width": plan.size[1],
            "num_frames": plan.num_frames,
            "num_inference_steps": plan.steps,
            "guidance_scale": plan.guidance,
            "generator": random_state(plan.seed),
            "output_type": "np",
            "callback_on_step_end": after_step,
            **self._inputs(plan),
        }

    @cached_property
    def pipeline(self) -> Any:
        """The loaded pipeline, where its offloading wants it."""
        import torch

        dtypes = dict.fromkeys(self.float32_parts, torch.float32)
        dtypes["default"] = getattr(torch, self.dtype)
        with self.explained():
            return self.loading.load(self.folder, self._pipeline_class(), dtypes, self.device)
