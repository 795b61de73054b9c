"""Finished cells, shared by all runs of an output folder: none is computed twice.

OUTPUT/cells is an `spf.store.Store`; a cell's key is its identity. A finished run is an entry too
(`session.run_once`). A run's folder gets the files of its entries under their own names,
as hard links where the disk has them.
"""

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness.cells import Cell, Outcome
from benchmarks.harness.folder import RunFolder, disk_errors
from benchmarks.harness.records import DONE, SCHEMA, Record
from spf.errors import ConfigError
from spf.files import LEFTOVER
from spf.store import MANIFEST, Entry, Store, warn

CELLS = "cells"


def timings_of(folder: RunFolder, identity: str) -> dict[str, float]:
    """Seconds by stage, as measured when a finished cell of a run was computed; else nothing."""
    try:
        return json.loads(folder.read(f"{CELLS}/{identity}.json"))["about"]["timings"]
    except (OSError, ValueError, KeyError):
        return {}


class CompletedCell(NamedTuple):
    """A cell's record, and its seconds by stage."""

    record: Record
    timings: dict[str, float]


class CellStore:
    """The cells of an output folder, as one run sees them.

    folder : of the run. config_hash : of the run; records of other runs get this one. fresh :
    a name; cells that were computed under another one do not count, so that they are computed
    again, once. Methods raise DiskError where the disk refuses.
    """

    def __init__(
        self, root: Path, folder: RunFolder, config_hash: str = "", fresh: str | None = None
    ) -> None:
        self.root = root
        self.store = Store(root)
        self.folder = folder
        self.config_hash = config_hash
        self.fresh = fresh

    def load(self, cell: Cell) -> CompletedCell | None:
        """A finished cell, whose files are then in the run's folder; None where it is absent,
        damaged or of another schema, or its inputs cannot be known."""
        if cell.inputs is None:
            return None
        folder = self.root / cell.identity
        with disk_errors(folder, "read"):
            entry = self.store.get(cell.identity)
            if entry is not None and self.fresh not in (None, entry.about["fresh"]):
                self.store.remove(cell.identity)
                return None
            if entry is not None and entry.about["record"]["schema"] == SCHEMA and entry.intact:
                self._place(cell.identity, entry)
                return self._completed(entry)
            if folder.exists():
                what = f"{cell.key.benchmark} {cell.key.name}: its record is damaged"
                warn(f"{what} ({folder}); it is computed again")
                self.store.remove(cell.identity)
        return None

    @contextmanager
    def lock(self, cell: Cell) -> Iterator[bool]:
        """Hold a cell while it is computed; gives False where another process does."""
        with ExitStack() as stack:
            with disk_errors(self.store.lock_file(cell.identity)):
                held = stack.enter_context(self.store.lock(cell.identity))
            yield held

    def was_begun(self, cell: Cell) -> bool:
        """Whether a process holds the cell, or died while it did."""
        return self.store.lock_file(cell.identity).exists()

    def save(self, cell: Cell, record: Record, outcome: Outcome) -> CompletedCell:
        """Store what computing a cell gave. Failures, and what has unknown inputs, are not stored:
        they are this run's alone."""
        completed = CompletedCell(record, outcome.timings)
        if record["status"] != DONE or cell.inputs is None:
            for path, data in outcome.files.items():
                self.folder.write(path, data)
            return completed
        about = {**completed._asdict(), "fresh": self.fresh}
        files: dict[str, bytes | Path] = dict(outcome.files)
        for path, data in outcome.files.items():
            own = self.folder.path(path)
            with suppress(OSError):
                if own.read_bytes() == data:  # a generated clip, to be linked
                    files[path] = own
        return self._completed(self.put(cell.identity, about, files))

    def get(self, key: str) -> Entry | None:
        """An intact entry, whose files are then in the run's folder; else None."""
        with disk_errors(self.root / key, "read"):
            entry = self.store.get(key)
            if entry is None or not entry.intact:
                return None
        self._place(key, entry)
        return entry

    def put(self, key: str, about: Any, files: Mapping[str, bytes | Path]) -> Entry:
        """Store an entry, whose files are then in the run's folder."""
        with disk_errors(self.root / key):
            entry = self.store.put(key, about, files)
        assert entry is not None  # the store has no bound
        self._place(key, entry)
        return entry

    def _place(self, key: str, entry: Entry) -> None:
        for path in entry.files:
            self.folder.place(entry.path(path), path)
        self.folder.place(entry.folder / MANIFEST, f"{CELLS}/{key}.json")

    def _completed(self, entry: Entry) -> CompletedCell:
        record = entry.about["record"] | {"config_hash": self.config_hash}
        return CompletedCell(record, entry.about["timings"])


def prune(output: Path) -> tuple[int, int]:
    """Remove cells, locks and half-written remains that no run of an output folder refers to any
    more, but for those of the last day, which a run at work may not have taken over yet; returns
    how many, and the bytes set free. Raises ConfigError where there are no runs."""
    if not (output / "runs").is_dir():
        raise ConfigError(f"{output}: it holds no runs; give the output folder: --output FOLDER")
    used = {path.stem for path in output.glob(f"runs/*/{CELLS}/*.json")}
    count = freed = 0
    for path in sorted((output / CELLS).glob("*")):
        ours = path.suffix == ".lock" or path.name.startswith(".spf-")
        with suppress(FileNotFoundError):
            old = time.time() - path.stat().st_mtime > LEFTOVER
            if path.stem in used or not old or not (ours or (path / MANIFEST).is_file()):
                continue
            states = [file.stat() for file in (path.rglob("*") if path.is_dir() else [path])]
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            count += 1
            freed += sum(state.st_size for state in states if state.st_nlink == 1)
    return count, freed
