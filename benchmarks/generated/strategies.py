"""The strategies that a run compares, how tables name them, and what steering is compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from spf.errors import ConfigError
from spf.generators.base import Generator, Request
from spf.names import choose
from spf.pacing.generated import Attempt, Measure, RetimedGeneration, generate_measured
from spf.pacing.resampling import resampled
from spf.pacing.strategies import (
    FOR_FINISHED,
    KEEP,
    RETIMES,
    NoRetime,
    Regenerate,
    Resampling,
    Rope,
    RopeFlat,
    Strategy,
    described,
    setting_text,
)
from spf.pacing.targets import Target, pinned
from spf.pacing.timemap import distance_to_target, time_map
from spf.pacing.warp import Gamma, Strength, Warp, flat
from spf.progress import no_change_reason


@dataclass(frozen=True)
class WrongMap(Strategy):
    """Control: one flat warp with the time map of the next pair. It must not help."""

    name: ClassVar[str] = "wrong_map"
    alpha: float = 1.0
    gamma: Gamma = "none"

    @property
    def iterations(self) -> int:
        return 1

    def __post_init__(self) -> None:
        RopeFlat(self.alpha, self.gamma)  # refuses what makes no warp

    @property
    def strength(self) -> Strength:
        return flat(self.alpha)


Strategies = Mapping[str, type[Strategy]]

FOR_EXISTING: Strategies = {NoRetime.name: NoRetime, **FOR_FINISHED}
"""Strategies that take a finished clip."""

FOR_GENERATED: Strategies = {
    **{name: kind for name, kind in RETIMES.items() if name != Regenerate.name},
    WrongMap.name: WrongMap,
}
"""Strategies for a clip that is generated along with them."""

Wanted = str | Mapping[str, Any]


def parse_retimes(
    retimes: Sequence[Wanted], chosen: Strategy, known: Strategies = FOR_GENERATED
) -> dict[str, Strategy]:
    """Strategies by their labels, in the order of the list.

    retimes : names, or {name: rope_flat, iterations: 3} with settings of its class.
    chosen : what `retime=` names, with its settings: it takes the place of its plain
    name, or comes last where the list lacks it. `none` leaves the list as it is, and the paper's
    own method stays whatever is chosen. known : what the benchmark can use.

    Raises ConfigError for an empty list, unknown names, those of another benchmark, and impossible
    settings.
    """
    if not (isinstance(retimes, Sequence) and not isinstance(retimes, str) and retimes):
        raise ConfigError(f"retimes={retimes!r} must be a list with at least one strategy")
    _check_fits(chosen.name, known)
    made = [
        chosen if item == chosen.name != Rope.name else _strategy(item, known) for item in retimes
    ]
    if chosen.name != NoRetime.name and chosen not in made:
        made.append(chosen)
    return {described(strategy): strategy for strategy in made}


def sampled(target: Target) -> list[float]:
    """The target as plain numbers: what it is made of may be a file."""
    return pinned(target, np.linspace(0.0, 1.0, 1025)).tolist()


def defaults_of(strategies: Mapping[str, Strategy]) -> str:
    """A sentence with the settings that labels leave out."""
    texts: dict[str, str] = {}
    for strategy in strategies.values():
        settings = {item.name: item.default for item in fields(strategy)}
        name = strategy.name
        if isinstance(strategy, Rope):
            name, settings = f"{name} ({strategy.preset})", strategy.defaults()
        if settings:
            texts[name] = ", ".join(f"{x} {setting_text(value)}" for x, value in settings.items())
    listed = "; ".join(f"{name}: {text}" for name, text in texts.items())
    return f"Settings, where a row names no others: {listed}." if listed else ""


def _check_fits(name: str, known: Strategies) -> None:
    """Raises ConfigError for a strategy of another benchmark."""
    other = "retime_existing" if name in FOR_EXISTING else "retime_generated"
    if name not in known and (name in FOR_EXISTING or name in FOR_GENERATED):
        names = ", ".join(sorted(known))
        raise ConfigError(f"retime={name} is for benchmark={other}; use that, or one of {names}")


def _strategy(item: Wanted, known: Strategies) -> Strategy:
    settings = dict(item) if isinstance(item, Mapping) else {"name": item}
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"retimes: {item!r} must be a name, or {{name: rope_flat, alpha: 0.5}}")
    _check_fits(name, known)
    kind = known[choose(name, known, "retime")]
    for option in settings:
        choose(str(option), (field.name for field in fields(kind)), f"setting of {name}")
    try:
        return kind(**settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"retimes: {name}: {error}") from None


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
