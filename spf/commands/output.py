"""Rows of a command: a table for people; JSON, JSON lines or CSV for programs.

docs/reference/commands.md has the schemas.
"""

import csv
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from typing import IO, TYPE_CHECKING, Any, Self

from spf.errors import ConfigError
from spf.names import harmless, printable

if TYPE_CHECKING:
    from rich.console import Console

WIDTH, ROWS = 100, 24
"""Columns of a table where there is no terminal that has a width; rows of one on stderr."""


class Output:
    """Where the rows of a command go.

    schema : name and version of the rows; the number is raised when a column goes or changes its
    meaning. columns : of the CSV, in order. as_json, as_jsonl, as_csv : the forms for programs.
    While one is chosen, stdout holds the rows alone, and all that is printed goes to stderr.
    """

    def __init__(
        self,
        schema: str,
        columns: Sequence[str],
        as_json: bool = False,
        as_jsonl: bool = False,
        as_csv: bool = False,
    ) -> None:
        forms = {"json": as_json, "jsonl": as_jsonl, "csv": as_csv}
        chosen = [form for form, wanted in forms.items() if wanted]
        if len(chosen) > 1:
            names = " and ".join(f"--{form}" for form in chosen)
            raise ConfigError(f"{names} each choose the form of the output; give one of them")
        self.form = chosen[0] if chosen else ""
        self.facts: dict[str, Any] = {}
        """What holds for all rows: before them in JSON, nowhere else."""
        self.columns = columns
        self._schema = schema
        self._rows: list[Mapping[str, Any]] = []  # of a JSON document
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._out: IO[str] = sys.stdout
        if self.form:
            self._stack.enter_context(redirect_stdout(sys.stderr))
        if self.form == "csv":
            self._print_csv(self.columns)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stack.close()
        if kind is None and self.form == "json":
            self._print({"schema": self._schema, **self.facts, "rows": self._rows}, indent=1)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row, at once but for JSON."""
        if self.form == "jsonl":
            self._print({"schema": self._schema, **row})
        elif self.form == "csv":
            values = (_plain(row.get(name)) for name in self.columns)
            nested = (json.dumps(x) if isinstance(x, bool | list | dict) else x for x in values)
            self._print_csv(harmless(printable(x)) if isinstance(x, str) else x for x in nested)
        elif self.form == "json":
            self._rows.append(row)

    def _print(self, document: Mapping[str, Any], indent: int | None = None) -> None:
        print(as_json(document, indent), file=self._out, flush=True)

    def _print_csv(self, cells: Iterable[Any]) -> None:
        csv.writer(self._out, lineterminator="\n").writerow(cells)
        self._out.flush()


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON in ASCII, whatever names hold: a terminal obeys none of it."""
    return json.dumps(_plain(value), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    """A value as JSON has it: numbers unrounded, null where a number is not finite."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):  # NumPy's
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | None) else str(value)


def print_table(
    rows: Sequence[Mapping[str, Any]], numbers: Mapping[str, str], stderr: bool = False
) -> None:
    """Print rows of one set of columns under their names; on stderr, of what is in files, `ROWS`.

    numbers : formats of the columns that hold numbers, such as ".4f"; one that is none is "-".
    """
    from rich.table import Table
    from rich.text import Text

    screen, most = console(stderr), ROWS if stderr else None
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    names = list(rows[0] if rows else ())
    least = screen.width // (2 * max(1, len(set(names) - set(numbers))))
    columns = {
        name: [_shown(row[name], numbers.get(name)) for row in rows[:most]] for name in names
    }
    for name, cells in columns.items():
        if name in numbers:
            table.add_column(name, justify="right", no_wrap=True)
        else:
            table.add_column(name, overflow="fold", min_width=min(max(map(len, cells)), least))
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, row))
    screen.print(table)
    if most is not None and len(rows) > most:
        screen.print(f"and {len(rows) - most} more rows")


def console(stderr: bool = False) -> "Console":
    """A stream, `WIDTH` wide where it is no terminal; names from files are no markup."""
    from rich.console import Console

    screen = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if stderr or not screen.is_terminal:
        screen.width = min(screen.width, WIDTH) if screen.is_terminal else WIDTH
    return screen


def _shown(value: Any, form: str | None) -> str:
    value = _plain(value)
    if value is None or value == "":
        return "-" if form is not None else ""
    return printable(str(value)) if isinstance(value, str) or form is None else f"{value:{form}}"
