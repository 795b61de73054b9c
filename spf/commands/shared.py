"""What the commands share."""

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from spf.errors import ConfigError, UnavailableError
from spf.words import NO_NETWORK, is_url

if TYPE_CHECKING:
    from spf.embedders import Embedder

EMBEDDER = (
    "efficientnet (default), tiny, siglip, clip, dinov2, pixels or histogram; with a variant "
    "siglip/b16-384"
)
WEIGHTS = (
    "folder with the embedder's weights, as Hugging Face or open_clip lays them out (default: "
    "those that are installed or fetched)"
)
OPTIONS = (
    (r"\bembedder\.path=", "--weights "),
    (r"\bmodel\.command=", "--command "),
    (r"\bmodel\.(\w+)=", r"--set \1="),
    (r"\bretime\.n_segments=", "--segments "),
    (r"\bretime\.(prompt|seed)=", r"--\1 "),
    (r"\btarget\.(points|path)=", r"--target custom:\1="),
)
"""Settings as messages of the library name them, and the options of `spf` that they are."""


def as_options(text: str) -> str:
    """A message of the library with the options of `spf`."""
    for setting, option in OPTIONS:
        text = re.sub(setting, option, text)
    return text


def add_embedder(command: argparse.ArgumentParser) -> None:
    """The options that choose what measures."""
    command.add_argument("--embedder", metavar="NAME[/VARIANT]", help=EMBEDDER)
    command.add_argument("--weights", type=weights_folder, metavar="FOLDER", help=WEIGHTS)


def weights_folder(text: str) -> str:
    """The absolute path of a folder of weights. Raises ConfigError for a URL and for nothing."""
    if is_url(text):
        raise ConfigError(f"{plain(text)}: {'; '.join(NO_NETWORK)}")
    if not text:
        raise ConfigError("--weights names no folder; the current one is .")
    return os.path.abspath(os.path.expanduser(text))


def chosen_embedder(args: argparse.Namespace) -> "Embedder":
    """The embedder of `add_embedder`. Raises as `load_embedder`."""
    return embedder_of(args.embedder, args.weights)


def embedder_of(name: str | None, weights: str | None, option: str = "--weights") -> "Embedder":
    """The embedder of a name, None for the default one, with its weights in a folder.

    option : that names the folder, for messages. Raises as `load_embedder`, and ConfigError for an
    embedder that takes no weights.
    """
    from spf.embedders import load_embedder

    name = checked_name(name, weights, option)
    try:
        return load_embedder(name, **({} if weights is None else {"path": weights}))
    except UnavailableError as error:
        text = str(error).replace("embedder.path=", f"{option} ")
        raise UnavailableError(text) from None


def checked_name(name: str | None, weights: str | None, option: str = "--weights") -> str:
    """The full name of an embedder, None for the default one. Raises ConfigError for an unknown one
    and for one that takes no weights if there are some."""
    from spf.embedders import DEFAULT_EMBEDDER, full_name, takes

    name = full_name(DEFAULT_EMBEDDER if name is None else name)
    if weights is not None and not takes(name, "path"):
        raise ConfigError(f"embedder {name} takes no weights; leave {option} out")
    return name


def print_embedder(embedder: "Embedder") -> None:
    """Say what measures, and what must be known of it."""
    from spf.embedders import CAUTIONS, label, remark

    print(f"embedder: {label(embedder)}")
    caution = CAUTIONS.get(remark(embedder))
    if caution:
        print(f"  {caution}")


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
