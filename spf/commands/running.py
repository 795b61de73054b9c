"""Run a typer app: exit codes, errors in one line."""

import sys
from collections.abc import Callable, Sequence

import typer

from spf.devices import let_idle_threads_sleep, reuse_freed_memory
from spf.errors import ConfigError, SpfError, one_line
from spf.names import plain

INTERRUPTED = 130


def run_app(
    app: typer.Typer,
    name: str,
    arguments: Sequence[str] | None = None,
    worded: Callable[[str], str] = str,
) -> int:
    """Run the command that the arguments (None: those of the process) name; its exit code.

    name : how the program is called. worded : gives a message of the library in the options of the
    program.
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
