"""The pipeline: tasks of a few clips -> workers of Ray -> rows, streamed and bounded.

Ray Data runs two stages. A single reader goes through the listing and gives tasks, in order, and no
more than `AHEAD` shards ahead of what is written. Workers, one actor each with the embedder loaded,
take tasks as they are free; decoding happens in children of theirs (`spf.video.guarded`). Between
the stages go names and rows, never frames. A worker that dies is started again by Ray, and its task
with it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.corpus.inputs import Listing, Survey, chunks, names_digest
from spf.corpus.rows import Measuring
from spf.corpus.worker import NAMES, ROWS, TASK, Ledger, Worker, from_bytes
from spf.errors import SpfError, UnavailableError
from spf.files import sweep

if TYPE_CHECKING:
    import pyarrow as pa

CLIPS_PER_TASK = 8
AHEAD = 2
"""Shards that may be open, beside those that all workers together are at."""
STORE = 256 * 2**20
"""Bytes of shared memory for a local Ray: it holds names and rows."""
STARTS = 2
"""Times that Ray is started: on a busy machine it gives up after 30 s."""
LOOK = 0.2  # seconds between two looks at what is written
SHORT, PREFIX, LOCK = Path("/tmp"), "spf-ray-", "spf.lock"
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's variable that says, on every system, whether it listens beyond the loopback interface."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Crew:
    """Who works: `workers` actors, each with a GPU where `gpu`, and each with `decoders` clips at a
    time, one of them in its model. address : of a Ray cluster; None starts a Ray on this machine.
    """

    workers: int
    gpu: bool = False
    decoders: int = 1
    address: str | None = None

    def open_shards(self, size: int) -> int:
        """How many shards of `size` clips may be unfinished at a time."""
        return AHEAD + self.workers * self.decoders * 2 * CLIPS_PER_TASK // size


@contextmanager
def own_stderr() -> Iterator[None]:
    """`sys.stderr` for us alone: what libraries write past Python is dropped meanwhile.

    Ray complains there of each of its own actors that it can start again.
    """
    if sys.__stderr__ is None or sys.stderr is not sys.__stderr__:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with open(kept, "w", buffering=1) as ours, open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        sys.stderr = ours
        try:
            yield
        finally:
            sys.stderr = sys.__stderr__
            os.dup2(kept, 2)


@contextmanager
def local_or_remote(crew: Crew) -> Iterator[None]:
    """A Ray for the time of the context: one of this process that is there already, that of
    `address`, or a local one that listens on the loopback interface alone, without dashboard and
    usage statistics, whose files lie in a temporary folder that is removed.

    Raises UnavailableError where the cluster cannot be reached or Ray does not start.
    """
    before = {name: os.environ.get(name) for name in (*QUIET, *ONE_THREAD, LOOPBACK)}
    try:
        os.environ.update(QUIET)
        if crew.address is None:
            os.environ.update({**ONE_THREAD, LOOPBACK: "0"})
        import ray

        if ray.is_initialized():
            yield
            return
        logging.getLogger("ray").setLevel(logging.CRITICAL)
        with _own_folder() as folder:
            try:
                _start(crew, folder)
                yield
            finally:
                ray.shutdown()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _start(crew: Crew, folder: Path) -> None:
    import ray

    usual: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if crew.address is None:
        usual |= {
            "num_cpus": crew.workers + 1,  # the reader
            "num_gpus": crew.workers if crew.gpu else 0,
            "include_dashboard": False,
            "object_store_memory": STORE,
            "_temp_dir": str(folder),
        }
    else:
        usual["runtime_env"] = {"env_vars": ONE_THREAD}
    for attempt in range(STARTS):
        try:
            ray.init(crew.address or "local", **usual)
            return
        except Exception as error:  # Ray raises plain ones
            ray.shutdown()
            if attempt + 1 == STARTS:
                local = "start again when the machine is less busy, or make room in /tmp"
                remedy = "check --address" if crew.address else local
                raise UnavailableError(f"Ray does not start ({_line(error)}); {remedy}") from None


def measured(
    listing: Listing,
    survey: Survey,
    pending: Sequence[int],
    measuring: Measuring,
    crew: Crew,
) -> Iterator[tuple[pa.Table, Any]]:
    """Rows of all clips of the `pending` shards, a task's at a time, in any order, each with the
    function to call with the number of shards that this run has written. A Ray must be there.

    Raises SpfError where the work cannot go on: a worker's own UnavailableError or ConfigError, an
    input that has changed since the survey, a Ray that fails.
    """
    import ray
    import ray.data
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # each row between the stages is a task: a block of its own
    context.execution_no_progress_timeout_s = -1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    ledger: Any = (
        ray.remote(Ledger).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
    )
    ahead = crew.open_shards(survey.size)
    reader = _datasource(listing, survey, pending, ledger, ahead)
    tasks = ray.data.read_datasource(reader, override_num_blocks=1)
    done = tasks.map_batches(
        Worker,
        fn_constructor_args=(
            measuring,
            listing.base,
            measuring.identity(),
            _Calls(ledger),
            crew.decoders,
        ),
        batch_size=1,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=crew.workers, max_concurrent_calls_per_actor=crew.decoders),
        num_cpus=1,
        num_gpus=1 if crew.gpu else None,
    )
    try:
        for batch in done.iter_batches(batch_size=None, batch_format="pyarrow"):
            for rows in batch[ROWS].to_pylist():
                yield from_bytes(rows), ledger.wrote.remote
    except ray.exceptions.RayError as error:
        raise _cause(error) from None
    finally:
        with suppress(Exception):
            ray.kill(ledger)


class _Calls:
    """A ledger that is an actor, called as the class is."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*given: int) -> Any:
            import ray

            return ray.get(getattr(self._actor, name).remote(*given))

        return call


def tasks_of(
    listing: Listing, survey: Survey, pending: Sequence[int], ledger: Any, ahead: int
) -> Iterator[tuple[int, list[bytes]]]:
    """The tasks of the pending shards in order: index of the first clip, and names. A task has
    clips of one shard; a shard is begun when fewer than `ahead` of those before are unwritten.

    Raises SpfError where the listing is not what was surveyed.
    """
    wanted = set(pending)
    sent = 0
    for shard, names in enumerate(chunks(listing, survey.size)):
        if shard >= len(survey.shards) or names_digest(names) != survey.shards[shard]:
            raise SpfError(
                f"{listing.source}: it changed while it was read; start again, with an OUTPUT of "
                "its own if clips came or went"
            )
        if shard not in wanted:
            continue
        while sent - ledger.written() >= ahead:
            time.sleep(LOOK)
        sent += 1
        first = shard * survey.size
        for start in range(0, len(names), CLIPS_PER_TASK):
            part = names[start : start + CLIPS_PER_TASK]
            yield first + start, [os.fsencode(name) for name in part]


def _datasource(
    listing: Listing, survey: Survey, pending: Sequence[int], ledger: Any, ahead: int
) -> Any:
    """The reader, as Ray Data wants it: a single task that gives a table of one row a task."""
    import pyarrow as pa
    from ray.data.block import BlockMetadata
    from ray.data.datasource import Datasource, ReadTask

    shape = pa.schema([(TASK, pa.int64()), (NAMES, pa.list_(pa.binary()))])
    calls = _Calls(ledger)

    def read() -> Iterator[pa.Table]:
        for first, names in tasks_of(listing, survey, pending, calls, ahead):
            yield pa.table({TASK: [first], NAMES: [names]}, schema=shape)

    class Tasks(Datasource):
        def estimate_inmemory_data_size(self) -> None:
            return None

        def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[Any]:
            unknown = BlockMetadata(None, None, None, None)
            return [ReadTask(read, unknown)]

    return Tasks()


def _cause(error: BaseException) -> SpfError:
    """The error of ours that a worker ended with, or one line on what went wrong in it."""
    inner = error
    while found := getattr(inner, "cause", None) or inner.__cause__:
        inner = found
        if isinstance(inner, SpfError):
            # Ray derives a class of its own from ours.
            ours = next(x for x in type(inner).__mro__ if x.__module__ == SpfError.__module__)
            return ours(*inner.args)
    return SpfError(f"Ray failed ({_line(inner)}); start again: finished shards are kept")


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return "".join(x for x in f"{type(error).__name__}: {text}" if x.isprintable())[:200]


@contextmanager
def _own_folder() -> Iterator[Path]:
    """A temporary folder that is removed afterwards; its path is short, for names of sockets.

    A lock tells that its process lives. Folders of killed processes are removed before and
    afterwards: what is left of their Ray takes some seconds to end.
    """
    _remove_left()
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, dir=SHORT, ignore_cleanup_errors=True) as made,
        open(Path(made, LOCK), "wb") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(made)
    _remove_left()


def _remove_left() -> None:
    for folder in SHORT.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process is at work in it, or was faster
            _remove_unless_locked(folder)


def _remove_unless_locked(folder: Path) -> None:
    """Remove a folder of ours whose process is gone. Others may write in /tmp: what is a link or
    theirs is left alone."""
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
        return
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:  # it was made a moment ago, or its process was killed just then
        sweep([folder])
        return
    with open(handle, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
