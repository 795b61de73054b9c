"""Objects that reach another process as the arguments that they were made with."""

import pickle
from functools import lru_cache
from typing import Any, Self


class Remade:
    """A base of embedders and generators, whose weights are too large to be sent.

    Unpickling makes the object anew, once in a process for equal arguments.
    """

    _made_with: bytes

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        made = super().__new__(cls)
        made._made_with = pickle.dumps((cls, args, sorted(kwargs.items())))
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _make, (self._made_with,)


@lru_cache(maxsize=16)
def _make(made_with: bytes) -> Any:
    kind, args, settings = pickle.loads(made_with)  # from the parent process, through its own pipe
    return kind(*args, **dict(settings))
