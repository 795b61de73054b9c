"""A fresh run compared with the committed reference copy of its tables.

python -m benchmarks verify            (make verify-results)
python -m benchmarks verify --write    (make reference-results)
"""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from spf.errors import ConfigError
from spf.files import write_atomic

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
LARGEST = 200_000
"""Bytes above which a table is no small reference; none that summarises is so large."""
SKIPPED = ("plan",)
"""Tables that say what a machine has, not what was measured."""
NOT_RUN, NOT_RUN_WORDS = "not_run", "not run:"
Row = Mapping[str, str]


@dataclass(frozen=True)
class Tolerance:
    """A value may differ from the reference by `absolute` + `relative` times its size."""

    absolute: float = 0.0
    relative: float = 0.0

    def allows(self, reference: float, value: float) -> bool:
        return abs(value - reference) <= self.absolute + self.relative * abs(reference)


SAME = Tolerance()
TOLERANCES: Mapping[str, Tolerance] = {
    # Counts: one clip more or less at a threshold, where a curve moves in its last digits.
    "better": Tolerance(absolute=1),
    "flagged*": Tolerance(absolute=1),
    "false_alarms": Tolerance(absolute=1),
    "no_change": Tolerance(absolute=1),
    "unchanging": Tolerance(absolute=1),
    "iterations": Tolerance(absolute=1),
    "best_iteration": Tolerance(absolute=1),
    # The place of a jump is a whole step: its median may move by half of one.
    "error_frames*": Tolerance(absolute=0.5),
    "error_seconds": Tolerance(absolute=0.05),
    # Intervals are drawn anew from the values: twice the tolerance of what they enclose.
    "*_95": Tolerance(absolute=0.01, relative=0.04),
    "*_low": Tolerance(absolute=0.01, relative=0.04),
    "*_high": Tolerance(absolute=0.01, relative=0.04),
    # Angles of noise, which float32 sums on other processors change most of all.
    "total_change": Tolerance(absolute=0.005, relative=0.02),
    "noise_floor": Tolerance(absolute=0.005, relative=0.02),
    "static": Tolerance(absolute=0.005, relative=0.02),
    "leakage*": Tolerance(absolute=0.01, relative=0.02),
    # Rank correlations jump where two clips that are all but equal change places.
    "none": Tolerance(absolute=0.02),
    "translation*": Tolerance(absolute=0.02),
    "spearman*": Tolerance(absolute=0.05),
    "pace": Tolerance(absolute=0.02),
    "order": Tolerance(absolute=0.1),
    # What is taken out of a clip depends on which directions lie above a threshold.
    "*_corrected": Tolerance(absolute=0.01, relative=0.02),
    "motion_share": Tolerance(absolute=0.01, relative=0.02),
    "kept": Tolerance(absolute=0.01, relative=0.02),
    # Steps between frames and what a network draws: sums over many float32 operations.
    "*peak_step": Tolerance(relative=0.05),
    "peak_speed": Tolerance(relative=0.05),
    "*residual*": Tolerance(absolute=1e-4, relative=0.05),
    "*_psnr": Tolerance(absolute=0.3),
    "*repeated_frames": Tolerance(absolute=0.02),
    # Curves run from 0 to 1: half a percent of the whole change, on any kind of processor.
    "*": Tolerance(absolute=0.005, relative=0.01),
}
"""Column (as a pattern, the first that fits) -> how far it may be off. On one kind of processor
with the locked packages all values are equal; other processors sum float32 in another order, which
moves curves by less than 1e-4 and what a generator draws by more. Texts must be equal."""


@dataclass(frozen=True)
class Difference:
    """One value that is not as in the reference; `column` is empty where a row or table is gone."""

    table: str
    row: str
    column: str
    reference: str
    value: str

    def __str__(self) -> str:
        place = f"{self.table}: {self.row}" + (f", {self.column}" if self.column else "")
        return f"{place}: reference {self.reference or 'empty'}, here {self.value or 'empty'}"


def tolerance(column: str) -> Tolerance:
    """How far a column may be off."""
    return next(known for pattern, known in TOLERANCES.items() if fnmatchcase(column, pattern))


def compare(reference: Path, fresh: Path) -> list[Difference]:
    """All differences of the tables in a folder from those in the reference.

    Rows that the reference could not run, or does not have, are not compared: another machine may
    have the weights. Raises ConfigError where either folder has no tables.
    """
    tables = sorted(reference.glob("*.csv"))
    if not tables:
        raise ConfigError(f"{reference}: no reference tables; write them: make reference-results")
    if not any(fresh.glob("*.csv")):
        raise ConfigError(f"{fresh}: no tables; make them: make reproduce-paper")
    return [one for path in tables for one in _table(path, fresh / path.name)]


def _table(reference: Path, fresh: Path) -> Iterator[Difference]:
    name = reference.stem
    if not fresh.is_file():
        yield Difference(name, "whole table", "", "there", "gone")
        return
    known, found = _read(reference), _read(fresh)
    for column in [column for column in known.columns if column not in found.columns]:
        yield Difference(name, "heading", column, "there", "gone")
    for column in [column for column in found.columns if column not in known.columns]:
        yield Difference(name, "heading", column, "gone", "there")
    shared = [column for column in known.columns if column in found.columns]
    for key, row in known.rows.items():
        if row.get("status") == NOT_RUN or any(
            cell.startswith(NOT_RUN_WORDS) for cell in row.values()
        ):
            continue
        if key not in found.rows:
            yield Difference(name, key, "", "there", "gone")
            continue
        for column in shared:
            before, after = row[column], found.rows[key][column]
            if not agree(column, before, after):
                yield Difference(name, key, column, before, after)


def agree(column: str, reference: str, value: str) -> bool:
    """Whether two printed values are the same but for the column's tolerance.

    Numbers within words (`0.01 .. 0.02`, `11 of 12`) are compared one by one, the words as they
    are; an empty cell agrees with an empty cell alone.
    """
    if reference == value:
        return True
    before, after = reference.split(), value.split()
    if len(before) != len(after):
        return False
    allowed = tolerance(column)
    return all(
        first == second or _close(allowed, first, second)
        for first, second in zip(before, after, strict=True)
    )


def _close(allowed: Tolerance, reference: str, value: str) -> bool:
    try:
        first, second = float(reference), float(value)
    except ValueError:
        return False
    return math.isfinite(first) and math.isfinite(second) and allowed.allows(first, second)


@dataclass(frozen=True)
class _Read:
    columns: list[str]
    rows: dict[str, Row]


def _read(path: Path) -> _Read:
    """A table with its rows under a name: what is no number in them, and their place among rows of
    that name."""
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows: dict[str, Row] = {}
        columns = list(reader.fieldnames or [])
        for row in reader:
            name = _name(columns, row)
            count = sum(key == name or key.startswith(f"{name} #") for key in rows)
            rows[name if not count else f"{name} #{count + 1}"] = row
    return _Read(columns, rows)


def _name(columns: list[str], row: Row) -> str:
    keys = [column for column in columns if column in KEYS and 0 < len(row[column]) <= 60]
    return ", ".join(f"{column}={row[column]}" for column in keys) or "row"


KEYS = {
    "category", "clip", "content", "embedder", "factor", "first", "frames", "generator", "group",
    "law", "measure", "motion", "noise", "pair", "second", "seed", "steepness", "strategy",
    "strength", "value", "dimension", "target", "fault",
}  # fmt: skip
"""Columns that say what a row is about."""


def write_reference(fresh: Path, reference: Path) -> list[str]:
    """Replace the reference by the small tables of a folder; their names.

    Raises ConfigError where there are none, or where the reference holds anything but tables: it
    is another folder then.
    """
    found = [
        path
        for path in sorted(fresh.glob("*.csv"))
        if path.stem not in SKIPPED and path.stat().st_size <= LARGEST
    ]
    if not found:
        raise ConfigError(f"{fresh}: no tables; make them: make reproduce-paper")
    old = sorted(reference.iterdir()) if reference.is_dir() else []
    for path in old:
        if path.suffix != ".csv" or not path.is_file():
            raise ConfigError(
                f"{reference}: {path.name} is no table; name a folder of tables alone"
            )
    made = {path.name: path.read_bytes() for path in found}
    for path in old:
        path.unlink()
    for name, content in made.items():
        write_atomic(reference / name, content)
    return [path.stem for path in found]
