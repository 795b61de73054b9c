"""Where a model holds its time: all that ReTime must know of it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Clock:
    """The latents of a clip of N frames.

    frames : (L,) float64, increasing from 0 to N - 1: the frame at which each latent stands.
    positions : (L,) float64, increasing: where the model places it, in its own unit.
    unwarpable : why positions cannot be moved in a clip of so many frames; "" where they can.
    """

    frames: Array
    positions: Array
    unwarpable: str = ""

    def shift(self, tau: Array) -> Array:
        """How far (L,) a time map moves each latent, in the model's unit; 0 at both ends.

        tau : (N,) float64, the source frame position that each output frame is to show, from 0 to
        N - 1. Latent k goes where the map sends the frame at which it stands: p(tau(f_k)) - p(f_k),
        with p the line through (frames, positions). The identity map shifts nothing, exactly.
        """
        count = round(float(self.frames[-1])) + 1
        if tau.shape != (count,):
            raise ValueError(f"the time map has shape {tau.shape}; the clip has {count} frames")
        shown = np.interp(self.frames, np.arange(count, dtype=np.float64), tau)
        moved = np.interp(shown, self.frames, self.positions) - self.positions
        moved[0] = moved[-1] = 0.0
        return moved


def latent_clock(num_frames: int, factor: int, fps: float | None = None) -> Clock:
    """The clock of a causal video VAE that packs `factor` frames into a latent.

    Latent 0 is frame 0; latent k >= 1 covers frames factor (k - 1) + 1 .. factor k and stands in
    their middle, but for the last one, which stands at the last frame. (The authors place latents
    by that middle over `factor`, which moves all but the first by -0.375 even without a warp.)

    num_frames : N = factor n + 1, at least factor + 1. fps : positions in seconds, each the middle
    of the time that the latent's frames are shown (LTX-2); None: positions are the latents' indices
    (Wan).
    """
    count = (num_frames - 1) // factor + 1
    if count < 2 or factor * (count - 1) + 1 != num_frames:
        raise ValueError(f"{num_frames} frames are not {factor}n + 1 with n at least 1")
    index = np.arange(count, dtype=np.float64)
    middle = np.where(index == 0, 0.0, factor * index - (factor - 1) / 2)
    frames = middle.copy()
    frames[-1] = num_frames - 1
    return Clock(frames, index if fps is None else (middle + 0.5) / fps)


@dataclass(frozen=True)
class Layout:
    """Where the temporal bands lie in a table of cosines (or of sines).

    Band b fills `width` channels from first + stride b, counted over all heads.
    heads_axis : of the table's axes (batch, tokens and heads in some order, channels), the one of
    the heads; None where it has none. A table may lack the batch: (tokens, channels).
    """

    first: int
    stride: int
    width: int
    heads_axis: int | None

    def channels(self, bands: int) -> NDArray[np.int64]:
        """Channels (bands, width)."""
        return self.first + self.stride * np.arange(bands)[:, None] + np.arange(self.width)


@dataclass(frozen=True, eq=False)
class TemporalRope:
    """One rotary module of a transformer: which of its channels carry time, and how fast they turn.

    transformer : the module that is called at every denoising step, with the noise level.
    rope : the module inside it that returns (cos, sin).
    omega : (B,) float64, radians per unit of position, in the order of the layout's bands.
    positions : (module, its inputs, in the order of the call) -> (M,) positions of the tokens;
        tokens that follow each other may share one: the table has a multiple of M.
    noise_level : the transformer's keyword arguments -> the noise level, 0 .. 1, a 0-d tensor.
    """

    transformer: "Module"
    rope: "Module"
    omega: Array
    layout: Layout
    positions: "Callable[[Any, tuple[Any, ...]], Tensor]"
    noise_level: "Callable[[dict[str, Any]], Tensor]"


class ClockWarp(Protocol):
    """What steers a generator's clock; `spf.pacing.warp.Warp` is one."""

    @property
    def positions(self) -> Array:
        """Those of the clock that it was made for."""

    def applied(self, ropes: Sequence[TemporalRope]) -> AbstractContextManager[None]:
        """Warp these ropes as long as the context lasts."""


def timestep_level(arguments: dict[str, Any]) -> "Tensor":
    """The noise level of a call with timesteps from 1000 down; where there is one for each token,
    those of the request's frames are lower."""
    return arguments["timestep"].detach().max().float() / 1000.0


def wan_rope(transformer: "Module") -> TemporalRope:
    """The clock of diffusers' WanTransformer3DModel, or of anything built from it.

    omega_i = 10000^(-2i / t_dim) radians a latent, i < t_dim / 2, highest first; each turns the
    channels 2i and 2i + 1. Tables are (1, N, 1, head_dim), temporal channels first, frame-major.
    """
    import torch

    rope: Any = transformer.rope
    bands = rope.t_dim // 2
    exponent = np.arange(bands, dtype=np.float64) * 2.0 / rope.t_dim

    def positions(module: Any, inputs: tuple[Any, ...]) -> "Tensor":
        return torch.arange(inputs[0].shape[2] // module.patch_size[0], dtype=torch.float64)

    layout = Layout(first=0, stride=2, width=2, heads_axis=2)
    return TemporalRope(transformer, rope, 10000.0**-exponent, layout, positions, timestep_level)
