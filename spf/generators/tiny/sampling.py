"""Sample clips between a first and a last frame from the shipped video diffusion transformer.

The denoiser is diffusers' WanTransformer3DModel as it is, working on pixels: there is no VAE, so
that latent frame k is frame k. Its input channels are the noisy image (3), a mask that is 1 at
the first frame, -1 at the last and else 0 (1), and the first (3) and the last frame (3), shown to
every frame. It predicts the clean clip x0 from x = (1 - sigma) x0 + sigma noise at timestep
1000 sigma: its output is x0 less the mean of the two end frames, the same for all frames.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from diffusers import WanTransformer3DModel
from numpy.typing import NDArray
from torch import Tensor

from spf.errors import SpfError
from spf.generators.tiny.adapter import SETTINGS_FILE as SETTINGS_FILE
from spf.generators.tiny.adapter import WEIGHTS, SamplerSettings

TEXT_DIM = 8


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
    """The mean image (B, 3, 1, H, W) of first and last frames (B, 3, H, W)."""
    return 0.5 * (first + last)[:, :, None]


def no_text(batch: int) -> Tensor:
    """The zero text token (B, 1, D) that stands where Wan has its prompt."""
    return torch.zeros(batch, 1, TEXT_DIM)


class TinySampler:
    """First frame + last frame + seed -> clip, on the CPU in float32.

    `transformer` is the denoiser, public so that its `rope` can be hooked; it is called with
    `timestep` (B,) in 0..1000 as a keyword, as diffusers' pipelines do.
    """

    def __init__(self, folder: Path = WEIGHTS) -> None:
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
        on_progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.uint8]:
        """A clip (T, H, W, 3) uint8, RGB.

        first, last : (H, W, 3) uint8, RGB, at the model's size; the clip's end frames are the
        model's own images of them. num_frames, steps : T and denoising steps; the settings' own
        where None. seed : of the noise, which depends on it and on T alone.
        """
        settings = self.settings
        num_frames, num_steps = num_frames or settings.num_frames, steps or settings.num_steps
        ends = _to_model(first), _to_model(last)
        known, middle = conditioning(*ends, num_frames), midway(*ends)
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(1, 3, *known.shape[2:], generator=generator)
        levels = noise_levels(num_steps, settings.shift)
        for done, (sigma, following) in enumerate(pairwise(levels), start=1):
            change = self.transformer(
                hidden_states=torch.cat([x, known], dim=1),
                timestep=torch.full((1,), 1000.0 * sigma),
                encoder_hidden_states=no_text(1),
                return_dict=False,
            )[0]
            clean = middle + change
            x = clean + following / sigma * (x - clean)
            if on_progress is not None:
                on_progress(done, num_steps)
        if not bool(torch.isfinite(x).all()):
            raise SpfError(
                "tiny: the sampled clip is not finite; use other weights or a weaker warp"
            )
        pixels = (x[0].permute(1, 2, 3, 0) + 1.0) * 127.5
        return pixels.round().clamp(0, 255).to(torch.uint8).numpy()


def _to_model(frame: NDArray[np.uint8]) -> Tensor:
    """(1, 3, H, W) float32 in -1..1 of an image (H, W, 3) uint8."""
    return torch.from_numpy(frame.astype(np.float32) / 127.5 - 1.0).permute(2, 0, 1)[None]
