"""What a run shows in the terminal: its plan, a bar while it computes, and tables.

All of it goes to the error stream, in at most 100 columns; colour and bars only to a terminal.
"""

import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.harness.cells import Cell
from benchmarks.harness.records import DONE, FAILED, NOT_RUN
from benchmarks.harness.store import Settled
from spf.commands.output import WIDTH, console, print_table
from spf.names import printable

GROUPS = ("embedder", "model", "retime", "target")
"""Parts of a cell's key by which a plan counts cells."""


def print_plan(plan: str, cells: Sequence[Cell], found: Mapping[int, Settled]) -> None:
    """Print what a run is about to do: its cells by embedder, model, strategy and target.

    found : cells that need no computing, by index: completed earlier, or declared not run.
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
        settled = found.get(index)
        status = settled.record["status"] if settled else "to do"
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


class CellBar:
    """A bar of the cells of a run: how many of all are completed, how many failed, the time left.

    Shows nothing where the error stream is no terminal. total, done : cells in all, and those that
    are completed before it starts. unit : what a cell is called.
    """

    def __init__(self, total: int, done: int, unit: str) -> None:
        stream = console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.completed:.0f} of {task.total:.0f} {task.description}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=stream,
            disable=not stream.is_terminal,
            speed_estimate_period=3600.0,  # cells take long, and not equally long
        )
        self._task = self._bar.add_task(f"{unit}s", total=total, completed=done, detail="")
        self._failed = self._frames = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def frame(self) -> None:
        """A frame of the cell that is computed in this process."""
        self._frames += 1
        self._bar.update(self._task, detail=self._detail())

    def settled(self, one: Settled) -> None:
        """A cell is completed; why one failed is printed above the bar."""
        self._frames = 0
        if one.record["status"] == FAILED:
            self._failed += 1
            reason = printable(f"failed: {one.record['reason']}")
            self._bar.console.print(reason, soft_wrap=True)
        self._bar.update(self._task, advance=1, detail=self._detail())

    def _detail(self) -> str:
        failed = f"{self._failed} failed" if self._failed else ""
        frames = f"frame {self._frames}" if self._frames else ""
        return ", ".join(filter(None, [failed, frames]))
