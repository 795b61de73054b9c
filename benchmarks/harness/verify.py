"""A fresh run compared with the committed reference copy of its tables (make verify-results)."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

from spf.errors import ConfigError
from spf.files import write_atomic

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
LARGEST = 200_000
"""Bytes above which a table is no small reference; none that summarises is so large."""
SKIPPED = "plan"
"""What names of tables begin with that say what a machine has, not what was measured."""
NOT_RUN, NOT_RUN_WORDS = "not_run", "not run:"

TOLERANCES: Mapping[str, tuple[float, float]] = {
    # Counts: one clip more or less at a threshold, where a curve moves in its last digits.
    "better": (1, 0),
    "flagged*": (1, 0),
    "false_alarms": (1, 0),
    "no_change": (1, 0),
    "unchanging": (1, 0),
    "iterations": (1, 0),
    "best_iteration": (1, 0),
    # The place of a jump is a whole step: its median may move by half of one.
    "error_frames*": (0.5, 0),
    "error_seconds": (0.05, 0),
    # Intervals are drawn anew from the values: twice the tolerance of what they enclose.
    "*_95": (0.01, 0.04),
    "*_low": (0.01, 0.04),
    "*_high": (0.01, 0.04),
    # Angles of noise, which float32 sums on other processors change most of all.
    "total_change": (0.005, 0.02),
    "noise_floor": (0.005, 0.02),
    "static": (0.005, 0.02),
    "leakage*": (0.01, 0.02),
    # Rank correlations jump where two clips that are all but equal change places.
    "none": (0.02, 0),
    "translation*": (0.02, 0),
    "spearman*": (0.05, 0),
    "pace": (0.02, 0),
    "order": (0.1, 0),
    # What is taken out of a clip depends on which directions lie above a threshold.
    "*_corrected": (0.01, 0.02),
    "motion_share": (0.01, 0.02),
    "remaining": (0.01, 0.02),
    # Steps between frames and what a network draws: sums over many float32 operations.
    "*peak_step": (0, 0.05),
    "peak_speed": (0, 0.05),
    "*residual*": (1e-4, 0.05),
    "*_psnr": (0.3, 0),
    "*repeated_frames": (0.02, 0),
    # Curves run from 0 to 1: half a percent of the whole change, on any kind of processor.
    "*": (0.005, 0.01),
}
"""Column (as a pattern, the first that fits) -> how far a value may be off: absolute, relative to
the size of the reference; the two are added. On one kind of processor with the locked packages all
values are equal; other processors sum float32 in another order, which moves curves by less than
1e-4 and what a generator draws by more. Texts must be equal."""


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


def compare(reference: Path, fresh: Path) -> list[Difference]:
    """All differences of the tables in a folder from those in the reference, but for rows that the
    reference could not run, or does not have. Raises ConfigError where either has no tables."""
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
    for column in known.columns.difference(found.columns, sort=False):
        yield Difference(name, "heading", column, "there", "gone")
    for column in found.columns.difference(known.columns, sort=False):
        yield Difference(name, "heading", column, "gone", "there")
    shared = known.columns.intersection(found.columns, sort=False)
    for key, row in known.iterrows():
        if row.get("status") == NOT_RUN or row.str.startswith(NOT_RUN_WORDS).any():
            continue
        if key not in found.index:
            yield Difference(name, str(key), "", "there", "gone")
            continue
        for column in shared:
            before, after = row[column], str(found.at[key, column])
            if not agree(column, before, after):
                yield Difference(name, str(key), column, before, after)


def agree(column: str, reference: str, value: str) -> bool:
    """Whether two printed values are the same but for the column's tolerance, which is for each of
    the numbers within texts (`0.01 .. 0.02`, `11 of 12`)."""
    before, after = reference.split(), value.split()
    limits = next(known for pattern, known in TOLERANCES.items() if fnmatchcase(column, pattern))
    return reference == value or (
        len(before) == len(after)
        and all(x == y or _close(limits, x, y) for x, y in zip(before, after, strict=True))
    )


def _close(limits: tuple[float, float], reference: str, value: str) -> bool:
    absolute, relative = limits
    try:
        first, second = float(reference), float(value)
    except ValueError:
        return False
    return abs(second - first) <= absolute + relative * abs(first) < math.inf


def _read(path: Path) -> pd.DataFrame:
    """A table of texts with its rows under a name: what is no number in them, and their place among
    rows of that name."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    names = pd.Series(
        [
            ", ".join(f"{x}={row[x]}" for x in row if x in KEYS and 0 < len(row[x]) <= 60) or "row"
            for row in table.to_dict("records")
        ],
        dtype=object,
    )
    place = names.groupby(names).cumcount()
    return table.set_axis(names.where(place == 0, names + " #" + (place + 1).astype(str)))


KEYS = {
    "category", "clip", "content", "embedder", "factor", "first", "frames", "generator", "group",
    "law", "measure", "motion", "noise", "pair", "second", "seed", "steepness", "strategy",
    "strength", "value", "dimension", "target", "fault",
}  # fmt: skip
"""Columns that say what a row is about."""


def write_reference(fresh: Path, reference: Path) -> list[str]:
    """Replace the reference by the small tables of a folder; their names. Raises ConfigError where
    there are none, or where the reference holds anything but tables: it is another folder then."""
    made = {
        path.name: path.read_bytes()
        for path in sorted(fresh.glob("*.csv"))
        if not path.stem.startswith(SKIPPED) and path.stat().st_size <= LARGEST
    }
    if not made:
        raise ConfigError(f"{fresh}: no tables; make them: make reproduce-paper")
    old = sorted(reference.iterdir()) if reference.is_dir() else []
    others = [path.name for path in old if path.suffix != ".csv" or not path.is_file()]
    if others:
        raise ConfigError(f"{reference}: {others[0]} is no table; name a folder of tables alone")
    for path in old:
        path.unlink()
    for name, content in made.items():
        write_atomic(reference / name, content)
    return [Path(name).stem for name in made]
