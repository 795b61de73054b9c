"""`spf corpus`: measure the clips of a corpus, by Ray."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spf.commands.options import (
    EmbedderName,
    End,
    MaxFrames,
    Start,
    Stream,
    Stride,
    Weights,
    local_path,
)
from spf.commands.shared import check_writable, checked_name, plain, print_embedder
from spf.errors import ConfigError
from spf.extras import require_extra

if TYPE_CHECKING:
    from spf.corpus.pipeline import Crew


GPU_DECODERS = 8


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
        typer.Argument(metavar="OUTPUT", help="Folder for the shards.", callback=local_path),
    ],
    embedder: EmbedderName = None,
    weights: Weights = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where the embedder runs.")
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes on the CPU (default: its cores)."),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Processes with a GPU each, instead (default: the GPUs that are here).",
        ),
    ] = None,
    decoders: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help=f"Clips that a process has at a time (default: 1; {GPU_DECODERS} with a GPU).",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Frames that a model takes at a time."),
    ] = None,
    clips_per_shard: Annotated[int, typer.Option(metavar="N", min=1, help="Rows a shard.")] = 1000,
    curves: Annotated[
        bool, typer.Option("--curves", help="Keep each clip's curve in its row.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            help="Of a Ray cluster, with --gpus or --workers (default: Ray is started here, for "
            "this command alone)."
        ),
    ] = None,
    stride: Stride = 1,
    max_frames: MaxFrames = None,
    start: Start = None,
    end: End = None,
    stream: Stream = None,
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

    from spf.corpus.inputs import open_listing
    from spf.corpus.manifest import ranked
    from spf.corpus.pipeline import own_stderr
    from spf.corpus.rows import DONE, FAILED, Measuring
    from spf.corpus.run import make_corpus
    from spf.video import Sampling

    name = checked_name(embedder, weights)
    sampling = Sampling(stride, max_frames, start, end, stream)
    crew = _crew(name, device, workers, gpus, decoders, address)
    measuring = Measuring(
        name,
        "cuda" if crew.gpu else "cpu",
        sampling=sampling,
        batch_size=batch_size,
        curves=curves,
        weights=weights,
    )
    listing = open_listing(clips)
    print_embedder(measuring.loaded)
    folder = Path(output)
    check_writable(folder)
    with own_stderr(), tqdm(unit="clips", desc="measured now", disable=None, leave=False) as bar:
        made = make_corpus(listing, folder, measuring, crew, clips_per_shard, _print, bar.update)
    counts = made.counts
    print(f"{counts[DONE]} clips done, {counts[FAILED]} failed; {made.measured} measured now")
    for (status, reason), number in ranked(made.summary)[:20]:
        if reason:
            print(f"  {number:>8} {status}: {plain(reason)}")
    print(plain(folder))
    return int(counts[FAILED] > 0)


def _crew(
    embedder: str,
    device: str = "auto",
    workers: int | None = None,
    gpus: int | None = None,
    decoders: int | None = None,
    address: str | None = None,
) -> "Crew":
    """Who works. Raises ConfigError for options that contradict each other, UnavailableError for
    GPUs that are not here."""
    from spf.corpus.pipeline import Crew
    from spf.devices import choose_device, cuda_devices
    from spf.embedders import takes

    cuda, cpu = device == "cuda", device == "cpu"
    for one, other, both in (
        ("--gpus", "--workers", gpus and workers),
        ("--gpus", "--device cpu", gpus and cpu),
        ("--device cuda", "--workers", cuda and workers),
    ):
        if both:
            raise ConfigError(f"{one} and {other} contradict each other: give one of them")
    if address is not None and not (gpus or workers):
        raise ConfigError(f"--address {address}: give --gpus N or --workers N with it")
    asked = bool(gpus) or cuda
    on_gpu = takes(embedder, "device")
    if asked and not on_gpu:
        raise ConfigError(f"embedder {embedder} runs on the CPU: give --workers, not a GPU")
    count = gpus or 0
    if address is None and (asked or (device == "auto" and not workers)):
        here = cuda_devices() if on_gpu else 0
        if asked:
            choose_device(f"cuda:{max(count, 1) - 1}")  # the last of them
        count = count or here
    if count:
        return Crew(count, True, decoders or GPU_DECODERS, address)
    processes = workers or len(os.sched_getaffinity(0))
    return Crew(processes, False, decoders or 1, address)


def _print(line: str) -> None:
    print(line, flush=True)
