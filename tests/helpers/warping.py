"""What the tests of the warped clock share: requests, warps, and a look at the rotary tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pipelines

from spf.generators.base import Request
from spf.pacing.bands import Strength, flat
from spf.pacing.warp import Warp

WAN_WORDS = ["i2v", "ti2v", "flf2v", "vace-1.3b", "skyreels"]
WORDS = [*WAN_WORDS, "split", "interleaved"]
SIZES = {"ltx2": (64, 96)}  # 2 x 3 tokens a latent; otherwise 2 x 4
STEPS = 2  # one for each of the experts


def asked(generator: Any, **more: Any) -> Request:
    """A request that the model in miniature fulfils in a blink: 4 latents, none of them square."""
    first, last = pipelines.frames(*SIZES.get(generator.name, (32, 64)))
    settings = {"num_frames": 3 * generator.factor + 1, "steps": STEPS, "seed": 7, "fps": 8.0}
    if getattr(generator, "variant", "") != "ti2v":
        settings["last"] = last
    return Request(first, prompt="a cat", **(settings | more))


def uneven(generator: Any, strength: Strength | None = None, gamma: str = "none") -> Warp:
    """A warp without any symmetry: a long hold, then haste."""
    clock = generator.clock(asked(generator))
    count = round(clock.frames[-1]) + 1
    tau = (count - 1) * (np.arange(count) / (count - 1)) ** 3
    return Warp.from_time_map(clock, tau, strength or flat(1.0), gamma)


def baseline(generator: Any) -> np.ndarray:
    if not hasattr(generator, "baseline"):
        generator.baseline = generator.generate(asked(generator)).frames
    return generator.baseline


def watched_tables(generator: Any, warp: Warp) -> list[tuple[Any, ...]]:
    """(rope, its inputs, cos, sin, noise level) of every call of a generation, as the attention
    gets them."""
    seen: list[tuple[Any, ...]] = []
    levels: list[float] = []
    handles: list[Any] = []

    def level(module: Any, inputs: Any, arguments: dict[str, Any]) -> None:
        time = arguments["sigma"] if "sigma" in arguments else arguments["timestep"]
        levels.append(float(time.max()) / 1000)

    def table(module: Any, inputs: Any, tables: Any) -> None:
        seen.append((module, inputs, *(x.numpy().copy() for x in tables), levels[-1]))

    ropes = generator.ropes()
    with warp.applied(ropes):
        try:
            for rope in ropes:
                handles.append(rope.transformer.register_forward_pre_hook(level, with_kwargs=True))
                handles.append(rope.rope.register_forward_hook(table))
            generator.generate(asked(generator))
        finally:
            for handle in handles:
                handle.remove()
    return seen


def wan_output(transformer: Any, time: float = 600.0) -> Any:
    """One call of a Wan transformer, always with the same input."""
    import torch

    state = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, 12, 5, 4, 6, generator=state, dtype=transformer.dtype)
    text = torch.randn(1, 7, pipelines.TEXT, generator=state, dtype=transformer.dtype)
    with torch.inference_mode():
        return transformer(
            hidden_states=hidden,
            timestep=torch.full((1,), time),
            encoder_hidden_states=text,
            return_dict=False,
        )[0]
