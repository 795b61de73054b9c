"""What a run shows in the terminal: its plan, a bar while it computes, and tables.

All of it goes to the error stream, in at most 100 columns; colour and bars only to a terminal.
"""

import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.harness.cells import Cell
from benchmarks.harness.records import DONE, FAILED, NOT_RUN
from benchmarks.harness.store import CompletedCell
from spf.commands.output import WIDTH, console, print_table
from spf.names import printable

GROUPS = ("embedder", "model", "retime", "target")
"""Parts of a cell's key by which a plan counts cells."""


def print_plan(plan: str, cells: Sequence[Cell], found: Mapping[int, CompletedCell]) -> None:
    """Print what a run is about to do: its cells by embedder, model, strategy and target.

    found : cells that need no computing, by index: completed earlier, or known not to run.
    """
    for number, line in enumerate(f"plan: {plan}".splitlines()):
        indent = "  " if number else ""
        print(
            textwrap.fill(
                printable(line),
                WIDTH,
                initial_indent=indent,
                subsequent_indent=f"{indent}  ",
                break_on_hyphens=False,
            ),
            file=sys.stderr,
        )
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for index, cell in enumerate(cells):
        group = tuple(str(getattr(cell.key, name)) for name in GROUPS)
        status = found[index].record["status"] if index in found else "to do"
        counts.setdefault(group, Counter())[status] += 1
    shown = {"done already": DONE, "to do": "to do", "not run": NOT_RUN}
    rows = [
        dict(zip(GROUPS, group, strict=True))
        | {"cells": str(count.total())}
        | {name: str(count[key] or "-") for name, key in shown.items()}
        for group, count in counts.items()
    ]
    if rows:
        print_table(rows, dict.fromkeys(["cells", *shown], ""), stderr=True)


class CellBar(Progress):
    """A bar of the cells of a run: how many of all are completed, how many failed, the time left.

    Shows nothing where the error stream is no terminal. total, done : cells in all, and those that
    are completed before it starts.
    """

    def __init__(self, total: int, done: int) -> None:
        stream = console(stderr=True)
        super().__init__(
            TextColumn("{task.completed:.0f} of {task.total:.0f} cells"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=stream,
            disable=not stream.is_terminal,
            speed_estimate_period=3600.0,  # cells take long, and not equally long
        )
        self._cells = self.add_task("", total=total, completed=done, detail="")
        self._failed = self._frames = 0

    def on_frame(self) -> None:
        """A frame of the cell that is computed in this process."""
        self._frames += 1
        self._show()

    def on_completed(self, one: CompletedCell) -> None:
        """A cell is completed; why one failed is printed above the bar."""
        self._frames = 0
        if one.record["status"] == FAILED:
            self._failed += 1
            reason = printable(f"failed: {one.record['reason']}")
            self.console.print(reason, soft_wrap=True)
        self._show(advance=1)

    def _show(self, advance: int = 0) -> None:
        failed = f"{self._failed} failed" if self._failed else ""
        frames = f"frame {self._frames}" if self._frames else ""
        detail = ", ".join(filter(None, [failed, frames]))
        self.update(self._cells, advance=advance, detail=detail)
