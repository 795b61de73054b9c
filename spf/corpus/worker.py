"""What the workers do: measure the clips of a task, and note which clips were begun.

Nothing here imports Ray: `pipeline` makes actors of these classes.
"""

from __future__ import annotations

import os
import platform
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.corpus.rows import Measuring, Row, as_table, failure
from spf.embedders.base import GPU_FAILED
from spf.errors import UnavailableError

if TYPE_CHECKING:
    import pyarrow as pa

ATTEMPTS = 3
"""Deaths of a worker on one clip after which the clip is a failed row."""
TASK, NAMES, ROWS = "task", "names", "rows"
"""Columns between the stages: index of a task's first clip, its clips' names, its rows as bytes."""


class Ledger:
    """What all workers share: which clips were begun and not ended, how many shards are written.

    A clip that was begun before, and not ended, was the death of a worker, or stood beside the one
    that was.
    """

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()
        self._written = 0

    def deaths(self, first: int, count: int) -> list[int]:
        """How often each of `count` clips from `first` on was begun without an end."""
        return [self._begun[index] for index in range(first, first + count)]

    def begin(self, index: int) -> None:
        self._begun[index] += 1

    def end(self, index: int) -> None:
        self._begun.pop(index, None)

    def wrote(self, shards: int) -> None:
        """Note how many shards are written: one that Ray has restarted knows of none before."""
        self._written = max(self._written, shards)

    def written(self) -> int:
        return self._written


class Worker:
    """Measures the clips of one task after the other; with several threads, of several at once.

    base : folder that names start from. expected : identity of the measuring where the corpus was
    begun; one that differs here (other code, libraries or weights on this machine) raises
    UnavailableError. ledger : called as the class is. threads : how many call at the same time.
    """

    def __init__(
        self,
        measuring: Measuring,
        base: Path,
        expected: dict[str, Any],
        ledger: Ledger,
        threads: int = 1,
    ) -> None:
        self._measuring, self._base = measuring, base
        self._expected = expected
        self._ledger = ledger
        self._turns = _Turns(threads)
        self._ready = threading.Lock()
        self._checked = False
        self._name = f"{platform.node()}:{os.getpid()}"

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Tasks (columns task, names) -> tasks with their rows (task, rows)."""
        import pyarrow as pa

        self._prepare()
        tasks = zip(batch[TASK].to_pylist(), batch[NAMES].to_pylist(), strict=True)
        done = [(first, self._rows(first, names)) for first, names in tasks]
        return pa.table({TASK: [first for first, _ in done], ROWS: [rows for _, rows in done]})

    def _prepare(self) -> None:
        """Load the embedder, once, and see that it is the one that is meant."""
        with self._ready:
            if self._checked:
                return
            import cv2

            cv2.setNumThreads(1)
            found = self._measuring.identity()
            if found != self._expected:
                parts = [name for name in found if found[name] != self._expected.get(name)]
                what = f"{self._name}: {', '.join(parts)} differ from those of the machine that"
                raise UnavailableError(f"{what} began the corpus; install the same on both")
            self._measuring = replace(self._measuring, embedder=_Shared(self._measuring.loaded))
            self._checked = True

    def _rows(self, first: int, names: list[bytes]) -> bytes:
        deaths = self._ledger.deaths(first, len(names))
        rows = [
            self._row(first + place, os.fsdecode(name), deaths[place]) | {"worker": self._name}
            for place, name in enumerate(names)
        ]
        return to_bytes(as_table(rows, self._measuring.curves))

    def _row(self, index: int, name: str, deaths: int) -> Row:
        if deaths >= ATTEMPTS:
            reason = f"its worker died on it {deaths} times (out of memory, or a library crashed)"
            row = self._measuring.blank(index, name) | failure(f"{reason}; measure it by itself")
        else:
            with self._turns.alone() if deaths else self._turns.together():
                self._ledger.begin(index)
                row = self._measuring.row(index, name, self._base / name)
                if row["reason"].startswith(GPU_FAILED):
                    os._exit(1)  # a GPU recovers with a new process alone, which Ray starts
        self._ledger.end(index)
        return row


class _Turns:
    """Clips side by side, but for those under suspicion, which are measured alone."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._free = threading.Semaphore(threads)
        self._suspect = threading.Lock()

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._free:
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._suspect:
            for _ in range(self._threads):
                self._free.acquire()
            try:
                yield
            finally:
                for _ in range(self._threads):
                    self._free.release()


class _Shared:
    """An embedder whose model serves several threads, one batch at a time."""

    def __init__(self, embedder: Any) -> None:
        self._embedder = embedder
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def encode(self, batch: Any) -> Any:
        with self._lock:
            return self._embedder.encode(batch)


def to_bytes(table: pa.Table) -> bytes:
    """A table as Arrow's IPC stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def from_bytes(data: bytes) -> pa.Table:
    import pyarrow as pa

    with pa.ipc.open_stream(data) as stream:
        return stream.read_all()
