"""Results that others may add to: results/community/NAME/records.parquet, and of a collection
results/community/COLLECTION/EMBEDDER/records.parquet (`make community`).

A problem is a name or a file that does not belong, a link, a missing or damaged table, a column of
another type, a value out of its metric's range or not finite without a reason, missing provenance,
code that was not committed, another schema, or rows of one folder that were measured by different
means.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness.folder import slug
from benchmarks.leaderboard import inputs
from spf.errors import ConfigError
from spf.names import printable

COMMUNITY = Path(__file__).resolve().parents[2] / "results" / "community"
ALLOWED = re.compile(r"records\.parquet|README\.md|leaderboard\w*\.(csv|md)")
MAXIMAL_TEXT = 1_000_000  # bytes of a table for people, or of a README


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
    file, within = folder / inputs.NAME, False
    for entry in sorted(folder.iterdir()):
        if parts and entry.is_dir() and not entry.is_symlink() and not file.exists():
            within = True
            yield from (f"{printable(entry.name)}: {x}" for x in _submission(entry, False))
        elif entry.is_symlink() or not entry.is_file() or not ALLOWED.fullmatch(entry.name):
            yield f"{printable(entry.name)} does not belong here; remove it"
        else:
            most = inputs.MAXIMAL_BYTES if entry == file else MAXIMAL_TEXT
            if entry.stat().st_size > most:
                yield f"{entry.name} is larger than {most:,} bytes"
    if within:
        return
    if not file.is_file() or file.is_symlink():
        yield f"there is no {inputs.NAME}"
        return
    try:
        records = inputs.read_records(file)
        found = list(inputs.problems(records))
        yield from found
        if any(record["dirty"] for record in records):
            yield "dirty: rows were made by code that is not committed; commit it and run again"
        if not found:
            inputs.check_agreement([inputs.Input(inputs.NAME, records)])
    except ConfigError as error:
        yield str(error).removeprefix(f"{printable(str(file))}: ")
