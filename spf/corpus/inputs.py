"""Which clips a corpus has: those of a folder, or of a list, in a fixed order."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from spf.errors import ConfigError, one_line
from spf.names import NO_NETWORK, is_url
from spf.video import IMAGE_SUFFIXES, SUFFIXES, clips_in, list_frames

COLUMN = "path"
"""The column of a CSV or Parquet list that holds the clips."""


def list_clips(source: str | os.PathLike[str]) -> tuple[Path, list[str]]:
    """The folder that names start from, and the names of all clips of a folder or a list.

    Raises ConfigError where the source can be neither, cannot be read, or holds no clips.
    """
    path = Path(os.path.expanduser(source)).absolute()
    if is_url(source) and not path.exists():
        raise ConfigError(f"{source}: {'; '.join(NO_NETWORK)}")
    if path.is_dir():
        base, names = path, list(clips_in(path))
    elif path.is_file() and path.suffix.lower() not in SUFFIXES | IMAGE_SUFFIXES:
        base, names = path.parent, list(_listed(path))
    else:
        what = "a clip" if path.is_file() else "no file and no folder"
        remedy = "give a folder of clips or a file that lists them (one clip: spf analyze)"
        raise ConfigError(f"{source}: this is {what}; {remedy}")
    if not names:
        is_clip = path.is_dir() and list_frames(path)[0]
        remedy = "give the folder that it lies in, or use spf analyze"
        reason = f"INPUT itself is never a clip; {remedy}" if is_clip else "no clips found in it"
        raise ConfigError(f"{source}: {reason}")
    return base, names


def as_text(name: str) -> str:
    """A name as valid Unicode: bytes that are not UTF-8 become backslash escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _listed(source: Path) -> Iterator[str]:
    """The names of a list, checked."""
    try:
        for number, name in _rows(source):
            if not name:
                raise ConfigError(f"{source}: row {number} has no {COLUMN}; remove the row")
            if "\0" in name:
                remedy = "give one path a line, or a .csv or .parquet file"
                raise ConfigError(f"{source}: row {number} is no text; {remedy}")
            yield name
    except (OSError, csv.Error) as error:
        why = one_line(getattr(error, "strerror", None) or error, 100)
        raise ConfigError(f"{source}: cannot be read ({why}); check the file") from None


def _rows(source: Path) -> Iterator[tuple[int, str | None]]:
    """Numbers of the rows of a list, and the names in them."""
    suffix = source.suffix.lower()
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with open(source, "rb") as opened, pq.ParquetFile(opened) as file:
                _check_columns(source, file.schema_arrow.names)
                names = enumerate(file.read([COLUMN])[COLUMN].to_pylist(), 1)
        except pa.ArrowException as error:
            raise OSError(f"no valid Parquet: {error}") from None
        yield from ((n, os.fsdecode(x) if isinstance(x, str | bytes) else None) for n, x in names)
        return
    newline = "" if suffix == ".csv" else "\n"
    with open(source, encoding="utf-8-sig", errors="surrogateescape", newline=newline) as file:
        if suffix == ".csv":
            rows = csv.DictReader(file)
            _check_columns(source, rows.fieldnames or [])
            yield from ((rows.line_num, row[COLUMN]) for row in rows)
        else:
            lines = ((number, line.rstrip("\r\n")) for number, line in enumerate(file, 1))
            yield from ((number, line) for number, line in lines if line.strip())


def _check_columns(source: Path, columns: Iterable[str]) -> None:
    if COLUMN not in columns:
        known = ", ".join(columns) or "none"
        raise ConfigError(f"{source}: it has no column {COLUMN} (columns: {known}); name one so")
