"""What the commands share."""

import argparse
import os
from pathlib import Path

from spf.errors import ConfigError
from spf.words import is_url


def add_no_cache(command: argparse.ArgumentParser) -> None:
    """The word that has a command neither use nor keep embeddings."""
    command.add_argument("--no-cache", action="store_true", help="neither use nor keep embeddings")


def add_sampling(command: argparse.ArgumentParser) -> None:
    """The words that choose frames of a clip (`spf.Sampling`)."""
    command.add_argument("--stride", type=int, default=1, metavar="N", help="use every N-th frame")
    command.add_argument("--max-frames", type=int, metavar="N", help="use at most N frames")
    command.add_argument("--start", type=float, metavar="SECONDS", help="from this time on")
    command.add_argument("--end", type=float, metavar="SECONDS", help="up to this time")
    command.add_argument("--stream", type=int, metavar="N", help="index among the video streams")


def local_path(text: str) -> str:
    """The path of an output, with `~` expanded: after `--out=` a shell leaves it as it is. Raises
    ConfigError for a URL."""
    if is_url(text):
        raise ConfigError(f"{plain(text)}: outputs are local files; give a path")
    return os.path.expanduser(text)


def plain(text: object) -> str:
    """Text without control characters, which a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def check_writable(folder: Path) -> None:
    """Make a folder for output. Raises ConfigError where it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error.strerror}); choose another") from None
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{folder}: the folder cannot be written; choose another")
