"""Names of options (embedders, targets, laws ...), files and clips: one rule for all of them."""

import os
import re
import shlex
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

from spf.errors import ConfigError


def choose(name: Any, known: Iterable[str], what: str) -> str:
    """The known name that `name` stands for; hyphens serve for underscores (`ease-in`).

    Raises ConfigError, with the nearest known names.
    """
    names, name = sorted(known), str(name)
    for wanted in (name, name.replace("-", "_")):
        if wanted in names:
            return wanted
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ConfigError(f"unknown {what} {name!r}; {hint}known: {', '.join(names) or 'none'}")


def printable(name: str) -> str:
    """A file's name as text that commands no terminal: what is not printable is escaped."""
    with suppress(UnicodeEncodeError):  # half a letter, as JSON may hold: no name of a file
        name = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(x if x.isprintable() else x.encode("unicode_escape").decode() for x in name)


def plain(text: object) -> str:
    """Text without control characters, which a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
NUMBERS = re.compile(r"[+-]?([\d.]+(e[+-]?\d+)?|inf)( \.\. [+-]?([\d.]+(e[+-]?\d+)?|inf))?$")
"""Text that is a number or an interval, whatever it begins with."""


def harmless(value: Any) -> Any:
    """A value of a CSV file; text that a spreadsheet would compute begins with an apostrophe."""
    formula = isinstance(value, str) and value.startswith(FORMULA) and not NUMBERS.match(value)
    return f"'{value}" if formula else value


NO_NETWORK = ("network sources are not opened", "download it and give the path of the file")
"""Reason and remedy."""


def is_url(source: object) -> bool:
    """Whether a source is written as a URL, such as https://host/clip.mp4."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(source)) is not None


def shell_quoted(text: str) -> str:
    """An argument as a shell reads it back: POSIX, or bash and zsh where it is not printable."""
    if printable(text) == text:
        return shlex.quote(text)
    escapes = {"\\": "\\\\", "'": "\\'"}
    letters = (
        escapes.get(x) or (x if x.isprintable() else "".join(f"\\x{b:02x}" for b in os.fsencode(x)))
        for x in text
    )
    return f"$'{''.join(letters)}'"


def normalized_name(name: str) -> str:
    """How the names of pairs and generators are matched: printable, in Unicode's composed form
    (NFC), as file systems write one name in several ways."""
    return unicodedata.normalize("NFC", printable(name))
