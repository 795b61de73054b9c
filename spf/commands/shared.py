"""What the commands share: names of embedders, text for a terminal, folders for output."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from tqdm import tqdm

    from spf.embedders import Embedder

OPTIONS = (
    (r"\bembedder\.path=", "--weights "),
    (r"\bmodel\.command=", "--command "),
    (r"\bmodel\.(\w+)=", r"--set \1="),
    (r"\bretime\.n_segments=", "--segments "),
    (r"\bretime\.(prompt|seed)=", r"--\1 "),
    (r"\btarget\.(points|path)=", r"--target custom:\1="),
)
"""Settings as messages of the library name them, and the options of `spf` that they are."""

KNOWN = {
    "ImageNet": "the paper measures with SigLIP",
    "control": "a control sees colours and edges, not meaning",
    "shipped": "trained on rendered images alone; the paper measures with SigLIP",
}
"""What must be known of an embedder, by its short label: half of `spf.embedders.DISCLAIMERS`."""


def as_options(text: str) -> str:
    """A message of the library with the options of `spf`."""
    for setting, option in OPTIONS:
        text = re.sub(setting, option, text)
    return text


def embedder_of(
    name: str | None, weights: str | None = None, option: str = "--weights"
) -> "Embedder":
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
    """Print in one line what measures, and what must be known of it."""
    from spf.embedders import label, short_label

    known = KNOWN.get(short_label(embedder))
    print(f"embedder: {label(embedder)}{f'; {known}' if known else ''}")


def clips_at(path: str) -> Iterator[str]:
    """The clips that a path stands for, one after the other; itself where there are none, or where
    it is one: a folder that holds images and no videos is a clip."""
    from spf.video import IMAGE_SUFFIXES, SUFFIXES, clips_in

    try:
        suffixes = {os.path.splitext(x)[1].lower() for x in os.listdir(path) if x[0] != "."}
    except OSError:  # a file, or what cannot be listed: reading it says why
        yield path
        return
    found = False
    if not suffixes & IMAGE_SUFFIXES or suffixes & (SUFFIXES - IMAGE_SUFFIXES):
        for name in clips_in(Path(path)):
            found = True
            yield os.path.join(path, name)
    if not found:
        yield path


def advance(bar: "tqdm[Any]") -> Callable[[object, float], None]:
    """What counts the frames of a clip in a progress bar."""

    def on_frame(image: object, time: float) -> None:
        bar.update()

    return on_frame


def check_writable(folder: Path) -> None:
    """Make a folder for output. Raises ConfigError where it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error.strerror}); choose another") from None
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{folder}: the folder cannot be written; choose another")
