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
from spf.commands.shared import as_options, run_app
from spf.commands.timemap import timemap
from spf.commands.trim import trim

COMMANDS = (analyze, compare, check, trim, retime, timemap, corpus, collect, cache, doctor)
"""A new command is a name here: a function of `spf.commands`, with annotations and examples."""

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
    return run_app(app, "spf", arguments, as_options)


if __name__ == "__main__":
    sys.exit(main())
