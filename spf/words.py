"""The words that choose an embedder, a target, a law ...: one rule for all of them."""

from collections.abc import Iterable
from difflib import get_close_matches

from spf.errors import ConfigError


def choose(given: str, known: Iterable[str], what: str) -> str:
    """The known word that `given` names; hyphens serve for underscores (`ease-in`).

    Raises ConfigError in one line, with the nearest known words, or all where none is near.
    """
    words = sorted(known)
    for wanted in (given, given.replace("-", "_")):
        if wanted in words:
            return wanted
    near = get_close_matches(given, words, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ConfigError(f"unknown {what} {given!r}; {hint}known: {', '.join(words) or 'none'}")
