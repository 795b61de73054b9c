"""A generator's part of a plan: weights, settings, sizes and memory, before anything is loaded."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from spf.errors import UnavailableError
from spf.generators.base import Request
from spf.generators.loading import OFFLOADS
from spf.generators.memory import GIB, described, estimate
from spf.generators.settings import described as settings_lines
from spf.generators.weights import command

if TYPE_CHECKING:
    from spf.generators.pipeline import DiffusersGenerator


def describe(generator: "DiffusersGenerator", requests: Sequence[Request]) -> list[str]:
    """A line for each thing; those of the first request's settings, and of the largest clip."""
    known = generator.repository
    where = f"{known.repo} ({known.size})"
    try:
        parameters = generator.parameters()
        where = f"{generator.folder}"
    except UnavailableError as error:
        parameters = {name: round(1e9 * billions) for name, billions in known.parts.items()}
        fetch = command(generator.name, generator.variant)
        where += (
            f"; not available: {error}" if generator.path is not None else f"; to fetch: {fetch}"
        )
    effective = generator.settings(requests[0])
    del effective["size"]  # a line of its own
    plans = [generator.plan(request) for request in requests]
    sizes = Counter(
        f"{plan.size[1]}x{plan.size[0]} from {x.first.shape[1]}x{x.first.shape[0]}"
        for plan, x in zip(plans, requests, strict=True)
    )
    largest = max(plans, key=lambda plan: plan.size[0] * plan.size[1] * plan.num_frames)
    load = generator.workload(parameters, largest)
    need, multiple = estimate(load), generator.multiple
    here = f"{need.device / GIB:.1f} of the GPU" if load.on_gpu else f"{need.main / GIB:.1f}"
    decoded = 4 if "vae" in generator.float32_parts else 2
    gpu = replace(load, on_gpu=True, activation=2, decoded=decoded, tiling=True)
    gpu = replace(gpu, width={**load.width, "": 2})
    others = (f"{way} {estimate(replace(gpu, offload=way)).device / GIB:.1f}" for way in OFFLOADS)
    unknown = "" if load.dims else "; activations unknown"
    return [
        f"model {generator.name} {generator.variant}: {where}",
        f"run on {generator.device} in {generator.dtype}, offload {generator.loading.offload}",
        *generator.loading.notes,
        *settings_lines(effective),
        f"sizes: {', '.join(f'{count} x {size}' for size, count in sizes.items())}; at most "
        f"{generator.area} pixels, sides multiples of {multiple}",
        f"memory, estimated, GiB: {here} ({described(need)}){unknown}",
        f"on a GPU in bfloat16, tiled, by offload: {', '.join(others)}",
    ]
