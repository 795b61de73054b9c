"""Which clips a corpus has: those of a folder, or of a list, streamed in a fixed order."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from spf.errors import ConfigError
from spf.video import IMAGE_SUFFIXES, SUFFIXES, list_frames
from spf.words import NO_NETWORK, is_url

COLUMN = "path"
"""The column of a CSV or Parquet list that holds the clips."""
PARQUET_ROWS = 4096  # rows of a list that are in memory at a time


@dataclass(frozen=True)
class Listing:
    """The clips of a folder or a list; iterating gives their names, as often as wanted.

    source : folder or list, absolute. A name is the clip's path from `base`, or an absolute one.
    Iterating raises ConfigError where the source cannot be read or makes no sense.
    """

    source: Path

    @property
    def base(self) -> Path:
        """The folder that relative names start from."""
        return self.source if self.source.is_dir() else self.source.parent

    def is_images(self) -> bool:
        """Whether the source itself is a folder with images, which elsewhere is a clip."""
        folder = self.source
        return folder.is_dir() and bool(list_frames(folder)[0])

    def __iter__(self) -> Iterator[str]:
        if self.source.is_dir():
            return _walk(self.source, "", ())
        readers = {".csv": _csv_rows, ".parquet": _parquet_rows}
        return _named(self.source, readers.get(self.source.suffix.lower(), _lines))


@dataclass(frozen=True)
class Survey:
    """What one pass over a listing tells: the number of clips, a hash of all names in their order,
    and one for each shard of `size` clips."""

    size: int
    clips: int
    digest: str
    shards: tuple[str, ...]

    def clips_of(self, shard: int) -> int:
        """How many clips a shard has: `size`, fewer in the last one."""
        return min(self.size, self.clips - shard * self.size)


def open_listing(source: str | os.PathLike[str]) -> Listing:
    """The listing of a folder or a list. Raises ConfigError where it can be neither."""
    path = Path(os.path.expanduser(source)).absolute()
    if is_url(source) and not path.exists():
        raise ConfigError(f"{source}: {'; '.join(NO_NETWORK)}")
    if not path.exists():
        raise ConfigError(f"{source}: there is no such file or folder; check the path")
    if path.is_file() and path.suffix.lower() in SUFFIXES | IMAGE_SUFFIXES:
        remedy = "give a folder of clips or a list of them (one clip: spf analyze)"
        raise ConfigError(f"{source}: this is a clip; {remedy}")
    if not (path.is_file() or path.is_dir()):
        remedy = "give a folder of clips, or a file that lists them"
        raise ConfigError(f"{source}: this is neither a folder nor a regular file; {remedy}")
    return Listing(path)


def survey(listing: Iterable[str], size: int) -> Survey:
    """Go through a listing once; memory grows by some bytes a shard. Raises ConfigError where it is
    empty."""
    whole = hashlib.sha256()
    clips, shards = 0, []
    for names in chunks(listing, size):
        shards.append(names_digest(names))
        whole.update(shards[-1].encode())
        clips += len(names)
    if not clips:
        if isinstance(listing, Listing) and listing.is_images():
            remedy = "give the folder that it lies in, or use spf analyze"
            raise ConfigError(f"{listing.source}: INPUT itself is never a clip; {remedy}")
        raise ConfigError("INPUT: no clips found; give a folder that holds some, or a list of them")
    return Survey(size, clips, whole.hexdigest()[:32], tuple(shards))


def chunks(listing: Iterable[str], size: int) -> Iterator[list[str]]:
    """The names in pieces of `size`, the last one smaller."""
    names = iter(listing)
    while piece := list(islice(names, size)):
        yield piece


def names_digest(names: Iterable[str]) -> str:
    """Hash, 32 hexadecimal digits, of names in their order."""
    found = hashlib.sha256()
    for name in names:
        found.update(as_text(name).encode() + b"\0")
    return found.hexdigest()[:32]


def as_text(name: str) -> str:
    """A name as valid Unicode: bytes that are not UTF-8 become backslash escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """Clips of a folder and the folders in it, each folder sorted by name (one is in memory).

    A folder that holds images and no videos is a clip; so is one that cannot be listed, whose row
    says so. A .webp is a clip of its own. Names that start with a dot are passed over, links that
    lead back to a folder above are not followed.
    """
    state = os.stat(folder)
    here = (state.st_dev, state.st_ino)
    if here in above:
        return
    try:
        with os.scandir(folder) as found:
            entries = sorted((e for e in found if e.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        if not above:
            why = f"cannot be read ({error.strerror}); change its permissions"
            raise ConfigError(f"{folder}: {why}") from None
        yield prefix.rstrip("/")
        return
    suffixes = [os.path.splitext(entry.name)[1].lower() for entry in entries]
    if above and SUFFIXES.isdisjoint(suffixes) and not IMAGE_SUFFIXES.isdisjoint(suffixes):
        yield prefix.rstrip("/")
    for entry, suffix in zip(entries, suffixes, strict=True):
        if suffix in SUFFIXES:
            yield prefix + entry.name
        elif _is_folder(entry):
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", (*above, here))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _named(source: Path, read: Callable[[Path], Iterator[tuple[int, str | None]]]) -> Iterator[str]:
    """The names of a list, checked. `read` gives the number of each row and its name."""
    try:
        for number, name in read(source):
            if not name:
                raise ConfigError(f"{source}: row {number} has no {COLUMN}; remove the row")
            if "\0" in name:
                remedy = "give one path a line, or a .csv or .parquet file"
                raise ConfigError(f"{source}: row {number} is no text; {remedy}")
            yield name
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError(f"{source}: cannot be read ({why}); check the file") from None


def _lines(source: Path) -> Iterator[tuple[int, str | None]]:
    with open(source, encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file, 1):
            name = line.rstrip("\r\n")
            if name.strip():
                yield number, name


def _csv_rows(source: Path) -> Iterator[tuple[int, str | None]]:
    with open(source, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.DictReader(file)
        try:
            _check_columns(source, rows.fieldnames or [])
            for row in rows:
                yield rows.line_num, row[COLUMN]
        except csv.Error as error:
            raise ConfigError(f"{source}: no valid CSV ({error}); write it again") from None


def _parquet_rows(source: Path) -> Iterator[tuple[int, str | None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open(source, "rb") as opened, pq.ParquetFile(opened) as file:
            _check_columns(source, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(PARQUET_ROWS, columns=[COLUMN]):
                for name in batch.column(0).to_pylist():
                    number += 1
                    yield number, os.fsdecode(name) if isinstance(name, str | bytes) else None
    except pa.ArrowException as error:
        why = " ".join(str(error).split())[:100]
        raise ConfigError(f"{source}: no valid Parquet ({why}); write it again") from None


def _check_columns(source: Path, columns: Iterable[str]) -> None:
    if COLUMN not in columns:
        known = ", ".join(columns) or "none"
        raise ConfigError(f"{source}: it has no column {COLUMN} (columns: {known}); name one so")
