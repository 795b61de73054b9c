"""`spf analyze`: measure clips."""

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spf.commands.options import (
    Clips,
    Csv,
    EmbedderName,
    End,
    Json,
    JsonLines,
    MaxFrames,
    NoCache,
    Nuisance,
    Start,
    Stream,
    Stride,
    Weights,
    local_path,
)
from spf.commands.output import Output, print_table
from spf.commands.shared import check_writable, clips_at, embedder_of, plain, print_embedder
from spf.errors import ClipError, ConfigError

if TYPE_CHECKING:
    from spf.measurement import Measurement
    from spf.progress.stretches import Stretch

SCHEMA = "spf.analyze/1"
CARD = ("linearity_mae", "peak_speed", "stall_fraction", "total_change", "noise_share")
"""Metrics that a person is shown of one clip; programs get all."""


def analyze(
    clips: Clips,
    embedder: EmbedderName = None,
    weights: Weights = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the plots go (default: here; with --json, --jsonl or --csv there are "
            "none without it).",
            callback=local_path,
        ),
    ] = None,
    no_plot: Annotated[bool, typer.Option("--no-plot", help="Draw no plots.")] = False,
    export: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write the dead stretches, jumps and cuts of one clip as .csv, .edl (CMX 3600), "
            ".ffmeta (chapters for FFmpeg) or .txt (chapters for YouTube).",
            callback=local_path,
        ),
    ] = None,
    as_json: Json = False,
    as_jsonl: JsonLines = False,
    as_csv: Csv = False,
    stride: Stride = 1,
    max_frames: MaxFrames = None,
    start: Start = None,
    end: End = None,
    stream: Stream = None,
    nuisance: Nuisance = "none",
    no_cache: NoCache = False,
) -> int:
    """Measure clips: scores, dead stretches, jumps and a plot of each.

    One clip gets a card, several a table, the most uneven first.

    \b
    Examples:
      spf analyze clip.mp4
      spf analyze clips/ --csv > clips.csv
      spf analyze clip.mp4 --nuisance camera --export clip.edl
    """
    from tqdm import tqdm

    from spf.cache import user_cache
    from spf.curation.editors import export_stretches, format_of
    from spf.embedders import shown_name
    from spf.embedders.views import views_of
    from spf.measurement import CORRECTED, measure_clip
    from spf.video import Sampling

    views_of(nuisance)  # an unknown one is refused before any work
    names = columns() + list(CORRECTED if nuisance != "none" else ())
    measuring = embedder_of(embedder, weights)
    sampling = Sampling(stride, max_frames, start, end, stream)
    cache = None if no_cache else user_cache()
    paths = [clip for path in clips for clip in clips_at(path)]
    plots: Sequence[Path | None] = [None] * len(paths)
    output = Output(
        SCHEMA, names, as_json, as_jsonl, as_csv, keep=not (as_json or as_jsonl or as_csv)
    )
    if not no_plot and (out is not None or not output.form):
        folder = Path(out or ".")
        check_writable(folder)
        plots = [folder / f"{name}.spf.png" for name in _plot_names(paths)]
    several, failed = len(paths) > 1, False
    if export is not None:
        format_of(Path(export))
        if sampling != Sampling(stream=stream):
            raise ConfigError(
                "--export is of whole clips; leave the options that choose frames out"
            )
        if several:
            raise ConfigError(f"--export is for one clip, not {len(paths)}; give one of them")
    total, unit = (len(paths), "clips") if several else (None, "frames")
    with output, tqdm(total=total, unit=unit, leave=False, disable=None) as bar:
        print_embedder(measuring)

        def count(image: object, time: float) -> None:
            bar.update()

        for clip, plot in zip(paths, plots, strict=True):
            row = dict.fromkeys(names) | {"clip": clip, "embedder": shown_name(measuring)}
            bar.set_description(plain(Path(clip).name[-30:]))
            watch = None if several else count
            reason, said = "", ""
            try:
                measured = measure_clip(
                    clip, measuring, sampling=sampling, on_progress=watch, cache=cache,
                    guarded=True, nuisance=nuisance,
                )  # fmt: skip
            except ClipError as error:
                reason, said = f"{error.reason}; {error.remedy}", str(error)
            except ConfigError as error:  # a stream that this clip does not have
                if not several:
                    raise
                reason, said = str(error).removeprefix(f"{clip}: "), str(error)
            finally:
                bar.update(several)
            if reason:
                tqdm.write(plain(said), file=sys.stderr)
                output.add(row | {"status": "failed", "reason": reason})
                failed = True
                continue
            row |= _values(measured)
            if plot is not None:
                try:
                    _draw(measured, clip, plot, measuring)
                    row["plot"] = str(plot)
                except OSError as error:  # the row stays
                    tqdm.write(plain(_refused(plot, error)), file=sys.stderr)
                    failed = True
            output.add(row)
            if not several:
                _print_card(row, measured, nuisance)
            if export is not None:
                try:
                    export_stretches(measured, Path(export))
                    print(f"  export: {plain(export)}")
                except ClipError as error:  # the row stays
                    tqdm.write(plain(error), file=sys.stderr)
                    failed = True
                except OSError as error:
                    tqdm.write(plain(_refused(export, error)), file=sys.stderr)
                    failed = True
        if several and not output.form:
            _print_rows(output.rows)
    return int(failed)


def columns() -> list[str]:
    """The columns of a row, in order."""
    from spf.progress import METRICS

    return [
        *("clip", "status", "reason", "embedder", "frames", "fps", "duration", "width", "height"),
        *(name for name in METRICS if name != "target_mae"),
        *("flickers", "repeated_frames", "stall_fraction_distinct", "stretches", "notes", "plot"),
    ]


def _values(measured: "Measurement") -> dict[str, Any]:
    """The columns of a clip that was measured."""
    info, notes = measured.embeddings.info, list(measured.embeddings.notes)
    if info is not None and info.video_streams > 1:
        others = f"of {info.video_streams}; --stream takes another"
        notes.append(f"this is video stream {info.stream} (from 0) {others}")
    stretches = [asdict(part) for part in measured.named_stretches]
    return measured.row | {"status": "done", "stretches": stretches, "notes": notes}


def _draw(measured: "Measurement", clip: str, plot: Path, embedder: Any) -> None:
    from spf.embedders import label
    from spf.figures import plot_measurement, subtitle
    from spf.files import write_atomic

    title = plain(Path(clip).resolve().name)
    image = plot_measurement(measured, title, subtitle(measured.curve, label(embedder)))
    write_atomic(plot, image)


def _refused(path: object, error: OSError) -> str:
    return f"{path}: cannot be written ({error.strerror}); choose another place"


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


# What people see


def _print_card(row: Mapping[str, Any], measured: "Measurement", nuisance: str) -> None:
    from spf.progress import METRICS

    length = "no frame rate" if row["duration"] is None else f"{row['duration']:.2f} s"
    size = f"{row['width']}x{row['height']}"
    print(f"\n{plain(row['clip'])}: {row['frames']} frames, {length}, {size}")
    for note in row["notes"]:
        print(f"  note: {plain(note)}")
    for name in CARD:
        if not isnan(row[name]):
            unit, meaning = METRICS[name].unit, METRICS[name].definition
            print(f"  {name:<23} {row[name]:8.4f} {unit:<6} {meaning}")
    more = measured.distinct_scores | measured.corrected_scores
    for name in [name for name in more if not isnan(more[name])]:
        print(f"  {name:<23} {row[name]:8.4f}")
    for line in _named(measured) + _explained(measured, nuisance):
        print(f"  {line}")
    if row["plot"]:
        print(f"  plot: {plain(row['plot'])}")


def _print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of clips, the most uneven first, then those without a rank."""
    from spf.measurement import CORRECTED

    second = any(CORRECTED[0] in row for row in rows)
    done = [row for row in rows if row["status"] == "done"]
    done.sort(key=lambda row: (bool(row["reason"]), -row["linearity_mae"]))
    folders = [os.path.dirname(os.path.abspath(row["clip"])) for row in done]
    root = os.path.commonpath(folders) if done else ""
    shown = [
        {
            "clip": os.path.relpath(row["clip"], root),
            "linearity_mae": row["linearity_mae"],
            "peak_speed": row["peak_speed"],
            "stalled": row["stall_fraction"],
            **({"corrected": row[CORRECTED[0]], "motion": row[CORRECTED[1]]} if second else {}),
            "what stands out": _standing_out(row),
        }
        for row in done
    ]
    formats = {"linearity_mae": ".4f", "peak_speed": ".2f", "stalled": ".0%"}
    formats |= {"corrected": ".4f", "motion": ".0%"}
    if shown:
        order = "the most uneven (linearity_mae) first, then those without a rank"
        print(f"clips of {plain(root)}, {order}\n")
        print_table(shown, formats)
        print()
    for row in done:
        for note in row["notes"]:
            print(f"note: {plain(os.path.relpath(row['clip'], root))}: {plain(note)}")
    drawn = [row["plot"] for row in done if row["plot"]]
    where = f"; a plot of each in {plain(os.path.dirname(drawn[0]) or '.')}" if drawn else ""
    print(f"{len(done)} of {len(rows)} clips measured{where}")


def _standing_out(row: Mapping[str, Any]) -> str:
    """Why a clip is not ranked, and of its stretches the one that holds or lasts most."""
    whole, digits = row["duration"] or row["frames"], 1 if row["duration"] else 0
    unit = " s" if row["duration"] else ""
    parts = sorted(
        row["stretches"],
        key=lambda part: -max(part["change"], (part["stop_time"] - part["start_time"]) / whole),
    )
    names = []
    for part in parts[:1]:
        start, stop = (f"{part[end]:.{digits}f}" for end in ("start_time", "stop_time"))
        if part["kind"] == "dead":
            names.append(f"dead {start} to {stop}{unit}")
        else:
            names.append(f"{part['kind']} at {stop}{unit} ({part['change']:.0%})")
    names += [f"{len(parts) - 1} more"] * (len(parts) > 1)
    return "; ".join([*filter(None, [row["reason"]]), *names])


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


EXPLAINS = {
    "camera": "camera motion explains",
    "light": "light explains",
    "camera+light": "camera motion and light explain",
}


def _explained(measured: "Measurement", nuisance: str) -> list[str]:
    """A line where the curve without the nuisance differs from the plain one by more than noise."""
    from spf.progress.metrics import NO_CHANGE
    from spf.progress.nuisance import disagree

    corrected = measured.corrected
    if corrected is None or not (
        corrected.mostly_motion or disagree(measured.curve, corrected.curve)
    ):
        return []
    line = f"{EXPLAINS[nuisance]} {corrected.motion_share:.0%} of the change"
    if not corrected.curve.changes:
        line += f"; without it: {NO_CHANGE}"
    if corrected.mostly_motion:
        line += "; where a motion is the meaning, trust the plain curve"
    return [line]


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
