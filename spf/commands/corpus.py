"""`spf corpus`: measure the clips of a corpus, by Ray."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.commands.shared import (
    add_embedder,
    add_sampling,
    check_writable,
    checked_name,
    local_path,
    plain,
    print_embedder,
)
from spf.errors import ConfigError
from spf.extras import require_extra

if TYPE_CHECKING:
    from spf.corpus.pool import Pool


WORKERS_PER_GPU = 4
"""Processes that share a GPU unless the user asks for others: each decodes one clip at a time."""


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "corpus",
        help="measure a corpus of many clips into Parquet shards, by Ray",
        description="Measure the clips of a corpus into OUTPUT/shard-00000.parquet ..., one row a "
        "clip. Started again, it goes on where it stopped.",
    )
    command.add_argument(
        "input",
        metavar="INPUT",
        help="folder of clips, or a list: text with a path a line, or .csv or .parquet with a "
        "column path",
    )
    command.add_argument("output", type=local_path, metavar="OUTPUT", help="folder for the shards")
    add_embedder(command)
    command.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help=f"processes (default: the cores of this machine; with GPUs, {WORKERS_PER_GPU} each)",
    )
    command.add_argument(
        "--gpus",
        type=_count,
        metavar="N",
        help="GPUs that they share (default: all that are here, none with --workers alone)",
    )
    command.add_argument(
        "--batch-size", type=_count, metavar="N", help="frames that a model takes at a time"
    )
    command.add_argument(
        "--clips-per-shard",
        type=_count,
        metavar="N",
        help="rows a shard, which one process measures (default: 16; more from 65,536 clips on)",
    )
    command.add_argument("--curves", action="store_true", help="keep each clip's curve in its row")
    command.add_argument(
        "--address",
        help="of a Ray cluster, with --gpus or --workers (default: Ray is started here, for this "
        "command alone)",
    )
    add_sampling(command)
    command.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    require_extra("spf corpus", "corpus")

    from tqdm import tqdm

    from spf.corpus.inputs import list_clips
    from spf.corpus.rows import FAILED, Measurer
    from spf.corpus.run import make_corpus
    from spf.video import Sampling

    name = checked_name(given.embedder, given.weights)
    pool = _pool(name, given.workers, given.gpus, given.address)
    measurer = Measurer(
        name,
        "cuda" if pool.gpus else "cpu",
        sampling=Sampling(given.stride, given.max_frames, given.start, given.end, given.stream),
        batch_size=given.batch_size,
        curves=given.curves,
        weights=given.weights,
    )
    base, names = list_clips(given.input)
    print_embedder(measurer.loaded)
    output = Path(given.output)
    check_writable(output)
    with _own_stderr(), tqdm(unit="clips", desc="measured now", disable=None) as bar:

        def plan(line: str, clips: int) -> None:
            bar.reset(clips)
            print(line, flush=True)

        summary = make_corpus(
            names, base, output, measurer, pool, given.clips_per_shard, plan, bar.update
        )
    failed = sum(row["clips"] for row in summary if row["status"] == FAILED)
    print(f"{sum(row['clips'] for row in summary) - failed} clips done, {failed} failed")
    for row in [row for row in summary if row["reason"]][:20]:
        print(f"  {row['clips']:>8} {row['status']}: {plain(row['reason'])}")
    print(plain(output))
    return int(failed > 0)


def _pool(embedder: str, workers: int | None, gpus: int | None, address: str | None) -> "Pool":
    """Who works: on a cluster what is asked for, here by default each GPU or each core.

    Raises ConfigError for options that contradict each other, UnavailableError for GPUs that are
    not here.
    """
    from spf.corpus.pool import Pool
    from spf.devices import choose_device, cuda_devices
    from spf.embedders import takes

    if address is not None and not (gpus or workers):
        raise ConfigError(f"--address {address}: give --gpus N or --workers N with it")
    on_gpu = takes(embedder, "device")
    if gpus and not on_gpu:
        raise ConfigError(f"embedder {embedder} runs on the CPU: give --workers, not --gpus")
    if gpus and address is None:
        choose_device(f"cuda:{gpus - 1}")  # the last of them
    if gpus is None:
        gpus = cuda_devices() if on_gpu and not workers else 0
    cores = len(os.sched_getaffinity(0))
    return Pool(workers or (gpus * WORKERS_PER_GPU or cores), gpus, address)


@contextmanager
def _own_stderr() -> Iterator[None]:
    """`sys.stderr` for us alone: what libraries write past Python is dropped meanwhile.

    Ray complains there of each of its own actors that it can start again.
    """
    if sys.__stderr__ is None or sys.stderr is not sys.__stderr__:
        yield
        return
    sys.stderr.flush()
    before = os.dup(2)
    with open(before, "w", buffering=1) as ours, open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        sys.stderr = ours
        try:
            yield
        finally:
            sys.stderr = sys.__stderr__
            os.dup2(before, 2)


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number, at least 1")
    return count
