"""What steering is compared with: another pair's map, and the baseline's own frames, resampled."""

from dataclasses import replace

import numpy as np

from benchmarks.generated.strategies import WrongMap
from spf.generators.base import Generator, Request
from spf.pacing.generated import Attempt, Measure, RetimedGeneration, generate_measured
from spf.pacing.resampling import resampled
from spf.pacing.strategies import KEEP, Resampling
from spf.pacing.targets import Target
from spf.pacing.timemap import distance_to_target, time_map
from spf.pacing.warp import Warp
from spf.progress import no_change_reason


def misled(
    generator: Generator,
    request: Request,
    measure: Measure,
    strategy: WrongMap,
    target: Target,
    first: Attempt,
    lead: Attempt,
) -> RetimedGeneration:
    """The clip of a request, generated under the time map of `lead`, another pair's baseline."""
    if (refused := _unchanging(first, lead)) is not None:
        return refused
    tau = time_map(lead.curve, target)
    warp = Warp.from_time_map(generator.clock(request), tau, strategy.strength, strategy.gamma)
    attempt = generate_measured(generator, request, measure, target, warp, None)
    return RetimedGeneration([first, attempt], "done")


def moved(
    first: Attempt, measure: Measure, strategy: Resampling, target: Target
) -> RetimedGeneration:
    """The frames of the baseline, resampled under its own time map; nothing is generated. It was
    generated as one shot, so that a jump within one step is bridged unless cuts=keep."""
    if (refused := _unchanging(first)) is not None:
        return refused
    cuts = first.curve.cuts if strategy.cuts == KEEP else []
    tau = time_map(first.curve, target, cuts=cuts)
    frames = np.stack(list(resampled(first.clip.frames, tau, strategy.name)))
    clip = replace(first.clip, frames=frames)
    curve = measure(clip)
    made = Attempt(clip, curve, distance_to_target(curve, target))
    return RetimedGeneration([first, made], "done")


def _unchanging(first: Attempt, *others: Attempt) -> RetimedGeneration | None:
    """The baseline alone, where it or a clip whose map is wanted has none."""
    for attempt in (first, *others):
        if (reason := no_change_reason(attempt.curve)) is not None:
            return RetimedGeneration([first], "no change", f"nothing to retime: {reason}")
    return None
