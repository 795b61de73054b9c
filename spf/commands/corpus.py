"""`spf corpus`: measure the clips of a corpus, by Ray."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spf.commands import options
from spf.commands.shared import check_writable, checked_name, print_embedder
from spf.errors import ConfigError
from spf.extras import require_extra
from spf.names import plain

if TYPE_CHECKING:
    from spf.cluster import Pool


WORKERS_PER_GPU = 4
"""Processes that share a GPU unless the user asks for others: each decodes one clip at a time."""


def corpus(
    clips: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Folder of clips, or a list: text with a path a line, or .csv or .parquet with a "
            "column path.",
        ),
    ],
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUTPUT", help="Folder for the shards.", callback=options.local_path
        ),
    ],
    embedder: options.EmbedderName = None,
    weights: options.Weights = None,
    workers: Annotated[
        int | None,
        options.count(
            "Processes (default: the cores of this machine; with GPUs, "
            f"{WORKERS_PER_GPU} for each)."
        ),
    ] = None,
    gpus: Annotated[
        int | None,
        options.count(
            "GPUs that they share (default: all that are here; none with --workers alone)."
        ),
    ] = None,
    batch_size: Annotated[int | None, options.count("Frames that a model takes at a time.")] = None,
    clips_per_shard: Annotated[
        int | None,
        options.count(
            "Rows of a shard, which one process measures (default: 16; above 65,536 clips, "
            "as many as make 4,096 shards)."
        ),
    ] = None,
    curves: Annotated[
        bool, options.flag("--curves", "Store each clip's curve in its row.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            help="Of a Ray cluster, with --gpus or --workers (default: Ray is started here, for "
            "this command alone)."
        ),
    ] = None,
    stride: options.Stride = 1,
    max_frames: options.MaxFrames = None,
    start: options.Start = None,
    end: options.End = None,
    stream: options.Stream = None,
    nuisance: options.Nuisance = "none",
) -> int:
    """Measure a corpus of many clips into Parquet files, by Ray.

    OUTPUT/shard-00000.parquet ... hold a row a clip. Started again, it goes on where it stopped.

    \b
    Examples:
      spf corpus clips/ measured/
      spf corpus clips.csv measured/ --gpus 2 --curves
    """
    require_extra("spf corpus", "corpus")

    from tqdm import tqdm

    from spf.corpus.inputs import list_clips
    from spf.corpus.rows import FAILED, Measurer
    from spf.corpus.run import make_corpus
    from spf.video import Sampling

    name = checked_name(embedder, weights)
    pool = _pool(name, workers, gpus, address)
    device = "cuda" if pool.gpus else "cpu"
    sampling = Sampling(stride, max_frames, start, end, stream)
    measurer = Measurer(name, device, sampling, batch_size, curves, weights, nuisance)
    loaded = measurer.loaded  # what it lacks is reported before a large folder is searched
    base, names = list_clips(clips)
    print_embedder(loaded)
    folder = Path(output)
    check_writable(folder)
    with _own_stderr(), tqdm(unit="clips", desc="measured now", disable=None) as bar:

        def plan(line: str, clips: int) -> None:
            bar.reset(clips)
            print(line, flush=True)

        summary = make_corpus(
            names, base, folder, measurer, pool, clips_per_shard, plan, bar.update
        )
    failed = sum(row["clips"] for row in summary if row["status"] == FAILED)
    print(f"{len(names) - failed} clips done, {failed} failed")
    for row in [row for row in summary if row["reason"]][:20]:
        print(f"  {row['clips']:>8} {row['status']}: {plain(row['reason'])}")
    print(plain(folder))
    return int(failed > 0)


def _pool(embedder: str, workers: int | None, gpus: int | None, address: str | None) -> "Pool":
    """Who works: on a cluster what is asked for, here by default each GPU or each core."""
    from spf.cluster import Pool
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
    """`sys.stderr` for us alone: Ray writes past it that it starts an actor again."""
    if sys.__stderr__ is None or sys.stderr is not sys.__stderr__:
        yield
        return
    sys.stderr.flush()
    with (
        open(os.dup(2), "w", buffering=1) as ours,
        open(os.devnull, "w") as nowhere,
        redirect_stderr(ours),
    ):
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(ours.fileno(), 2)
