"""The strategies that a run compares, and how tables name them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from spf.errors import ConfigError
from spf.retime.strategies import RETIMES, NoRetime, RopeFlat, Strategy
from spf.words import choose


@dataclass(frozen=True)
class WrongMap(RopeFlat):
    """Control: a flat warp with the time map of the next pair. It must not help."""

    name: ClassVar[str] = "wrong_map"


KNOWN: dict[str, type[Strategy]] = RETIMES | {WrongMap.name: WrongMap}
UNSTEERED = (NoRetime.name, WrongMap.name)
"""Words of rows that are compared with, and never the best."""

Wanted = str | Mapping[str, Any]


def parse_retimes(retimes: Sequence[Wanted], chosen: Strategy) -> dict[str, Strategy]:
    """Strategies by their labels, in the order of the list.

    retimes : words, or {word: rope_flat, iterations: 3} with settings of the word's class.
    chosen : what `retime=` names, with the settings given there: it takes the place of its plain
    word, or comes last where the list lacks it. `none` leaves the list as it is.

    Raises ConfigError for an empty list, unknown words and impossible settings.
    """
    if not (isinstance(retimes, Sequence) and not isinstance(retimes, str) and retimes):
        raise ConfigError(f"retimes={retimes!r} must be a list with at least one strategy")
    made = [chosen if item == chosen.name else _strategy(item) for item in retimes]
    if chosen.name != NoRetime.name and chosen not in made:
        made.append(chosen)
    return {described(strategy): strategy for strategy in made}


def described(thing: Any) -> str:
    """A strategy or target by its word and the settings that are not its defaults."""
    changed = [
        # A table must not say where on a machine a file lies.
        f"{item.name}={_text(_named(item.name, getattr(thing, item.name)))}"
        for item in _fields(thing)
        if getattr(thing, item.name) != item.default
    ]
    name = getattr(thing, "name", "given")
    return f"{name} ({', '.join(changed)})" if changed else name


def _named(name: str, value: Any) -> Any:
    return Path(str(value)).name if name == "path" and value is not None else value


def settings_of(strategy: Strategy) -> str:
    """All settings of a strategy, in one line."""
    return ", ".join(f"{x.name}={_text(getattr(strategy, x.name))}" for x in _fields(strategy))


def _strategy(item: Wanted) -> Strategy:
    settings = dict(item) if isinstance(item, Mapping) else {"word": item}
    word = settings.pop("word", None)
    if not isinstance(word, str):
        raise ConfigError(f"retimes: {item!r} must be a word, or {{word: rope_flat, alpha: 0.5}}")
    kind = KNOWN[choose(word, KNOWN, "retime")]
    try:
        return kind(**settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"retimes: {word}: {error}") from None


def _fields(thing: Any) -> Sequence[Any]:
    return fields(thing) if hasattr(thing, "__dataclass_fields__") else ()


def _text(value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:g}" if number else str(value)
