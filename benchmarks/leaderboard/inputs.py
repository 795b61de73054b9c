"""Records of other runs: read as data of strangers, typed, bounded and harmless; merged where they
agree on what measured them; and those in results/community/NAME/records.parquet, or, of a
collection, in COLLECTION/EMBEDDER, which others may add to, validated."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.generated.scores import ORACLE
from benchmarks.harness.folder import slug
from benchmarks.harness.quality import QUALITY, SCORED_BY
from benchmarks.harness.records import DONE, FAILED, KEYS, NOT_RUN, SCHEMA, Record
from benchmarks.leaderboard.comparison import KNOWN, SHOWN, generator_of, is_quality
from spf.errors import ConfigError, one_line
from spf.names import normalized_name, printable
from spf.progress import METRICS
from spf.quality import VBENCH_DIMENSIONS
from spf.quality.fidelity import FIDELITY

COMMUNITY = Path(__file__).resolve().parents[2] / "results" / "community"
ALLOWED = re.compile(r"records\.parquet|README\.md|leaderboard\w*\.(csv|md)")
MAXIMAL_README = 1_000_000
"""Bytes of a table for people, or of a README."""
NAME = "records.parquet"
REMEDY = "give run folders, folders of them, or records.parquet files"
MAXIMAL_ROWS = 1_000_000
MAXIMAL_BYTES = 50_000_000
MAXIMAL_CONTENT = 2**29
"""Bytes of a file, and of what it holds when it is unpacked."""
MAXIMAL_NAME = 300
MAXIMAL_TEXT = 20_000

NAMES = ["benchmark", "clip", "embedder", "model", "retime", "target"]
PROVENANCE = ["config_hash", "commit", "device", "versions"]
MEASURED_BY = ["weights_revision", "weights_hash", "settings"]
"""Columns that a measured row has and a failed one need not have."""

TEXTS = ["status", "reason", *NAMES, "category", "notes", "source", "cell", "input"]
TEXTS += [*PROVENANCE, *MEASURED_BY, SCORED_BY]
COUNTS = ["seed", "frames", "width", "height", "schema"]
DIMENSIONS = [*(f"{QUALITY}{name}" for name in VBENCH_DIMENSIONS), *FIDELITY]
TYPES = {
    **dict.fromkeys(TEXTS, pa.string()),
    **dict.fromkeys(COUNTS, pa.int64()),
    **dict.fromkeys(["fps", "duration", *METRICS, *DIMENSIONS], pa.float64()),
    **dict.fromkeys(["control", "dirty", "flickers"], pa.bool_()),
}
"""The columns that are read, and what they hold."""

COMPARED = ("schema", "embedder", "weights_revision", "weights_hash", "settings")
"""Columns in which rows must agree to be compared."""
HERE = "this run"
TOLERANCE = 1e-5
"""Relative difference up to which two measurements of one clip are the same: printed digits."""

OPTIONAL = [*DIMENSIONS, "flickers", *(name for name in METRICS if name != SHOWN[0])]
"""Columns that records have only where a run had them; a metric may be younger than a run."""
NEEDED = ["status", "reason", *NAMES, "seed", "cell", "schema", *PROVENANCE, "dirty"]
"""Columns that a run has even where all of its clips failed."""


@dataclass(frozen=True)
class Input:
    """Records that were read from one file; `place` is what the user knows it by."""

    place: str
    records: list[Record]


def read_inputs(inputs: Sequence[str]) -> list[Input]:
    """The records of run folders, folders of run folders, or files.

    Raises ConfigError, in one line, for what is no such thing and for the first problem in it.
    """
    if isinstance(inputs, str) or not isinstance(inputs, Sequence):
        raise ConfigError(f"inputs={inputs!r} must be a list; {REMEDY}")
    found = []
    for path in (Path(str(place)) for place in inputs):
        files = [file for file in (path, path / NAME) if file.is_file()]
        files = files or sorted(path.glob(f"*/{NAME}"))
        if not files:
            raise ConfigError(f"{printable(str(path))}: there are no records here; {REMEDY}")
        for file in files:
            records, where = read_records(file), printable(str(file))
            for problem in problems(records):
                raise ConfigError(f"{where}: {problem}; leave this input out")
            name = printable(file.parent.name if file.name == NAME else file.stem)
            for record in records:
                record["input"] = record["input"] or name
            found.append(Input(where, records))
    return found


def read_records(file: Path) -> list[Record]:
    """The known columns of a file of records, a plain value each; others are passed over.

    Text is made printable, names are normalised. Files that records name are not followed: they lie
    in other folders. Raises ConfigError where it is no table of records.
    """
    where = printable(str(file))
    try:
        table = _bounded(file, where)
        missing = [name for name in NEEDED if name not in table.column_names]
        if missing:
            raise ConfigError(f"{where}: there is no column {missing[0]}; run it again")
        if len(set(table.column_names)) < table.num_columns:
            raise ConfigError(f"{where}: a column is there twice; run it again")
        columns = {name: _typed(table.column(name), name, where) for name in table.column_names}
    except (OSError, pa.ArrowException, MemoryError) as error:
        why = one_line(error)
        raise ConfigError(f"{where}: it cannot be read as records ({why}); {REMEDY}") from None
    wanted = [name for name in TYPES if name in columns or name not in OPTIONAL]
    empty: Record = dict.fromkeys(wanted)
    records = [empty | row for row in pa.table(columns).to_pylist()]
    for record in records:
        record |= {name: printable(record[name]) for name in TEXTS if record[name]}
        record |= {x: normalized_name(record[x]) for x in ("clip", "model") if record[x]}
        record["reason"] = record["reason"] or ""
    return records


def _bounded(file: Path, where: str) -> pa.Table:
    """The known columns of a file, if they are no more than a few hundred megabytes."""
    if not file.is_file():
        raise OSError("not a file")
    # Text stays encoded until its size is known: a short file may stand for terabytes.
    with open(file, "rb") as opened:  # a name that is not UTF-8 is none to Arrow
        schema = pq.read_schema(opened)
    texts = [x.name for x in schema if x.name in TEXTS and pa.types.is_string(x.type)]
    with open(file, "rb") as opened, pq.ParquetFile(opened, read_dictionary=texts) as parquet:
        about = parquet.metadata
        groups = [about.row_group(number) for number in range(about.num_row_groups)]
        if max(about.num_rows, sum(group.num_rows for group in groups)) > MAXIMAL_ROWS:
            raise ConfigError(f"{where}: more than {MAXIMAL_ROWS} rows; split it")
        chunks = [group.column(number) for group in groups for number in range(about.num_columns)]
        unpacked = sum(x.total_uncompressed_size for x in chunks if x.path_in_schema in TYPES)
        if file.stat().st_size > MAXIMAL_BYTES or unpacked > MAXIMAL_CONTENT:
            raise ConfigError(
                f"{where}: more than {MAXIMAL_BYTES:,} bytes, or far more when unpacked; split it"
            )
        table = parquet.read([name for name in TYPES if name in parquet.schema_arrow.names])
    table.validate(full=True)
    encoded = [
        x for column in table.columns for x in column.chunks if pa.types.is_dictionary(x.type)
    ]
    lengths = [pc.binary_length(chunk.dictionary).take(chunk.indices) for chunk in encoded]
    if sum(pc.sum(one).as_py() or 0 for one in lengths) > MAXIMAL_CONTENT:
        raise ConfigError(f"{where}: its text takes more than {MAXIMAL_CONTENT:,} bytes; split it")
    return table


def _typed(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    """A column as the type that it should have. Raises ConfigError where that is another kind."""
    held, wanted = column.type, TYPES[name]
    held = held.value_type if pa.types.is_dictionary(held) else held
    number = pa.types.is_integer(held) or pa.types.is_floating(held)
    text = pa.types.is_string(held) or pa.types.is_large_string(held)
    alike = text if wanted == pa.string() else held == wanted if wanted == pa.bool_() else number
    try:
        if alike or pa.types.is_null(held):
            return column.cast(wanted)
    except pa.ArrowInvalid:
        pass  # a fraction where a whole number should be
    raise ConfigError(f"{where}: column {name} holds {held}, not {wanted}; run it again")


def problems(records: Sequence[Record]) -> Iterator[str]:
    """What is wrong with the records of a file: a line for each kind, with its first row."""
    if not records:
        yield "there are no rows"
        return
    table = pd.DataFrame(records)
    for problem, wrong in _rules(table):
        if len(rows := np.flatnonzero(wrong)):
            first = records[rows[0]]
            name = f"{first['model']}/{first['clip']}"[:MAXIMAL_NAME]
            yield f"{problem} in {len(rows)} row(s), first row {rows[0] + 1} ({name})"
    counts = table.groupby(KEYS, dropna=False, sort=False)["status"].transform("size")
    if (counts > 1).any():  # one is enough to look into it
        row = int((counts > 1).to_numpy().argmax())
        name = f"{records[row]['model']}/{records[row]['clip']}"
        yield f"{name}: {counts[row]} rows with the same keys"


def _rules(table: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """Each thing that can be wrong with a record, and the rows (T,) bool in which it is."""
    text = table[TEXTS].fillna("").astype(str)
    status, done, known = text["status"], text["status"] == DONE, [DONE, FAILED, NOT_RUN]
    yield f"schema is not {SCHEMA}", table["schema"] != SCHEMA
    yield f"status is none of {', '.join(known)}", ~status.isin(known)
    yield "reason is missing", status.isin(known[1:]) & (text["reason"] == "")
    yield "seed is no whole number", table["seed"].isna()
    yield "frames is not 2 or more", done & ~(table["frames"].astype(float) >= 2)
    for name in (*NAMES, *PROVENANCE):
        yield f"{name} is missing", text[name] == ""
    yield "dirty is missing", table["dirty"].isna()
    for name in MEASURED_BY:
        yield f"{name} is missing", done & (text[name] == "")
    for name in TEXTS:
        limit = MAXIMAL_NAME if name in NAMES else MAXIMAL_TEXT
        yield f"{name} is longer than {limit} letters", text[name].str.len() > limit
    for name in ("versions", "settings"):
        different = {value: _no_json(value) for value in set(text[name])}
        yield f"{name} is no JSON", text[name].map(different)
    slack = 1e-6  # sums of shares, and means of float32, pass 1 by rounding
    for name in (name for name in [*METRICS, *DIMENSIONS] if name in table):
        low, high = (KNOWN[name].minimum, KNOWN[name].maximum) if name in KNOWN else (0.0, 1.0)
        value = table[name].astype(float)
        inside = value.between(low - slack, min(high + slack, np.finfo(float).max))
        yield f"{name} is outside {low:g} .. {high:g}", ~(inside | value.isna())
    shown = [name for name in SHOWN if name in table]
    shape = [name for name in shown if METRICS[name].direction != "none"]
    finite = table[shown].astype(float).abs() < np.inf
    # A clip without semantic change has none of the shape metrics, and its reason says so.
    unchanged = (text["reason"] != "") & ~finite[shape].any(axis=1)
    for name in shown:
        wrong = done & ~finite[name]
        wrong = wrong & ~unchanged if name in shape else wrong
        yield f"{name} is not finite, and no reason says why", wrong


def _no_json(text: str) -> bool:
    try:
        return not isinstance(json.loads(text or "{}"), dict)
    except (ValueError, RecursionError):
        return True


def merge(inputs: Sequence[Input], here: Mapping[str, Any] | None = None) -> list[Record]:
    """All records of the inputs, each clip of a generator once, in a fixed order.

    Rows that the renderer's own parameter measured are left out: it is no embedder. A clip that
    was not run in one input is taken from another. here : the `COMPARED` columns of clips that are
    going to be measured beside them. Raises ConfigError, naming the field and both values, where
    inputs differ in what measured them or in what they say of one clip.
    """
    found = [Input(x.place, [r for r in x.records if r["embedder"] != ORACLE]) for x in inputs]
    check_agreement(found, here)
    chosen: dict[tuple[str, str, int], tuple[str, Record]] = {}
    for place, record in ((one.place, record) for one in found for record in one.records):
        other_place, other = chosen.setdefault(identity(record), (place, record))
        if other is not record and NOT_RUN not in (other["status"], record["status"]):
            check_equal((other_place, other), (place, record))
        if _rank(record) < _rank(other):
            chosen[identity(record)] = (place, record)
    return [chosen[name][1] | {"curve": None, "plot": None} for name in sorted(chosen)]


def identity(record: Record) -> tuple[str, str, int]:
    """What makes two rows the same clip: generator, pair and seed."""
    return generator_of(record), record["clip"], record["seed"]


def check_agreement(inputs: Iterable[Input], here: Mapping[str, Any] | None = None) -> None:
    """Raise ConfigError where rows were measured by different means. Rows that were not measured
    have no say."""
    first = {} if here is None else {name: (HERE, here[name]) for name in COMPARED}
    for one in inputs:
        measured = [record for record in one.records if record["status"] == DONE]
        for name in COMPARED:
            for value in dict.fromkeys(record[name] for record in measured):
                place, expected = first.setdefault(name, (one.place, value))
                if value == expected:
                    continue
                field, a, b = name, expected, value
                if name == "settings":
                    field, a, b = _difference(json.loads(a), json.loads(b), name)
                both = f"{a!r} in {place} and {b!r} in {one.place}"
                raise ConfigError(f"{field} differs: {both}; compare only what was measured alike")


def _difference(first: Any, second: Any, name: str) -> tuple[str, Any, Any]:
    """The first name, with dots, under which nested dicts differ, and both values."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted(first.keys() | second.keys()):
            if first.get(key) != second.get(key):
                return _difference(first.get(key), second.get(key), f"{name}.{key}")
    return name, first, second


def check_equal(first: tuple[str, Record], second: tuple[str, Record]) -> None:
    """Raise ConfigError where two rows of one clip have different values of what both have."""
    (place, one), (other_place, other) = first, second
    numbers = ["frames", *(name for name in METRICS if name in one and name in other)]
    numbers += sorted(filter(is_quality, {*one, *other}))
    values = np.array([[row.get(name) for name in numbers] for row in (one, other)], dtype=float)
    near = np.isclose(values[0], values[1], rtol=TOLERANCE, atol=1e-9, equal_nan=True)
    differs = ["status"] * (one["status"] != other["status"])
    differs += [name for name, same in zip(numbers, near, strict=True) if not same]
    if differs:
        generator, pair, seed = identity(one)
        both = f"{one.get(differs[0])!r} in {place} and {other.get(differs[0])!r} in {other_place}"
        where = f"{generator}/{pair}, seed {seed}: {differs[0]} differs"
        raise ConfigError(f"{where}: {both}; leave one of them out")


def _rank(record: Record) -> tuple[bool, int, str, str]:
    """Which of equal rows is taken, whatever the order of the inputs: the lowest; so one that ran,
    and of these one with all metrics."""
    absent = sum(name not in record for name in METRICS)
    return record["status"] == NOT_RUN, absent, record["cell"] or "", record["input"] or ""


def checked(folder: Path) -> Iterator[str]:
    """The problems of a folder of results, a line each."""
    if not folder.is_dir():
        yield f"{printable(str(folder))}: there is no such folder"
        return
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink():
            yield f"{printable(entry.name)}: this is a link; add the files themselves"
        elif entry.is_dir():
            yield from (f"{printable(entry.name)}: {problem}" for problem in _submission(entry))
        elif entry.name != "README.md":
            yield f"{printable(entry.name)}: this file does not belong here; remove it"


def _submission(folder: Path, parts: bool = True) -> Iterator[str]:
    """Of a folder with records, or, unless it is a part itself, with such folders."""
    if slug(folder.name) != folder.name:
        yield "name it by letters, digits, dots, hyphens and underscores alone"
    file, within = folder / NAME, False
    for entry in sorted(folder.iterdir()):
        if parts and entry.is_dir() and not entry.is_symlink() and not file.exists():
            within = True
            yield from (f"{printable(entry.name)}: {x}" for x in _submission(entry, False))
        elif entry.is_symlink() or not entry.is_file() or not ALLOWED.fullmatch(entry.name):
            yield f"{printable(entry.name)} does not belong here; remove it"
        elif entry != file and entry.stat().st_size > MAXIMAL_README:
            yield f"{entry.name} is larger than {MAXIMAL_README:,} bytes"
    if within:
        return
    if not file.is_file() or file.is_symlink():
        yield f"there is no {NAME}"
        return
    try:
        records = read_records(file)
        found = list(problems(records))
        yield from found
        if any(record["dirty"] for record in records):
            yield "dirty: rows were made by code that is not committed; commit it and run again"
        if not found:
            check_agreement([Input(NAME, records)])
    except ConfigError as error:
        yield str(error).removeprefix(f"{printable(str(file))}: ")
