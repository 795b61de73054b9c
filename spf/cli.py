"""The `spf` command."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from spf.errors import ClipError, ConfigError, SpfError

if TYPE_CHECKING:
    from spf.embedders import Embedder
    from spf.progress import Curve
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
        print(error, file=sys.stderr)
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
    analyze.set_defaults(run=_analyze)

    compare = commands.add_parser(
        "compare", help="leaderboard of generators: CLIPS/GENERATOR/PAIR.mp4"
    )
    compare.add_argument("clips", metavar="CLIPS", help="folder with one folder a generator")
    compare.add_argument("--embedder", help="word of an embedder (default: the shipped one)")
    compare.add_argument("--out", default="results", metavar="FOLDER", help="output folder")
    compare.set_defaults(run=_compare)

    doctor = commands.add_parser(
        "doctor", help="what this machine has, and what each word would need"
    )
    doctor.set_defaults(run=_doctor)
    return parser


def _version() -> str:
    from spf import __version__

    return f"spf {__version__}"


def _analyze(given: argparse.Namespace) -> int:
    from spf.embedders import DEFAULT_EMBEDDER, label, load_embedder
    from spf.video import Sampling

    embedder = load_embedder(given.embedder or DEFAULT_EMBEDDER)
    sampling = Sampling(given.stride, given.max_frames, given.start, given.end, given.stream)
    if not given.no_plot:
        _check_writable(Path(given.out))
    print(f"embedder: {label(embedder)}")
    if embedder.control:
        print("  a control sees colours and edges, not meaning: take the numbers as a first look")
    failed = 0
    for clip in given.clips:
        try:
            _analyze_clip(Path(clip), embedder, sampling, None if given.no_plot else given.out)
        except SpfError as error:
            if not isinstance(error, ClipError):
                raise
            print(f"\n{error}", file=sys.stderr)
            failed += 1
    return int(failed > 0)


def _analyze_clip(clip: Path, embedder: "Embedder", sampling: "Sampling", out: str | None) -> None:
    from tqdm import tqdm

    from spf.embedders import label
    from spf.measurement import measure_clip
    from spf.plot import subtitle
    from spf.progress import METRICS, score

    with tqdm(unit="frames", desc=clip.name[-30:], leave=False, disable=None) as bar:

        def count(image: object, time: float) -> None:
            bar.update()

        measured = measure_clip(clip, embedder, sampling=sampling, watch=count)
    curve = measured.curve
    print(f"\n{_plain(clip)}: {len(curve)} frames, {curve.times[-1] - curve.times[0]:.2f} s")
    for note in measured.embeddings.notes:
        print(f"  note: {note}")
    for name, value in score(curve).items():
        if not (name.endswith("_64") or isnan(value)):  # for comparisons; not defined
            print(f"  {name:<18} {value:10.4f} {METRICS[name].unit:<6} {METRICS[name].definition}")
    for line in _named(curve):
        print(f"  {line}")
    if out is not None:
        from spf.files import write_atomic
        from spf.plot import plot_measurement

        path = Path(out) / f"{clip.name}.spf.png"
        try:
            write_atomic(
                path, plot_measurement(measured, _plain(clip), subtitle(curve, label(embedder)))
            )
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written ({error.strerror})") from None
        print(f"  plot: {path}")


def _named(curve: "Curve") -> list[str]:
    """Lines that name the dead stretches and the jumps, or say that there is nothing to name."""
    from spf.progress import no_change_reason
    from spf.progress.stretches import named_stretches

    reason = no_change_reason(curve)
    if reason is not None:
        return [f"{reason}: its total stays within what noise alone shows"]
    found = named_stretches(curve)
    return [_stretch(part) for part in found] or ["no dead stretches, no jumps"]


def _stretch(part: "Stretch") -> str:
    seconds = part.stop_time - part.start_time
    word = "dead stretch" if part.kind == "dead" else "jump"
    return (
        f"{word:<13} from {part.start_time:.2f} to {part.stop_time:.2f} ({seconds:.2f} s): "
        f"{part.change:.0%} of the change, {part.speed:.2g} times the mean speed"
    )


def _plain(path: Path) -> str:
    """A file's name without control characters, which a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(path))


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error.strerror}); choose --out") from None
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{folder}: the folder cannot be written; choose another with --out")


def _compare(given: argparse.Namespace) -> int:
    script = CHECKOUT / "run.py"
    if not script.is_file():
        raise ConfigError("spf compare needs the project's checkout (run.py is not there)")
    words = ["benchmark=leaderboard", "model=folder"]
    words += [f"model.path={_quoted(given.clips)}", f"output={_quoted(given.out)}"]
    if given.embedder:
        words.append(f"embedder={given.embedder}")
    return subprocess.run([sys.executable, str(script), *words], check=False).returncode


def _quoted(text: str) -> str:
    """A value as Hydra's command line reads it back, whatever it holds."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\$") + "'"


def _doctor(given: argparse.Namespace) -> int:
    from spf.doctor import report

    for line in report():
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
