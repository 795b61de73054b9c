"""Records of other runs, read as data of strangers: typed, bounded, and harmless."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.ranking.groups import SHOWN, finite
from benchmarks.running.records import DONE, FAILED, KEYS, NOT_RUN, SCHEMA, Record
from benchmarks.scoring.quality import QUALITY, SCORED_BY
from spf.errors import ConfigError
from spf.generators.folder import printable
from spf.progress import METRICS
from spf.quality import VBENCH_DIMENSIONS

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
NUMBERS = ["seed", "frames", "fps", "duration", "width", "height", "schema", *METRICS]
FLAGS = ["control", "dirty"]
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
    for given in inputs:
        for file in files_of(given):
            records = read_records(file)
            for problem in problems(records):
                raise ConfigError(f"{printable(str(file))}: {problem}; leave this input out")
            name = printable(file.parent.name if file.name == NAME else file.stem)
            for record in records:
                record["input"] = record["input"] or name
            found.append(Input(printable(str(file)), records))
    return found


def files_of(given: str) -> list[Path]:
    """The files that an input stands for. Raises ConfigError where there are none."""
    path = Path(str(given))
    if path.is_file():
        return [path]
    found = [path / NAME] if (path / NAME).is_file() else sorted(path.glob(f"*/{NAME}"))
    if not found:
        raise ConfigError(f"{printable(str(given))}: there are no records here; {REMEDY}")
    return found


def read_records(file: Path) -> list[Record]:
    """The known columns of a file of records, a plain value each; others are passed over.

    Text is made printable. Files that records name are not followed: they lie in other folders.
    Raises ConfigError where it is no table of records.
    """
    where = printable(str(file))
    try:
        if not file.is_file():
            raise OSError("not a file")
        # Text stays encoded until its size is known: a short file may stand for terabytes.
        with open(file, "rb") as opened:  # a name that is not UTF-8 is none to Arrow
            schema = pq.read_schema(opened)
        texts = [x.name for x in schema if x.name in TEXTS and pa.types.is_string(x.type)]
        with open(file, "rb") as opened, pq.ParquetFile(opened, read_dictionary=texts) as parquet:
            rows = [parquet.metadata.row_group(k).num_rows for k in range(parquet.num_row_groups)]
            if max(parquet.metadata.num_rows, sum(rows)) > MAXIMAL_ROWS:
                raise ConfigError(f"{where}: more than {MAXIMAL_ROWS} rows; split it")
            known = parquet.schema_arrow.names
            dimensions = [f"{QUALITY}{name}" for name in VBENCH_DIMENSIONS]
            quality = [name for name in dimensions if name in known]
            wanted = [*TEXTS, *NUMBERS, *FLAGS, *quality]
            if file.stat().st_size > MAXIMAL_BYTES or _packed(parquet, wanted) > MAXIMAL_CONTENT:
                raise ConfigError(
                    f"{where}: more than {MAXIMAL_BYTES:,} bytes, or far more when "
                    "unpacked; split it"
                )
            table = parquet.read([name for name in wanted if name in known])
            table.validate(full=True)
    except (OSError, pa.ArrowException, MemoryError) as error:
        why = " ".join(str(error).split())[:200]
        raise ConfigError(f"{where}: it cannot be read as records ({why}); {REMEDY}") from None
    if repeated := {name for name in table.column_names if table.column_names.count(name) > 1}:
        raise ConfigError(f"{where}: column {min(repeated)} is there twice; run it again")
    for name in table.column_names:
        if not _fits(name, table.schema.field(name).type):
            what = table.schema.field(name).type
            raise ConfigError(f"{where}: column {name} holds {what}; run it again")
    if _letters(table) > MAXIMAL_CONTENT:
        raise ConfigError(f"{where}: its text takes more than {MAXIMAL_CONTENT:,} bytes; split it")
    if missing := [name for name in NEEDED if name not in known]:
        raise ConfigError(f"{where}: there is no column {missing[0]}; run it again")
    return [_plain(row, wanted) for row in table.to_pylist()]


def _packed(parquet: pq.ParquetFile, wanted: list[str]) -> int:
    """Bytes of the wanted columns as the file says that they are unpacked."""
    about = parquet.metadata
    chunks = (
        about.row_group(row).column(column)
        for row in range(about.num_row_groups)
        for column in range(about.num_columns)
    )
    return sum(x.total_uncompressed_size for x in chunks if x.path_in_schema in wanted)


def _letters(table: pa.Table) -> int:
    """Bytes of all texts of a table, each as often as it stands there."""
    total = 0
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            for chunk in column.chunks:
                lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
                total += pc.sum(lengths).as_py() or 0
    return total


def _fits(name: str, kind: pa.DataType) -> bool:
    if pa.types.is_null(kind):
        return True
    if pa.types.is_dictionary(kind) and name in TEXTS:
        kind = kind.value_type
    if name in TEXTS:
        return pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if name in FLAGS:
        return pa.types.is_boolean(kind)
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _plain(row: dict[str, Any], wanted: list[str]) -> Record:
    record: Record = {name: row.get(name) for name in wanted}
    for name in TEXTS:
        if record[name] is not None and not record[name].isprintable():
            record[name] = printable(record[name])
    for name in ("seed", "frames", "width", "height", "schema"):
        value = record[name]
        if isinstance(value, float):
            record[name] = int(value) if value.is_integer() else None
    record["reason"] = record["reason"] or ""
    return record


def problems(records: Sequence[Record]) -> Iterator[str]:
    """What is wrong with the records of a file: a line for each kind, with its first row."""
    if not records:
        yield "there are no rows"
    for says, wrong in RULES:
        rows = [number for number, record in enumerate(records, start=1) if wrong(record)]
        if rows:
            first = records[rows[0] - 1]
            name = f"{first['model']}/{first['clip']}"[:MAXIMAL_NAME]
            yield f"{says} in {len(rows)} row(s), first row {rows[0]} ({name})"
    keys = Counter(tuple(record[name] for name in KEYS) for record in records)
    for key, count in keys.items():
        if count > 1:
            named = dict(zip(KEYS, key, strict=True))
            yield f"{named['model']}/{named['clip']}: {count} rows with the same keys"
            return  # one is enough to look into it


Wrong = Callable[[Record], bool]


def _rules() -> Iterator[tuple[str, Wrong]]:
    """Each thing that can be wrong with a record, and whether it is."""
    yield f"schema is not {SCHEMA}", lambda record: record["schema"] != SCHEMA
    known = (DONE, FAILED, NOT_RUN)
    yield f"status is none of {', '.join(known)}", lambda record: record["status"] not in known
    yield "reason is missing", lambda record: record["status"] in known[1:] and not record["reason"]
    yield "seed is no whole number", lambda record: record["seed"] is None
    yield "frames is not 2 or more", lambda record: _done(record) and (record["frames"] or 0) < 2
    for name in (*NAMES, *PROVENANCE, "dirty"):
        yield f"{name} is missing", _missing(name)
    for name in MEASURED_BY:
        yield f"{name} is missing", _missing(name, DONE)
    for name in TEXTS:
        limit = MAXIMAL_NAME if name in NAMES else MAXIMAL_TEXT
        yield f"{name} is longer than {limit} letters", _longer(name, limit)
    for name in ("versions", "settings"):
        yield f"{name} is no JSON", _no_json(name)
    bounds = {name: (metric.minimum, metric.maximum) for name, metric in METRICS.items()}
    bounds |= {f"{QUALITY}{dimension}": (0.0, 1.0) for dimension in VBENCH_DIMENSIONS}
    for name, (low, high) in bounds.items():
        yield f"{name} is outside {low:g} .. {high:g}", _outside(name, low, high)
    for name in SHOWN:
        yield f"{name} is not finite, and no reason says why", _not_finite(name)


def _missing(name: str, status: str = "") -> Wrong:
    return lambda record: status in ("", record["status"]) and record[name] in (None, "")


def _longer(name: str, limit: int) -> Wrong:
    return lambda record: len(record[name] or "") > limit


def _no_json(name: str) -> Wrong:
    def wrong(record: Record) -> bool:
        try:
            return not isinstance(json.loads(record[name] or "{}"), dict)
        except (ValueError, RecursionError):
            return True

    return wrong


def _outside(name: str, low: float, high: float) -> Wrong:
    slack = 1e-6  # sums of shares, and means of float32, pass 1 by rounding

    def wrong(record: Record) -> bool:
        value = record.get(name)
        if value is None or math.isnan(value):
            return False
        return math.isinf(value) or not low - slack <= value <= high + slack

    return wrong


def _not_finite(name: str) -> Wrong:
    """A clip without semantic change has none of the shape metrics, and its reason says so."""
    shape = [metric for metric in SHOWN if METRICS[metric].direction != "none"]

    def wrong(record: Record) -> bool:
        if not _done(record) or finite(record[name]):
            return False
        unchanged = record["reason"] and not any(finite(record[metric]) for metric in shape)
        return not (unchanged and name in shape)

    return wrong


def _done(record: Record) -> bool:
    return record["status"] == DONE


RULES = list(_rules())
