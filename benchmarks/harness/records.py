"""Records: a row for each cell, the tables compiled from them, and how values are printed.

Pages, tables and sentences print a value as the cell of its table shows it: in the unit of the
column, with the column's digits. Shares (errors, leakage, rates) are fractions of 1, never percent.
"""

import json
import math
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.harness.cells import Cell, Key, Table, versions
from benchmarks.harness.folder import RunFolder
from spf.names import harmless
from spf.progress import METRICS

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = 1
"""Raised when a column changes its meaning."""

KEYS = list(Key.__dataclass_fields__)
FIRST = ["status", "reason", *KEYS, "frames", "fps", "duration", "width", "height"]
LAST = ["notes", "source", "curve", "plot", "cell", "config_hash", "commit", "dirty", "device"]
LAST += ["weights_revision", "weights_hash", "settings", "versions", "schema"]
DONE, FAILED, NOT_RUN = "done", "failed", "not_run"
SHIPPED = "tiny (shipped)"

Record = dict[str, Any]


@lru_cache
def commit() -> tuple[str, bool]:
    """Commit of this checkout and whether files differ from it; ("unknown", False) without git."""

    def git(*args: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(ROOT), *args]
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD"), bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False


def provenance(config_hash: str, device: str) -> dict[str, Any]:
    """The columns of a record that say where it comes from."""
    head, dirty = commit()
    return {
        "config_hash": config_hash,
        "commit": head,
        "dirty": dirty,
        "device": device,
        "versions": json.dumps(versions(), sort_keys=True),
    }


def make_record(cell: Cell, status: str, reason: str, values: dict[str, Any]) -> Record:
    """A record as plain data: the cell's key, its outcome and where it comes from."""
    outcome = {"status": status, "reason": reason}
    return {"cell": cell.identity, **outcome, **vars(cell.key), "schema": SCHEMA, **values}


def counted(records: Sequence[Record]) -> str:
    """How many rows are done, failed and not run: a headline."""
    counts = Counter(record["status"] for record in records)
    absent = len(records) - counts[DONE] - counts[FAILED]
    return f"{counts[DONE]} of {len(records)} rows done, {counts[FAILED]} failed, {absent} not run"


def generator_label(model: str) -> str:
    """A generator as tables name it."""
    return SHIPPED if model == "tiny" else model


def compile_tables(folder: RunFolder, records: list[Record]) -> None:
    """records.parquet (full precision) and records.csv (6 significant digits)."""
    table = as_frame(records)
    folder.write("records.parquet", table.to_parquet(index=False))
    folder.write("records.csv", as_csv(table))


def as_frame(records: list[Record]) -> pd.DataFrame:
    """Records as a table with a fixed order of columns: keys, metrics, the rest, provenance."""
    metrics = [name for name in METRICS if any(name in record for record in records)]
    known = [*FIRST, *metrics, *LAST]
    extra = sorted({name for record in records for name in record} - set(known))
    columns = [*FIRST, *metrics, *extra, *LAST]
    table = pd.DataFrame([{name: record.get(name) for name in columns} for record in records])
    return table.astype(dict.fromkeys(("frames", "width", "height"), "Int64"))


def as_csv(table: pd.DataFrame) -> str:
    """CSV for people: 6 significant digits, empty where there is no value, and an apostrophe before
    text that a spreadsheet would take for a formula."""
    text = table.select_dtypes(["object", "string"])
    changed = table.assign(**{str(name): text[name].map(harmless) for name in text})
    return changed.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def number(value: Any) -> str:
    """A value as tables print it: 6 significant digits; nothing where there is no number."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
    return str(value)


def printer(table: Table) -> Callable[[Mapping[str, Any], str], str]:
    """Function: a row of the table, a column -> the text of that cell on a page."""
    places = decimals(table)
    return lambda row, column: digits(row[column], places[column])


def decimals(table: Table) -> dict[str, int]:
    """Decimals of each column, so that its largest number has 3 digits and no zero is idle."""
    found = dict.fromkeys(table.columns, 0)
    for name in found:
        values = table.data[name].tolist()
        numbers = [abs(x) for x in values if isinstance(x, float) and math.isfinite(x) and x != 0]
        wanted = max(0, 2 - math.floor(math.log10(max(numbers)))) if numbers else 0
        if wanted:
            texts = [f"{value:.{wanted}f}" for value in numbers]
            found[name] = wanted - min(len(text) - len(text.rstrip("0")) for text in texts)
    return found


def digits(value: Any, places: int) -> str:
    """A value as pages print it: to that many decimals, or 2 digits where that shows fewer."""
    if not isinstance(value, float) or not math.isfinite(value) or value.is_integer():
        return number(value)
    return f"{value:.2g}" if abs(value) < 10.0 ** (1 - places) else f"{value:.{places}f}"
