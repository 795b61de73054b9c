"""Compute cells one after the other; a failure is a row, an interruption loses nothing."""

import resource
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from benchmarks.cells import Cell, Outcome
from benchmarks.folder import DiskError
from benchmarks.records import DONE, FAILED, CellStore, Record, make_record
from spf.errors import SpfError


@dataclass
class Results:
    """Records in the order of the cells; `interrupted` where Ctrl-C left some out."""

    records: list[Record] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)
    reused: int = 0
    interrupted: bool = False

    @property
    def failed(self) -> int:
        """Cells that failed."""
        return sum(record["status"] == FAILED for record in self.records)


def run_cells(cells: list[Cell], store: CellStore, common: dict[str, Any], unit: str) -> Results:
    """Compute the cells that are not finished yet.

    common : columns that every record gets (provenance). unit : what a cell is called on the
    progress bar. Failures are recorded as rows and tried again by the next run. DiskError ends
    the run; everything else that a cell raises becomes its row's reason, in one line.
    """
    results = Results()
    with tqdm(total=len(cells), unit=unit, disable=None, file=sys.stderr) as bar:
        try:
            for cell in cells:
                bar.set_description(cell.key.clip[-30:], refresh=False)
                record = store.load(cell)
                if record is None:
                    record = _compute(cell, store, common)
                else:
                    results.reused += 1
                results.records.append(record)
                results.timings.append({"cell": cell.identity, **store.timings(cell)})
                if record["status"] == FAILED:
                    tqdm.write(f"failed: {record['reason']}", file=sys.stderr)
                bar.update()
        except KeyboardInterrupt:
            results.interrupted = True
    return results


def _compute(cell: Cell, store: CellStore, common: dict[str, Any]) -> Record:
    started = time.perf_counter()
    outcome: Outcome | None = None
    with tqdm(unit="frames", leave=False, disable=None, file=sys.stderr, position=1) as frames:
        try:
            outcome = cell.compute(lambda: _advance(frames))
            status, reason, values = DONE, outcome.reason, outcome.values | outcome.links
        except DiskError:
            raise
        except (SpfError, ValueError, OSError, MemoryError) as error:
            status, reason, values = FAILED, one_line(error), {}
        except Exception as error:  # a bug of ours or a library's: it must not stop the others
            status, values = FAILED, {}
            reason = f"{cell.key.clip}: unexpected {type(error).__name__}: {one_line(error)}"
    if outcome is not None:
        outcome.timings["total"] = time.perf_counter() - started
        outcome.timings["peak_memory_mb"] = peak_memory()
    record = make_record(cell, status, reason, values | common)
    store.save(cell, record, outcome)
    return record


def _advance(bar: "tqdm[Any]") -> None:
    bar.update()


def peak_memory() -> float:
    """Largest resident memory of this process so far, megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one_line(error: BaseException) -> str:
    """An error as one line of text."""
    return " ".join(str(error).split()) or type(error).__name__
