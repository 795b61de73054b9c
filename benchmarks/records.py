"""Records: one atomic file per cell, and the tables compiled from them."""

import hashlib
import io
import json
import math
from typing import Any

import pandas as pd

from benchmarks.cells import Cell, Key, Outcome
from benchmarks.folder import RunFolder
from spf import METRICS

SCHEMA = 1
"""Raised when a column changes its meaning."""

KEYS = list(Key.__dataclass_fields__)
FIRST = ["status", "reason", *KEYS, "frames", "fps", "duration", "width", "height"]
LAST = [
    "notes",
    "source",
    "curve",
    "plot",
    "cell",
    "config_hash",
    "commit",
    "dirty",
    "device",
    "weights_revision",
    "weights_hash",
    "versions",
    "schema",
]
DONE, FAILED, NOT_RUN = "done", "failed", "not_run"

Record = dict[str, Any]


def make_record(cell: Cell, status: str, reason: str, values: dict[str, Any]) -> Record:
    """A record as plain data: the cell's key, its outcome and where it comes from."""
    record = {"status": status, "reason": reason, **vars(cell.key), "schema": SCHEMA, **values}
    return {"cell": cell.identity, **record}


class CellStore:
    """The finished cells of a run: cells/IDENTITY.json with a checksum, written last."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def load(self, cell: Cell) -> Record | None:
        """The record of a finished cell, or None: absent, failed, damaged, or its files gone."""
        if cell.inputs is None:
            return None
        try:
            stored = json.loads(self.folder.read(_path(cell.identity)))
            record = stored["record"]
            intact = stored["checksum"] == _checksum(record)
            if not intact or record["schema"] != SCHEMA or record["status"] != DONE:
                return None
            for path, content in stored["files"].items():
                # Another clip of the same name may have left its own there since.
                if _digest(self.folder.read(path)) != content:
                    return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record

    def save(self, cell: Cell, record: Record, outcome: Outcome | None) -> None:
        """Keep a record; the files it points to are written before it."""
        files = outcome.files if outcome else {}
        for path, data in files.items():
            self.folder.write(path, data)
        stored = {
            "record": record,
            "checksum": _checksum(record),
            "files": {path: _digest(data) for path, data in files.items()},
            "timings": outcome.timings if outcome else {},
        }
        self.folder.write(_path(cell.identity), json.dumps(stored, indent=1))


def timings_of(folder: RunFolder, identity: str) -> dict[str, float]:
    """Seconds by stage, as measured when the cell of this identity was computed."""
    try:
        return json.loads(folder.read(_path(identity)))["timings"]
    except (OSError, ValueError, KeyError):
        return {}


def _path(identity: str) -> str:
    return f"cells/{identity}.json"


def _checksum(record: Record) -> str:
    return _digest(json.dumps(record, sort_keys=True).encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def compile_tables(folder: RunFolder, records: list[Record]) -> None:
    """records.parquet (full precision) and records.csv (6 significant digits)."""
    table = as_frame(records)
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    folder.write("records.parquet", buffer.getvalue())
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
    """CSV for people: 6 significant digits, empty where there is no value."""
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def number(value: Any) -> str:
    """A value as tables print it: 6 significant digits; nothing where there is no number."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
    return str(value)
