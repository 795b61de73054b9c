"""The shipped generator behind the protocol that all generators follow."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spf.devices import PickledByArguments
from spf.errors import ConfigError, UnavailableError
from spf.extras import require_extra
from spf.generators.base import (
    GeneratedClip,
    Image,
    Request,
    Watch,
    check_warp,
    one_line_failures,
    resized,
)
from spf.generators.clock import Clock, ClockWarp, latent_clock, wan_rope
from spf.identity import code_hash, file_digest, installed

if TYPE_CHECKING:
    from spf.generators.tiny.sampling import TinySampler

WEIGHTS = Path(__file__).parent / "weights"
SAMPLING = "sampling.json"
FILES = ("config.json", SAMPLING, "diffusion_pytorch_model.safetensors")
"""What a folder of weights holds: the network's shape, how it is sampled, its weights."""

SETTINGS = ("size", "num_frames", "min_frames", "max_frames")
"""What the adapter reads of `SAMPLING`."""

FPS = 8.0


class Tiny(PickledByArguments):
    """First frame + last frame -> clip, on the CPU, without text.

    path : folder of weights; None is the one that ships with the project. Prompts and guidance are
    passed over; frames are resized to the model's size, and both are said in the clip's notes.
    """

    name: ClassVar[str] = "tiny"

    def __init__(self, path: str | None = None) -> None:
        self.path = WEIGHTS if path is None else Path(path)

    def check(self) -> None:
        """Raises UnavailableError where the extra generators is not installed, or a file of the
        weights is missing or cannot be read."""
        require_extra("model tiny", "generators")
        for name in FILES:
            if fault := _fault(self.path / name):
                shipped = self.path == WEIGHTS
                remedy = "install spf again" if shipped else f"model.path needs {', '.join(FILES)}"
                raise UnavailableError(f"model=tiny: {self.path / name} {fault}; {remedy}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels of every clip."""
        height, width = self._settings["size"]
        return height, width

    @property
    def native_size(self) -> tuple[int, int]:
        return self.size

    def clock(self, request: Request) -> Clock:
        if request.last is None:
            raise ConfigError("model=tiny needs a first and a last frame; only the first is given")
        return latent_clock(self._count(request), 1)

    def generate(
        self, request: Request, warp: ClockWarp | None = None, watch: Watch | None = None
    ) -> GeneratedClip:
        """The clip of a request; see `Generator`."""
        check_warp(self, warp, self.clock(request))
        assert request.last is not None  # the clock has refused that
        first, last = self._fitted(request.first), self._fitted(request.last)
        notes = [f"{self.name} has no text: the prompt is passed over"] if request.prompt else []
        if first.shape != request.first.shape:
            given, made = (f"{x.shape[1]}x{x.shape[0]}" for x in (request.first, first))
            notes.append(f"frames resized from {given} to {made}")
        sampler = self._sampler
        applied = nullcontext() if warp is None else warp.applied([wan_rope(sampler.transformer)])
        with one_line_failures(self.name), _one_thread(), applied:
            frames = sampler.sample(
                first, last, self._count(request), request.seed, request.steps, watch
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
    def _settings(self) -> dict[str, Any]:
        """How the weights want to be sampled, read without torch."""
        self.check()
        return json.loads((self.path / SAMPLING).read_text())

    def _count(self, request: Request) -> int:
        count = request.num_frames or self._settings["num_frames"]
        low, high = self._settings["min_frames"], self._settings["max_frames"]
        if not low <= count <= high:
            raise ConfigError(
                f"tiny: num_frames={count} is outside what it learned; use {low} to {high}"
            )
        return count

    def _fitted(self, image: Image) -> Image:
        return resized(image, self.size)


def _fault(file: Path) -> str:
    """Why a file of the weights cannot serve, as the rest of a sentence; "" where it can."""
    from safetensors import SafetensorError, safe_open

    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="numpy"):
                return ""  # its header fits its size
        content = json.loads(file.read_text())
    except FileNotFoundError:
        return "is not there"
    except (OSError, ValueError, SafetensorError) as error:
        return f"cannot be read ({' '.join(str(error).split())})"
    lacking = [name for name in SETTINGS if file.name == SAMPLING and name not in content]
    return f"lacks {', '.join(lacking)}" if lacking else ""


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
