"""Remove finished cells that no run refers to any more.

Cells of the last day stay: a run that is at work may not have taken them over yet.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from benchmarks.harness.store import CELLS
from spf.errors import ConfigError
from spf.files import LEFTOVER
from spf.store import MANIFEST


def prune(output: Path) -> tuple[int, int]:
    """Remove the unused cells of an output folder; returns how many, and the bytes set free."""
    count = freed = 0
    for path in unused(output):
        files = [file.stat() for file in path.rglob("*")] if path.is_dir() else [path.stat()]
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        count += 1
        freed += sum(state.st_size for state in files if state.st_nlink == 1)
    return count, freed


def unused(output: Path) -> Iterator[Path]:
    """Cells, locks and half-written remains that no run needs and nobody touched for a day.

    Raises ConfigError where there are no runs: the folder is another one, or not mounted.
    """
    if not (output / "runs").is_dir():
        raise ConfigError(f"{output}: it holds no runs; give the output folder: --output FOLDER")
    used = {path.stem for path in output.glob(f"runs/*/{CELLS}/*.json")}
    for path in sorted((output / CELLS).glob("*")):
        with suppress(FileNotFoundError):
            old = time.time() - path.stat().st_mtime > LEFTOVER
            if old and path.stem not in used and _ours(path):
                yield path


def _ours(path: Path) -> bool:
    """Whether a name is one that the store gives."""
    return path.suffix == ".lock" or path.name.startswith(".spf-") or (path / MANIFEST).is_file()
