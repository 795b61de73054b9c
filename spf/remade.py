"""Objects that reach another process as the arguments that they were made with."""

from typing import Any, Self

_made: dict[str, Any] = {}
"""The objects that were made in this process, by what they were made of."""


class Remade:
    """A base of embedders and generators, whose weights are too large to be sent.

    Unpickling makes the object anew, once in a process for equal arguments.
    """

    _given: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        made = super().__new__(cls)
        made._given = args, settings
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _make, (type(self), *self._given)


def _make(kind: type, args: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    key = repr((kind, args, sorted(settings.items())))
    if key not in _made:
        _made[key] = kind(*args, **settings)
    return _made[key]
