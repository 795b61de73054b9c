"""The `spf` command."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from spf import __version__
from spf.commands.analyze import analyze
from spf.commands.cache import cache
from spf.commands.check import check
from spf.commands.collect import collect
from spf.commands.compare import compare
from spf.commands.corpus import corpus
from spf.commands.doctor import doctor
from spf.commands.retime import retime
from spf.commands.shared import as_options, plain
from spf.commands.timemap import timemap
from spf.commands.trim import trim
from spf.devices import keep_freed_memory, let_idle_threads_sleep
from spf.errors import SpfError

COMMANDS = (analyze, compare, check, trim, retime, timemap, corpus, collect, cache, doctor)
"""A new command is a name here: a function of `spf.commands`, with annotations and examples."""
INTERRUPTED = 130

app = typer.Typer(
    # Plain help: the same in a pipe, and no brackets are taken for markup.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 a clip failed (the others are done) or was found wanting; 2 "
    "wrong arguments; 3 the embedder or model cannot run here; 130 after Ctrl-C.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"spf {__version__}")
        raise typer.Exit


@app.callback()
def spf(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Measure the pacing of videos with the Semantic Progress Function.

    `spf COMMAND --help` has examples; `spf --install-completion` completes names in your shell.
    """


for _command in COMMANDS:
    app.command()(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    let_idle_threads_sleep()
    keep_freed_memory()
    code = 0
    try:
        command = typer.main.get_command(app)
        code = command.main(arguments, prog_name="spf", standalone_mode=False) or 0
    except SpfError as error:
        print(plain(as_options(str(error))), file=sys.stderr)
        return error.exit_code
    except typer.TyperException as error:
        print(plain(_usage(error)), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        what = f"{error.filename or 'a file'}: {error.strerror or error}"
        print(plain(f"{what}; check the disk and its permissions"), file=sys.stderr)
        return 1
    if code == INTERRUPTED:
        print("interrupted: what is finished is kept", file=sys.stderr)
    return code


def _usage(error: typer.TyperException) -> str:
    """A wrong argument in one line: which, why, and where to look."""
    text = " ".join(error.format_message().split()).rstrip(".").replace("Value error, ", "")
    context = getattr(error, "ctx", None)
    near = getattr(error, "possibilities", None)
    if near:
        text = f"{text.partition(' (Possible')[0]}. Did you mean {' or '.join(near)}?"
    where = context.command_path if context else "spf COMMAND"
    return f"{text}{' See' if text.endswith('?') else '; see'} {where} --help"


if __name__ == "__main__":
    sys.exit(main())
