"""Check results that others may add to: results/community/NAME/records.parquet.

    python scripts/validate_results.py [FOLDER ...]

One line for each problem, and exit code 1 where there is one: a name or a file that does not
belong, a link, a missing or damaged table, a column of another type, a value out of its metric's
range or not finite without a reason, missing provenance, code that was not committed, another
schema, or rows of one folder that were measured by different means.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.leaderboard.inputs import MAXIMAL_BYTES, NAME, Input, problems, read_records
from benchmarks.leaderboard.merging import check_agreement
from benchmarks.running.folder import slug
from spf.errors import ConfigError
from spf.generators.folder import printable

COMMUNITY = Path(__file__).resolve().parent.parent / "results" / "community"
ALLOWED = {NAME, "README.md"}


def checked(folder: Path) -> Iterator[str]:
    """The problems of a folder of results, a line each."""
    if not folder.is_dir():
        yield f"{printable(str(folder))}: there is no such folder"
        return
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink():
            yield f"{printable(entry.name)}: this is a link; add the files themselves"
        elif entry.is_dir():
            yield from (f"{printable(entry.name)}: {said}" for said in _submission(entry))
        elif entry.name != "README.md":
            yield f"{printable(entry.name)}: this file does not belong here; remove it"


def _submission(folder: Path) -> Iterator[str]:
    if slug(folder.name) != folder.name:
        yield "name it by letters, digits, dots, hyphens and underscores alone"
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink() or not entry.is_file() or entry.name not in ALLOWED:
            yield f"{printable(entry.name)} does not belong here; remove it"
    file = folder / NAME
    if not file.is_file() or file.is_symlink():
        yield f"there is no {NAME}"
    elif file.stat().st_size > MAXIMAL_BYTES:
        yield f"{NAME} is larger than {MAXIMAL_BYTES:,} bytes"
    else:
        yield from _records(file)


def _records(file: Path) -> Iterator[str]:
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


def main(folders: list[str]) -> int:
    """Print the problems of the folders; 1 where there are any."""
    found = [line for folder in folders or [str(COMMUNITY)] for line in checked(Path(folder))]
    print("\n".join(found) or "no problems")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
