"""The `spf` command."""

import argparse
import os
import sys
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from spf.errors import ClipError, ConfigError, SpfError

if TYPE_CHECKING:
    from spf.cache import Cache
    from spf.embedders import Embedder
    from spf.measurement import Measurement
    from spf.progress.stretches import Stretch
    from spf.video import Sampling

CHECKOUT = Path(__file__).resolve().parent.parent
INTERRUPTED = 130
EPILOGUE = """exit codes: 0 done; 1 a clip failed (the others are done); 2 wrong arguments;
3 the embedder or model cannot run here; 130 after Ctrl-C"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    given = _parser().parse_args(arguments)
    try:
        return given.run(given)
    except SpfError as error:
        print(_plain(error), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader has gone (`spf doctor | head`); spare the interpreter's complaint at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("interrupted: what is finished is kept", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spf",
        description="Measure the pacing of videos with the Semantic Progress Function.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    analyze = commands.add_parser(
        "analyze", help="measure clips: scores, dead stretches, jumps and a plot of each"
    )
    analyze.add_argument("clips", nargs="+", metavar="CLIP", help="video, GIF or image folder")
    analyze.add_argument("--embedder", help="word of an embedder (default: the shipped one)")
    analyze.add_argument("--out", default=".", metavar="FOLDER", help="where the plots go")
    analyze.add_argument("--no-plot", action="store_true", help="print the table alone")
    analyze.add_argument("--stride", type=int, default=1, help="use every N-th frame")
    analyze.add_argument("--max-frames", type=int, help="use at most N frames")
    analyze.add_argument("--start", type=float, metavar="SECONDS", help="from this time on")
    analyze.add_argument("--end", type=float, metavar="SECONDS", help="up to this time")
    analyze.add_argument("--stream", type=int, help="index among the video streams")
    _add_no_cache(analyze)
    analyze.set_defaults(run=_analyze)

    compare = commands.add_parser(
        "compare", help="leaderboard of generators: CLIPS/GENERATOR/PAIR.mp4"
    )
    compare.add_argument("clips", metavar="CLIPS", help="folder with one folder a generator")
    compare.add_argument("--embedder", help="word of an embedder (default: the shipped one)")
    compare.add_argument("--out", default="results", metavar="FOLDER", help="output folder")
    _add_no_cache(compare)
    compare.set_defaults(run=_compare)

    cache = commands.add_parser(
        "cache",
        help="show or clear the embeddings that are kept",
        epilog="SPF_CACHE_DIR moves the folder, SPF_CACHE_SIZE (such as 500MB) bounds it",
    )
    cache.add_argument("--clear", action="store_true", help="remove the entries")
    cache.add_argument("--embedder", help="of this embedder alone")
    cache.set_defaults(run=_cache)

    doctor = commands.add_parser(
        "doctor", help="what this machine has, and what each word would need"
    )
    doctor.set_defaults(run=_doctor)
    return parser


def _add_no_cache(command: argparse.ArgumentParser) -> None:
    command.add_argument("--no-cache", action="store_true", help="neither use nor keep embeddings")


def _version() -> str:
    from spf import __version__

    return f"spf {__version__}"


def _analyze(given: argparse.Namespace) -> int:
    from spf.cache import user_cache
    from spf.embedders import CAUTIONS, DEFAULT_EMBEDDER, label, load_embedder, remark
    from spf.video import Sampling

    embedder = load_embedder(given.embedder or DEFAULT_EMBEDDER)
    sampling = Sampling(given.stride, given.max_frames, given.start, given.end, given.stream)
    cache = None if given.no_cache else user_cache()
    clips = [Path(clip) for clip in given.clips]
    plots: list[Path | None] = [None] * len(clips)
    if not given.no_plot:
        _check_writable(Path(given.out))
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
            print(f"\n{_plain(error)}", file=sys.stderr)
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

    with tqdm(unit="frames", desc=clip.name[-30:], leave=False, disable=None) as bar:

        def count(image: object, time: float) -> None:
            bar.update()

        measured = measure_clip(clip, embedder, sampling=sampling, watch=count, cache=cache)
    curve = measured.curve
    timed = measured.embeddings.unit == "s"
    length = f", {curve.times[-1] - curve.times[0]:.2f} s" if timed else ", no frame rate"
    print(f"\n{_plain(clip)}: {len(curve)} frames{length}")
    for note in measured.embeddings.notes:
        print(f"  note: {note}")
    for name, value in score(curve).items():
        if not (name.endswith("_64") or isnan(value)):  # for comparisons; not defined
            print(f"  {name:<18} {value:10.4f} {METRICS[name].unit:<6} {METRICS[name].definition}")
    for line in _named(measured):
        print(f"  {line}")
    if plot is not None:
        title = _plain(clip.resolve().name)
        try:
            write_atomic(plot, plot_measurement(measured, title, subtitle(curve, label(embedder))))
        except OSError as error:
            raise ConfigError(f"{plot}: cannot be written ({error.strerror})") from None
        print(f"  plot: {_plain(plot)}")


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


def _plain(text: object) -> str:
    """Text without control characters, which a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error.strerror}); choose --out") from None
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{folder}: the folder cannot be written; choose another with --out")


def _compare(given: argparse.Namespace) -> NoReturn:
    script = CHECKOUT / "run.py"
    if not script.is_file():
        raise ConfigError("spf compare needs the project's checkout (run.py is not there)")
    # Names go through the environment: some of their letters mean something to Hydra.
    os.environ |= {"SPF_COMPARE_CLIPS": given.clips, "SPF_COMPARE_OUT": given.out}
    words = ["benchmark=leaderboard", "model=folder"]
    words += ["model.path=${oc.env:SPF_COMPARE_CLIPS}", "output=${oc.env:SPF_COMPARE_OUT}"]
    if given.embedder:
        words.append(f"embedder={given.embedder}")
    if given.no_cache:
        words.append("cache=false")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, str(script), *words])


def _cache(given: argparse.Namespace) -> int:
    from spf.cache import user_cache
    from spf.embedders import EMBEDDERS
    from spf.words import choose

    cache = user_cache()
    word = choose(given.embedder, EMBEDDERS, "embedder") if given.embedder else "*"
    if given.clear:
        count, size = cache.clear(word)
        print(f"removed {count} entries, {_bytes(size)}, from {_plain(cache.folder)}")
        return 0
    entries = cache.entries(word)
    print(f"folder   {_plain(cache.folder)}")
    print(f"entries  {len(entries)}")
    print(f"size     {_bytes(sum(state.st_size for _, state in entries))}")
    print(f"bound    {_bytes(cache.bound)}")
    return 0


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _doctor(given: argparse.Namespace) -> int:
    from spf.doctor import report

    for line in report():
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
