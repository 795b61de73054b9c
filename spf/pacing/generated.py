"""ReTime: generate, measure, warp the clock, generate again (arXiv 2604.22554)."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isnan
from typing import Literal

from spf.errors import SpfError
from spf.generators.base import GeneratedClip, Generator, OnProgress, Request, check_warpable
from spf.pacing.strategies import Strategy, make_strategy
from spf.pacing.targets import Target, make_target
from spf.pacing.timemap import distance_to_target, time_map
from spf.pacing.warp import Warp
from spf.progress import Curve, no_change_reason

Measure = Callable[[GeneratedClip], Curve]


@dataclass(frozen=True, eq=False)
class Attempt:
    """One generation. target_mae : distance of its pacing to the target, 0 .. 1; NaN where its
    curve shows no change. warp : None for the first one."""

    clip: GeneratedClip
    curve: Curve
    target_mae: float
    warp: Warp | None = None


@dataclass(frozen=True, eq=False)
class RetimedGeneration:
    """All generations of a pair, the unwarped one first, and why they ended: "done" all that the
    strategy asks for, "no better" the last correction did not help, "no change" there was nothing
    to retime, as `note` says."""

    attempts: list[Attempt]
    ended: Literal["done", "no better", "no change"]
    note: str = ""

    @property
    def baseline(self) -> Attempt:
        return self.attempts[0]

    @property
    def best(self) -> Attempt:
        """The warped attempt nearest to the target, even if the baseline was nearer; the baseline
        where nothing was warped."""
        return min(self.attempts[1:] or self.attempts, key=rank)


def retime_generated(
    generator: Generator,
    request: Request,
    measure: Measure,
    strategy: str | Strategy = "rope",
    target: str | Target | Curve = "linear",
    baseline: Attempt | None = None,
    on_progress: OnProgress | None = None,
) -> RetimedGeneration:
    """Generate a clip again, with the same noise, under a warp that gives it the target's pacing.

    The warp moves latent t in band b by gamma alpha_b (tau_t - t), tau the time map of the measured
    curve. Each further iteration measures the retimed clip and adds its own correction,
    p_new(b) = p_old(b) + gamma alpha_b (tau - t), or with correction="compose" p_old at tau, until
    one brings the pacing no nearer.

    measure : clip -> Curve, with whichever embedder. strategy : a name of `RETIMES` or an object of
    one. target : as in `time_map`. baseline : from `generate_measured`, with the same generator,
    request, measure and target. on_progress : called at every denoising step of every generation.

    A clip without semantic change is returned as it is: there is nothing to retime.
    Raises what the generator and `measure` raise, and ConfigError where the strategy warps a clock
    that cannot be warped.
    """
    strategy, target = make_strategy(strategy), make_target(target)
    clock = generator.clock(request) if strategy.iterations else None
    if clock is not None:
        check_warpable(generator, clock)
    first = baseline or generate_measured(generator, request, measure, target, None, on_progress)
    attempts = [first]
    if clock is None:
        return RetimedGeneration(attempts, "done")
    if (reason := no_change_reason(first.curve)) is not None:
        return RetimedGeneration(attempts, "no change", f"nothing to retime: {reason}")
    count = round(float(clock.frames[-1])) + 1
    if len(first.curve) != count:
        found = f"{len(first.curve)} of {count} frames"
        raise SpfError(f"{generator.name}: the curve has {found}; measure all frames of the clip")
    warp: Warp | None = None
    for _ in range(strategy.iterations):
        tau = time_map(attempts[-1].curve, target, count)
        if warp is None:
            warp = Warp.from_time_map(clock, tau, strategy.strength, strategy.gamma)
        elif strategy.correction == "compose":
            warp = warp.composed(clock.shift(tau))
        else:
            warp = warp.corrected(clock.shift(tau))
        attempts.append(generate_measured(generator, request, measure, target, warp, on_progress))
        stuck = len(attempts) > 2 and not rank(attempts[-1]) < rank(attempts[-2])
        if stuck or no_change_reason(attempts[-1].curve) is not None:  # which has no time map
            return RetimedGeneration(attempts, "no better")
    return RetimedGeneration(attempts, "done")


def generate_measured(
    generator: Generator,
    request: Request,
    measure: Measure,
    target: Target,
    warp: Warp | None = None,
    on_progress: OnProgress | None = None,
) -> Attempt:
    """One clip under a warp, measured and compared with a target; None is the clip as the model
    makes it, which serves every strategy of `retime_generated` as its baseline."""
    clip = generator.generate(request, warp, on_progress)
    curve = measure(clip)
    return Attempt(clip, curve, distance_to_target(curve, target), warp)


def rank(attempt: Attempt) -> float:
    """target_mae, with the worst of all for a clip that shows no change."""
    return inf if isnan(attempt.target_mae) else attempt.target_mae
