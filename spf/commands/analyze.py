"""`spf analyze`: measure clips."""

import argparse
import sys
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.commands.shared import add_no_cache, add_sampling, check_writable, plain
from spf.errors import ClipError, ConfigError

if TYPE_CHECKING:
    from spf.cache import Cache
    from spf.embedders import Embedder
    from spf.measurement import Measurement
    from spf.progress.stretches import Stretch
    from spf.video import Sampling


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "analyze", help="measure clips: scores, dead stretches, jumps and a plot of each"
    )
    command.add_argument("clips", nargs="+", metavar="CLIP", help="video, GIF or image folder")
    command.add_argument("--embedder", help="word of an embedder (default: the shipped one)")
    command.add_argument("--out", default=".", metavar="FOLDER", help="where the plots go")
    command.add_argument("--no-plot", action="store_true", help="print the table alone")
    add_sampling(command)
    add_no_cache(command)
    command.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    from spf.cache import user_cache
    from spf.embedders import CAUTIONS, DEFAULT_EMBEDDER, label, load_embedder, remark
    from spf.video import Sampling

    embedder = load_embedder(given.embedder or DEFAULT_EMBEDDER)
    sampling = Sampling(given.stride, given.max_frames, given.start, given.end, given.stream)
    cache = None if given.no_cache else user_cache()
    clips = [Path(clip) for clip in given.clips]
    plots: list[Path | None] = [None] * len(clips)
    if not given.no_plot:
        check_writable(Path(given.out))
        plots = [Path(given.out) / f"{name}.spf.png" for name in _plot_names(clips)]
    print(f"embedder: {label(embedder)}")
    caution = CAUTIONS.get(remark(embedder))
    if caution:
        print(f"  {caution}")
    failed = 0
    for clip, plot in zip(clips, plots, strict=True):
        try:
            _analyze_clip(clip, embedder, sampling, plot, cache)
        except ClipError as error:
            print(f"\n{plain(error)}", file=sys.stderr)
            failed += 1
    return int(failed > 0)


def _analyze_clip(
    clip: Path,
    embedder: "Embedder",
    sampling: "Sampling",
    plot: Path | None,
    cache: "Cache | None",
) -> None:
    from tqdm import tqdm

    from spf.embedders import label
    from spf.files import write_atomic
    from spf.measurement import measure_clip
    from spf.plot import plot_measurement, subtitle
    from spf.progress import METRICS, score

    with tqdm(unit="frames", desc=plain(clip.name[-30:]), leave=False, disable=None) as bar:

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
    for line in _named(measured):
        print(f"  {line}")
    if plot is not None:
        title = plain(clip.resolve().name)
        try:
            write_atomic(plot, plot_measurement(measured, title, subtitle(curve, label(embedder))))
        except OSError as error:
            raise ConfigError(f"{plot}: cannot be written ({error.strerror})") from None
        print(f"  plot: {plain(plot)}")


def _plot_names(clips: list[Path]) -> list[str]:
    """A name for each clip's plot: its own, with as many parent folders as tell it apart."""
    parts = [clip.resolve().parts[1:] or ("clip",) for clip in clips]
    names = []
    for index, part in enumerate(parts):
        others = parts[:index] + parts[index + 1 :]
        depth = 1
        while depth < len(part) and any(other[-depth:] == part[-depth:] for other in others):
            depth += 1
        names.append("-".join(part[-depth:]))
    return [
        f"{name}-{index}" if names.count(name) > 1 else name for index, name in enumerate(names)
    ]


def _named(measured: "Measurement") -> list[str]:
    """Lines that name the dead stretches and the jumps, or say that there is nothing to name."""
    from spf.progress import no_change_reason
    from spf.progress.stretches import DEAD_TIME, JUMP_CHANGE

    reason = no_change_reason(measured.curve)
    if reason is not None:
        return [f"{reason}: its total stays within what noise alone shows"]
    unit = "s" if measured.embeddings.unit == "s" else "frames"
    return [_stretch(part, unit) for part in measured.named_stretches] or [
        f"no dead stretch over {DEAD_TIME:.0%} of the time, no jump over {JUMP_CHANGE:.0%} in all"
    ]


def _stretch(part: "Stretch", unit: str) -> str:
    digits = 2 if unit == "s" else 0
    start, stop, length = (
        f"{value:.{digits}f}"
        for value in (part.start_time, part.stop_time, part.stop_time - part.start_time)
    )
    word = "dead stretch" if part.kind == "dead" else "jump"
    return (
        f"{word:<13} from {start} to {stop} ({length} {unit}): "
        f"{part.change:.0%} of the change, {part.speed:.2g} times the mean speed"
    )
