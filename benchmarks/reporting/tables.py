"""Tables as CSV and Markdown: 6 significant digits, metrics with their direction."""

import pandas as pd

from benchmarks.running.cells import Table
from benchmarks.running.records import as_csv, number
from spf import METRICS

ARROWS = {"lower": " ↓", "higher": " ↑", "none": ""}


def heading(column: str) -> str:
    """A column's name with the direction in which it is better."""
    return column + (ARROWS[METRICS[column].direction] if column in METRICS else "")


def table_as_csv(table: Table) -> str:
    """CSV with the plain names of the columns."""
    return as_csv(pd.DataFrame(table.rows, columns=table.columns))


def table_as_markdown(table: Table) -> str:
    """GitHub-flavoured Markdown."""
    lines = [
        f"# {table.title}",
        "",
        "| " + " | ".join(map(heading, table.columns)) + " |",
        "|" + " --- |" * len(table.columns),
    ]
    for row in table.rows:
        cells = (number(row.get(name)).replace("|", "\\|") for name in table.columns)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, *(["", table.note] if table.note else []), ""])
