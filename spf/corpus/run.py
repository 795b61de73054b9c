"""Measure a corpus: names -> shards of consecutive clips -> actors of Ray Data -> files of rows."""

from __future__ import annotations

import io
import json
import logging
import os
import platform
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from spf.cluster import Pool, ray_failed
from spf.corpus.rows import Measurer, Row
from spf.errors import ConfigError, SpfError
from spf.files import moved_into_place, write_atomic
from spf.identity import digest, installed

if TYPE_CHECKING:
    import pyarrow as pa

CLIPS_PER_SHARD, SHARDS = 16, 4096
"""Clips of a shard unless the user asks for others; more where there would be more shards."""
DIED = "its worker died on it twice (out of memory, or a library or the GPU failed)"
MANIFEST, LOCK = "manifest.json", ".spf-corpus.lock"


def make_corpus(
    names: list[str],
    base: Path,
    output: Path,
    measurer: Measurer,
    pool: Pool,
    clips_per_shard: int | None = None,
    on_plan: Callable[[str, int], object] = lambda *_: None,
    on_progress: Callable[[int], object] = int,
) -> list[Row]:
    """Measure clips, named from the folder `base`, into the shards of an output folder that exists.

    A shard is a file of rows, and what one worker measures at a time; finished ones stay. on_plan :
    called with a line on what is to do, and the number of clips. on_progress : with the number of
    clips measured since. Returns rows status, reason (numbers in it are #), clips.

    Raises ConfigError for an output that holds another corpus or is in use, UnavailableError for
    an embedder or a Ray that cannot run here, SpfError where the work cannot go on.
    """
    size = clips_per_shard or max(CLIPS_PER_SHARD, len(names) // SHARDS)
    parts = [range(len(names))[at : at + size] for at in range(0, len(names), size)]
    shards = {output / f"shard-{n:05d}.parquet": part for n, part in enumerate(parts)}
    listed = digest([os.fsencode(name).hex() for name in names])
    manifest = {"clips": len(names), "names": listed, "clips_per_shard": size}
    manifest |= measurer.identity() | installed("pyarrow")
    try:
        with FileLock(output / LOCK, timeout=0):
            for leftover in output.glob(".spf-*.tmp"):
                leftover.unlink()  # half-written by a command that was killed
            _begin(output, json.loads(json.dumps(manifest)))
            schema = measurer.table([]).schema
            pending = {
                path: part for path, part in shards.items() if not _finished(path, part, schema)
            }
            left = sum(map(len, pending.values()))
            on_plan(f"{len(names)} clips, {len(names) - left} of them finished", left)
            if pending:
                _measure(pending, names, base, measurer, pool, on_progress)
            return _summarise(output, list(shards))
    except Timeout:
        remedy = "wait until it has"
        raise ConfigError(f"{output}: another process is making this corpus; {remedy}") from None
    except OSError as error:
        remedy = "make room or choose another OUTPUT, and start again: finished shards stay"
        raise SpfError(f"{output}: cannot be written ({error.strerror}); {remedy}") from None


def _measure(
    pending: dict[Path, range],
    names: list[str],
    base: Path,
    measurer: Measurer,
    pool: Pool,
    on_progress: Callable[[int], object],
) -> None:
    """Measure shards; the clips of those on which a worker dies once more, one by one."""
    lost = {part.start: path for path, part in pending.items()}
    with pool.started():
        for rows in measured(list(pending.values()), names, base, measurer, pool):
            _write(lost.pop(rows["index"][0].as_py()), rows)
            on_progress(len(rows))
        again = [range(index, index + 1) for path in lost.values() for index in pending[path]]
        found: dict[int, Row] = {}
        for rows in measured(again, names, base, measurer, pool, alone=True):
            found |= {row["index"]: row for row in rows.to_pylist()}
            on_progress(len(rows))
    for path in lost.values():
        one_by_one = [found.get(i) or measurer.failed(i, names[i], DIED) for i in pending[path]]
        _write(path, measurer.table(one_by_one))


def measured(
    tasks: Sequence[range],
    names: Sequence[str],
    base: Path,
    measurer: Measurer,
    pool: Pool,
    alone: bool = False,
) -> Iterator[pa.Table]:
    """Rows of the clips (indices) of each task, in any order, but for tasks on which a worker dies.

    alone : no task waits at a worker that has one. Raises SpfError where Ray fails.
    """
    import pyarrow as pa
    import ray
    import ray.data

    if not tasks:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = context.max_errored_blocks = -1
    context.target_max_block_size = None  # else Ray splits the rows of a task where they are large
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    blocks = [
        pa.table({"index": list(task), "name": [os.fsencode(names[index]) for index in task]})
        for task in tasks
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the way to give the last option
        rows = ray.data.from_arrow(blocks).map_batches(
            Worker,
            fn_constructor_args=(measurer, base, measurer.identity()),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                size=min(pool.workers, len(tasks)),
                max_tasks_in_flight_per_actor=1 if alone else None,
            ),
            num_cpus=1,
            num_gpus=pool.gpu_share,
            max_task_retries=0,
        )
    try:
        yield from rows.iter_batches(batch_size=None, batch_format="pyarrow")
    except ray.exceptions.RayError as error:
        raise ray_failed(error) from None


class Worker:
    """An actor that measures the clips of a task; raises SpfError where the identity of the
    measuring differs on its machine from the one where the corpus was begun."""

    def __init__(self, measurer: Measurer, base: Path, expected: dict[str, object]) -> None:
        import cv2

        cv2.setNumThreads(1)
        found = measurer.identity()
        if found != expected:
            parts = ", ".join(name for name in found if found[name] != expected.get(name))
            text = f"{platform.node()}: {parts} differ from those where the corpus was begun"
            raise SpfError(f"{text}; install the same on all machines")
        self._measurer, self._base = measurer, base

    def __call__(self, task: pa.Table) -> pa.Table:
        """Columns index and name (bytes) -> rows."""
        clips = [(clip["index"], os.fsdecode(clip["name"])) for clip in task.to_pylist()]
        row, base = self._measurer.row, self._base
        return self._measurer.table(row(index, name, base / name) for index, name in clips)


def _finished(path: Path, clips: range, schema: pa.Schema) -> bool:
    """Whether a shard is there, undamaged (every page has a checksum), with a row for each clip."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            same: bool = file.schema_arrow.equals(schema)
            return same and file.read()["index"].to_pylist() == list(clips)
    except (OSError, pa.ArrowException, ValueError):
        return False


def _write(path: Path, rows: pa.Table) -> None:
    """Write a shard, without statistics, which would lie outside the checksums of the pages."""
    import pyarrow.parquet as pq

    settings = {"compression": "zstd", "write_page_checksum": True, "write_statistics": False}
    with moved_into_place(path) as temporary:
        pq.write_table(rows.replace_schema_metadata(), temporary, **settings)


def _begin(output: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a new corpus, or find the same one there; else ConfigError."""
    path = output / MANIFEST
    if not path.exists():
        if others := sorted(p.name for p in output.iterdir() if not p.name.startswith(".")):
            remedy = "choose a new or an empty OUTPUT"
            raise ConfigError(f"{output}: it holds {others[0]}, but no {MANIFEST}; {remedy}")
        write_atomic(path, json.dumps(manifest, indent=1) + "\n")
        return
    try:
        found = json.loads(path.read_text())
        old = {name: found.get(name) for name in sorted(found.keys() | manifest.keys())}
    except (ValueError, AttributeError, RecursionError):
        raise ConfigError(f"{path}: it is damaged; choose another OUTPUT") from None
    both = {name: f" ({before}, now {manifest.get(name)})" for name, before in old.items()}
    differing = [
        name + both[name] * (len(both[name]) < 60)
        for name, before in old.items()
        if before != manifest.get(name)
    ]
    if differing:
        what = f"it holds a corpus that differs in {', '.join(differing)}"
        remedy = "go on as it was begun, choose another OUTPUT, or delete this one"
        raise ConfigError(f"{output}: {what}; {remedy}")


def _summarise(output: Path, shards: list[Path]) -> list[Row]:
    """Write summary.csv, which says that all shards are there, and return its rows."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv
    import pyarrow.parquet as pq

    table = pa.concat_tables([pq.read_table(x, columns=["status", "reason"]) for x in shards])
    reasons = pc.replace_substring_regex(table["reason"], r"\d+([.,]\d+)*", "#")
    groups = table.set_column(1, "reason", reasons).group_by(["status", "reason"])
    counted = groups.aggregate([([], "count_all")]).rename_columns(["status", "reason", "clips"])
    order = [("status", "ascending"), ("clips", "descending"), ("reason", "ascending")]
    text = io.BytesIO()
    pa.csv.write_csv(summary := counted.sort_by(order), text)
    write_atomic(output / "summary.csv", text.getvalue())
    rows: list[Row] = summary.to_pylist()
    return rows
