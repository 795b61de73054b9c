"""Sample clips between a first and a last frame from the shipped video diffusion transformer.

The denoiser is diffusers' WanTransformer3DModel as it is, working on pixels: there is no VAE, so
that latent frame k is frame k. Its input channels are the noisy picture (3), a mask that is 1 at
the first frame, -1 at the last and else 0 (1), and the first (3) and the last frame (3), shown to
every frame. It predicts the clean clip x0 from x = (1 - sigma) x0 + sigma noise at timestep
1000 sigma: its output is x0 less the mean of the two end frames, the same for all frames.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from diffusers import WanTransformer3DModel
from numpy.typing import NDArray
from torch import Tensor

from spf.errors import ConfigError, SpfError

WEIGHTS = Path(__file__).parent / "weights"
SETTINGS_FILE = "sampling.json"
TEXT_DIM = 8


@dataclass(frozen=True)
class SamplerSettings:
    """How the weights want to be sampled; `sampling.json` beside them."""

    size: tuple[int, int] = (32, 32)  # (height, width), pixels
    num_frames: int = 24
    num_steps: int = 4
    shift: float = 8.0
    min_frames: int = 5
    max_frames: int = 33

    @classmethod
    def load(cls, folder: Path) -> "SamplerSettings":
        """The settings in a folder of weights."""
        values = json.loads((folder / SETTINGS_FILE).read_text())
        return cls(**{**values, "size": tuple(values["size"])})


def noise_levels(num_steps: int, shift: float) -> list[float]:
    """Noise levels sigma (num_steps + 1) from 1 to 0, dense near 1 where shift is above 1."""
    even = np.linspace(1.0, 0.0, num_steps + 1)
    return [float(sigma) for sigma in shift * even / (1.0 + (shift - 1.0) * even)]


def conditioning(first: Tensor, last: Tensor, num_frames: int) -> Tensor:
    """Mask and end frames (B, 7, T, H, W) of first and last frames (B, 3, H, W), in -1..1."""
    batch, _, height, width = first.shape
    mask = first.new_zeros(batch, 1, num_frames, height, width)
    mask[:, :, 0], mask[:, :, -1] = 1.0, -1.0
    ends = torch.cat([first, last], dim=1)[:, :, None].expand(-1, -1, num_frames, -1, -1)
    return torch.cat([mask, ends], dim=1)


def midway(first: Tensor, last: Tensor) -> Tensor:
    """The mean picture (B, 3, 1, H, W) of first and last frames (B, 3, H, W)."""
    return 0.5 * (first + last)[:, :, None]


def no_text(batch: int) -> Tensor:
    """The zero text token (B, 1, D) that stands where Wan has its prompt."""
    return torch.zeros(batch, 1, TEXT_DIM)


class TinySampler:
    """First frame + last frame + seed -> clip, on the CPU in float32.

    `transformer` is the denoiser, public so that its `rope` can be hooked; it is called with
    `timestep` (B,) in 0..1000 as a keyword, as diffusers' pipelines do.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        folder = Path(folder) if folder is not None else WEIGHTS
        self.settings = SamplerSettings.load(folder)
        self.transformer = WanTransformer3DModel.from_pretrained(
            folder, torch_dtype=torch.float32, use_safetensors=True, local_files_only=True
        ).eval()

    @torch.inference_mode()
    def sample(
        self,
        first: NDArray[np.uint8],
        last: NDArray[np.uint8],
        num_frames: int | None = None,
        seed: int = 0,
        steps: int | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.uint8]:
        """A clip (T, H, W, 3) uint8, RGB.

        Parameters
        ----------
        first, last : (H, W, 3) uint8, RGB, at the model's size. The clip's end frames are the
            model's own pictures of them, not copies.
        num_frames : T; the settings' own where None.
        seed : of the noise, which depends on it and on T alone.
        steps : denoising steps; the settings' own where None.
        on_step : called with the number of steps done and their total.
        """
        settings = self.settings
        num_frames = settings.num_frames if num_frames is None else num_frames
        num_steps = settings.num_steps if steps is None else steps
        self._check(first, last, num_frames, num_steps)
        ends = _to_model(first), _to_model(last)
        given, middle = conditioning(*ends, num_frames), midway(*ends)
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(1, 3, *given.shape[2:], generator=generator)
        levels = noise_levels(num_steps, settings.shift)
        for done, (sigma, following) in enumerate(pairwise(levels), start=1):
            change = self.transformer(
                hidden_states=torch.cat([x, given], dim=1),
                timestep=torch.full((1,), 1000.0 * sigma),
                encoder_hidden_states=no_text(1),
                return_dict=False,
            )[0]
            clean = middle + change
            x = clean + following / sigma * (x - clean)
            if on_step is not None:
                on_step(done, num_steps)
        if not bool(torch.isfinite(x).all()):
            raise SpfError(
                "tiny: the sampled clip is not finite; use other weights or a weaker warp"
            )
        pixels = (x[0].permute(1, 2, 3, 0) + 1.0) * 127.5
        return pixels.round().clamp(0, 255).to(torch.uint8).numpy()

    def _check(
        self, first: NDArray[np.uint8], last: NDArray[np.uint8], num_frames: int, steps: int
    ) -> None:
        settings = self.settings
        height, width = settings.size
        for name, frame in (("first", first), ("last", last)):
            if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
                raise ConfigError(
                    f"tiny: the {name} frame is {frame.dtype} {frame.shape}; "
                    f"give uint8 ({height}, {width}, 3)"
                )
        if not settings.min_frames <= num_frames <= settings.max_frames:
            raise ConfigError(
                f"tiny: num_frames={num_frames} is outside what it learned; "
                f"use {settings.min_frames} to {settings.max_frames}"
            )
        if steps < 1:
            raise ConfigError(f"tiny: steps={steps} is impossible; use 1 or more")


def _to_model(frame: NDArray[np.uint8]) -> Tensor:
    """(1, 3, H, W) float32 in -1..1 of a picture (H, W, 3) uint8."""
    return torch.from_numpy(frame.astype(np.float32) / 127.5 - 1.0).permute(2, 0, 1)[None]
