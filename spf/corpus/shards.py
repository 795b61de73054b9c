"""Shards: the rows of consecutive clips in one Parquet file, whole or not there."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from spf.corpus.inputs import Survey, names_digest
from spf.corpus.rows import TIMINGS, schema
from spf.errors import SpfError
from spf.files import moved_into_place, synchronise

if TYPE_CHECKING:
    import pyarrow as pa

IDENTITY = b"spf.identity"
"""Key, in a shard's metadata, of the identity of the corpus that it belongs to."""
Summary = Counter[tuple[str, str]]


def shard_path(output: Path, shard: int) -> Path:
    return output / f"shard-{shard:05d}.parquet"


def timings_path(output: Path, shard: int) -> Path:
    return output / "timings" / f"shard-{shard:05d}.parquet"


def write_shard(output: Path, shard: int, rows: pa.Table, identity: str) -> None:
    """Write the rows of a shard (columns of `rows.schema`, in any order of the clips): first the
    timings, then the rest, so that a shard that is there has its timings.

    Equal rows give equal bytes. Raises SpfError where the disk refuses.
    """
    rows = rows.sort_by("index").combine_chunks()
    timings = rows.select(["index", "path", *TIMINGS])
    marked = rows.drop_columns(list(TIMINGS)).replace_schema_metadata({IDENTITY: identity.encode()})
    for path, table in (
        (timings_path(output, shard), timings),
        (shard_path(output, shard), marked),
    ):
        try:
            _write(path, table)
        except OSError as error:
            remedy = "make room or choose another OUTPUT, and start again: finished shards are kept"
            raise SpfError(f"{path}: cannot be written ({error.strerror}); {remedy}") from None


def finished(output: Path, shard: int, survey: Survey, identity: str, curves: bool) -> bool:
    """Whether a shard is there, undamaged, of this corpus, and has the clips that the input has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = shard_path(output, shard)
    if not path.is_file():
        return False
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            marked = (file.schema_arrow.metadata or {}).get(IDENTITY) == identity.encode()
            expected = [column for column in schema(curves) if column.name not in TIMINGS]
            if not marked or not file.schema_arrow.equals(pa.schema(expected)):
                return False
            table = file.read()  # every column: each page has its checksum
    except (OSError, pa.ArrowException, ValueError):
        return False
    if table.num_rows != survey.clips_of(shard):
        return False
    first = shard * survey.size
    return (
        table.column("index").to_pylist() == list(range(first, first + table.num_rows))
        and names_digest(table.column("path").to_pylist()) == survey.shards[shard]
    )


def summarise(output: Path, shards: int) -> Summary:
    """Clips of all shards by status and reason; numbers in reasons become #."""
    import pyarrow.parquet as pq

    found: Summary = Counter()
    for shard in range(shards):
        table = pq.read_table(shard_path(output, shard), columns=["status", "reason"])
        pairs = zip(table["status"].to_pylist(), table["reason"].to_pylist(), strict=True)
        found.update((status, re.sub(r"\d+([.,]\d+)*", "#", reason)) for status, reason in pairs)
    return found


def remove_half_written(output: Path) -> None:
    """Remove what a killed process has left half-written."""
    for folder in (output, output / "timings"):
        for leftover in folder.glob(".spf-*.tmp"):
            with suppress(OSError):
                leftover.unlink()


class Assembly:
    """Rows that arrive in any order, put together to shards.

    Each piece has rows of one shard alone and comes whole; one that comes again (a worker was
    killed after its work, and the work given to another) counts once.
    """

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self._pieces: dict[int, dict[int, pa.Table]] = defaultdict(dict)
        self._done: set[int] = set()

    def add(self, piece: pa.Table) -> tuple[int, pa.Table] | None:
        """Take a piece; returns the shard that it completes, and all its rows."""
        import pyarrow as pa

        first = piece.column("index")[0].as_py()
        shard = first // self.survey.size
        if shard in self._done:
            return None
        pieces = self._pieces[shard]
        pieces.setdefault(first, piece)
        if sum(len(part) for part in pieces.values()) < self.survey.clips_of(shard):
            return None
        self._done.add(shard)
        return shard, pa.concat_tables(self._pieces.pop(shard).values())


def _write(path: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    with moved_into_place(path) as temporary:
        pq.write_table(
            table, temporary, compression="zstd", write_page_checksum=True, write_statistics=False
        )  # statistics lie outside the checksums
        synchronise(temporary)
