"""ReTime: what the hook on the rotary clock costs, against a denoising step of Wan 14B.

The rotary module is called at full shape: head_dim 128, 21 latents at 480p, so 21 x 30 x 52 tokens.
A block of the transformer (40 heads, feed-forward 13824) takes minutes at that shape on a CPU; it
is timed on an eighth of the tokens, times eight. Its attention grows with their square, so a real
block takes longer than that, and the share that is printed is too large. A step is 40 blocks, once.
On a GPU where there is one, the block runs in bfloat16 on all tokens.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_tools import Row, Sizes

ROOT = Path(__file__).resolve().parent.parent
LATENTS, HEIGHT, WIDTH = 21, 60, 104  # of the VAE at 480 x 832; patches of 2 x 2
HEADS, HEAD_DIM, BLOCKS, FFN = 40, 128, 40, 13824
TOKENS = LATENTS * HEIGHT // 2 * WIDTH // 2
BAR = 0.01


def hook_overhead(sizes: Sizes) -> dict[str, float]:
    """Seconds of the rotary module without and with the hook, and of a block at least."""
    import torch

    sys.path.insert(0, str(ROOT))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    plain, hooked = _rope(device)
    few = 64 if sizes.repeats < 5 else 8
    part = 1 if device == "cuda" else few
    with torch.inference_mode():
        return {
            "plain": _median(plain, device, 9),
            "hooked": _median(hooked, device, 9),
            "block": part * _median(_block(device, TOKENS // part), device, 3),
        }


def _block(device: str, tokens: int) -> Callable[[], Any]:
    """A call of one block of Wan 14B on so many tokens, with random weights."""
    import torch
    from diffusers.models.transformers.transformer_wan import WanTransformerBlock

    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    dim = HEADS * HEAD_DIM
    with torch.device(device):
        block = WanTransformerBlock(dim, FFN, HEADS, cross_attn_norm=True).to(dtype).eval()
        tables = tuple(torch.randn(1, tokens, 1, HEAD_DIM) for _ in range(2))
        hidden = torch.randn(1, tokens, dim, dtype=dtype)
        text = torch.randn(1, 512, dim, dtype=dtype)
        modulation = torch.randn(1, 6, dim)
    return lambda: block(hidden, text, modulation, tables)


def _rope(device: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The rotary module's call at full shape, as it is and with the two hooks."""
    import torch
    from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed

    from spf.generators.clock import wan_rope
    from spf.pacing.warp import Warp

    class Clock(torch.nn.Module):
        """What is left of the transformer: its rope, called as it calls it."""

        def __init__(self) -> None:
            super().__init__()
            self.rope = WanRotaryPosEmbed(HEAD_DIM, (1, 2, 2), 1024)

        def forward(self, hidden: Any, timestep: Any) -> Any:
            return self.rope(hidden)

    warp = Warp(np.arange(float(LATENTS)), 3.0 * np.sin(np.linspace(0, np.pi, LATENTS)))
    plain, warped = Clock().to(device), Clock().to(device)
    warp.applied([wan_rope(warped)]).__enter__()  # for as long as this process lives
    timestep = torch.full((1,), 800.0, device=device)
    hidden = torch.empty(1, 16, LATENTS, HEIGHT, WIDTH, device=device)
    return (
        lambda: plain(hidden, timestep=timestep),
        lambda: warped(hidden, timestep=timestep),
    )


def _median(call: Callable[[], Any], device: str, times: int) -> float:
    import torch

    taken = []
    for _ in range(times + 1):  # the first one warms up
        started = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def table_rows(sizes: Sizes, found: dict[str, dict[str, float]]) -> list[Row]:
    """The lines of the table."""
    times = found["hook_overhead"]
    extra, step = times["hooked"] - times["plain"], BLOCKS * times["block"]
    return [
        Row(
            f"warped rope of Wan 14B, {TOKENS} tokens",
            "hook against a denoising step, which takes at least so long",
            f"{1000 * extra:.0f} ms of {step:.0f} s: {extra / step:.4%}",
            f"at most {BAR:.0%}",
            extra / step <= BAR,
        )
    ]


WORKLOADS = (hook_overhead,)
