"""How values are printed on pages, in tables and in the sentences about them: decided here alone.

A sentence prints a value as the cell of its table shows it: in the unit of the column, with the
column's digits. Shares (errors, leakage, repeated frames, rates) are fractions of 1, never percent.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.harness.cells import Table
from benchmarks.harness.records import number


def printer(table: Table) -> Callable[[Mapping[str, Any], str], str]:
    """Function: a row of the table, a column -> the text of that cell on a page."""
    places = decimals(table)
    return lambda row, column: digits(row[column], places[column])


def decimals(table: Table) -> dict[str, int]:
    """Decimals of each column, so that its largest number has 3 digits and no zero is idle."""
    return {name: _decimals(table.data[name].tolist()) for name in table.columns}


def _decimals(values: list[Any]) -> int:
    numbers = [abs(x) for x in values if isinstance(x, float) and math.isfinite(x) and x != 0]
    if not numbers:
        return 0
    wanted = max(0, 2 - math.floor(math.log10(max(numbers))))
    texts = [f"{value:.{wanted}f}" for value in numbers]
    return wanted - min(len(text) - len(text.rstrip("0")) for text in texts) if wanted else 0


def digits(value: Any, places: int) -> str:
    """A value as pages print it: to that many decimals, or 2 digits where that shows fewer."""
    if not isinstance(value, float) or not math.isfinite(value) or value.is_integer():
        return number(value)
    return f"{value:.2g}" if abs(value) < 10.0 ** (1 - places) else f"{value:.{places}f}"
