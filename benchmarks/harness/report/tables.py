"""Tables as CSV and Markdown: 6 significant digits, metrics with their direction."""

import re

from benchmarks.harness.cells import Table
from benchmarks.harness.records import as_csv, number
from spf.progress import METRICS

ARROWS = {"lower": " ↓", "higher": " ↑", "none": ""}


SPECIAL = re.compile(r"[\\|`\[\]<>]")
"""What means something in a cell of Markdown; emphasis is harmless, and names are full of it."""


def heading(column: str) -> str:
    """A column's name with the direction in which it is better."""
    return column + (ARROWS[METRICS[column].direction] if column in METRICS else "")


def table_as_csv(table: Table) -> str:
    """CSV with the plain names of the columns."""
    return as_csv(table.data.infer_objects())


def escaped(text: str) -> str:
    """Text as a cell of a Markdown table shows it: no end of the cell, link, code or HTML."""
    return SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def table_as_markdown(table: Table) -> str:
    """GitHub-flavoured Markdown."""
    lines = [
        f"# {escaped(table.title)}",
        "",
        "| " + " | ".join(map(heading, table.columns)) + " |",
        "|" + " --- |" * len(table.columns),
    ]
    for row in table.rows:
        cells = (escaped(number(value)) for value in row.values())
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, *(["", escaped(table.note)] if table.note else []), ""])
