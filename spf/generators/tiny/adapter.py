"""The shipped generator behind the protocol that all generators follow."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spf.devices import PickledByArguments
from spf.errors import ConfigError, UnavailableError, one_line
from spf.extras import require_extra
from spf.generators.base import (
    GeneratedClip,
    OnProgress,
    Request,
    check_warp,
    one_line_failures,
    resize_notes,
    resized,
)
from spf.generators.clock import Clock, ClockWarp, latent_clock, wan_rope
from spf.identity import code_hash, file_digest, installed

if TYPE_CHECKING:
    from spf.generators.tiny.sampling import TinySampler

WEIGHTS = Path(__file__).parent / "weights"
SETTINGS_FILE = "sampling.json"
FILES = ("config.json", SETTINGS_FILE, "diffusion_pytorch_model.safetensors")
"""What a folder of weights holds: the network's shape, how it is sampled, its weights."""

FPS = 8.0


@dataclass(frozen=True)
class SamplerSettings:
    """How the weights want to be sampled; `sampling.json` beside them. What they were trained for
    has no default: of other weights than the shipped ones nobody knows it."""

    size: tuple[int, int]  # (height, width), pixels
    num_frames: int
    min_frames: int
    max_frames: int
    num_steps: int = 4
    shift: float = 8.0

    def __post_init__(self) -> None:
        if not (1 < self.min_frames <= self.num_frames <= self.max_frames and self.num_steps >= 1):
            raise ValueError("its numbers of frames or steps are impossible")

    @classmethod
    def load(cls, folder: Path) -> "SamplerSettings":
        """The settings in a folder of weights. Raises TypeError or ValueError."""
        made = cls(**json.loads((folder / SETTINGS_FILE).read_text()))
        height, width = made.size
        return replace(made, size=(height, width))


class TinyGenerator(PickledByArguments):
    """First frame + last frame -> clip, on the CPU, without text.

    path : folder of weights; None is the one that ships with the project. Prompts and guidance are
    ignored; frames are resized to the model's size.
    """

    name: ClassVar[str] = "tiny"

    def __init__(self, path: str | None = None) -> None:
        self.path = WEIGHTS if path is None else Path(path)

    def check(self, request: Request | None = None) -> None:
        """Raises UnavailableError where the extra generators is not installed, or a file of the
        weights is missing or damaged."""
        require_extra("model tiny", "generators")
        from safetensors import SafetensorError, safe_open

        for file in (self.path / name for name in FILES):
            try:
                if file.name == SETTINGS_FILE:
                    SamplerSettings.load(self.path)
                elif file.suffix == ".json":
                    json.loads(file.read_text())
                else:
                    with safe_open(file, framework="numpy"):
                        pass  # its header fits its size
            except FileNotFoundError:
                fault = "is not there"
            except (OSError, ValueError, TypeError, SafetensorError) as error:
                fault = f"cannot be used ({one_line(error, None)})"
            else:
                continue
            shipped = self.path == WEIGHTS
            remedy = "install spf again" if shipped else f"model.path needs {', '.join(FILES)}"
            raise UnavailableError(f"model=tiny: {file} {fault}; {remedy}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels of every clip."""
        return self._settings.size

    @property
    def native_size(self) -> tuple[int, int]:
        return self.size

    def clock(self, request: Request) -> Clock:
        if request.last is None:
            raise ConfigError("model=tiny needs a first and a last frame; there is no last one")
        return latent_clock(self._count(request), 1)

    def generate(
        self, request: Request, warp: ClockWarp | None = None, on_progress: OnProgress | None = None
    ) -> GeneratedClip:
        """The clip of a request; see `Generator`."""
        check_warp(self, warp, self.clock(request))
        assert request.last is not None  # the clock has refused that
        first, last = (resized(image, self.size) for image in (request.first, request.last))
        notes = [f"{self.name} has no text: the prompt is passed over"] if request.prompt else []
        notes += resize_notes(request.first, self.size)
        sampler = self._sampler
        applied = nullcontext() if warp is None else warp.applied([wan_rope(sampler.transformer)])
        with one_line_failures(self.name), _one_thread(), applied:
            frames = sampler.sample(
                first, last, self._count(request), request.seed, request.steps, on_progress
            )
        return GeneratedClip(frames, float(request.fps or FPS), notes)

    def identity(self) -> dict[str, Any]:
        self.check()
        return {
            "name": self.name,
            "files": {name: file_digest(self.path / name) for name in FILES},
            "versions": installed("torch", "diffusers"),
            "code": code_hash(type(self)),
        }

    @cached_property
    def _sampler(self) -> "TinySampler":
        self.check()
        from spf.generators.tiny.sampling import TinySampler

        return TinySampler(self.path)

    @cached_property
    def _settings(self) -> SamplerSettings:
        self.check()
        return SamplerSettings.load(self.path)

    def _count(self, request: Request) -> int:
        count = request.num_frames or self._settings.num_frames
        low, high = self._settings.min_frames, self._settings.max_frames
        if not low <= count <= high:
            raise ConfigError(
                f"tiny: num_frames={count} is outside what it learned; use {low} to {high}"
            )
        return count


@contextmanager
def _one_thread() -> Iterator[None]:
    """So small a model is fastest on one thread, and sums in one order on every machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
