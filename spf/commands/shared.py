"""What the commands share: exit codes, errors in one line, embedders, clips, folders for output."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from spf.devices import let_idle_threads_sleep, reuse_freed_memory
from spf.errors import ConfigError, SpfError, UnavailableError, one_line
from spf.names import plain

if TYPE_CHECKING:
    from spf.embedders import Embedder

INTERRUPTED = 130

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


def run_app(
    app: typer.Typer,
    name: str,
    arguments: Sequence[str] | None = None,
    worded: Callable[[str], str] = str,
) -> int:
    """Run the command that the arguments (None: those of the process) name; its exit code.

    worded : gives a message of the library in the options of the program.
    """
    let_idle_threads_sleep()
    reuse_freed_memory()
    code = 0
    try:
        command = typer.main.get_command(app)
        code = command.main(arguments, prog_name=name, standalone_mode=False) or 0
    except SpfError as error:
        print(plain(worded(str(error))), file=sys.stderr)
        return error.exit_code
    except typer.TyperException as error:
        print(plain(_usage(error, name)), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        what = f"{error.filename or 'a file'}: {error.strerror or error}"
        print(plain(f"{what}; check the disk and its permissions"), file=sys.stderr)
        return ConfigError.exit_code  # 1 is of clips
    if code == INTERRUPTED:
        print("interrupted: what is finished stays", file=sys.stderr)
    return code


def _usage(error: typer.TyperException, name: str) -> str:
    """A wrong argument in one line: which, why, and where to look."""
    text = one_line(error.format_message(), None).rstrip(".").replace("Value error, ", "")
    context = getattr(error, "ctx", None)
    near = getattr(error, "possibilities", None)
    if near:
        text = f"{text.partition(' (Possible')[0]}. Did you mean {' or '.join(near)}?"
    where = context.command_path if context else f"{name} COMMAND"
    return f"{text}{' See' if text.endswith('?') else '; see'} {where} --help"


def as_options(text: str) -> str:
    """A message of the library with the options of `spf`."""
    for setting, option in OPTIONS:
        text = re.sub(setting, option, text)
    return text


def embedder_of(
    name: str | None, weights: str | None = None, option: str = "--weights"
) -> "Embedder":
    """The embedder of a name, None for the default one; option : that names its weights."""
    from spf.embedders import load_embedder

    name = checked_name(name, weights, option)
    try:
        return load_embedder(name, **({} if weights is None else {"path": weights}))
    except UnavailableError as error:
        text = str(error).replace("embedder.path=", f"{option} ")
        raise UnavailableError(text) from None


def checked_name(name: str | None, weights: str | None, option: str = "--weights") -> str:
    """The full name of an embedder, None for the default one. Raises ConfigError for an unknown
    one, and for weights that it does not take."""
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
    """The clips that a path stands for; itself where there are none, or where it is one: a folder
    that holds images and no videos is a clip."""
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


def check_writable(folder: Path) -> None:
    """Make a folder for output. Raises ConfigError where it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error.strerror}); choose another") from None
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{folder}: the folder cannot be written; choose another")
