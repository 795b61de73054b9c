"""`spf analyze`: measure clips."""

import argparse
import os
import sys
from collections import Counter
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.commands.shared import (
    add_embedder,
    add_no_cache,
    add_sampling,
    check_writable,
    chosen_embedder,
    local_path,
    plain,
    print_embedder,
)
from spf.errors import ClipError, ConfigError

if TYPE_CHECKING:
    from spf.cache import Cache
    from spf.embedders import Embedder
    from spf.measurement import Measurement
    from spf.progress.stretches import Stretch
    from spf.video import Sampling


CLIPS = (
    "video, GIF, folder of images, or a folder of these: one that holds images and no videos is a "
    "clip, any other stands for the clips in it and in its folders"
)


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "analyze", help="measure clips: scores, dead stretches, jumps and a plot of each"
    )
    command.add_argument("clips", nargs="+", metavar="CLIP", help=CLIPS)
    add_embedder(command)
    command.add_argument(
        "--out", type=local_path, default=".", metavar="FOLDER", help="where the plots go"
    )
    command.add_argument("--no-plot", action="store_true", help="print the table alone")
    add_sampling(command)
    add_no_cache(command)
    command.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    from spf.cache import user_cache
    from spf.video import Sampling

    embedder = chosen_embedder(given)
    sampling = Sampling(given.stride, given.max_frames, given.start, given.end, given.stream)
    cache = None if given.no_cache else user_cache()
    clips = [clip for path in given.clips for clip in _clips_at(path)]
    plots: list[Path | None] = [None] * len(clips)
    if not given.no_plot:
        check_writable(Path(given.out))
        plots = [Path(given.out) / f"{name}.spf.png" for name in _plot_names(clips)]
    print_embedder(embedder)
    failed = 0
    for clip, plot in zip(clips, plots, strict=True):
        try:
            _analyze_clip(clip, embedder, sampling, plot, cache)
        except ClipError as error:
            print(f"\n{plain(error)}", file=sys.stderr)
            failed += 1
    if len(clips) > 1:
        print(f"\n{len(clips) - failed} of {len(clips)} clips measured")
    return int(failed > 0)


def _clips_at(path: str) -> list[str]:
    """The clips that a path stands for (`CLIPS`); itself where there are none, to say so."""
    from spf.corpus.inputs import Listing
    from spf.video import IMAGE_SUFFIXES, SUFFIXES

    try:
        suffixes = {os.path.splitext(x)[1].lower() for x in os.listdir(path) if x[0] != "."}
        if suffixes & IMAGE_SUFFIXES and not suffixes & (SUFFIXES - IMAGE_SUFFIXES):
            return [path]
        return [os.path.join(path, name) for name in Listing(Path(path))] or [path]
    except (OSError, ConfigError):  # a file, or what cannot be listed: reading it says why
        return [path]


def _analyze_clip(
    clip: str,
    embedder: "Embedder",
    sampling: "Sampling",
    plot: Path | None,
    cache: "Cache | None",
) -> None:
    from tqdm import tqdm

    from spf.embedders import label
    from spf.figures import plot_measurement, subtitle
    from spf.files import write_atomic
    from spf.measurement import measure_clip
    from spf.progress import METRICS, score

    with tqdm(unit="frames", desc=plain(Path(clip).name[-30:]), leave=False, disable=None) as bar:

        def count(image: object, time: float) -> None:
            bar.update()

        measured = measure_clip(
            clip, embedder, sampling=sampling, watch=count, cache=cache, guarded=True
        )
    curve = measured.curve
    timed = measured.embeddings.unit == "s"
    length = f", {curve.times[-1] - curve.times[0]:.2f} s" if timed else ", no frame rate"
    print(f"\n{plain(clip)}: {len(curve)} frames{length}")
    for note in measured.embeddings.notes:
        print(f"  note: {plain(note)}")
    for name, value in score(curve).items():
        if not (name.endswith("_64") or isnan(value)):  # for comparisons; not defined
            print(f"  {name:<18} {value:10.4f} {METRICS[name].unit:<6} {METRICS[name].definition}")
    for name, value in measured.distinct_scores.items():
        print(f"  {name:<18} {value:10.4f}")
    for line in _named(measured):
        print(f"  {line}")
    if plot is not None:
        title = plain(Path(clip).resolve().name)
        try:
            write_atomic(plot, plot_measurement(measured, title, subtitle(curve, label(embedder))))
        except OSError as error:
            raise ConfigError(f"{plot}: cannot be written ({error.strerror})") from None
        print(f"  plot: {plain(plot)}")


def _plot_names(clips: list[str]) -> list[str]:
    """A name for each clip's plot: its own, with as many parent folders as distinguish it."""
    parts = [Path(clip).resolve().parts[1:] or ("clip",) for clip in clips]
    ends = Counter(part[-depth:] for part in parts for depth in range(1, len(part) + 1))
    names = []
    for part in parts:
        own = (depth for depth in range(1, len(part)) if ends[part[-depth:]] == 1)
        names.append("-".join(part[-next(own, len(part)) :]))
    return [
        f"{name}-{index}" if names.count(name) > 1 else name for index, name in enumerate(names)
    ]


def _named(measured: "Measurement") -> list[str]:
    """Lines that name the dead stretches and the jumps, or say that there is nothing to name."""
    from spf.progress.metrics import FLICKER, unranked_reason

    curve = measured.curve
    reason = unranked_reason(curve)
    if reason == FLICKER:
        share = f"{curve.noise_share:.0%} of its change is noise from frame to frame"
        flicker = [f"flicker: {share}, so an even curve does not mean even pacing"]
    elif reason is not None:
        same = "its frames show one picture" if curve.is_still else "its total is within its noise"
        return [f"{reason}: {same}"]
    else:
        flicker = []
    unit = "s" if measured.embeddings.unit == "s" else "frames"
    named = [_stretch(part, unit) for part in measured.named_stretches]
    return flicker + (named or ["no dead stretch and no jump worth naming"])


def _stretch(part: "Stretch", unit: str) -> str:
    digits = 2 if unit == "s" else 0
    start, stop, length = (
        f"{value:.{digits}f}"
        for value in (part.start_time, part.stop_time, part.stop_time - part.start_time)
    )
    if part.kind == "cut":
        return f"hard cut      at {stop}"
    word = "dead stretch" if part.kind == "dead" else "jump"
    return (
        f"{word:<13} from {start} to {stop} ({length} {unit}): "
        f"{part.change:.0%} of the change, {part.speed:.2g} times the mean speed"
    )
