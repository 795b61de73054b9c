"""What the tests of the warped clock share: requests, warps, and a look at the rotary tables."""

from contextlib import ExitStack

import miniatures
import numpy as np
import pipelines

from spf.generators.base import Request
from spf.pacing.warp import Warp, flat

STEPS = 2  # one for each of the experts


def asked(generator, **more):
    """A request of 2 x 3 tokens a latent, and 4 latents or 4 sections of some."""
    multiple = getattr(generator, "multiple", 0)
    first, last = pipelines.frames(*((2 * multiple, 3 * multiple) if multiple else (32, 32)))
    count = 3 * getattr(generator, "factor", 2) + 1
    settings = {"num_frames": count, "steps": STEPS, "seed": 7, "fps": 8.0, "prompt": "a cat"}
    _, miniature, variant = miniatures.of(generator.case)
    if variant not in miniature.first_only:
        settings["last"] = last
    return Request(**({"first": first} | settings | more))


def coordinates(inputs):
    """(seconds, y, x) of tokens, (B, 3, N) float64, as the ropes of LTX get them."""
    return inputs[0].double().mean(dim=-1) if len(inputs) < 6 else inputs[5].double()


def uneven(generator, strength=None, gamma="none"):
    """A warp without any symmetry: a long hold, then haste."""
    clock = generator.clock(asked(generator))
    count = round(clock.frames[-1]) + 1
    tau = (count - 1) * (np.arange(count) / (count - 1)) ** 3
    return Warp.from_time_map(clock, tau, strength or flat(1.0), gamma)


def baseline(generator):
    if not hasattr(generator, "baseline"):
        generator.baseline = generator.generate(asked(generator)).frames
    return generator.baseline


def watched_tables(generator, warp):
    """(rope, its inputs, cos, sin, noise level) of every call of a generation."""
    seen, levels = [], []

    def level(module, inputs, named):
        levels.append(float(named.get("sigma", named.get("timestep")).max()) / 1000)

    def table(module, inputs, named, tables):
        copies = (x.numpy().copy() for x in tables)
        seen.append((module, (*inputs, *named.values()), *copies, levels[-1]))

    ropes = generator.ropes()
    with warp.applied(ropes), ExitStack() as hooks:
        for rope in ropes:
            hooks.enter_context(rope.transformer.register_forward_pre_hook(level, with_kwargs=True))
            hooks.enter_context(rope.rope.register_forward_hook(table, with_kwargs=True))
        generator.generate(asked(generator))
    return seen
