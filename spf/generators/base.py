"""What a generator is: first frame, last frame and prompt -> clip; how many frames it makes."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from math import log, sqrt
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spf.errors import ConfigError, SpfError, is_out_of_memory
from spf.generators.clock import Clock, ClockWarp
from spf.numbers import number, optional_number
from spf.video import MAX_FRAMES
from spf.video.write import FASTEST, SLOWEST

Image = NDArray[np.uint8]
LIMITS: dict[str, dict[str, Any]] = {
    "num_frames": {"least": 2, "most": MAX_FRAMES, "whole": True},
    "steps": {"least": 1, "whole": True},
    "fps": {"least": SLOWEST, "most": FASTEST},
    "guidance": {"above": 0},
}
"""Bounds, as `spf.numbers` takes them, of what every generator may be asked for."""
OnProgress = Callable[[int, int], None]
"""Called after each denoising step with the number of steps done and their total."""

ENDLESS = 100_000
"""A number of frames that only a model without a bound of its own would accept."""
REMEDY = "use fewer or smaller frames, model.offload=model or group, or another device"


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be generated; None takes the model's own.

    first : (H, W, 3) uint8 RGB. last : the same, or None where the model is free to end.
    seed : of the noise. num_frames : at least 2; a model that cannot make that many makes the next
    number that it can, and notes it. guidance : classifier-free guidance scale, 1 is none.

    Raises ConfigError for what cannot be asked of any model.
    """

    first: Image
    last: Image | None = None
    prompt: str = ""
    negative_prompt: str | None = None
    seed: int = 0
    num_frames: int | None = None
    fps: float | None = None
    steps: int | None = None
    guidance: float | None = None

    def __post_init__(self) -> None:
        _check_image("first", self.first)
        if self.last is not None:
            _check_image("last", self.last)
        if self.last is not None and self.first.shape != self.last.shape:
            sizes = " and ".join(f"{x.shape[1]}x{x.shape[0]}" for x in (self.first, self.last))
            raise ConfigError(f"first and last frame differ in size ({sizes}); resize one of them")
        for name, kind in (("prompt", str), ("negative_prompt", str | None)):
            if not isinstance(value := getattr(self, name), kind):
                raise ConfigError(f"{name}={value!r} must be text")
        number("seed", self.seed, least=0, whole=True)
        for name, limits in LIMITS.items():
            optional_number(name, getattr(self, name), **limits)


@dataclass(frozen=True)
class Defaults:
    """What a model makes where a request leaves it open; its authors' own settings."""

    num_frames: int
    fps: float
    steps: int
    guidance: float
    negative_prompt: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan(Request):
    """A request with nothing left open, and what had to be changed to fulfil it."""

    negative_prompt: str
    num_frames: int
    fps: float
    steps: int
    guidance: float
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        return self.first.shape[0], self.first.shape[1]


@dataclass(frozen=True, eq=False)
class GeneratedClip:
    """frames (T, H, W, 3) uint8 RGB, frames a second, and a line for each thing that is not as it
    was asked for. Raises SpfError for other frames: floats may hide NaN."""

    frames: Image
    fps: float
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape, dtype = np.shape(self.frames), getattr(self.frames, "dtype", None)
        if len(shape) != 4 or shape[-1] != 3 or 0 in shape or dtype != np.uint8:
            what = f"frames of shape {shape} and type {dtype}, not (T, H, W, 3) uint8"
            raise SpfError(f"the generator gave {what}; fix the generator")


class Generator(Protocol):
    """First frame, last frame and prompt -> clip. `name` is the option that chooses it.

    Two calls with the same request give the same pixels on one machine, and with a warp the same
    noise: the clips differ by the warp alone.
    """

    name: str

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of all its clips; None where the first frame decides."""

    @property
    def native_size(self) -> tuple[int, int]:
        """(height, width) that it was made for."""

    def check(self, request: Request | None = None) -> None:
        """Raises UnavailableError, before any work, where weights are missing, or memory for the
        clip of a request (None: of one by default)."""

    def clock(self, request: Request) -> Clock:
        """Where the latents of the clip that would be generated stand."""

    def generate(
        self, request: Request, warp: ClockWarp | None = None, on_progress: OnProgress | None = None
    ) -> GeneratedClip:
        """The clip; with a warp, under it.

        Raises ConfigError for a request that the model cannot fulfil or a warp that was made for
        another clip; UnavailableError as `check`; SpfError where it fails on the way.
        """

    def identity(self) -> dict[str, Any]:
        """Everything that determines the pixels, beside the request and the warp."""


def next_count(num_frames: int, factor: int) -> int:
    """The smallest factor n + 1 >= num_frames with n at least 1."""
    return max(-(-(num_frames - 1) // factor), 1) * factor + 1


@dataclass(frozen=True)
class Counts:
    """The numbers factor n + 1 from `shortest` to `longest` (None: no bound); any number: factor 1.

    Raises ConfigError where there is no such number.
    """

    factor: int = 1
    shortest: int = 2
    longest: int | None = None

    def __post_init__(self) -> None:
        number("factor", self.factor, least=1, whole=True)
        number("shortest", self.shortest, least=2, whole=True)
        optional_number("longest", self.longest, least=2, whole=True)
        if self.most is not None and self.most < self.least:
            range_ = f"from {self.shortest} to {self.longest}"
            raise ConfigError(f"there is no number {self.factor}n + 1 of frames {range_}")

    @property
    def least(self) -> int:
        """The smallest n: steps of `factor` frames in the shortest clip."""
        return -(-(self.shortest - 1) // self.factor)

    @property
    def most(self) -> int | None:
        """The largest n; None where there is no bound."""
        return None if self.longest is None else (self.longest - 1) // self.factor

    def __str__(self) -> str:
        rule = "any number of" if self.factor == 1 else f"{self.factor}n + 1"
        least = self.factor * self.least + 1
        bound = "or more" if self.most is None else f"to {self.factor * self.most + 1}"
        return f"{rule} frames, {least} {bound}"


def counts_of(generator: Generator) -> Counts:
    """What a generator declares as `counts`, or else what its clock says.

    One that accepts any number is held to the length that it makes unasked, which is what it was
    trained for. Raises ConfigError where it makes nothing between a first and a last frame.
    """
    declared = getattr(generator, "counts", None)
    if isinstance(declared, Counts):
        return declared
    blank = np.zeros((8, 8, 3), np.uint8)

    def made(num_frames: int | None) -> int:
        clock = generator.clock(Request(blank, blank, num_frames=num_frames))
        return round(float(clock.frames[-1])) + 1

    def accepted(num_frames: int) -> bool:
        try:
            return made(num_frames) > 0
        except ConfigError:
            return False

    usual = made(None)
    shortest = made(next(count for count in range(2, usual + 1) if accepted(count)))
    longest = usual
    if not accepted(ENDLESS):
        longer = range(usual + 1, ENDLESS)
        longest = made(usual + bisect_left(longer, True, key=lambda count: not accepted(count)))
    factor = made(shortest + 1) - shortest if longest > shortest else 1
    return Counts(factor, shortest, longest)


def check_warpable(generator: Any, clock: Clock) -> None:
    """Raises ConfigError for a clock that cannot be warped, as its generator or it says."""
    if reason := unwarpable(generator) or clock.unwarpable:
        remedy = "choose retime=none, nearest, blend or flow, or another model"
        raise ConfigError(f"model={generator.name}: its clock cannot be warped: {reason}; {remedy}")


def unwarpable(generator: Any) -> str:
    """Why a generator's clock cannot be warped, as it explains itself; "" where it can."""
    return getattr(generator, "unwarpable", "")


def check_warp(generator: Any, warp: ClockWarp | None, clock: Clock) -> None:
    """Raises ConfigError for a warp that does not fit a clock."""
    if warp is None:
        return
    check_warpable(generator, clock)
    if not np.array_equal(warp.positions, clock.positions):
        counts = f"{len(warp.positions)} latents, this clip has {len(clock.positions)}"
        raise ConfigError(
            f"{generator.name}: the warp is for another clip ({counts}); make it for this one"
        )


@contextmanager
def one_line_failures(name: str, remedy: str = REMEDY) -> Iterator[None]:
    """Running out of memory while generating, as one line with the remedy."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise SpfError(f"{name}: out of memory while generating; {remedy}") from None


def not_finite(name: str, what: str) -> SpfError:
    """The error for NaN or infinity on the way to a clip."""
    return SpfError(f"{name}: {what} not finite; use another dtype or a weaker warp")


def to_uint8(name: str, video: NDArray[Any]) -> Image:
    """Frames (T, H, W, 3) uint8 of a video in 0 .. 1. Raises SpfError where it is not finite."""
    if not np.isfinite(video).all():
        raise not_finite(name, "the decoded video is")
    return np.rint(np.clip(video, 0.0, 1.0) * 255.0).astype(np.uint8)


def pil_images(plan: Plan) -> tuple[Any, Any]:
    """The first frame and the last one, None without one, as images of Pillow."""
    from PIL import Image as Pillow

    first, last = (None if x is None else Pillow.fromarray(x) for x in (plan.first, plan.last))
    return first, last


def resized(image: Image, size: tuple[int, int]) -> Image:
    """The image (H, W, 3) at (height, width), by Pillow's Lanczos filter."""
    if image.shape[:2] == size:
        return np.ascontiguousarray(image)
    from PIL import Image as Pillow

    height, width = size
    pil = Pillow.fromarray(np.ascontiguousarray(image))
    return np.asarray(pil.resize((width, height), Pillow.Resampling.LANCZOS))


def resize_notes(image: Image, size: tuple[int, int]) -> list[str]:
    """What is noted of a clip whose frames are brought from an image's size to (height, width)."""
    height, width = image.shape[:2]
    changed = (height, width) != size
    return [f"frames resized from {width}x{height} to {size[1]}x{size[0]}"] * changed


def fitted(size: tuple[int, int], area: int, multiple: int) -> tuple[int, int]:
    """The (height, width) nearest to a size's shape that covers at most `area` pixels.

    Both are multiples of `multiple`. Only what is larger than the area is shrunk; then each side
    moves by less than one multiple: of the sizes around, the one whose aspect is nearest to the
    size's, and of equal ones the largest. A side is never less than one multiple; the other is cut
    down where that makes them too large. Raises ConfigError where not even a square of them fits.
    """
    if area < multiple * multiple:
        least = f"{multiple}x{multiple} pixels = {multiple * multiple} are the least"
        raise ConfigError(f"model.area={area} is smaller than one latent; {least}")
    scale = min(1.0, sqrt(area / (size[0] * size[1])))
    sides = [
        sorted({max(int(x * scale / multiple + more), 1) * multiple for more in (0, 1 - 1e-9)})
        for x in size
    ]
    shapes = [shape for shape in product(*sides) if shape[0] * shape[1] <= area]
    if not shapes:
        longest = area // multiple // multiple * multiple
        return (multiple, longest) if size[0] < size[1] else (longest, multiple)
    aspect = size[0] / size[1]
    height, width = min(
        shapes, key=lambda x: (round(abs(log(x[0] / x[1] / aspect)), 9), -x[0] * x[1])
    )
    return height, width


def nearest(size: tuple[float, float], multiple: int) -> tuple[int, int]:
    """The nearest (height, width) of multiples of `multiple`."""
    height, width = (max(round(x / multiple), 1) * multiple for x in size)
    return height, width


def _check_image(name: str, image: Any) -> None:
    shape: tuple[int, ...] = getattr(image, "shape", ())
    dtype = getattr(image, "dtype", type(image).__name__)
    if len(shape) != 3 or shape[-1] != 3 or 0 in shape or dtype != np.uint8:
        raise ConfigError(f"the {name} frame must be (H, W, 3) uint8 RGB, not {shape} {dtype}")
