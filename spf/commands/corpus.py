"""`spf corpus`: measure the clips of a corpus, by Ray."""

import argparse
import os
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
    from spf.corpus.pipeline import Crew


GPU_DECODERS = 8


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
    command.add_argument("--device", default="auto", help="auto, cpu or cuda")
    command.add_argument(
        "--workers", type=_count, metavar="N", help="processes on the CPU (default: its cores)"
    )
    command.add_argument(
        "--gpus",
        type=_count,
        metavar="N",
        help="processes with a GPU each, instead (default: the GPUs that are here)",
    )
    command.add_argument(
        "--decoders",
        type=_count,
        metavar="N",
        help=f"clips that a process has at a time (default: 1; {GPU_DECODERS} with a GPU)",
    )
    command.add_argument(
        "--batch-size", type=_count, metavar="N", help="frames that a model takes at a time"
    )
    command.add_argument(
        "--clips-per-shard", type=_count, default=1000, metavar="N", help="rows a shard (1000)"
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

    from spf.corpus.inputs import open_listing
    from spf.corpus.manifest import ranked
    from spf.corpus.pipeline import own_stderr
    from spf.corpus.rows import DONE, FAILED, Measuring
    from spf.corpus.run import make_corpus
    from spf.video import Sampling

    name = checked_name(given.embedder, given.weights)
    sampling = Sampling(given.stride, given.max_frames, given.start, given.end, given.stream)
    crew = _crew(given, name)
    measuring = Measuring(
        name,
        "cuda" if crew.gpu else "cpu",
        sampling=sampling,
        batch_size=given.batch_size,
        curves=given.curves,
        weights=given.weights,
    )
    listing = open_listing(given.input)
    print_embedder(measuring.loaded)
    output = Path(given.output)
    check_writable(output)
    with own_stderr(), tqdm(unit="clips", desc="measured now", disable=None, leave=False) as bar:
        made = make_corpus(
            listing, output, measuring, crew, given.clips_per_shard, _print, bar.update
        )
    counts = made.counts
    print(f"{counts[DONE]} clips done, {counts[FAILED]} failed; {made.measured} measured now")
    for (status, reason), number in ranked(made.summary)[:20]:
        if reason:
            print(f"  {number:>8} {status}: {plain(reason)}")
    print(plain(output))
    return int(counts[FAILED] > 0)


def _crew(given: argparse.Namespace, embedder: str) -> "Crew":
    """Who works. Raises ConfigError for options that contradict each other, UnavailableError for
    GPUs that are not here."""
    from spf.corpus.pipeline import Crew
    from spf.devices import choose_device, cuda_devices
    from spf.embedders import takes

    if given.device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device {given.device}: give auto, cpu or cuda (--gpus N: how many)")
    cuda, cpu = given.device == "cuda", given.device == "cpu"
    for one, other, both in (
        ("--gpus", "--workers", given.gpus and given.workers),
        ("--gpus", "--device cpu", given.gpus and cpu),
        ("--device cuda", "--workers", cuda and given.workers),
    ):
        if both:
            raise ConfigError(f"{one} and {other} contradict each other: give one of them")
    if given.address is not None and not (given.gpus or given.workers):
        raise ConfigError(f"--address {given.address}: give --gpus N or --workers N with it")
    asked = bool(given.gpus) or cuda
    on_gpu = takes(embedder, "device")
    if asked and not on_gpu:
        raise ConfigError(f"embedder {embedder} runs on the CPU: give --workers, not a GPU")
    gpus = given.gpus or 0
    if given.address is None and (asked or (given.device == "auto" and not given.workers)):
        here = cuda_devices() if on_gpu else 0
        if asked:
            choose_device(f"cuda:{max(gpus, 1) - 1}")  # the last of them
        gpus = gpus or here
    if gpus:
        return Crew(gpus, True, given.decoders or GPU_DECODERS, given.address)
    workers = given.workers or len(os.sched_getaffinity(0))
    return Crew(workers, False, given.decoders or 1, given.address)


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number, at least 1")
    return count


def _print(line: str) -> None:
    print(line, flush=True)
