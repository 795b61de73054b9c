"""`spf analyze`: measure clips."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from spf.commands import options
from spf.commands.output import Output, print_table
from spf.commands.shared import check_writable, clips_at, embedder_of, print_embedder
from spf.errors import ClipError, ConfigError
from spf.names import plain

if TYPE_CHECKING:
    from spf.measurement import Measurement
    from spf.progress import Curve
    from spf.progress.stretches import Stretch

SCHEMA = "spf.analyze/1"
CARD = ("linearity_mae", "peak_speed", "stall_fraction", "total_change", "noise_share")
"""Metrics that a person is shown of one clip; programs get all."""
UNEVEN = 0.4
"""Half of the change in less than this share of the time is worth a line: even pacing takes 0.5."""
EXPLAINS = {
    "camera": "camera motion explains",
    "light": "light explains",
    "camera+light": "camera motion and light explain",
}


def analyze(
    clips: options.Clips,
    embedder: options.EmbedderName = None,
    weights: options.Weights = None,
    out: Annotated[
        str | None,
        options.output_path(
            "FOLDER",
            "Where the plots go (default: here; with --json, --jsonl or --csv there are "
            "none without it).",
        ),
    ] = None,
    no_plot: Annotated[bool, options.flag("--no-plot", "Draw no plots.")] = False,
    export: Annotated[
        str | None,
        options.output_path(
            "FILE",
            "Write the dead stretches, jumps and cuts of one clip as .csv, .edl (CMX 3600), "
            ".ffmeta (chapters for FFmpeg) or .txt (chapters for YouTube).",
        ),
    ] = None,
    as_json: options.Json = False,
    as_jsonl: options.JsonLines = False,
    as_csv: options.Csv = False,
    stride: options.Stride = 1,
    max_frames: options.MaxFrames = None,
    start: options.Start = None,
    end: options.End = None,
    stream: options.Stream = None,
    nuisance: options.Nuisance = "none",
    no_cache: options.NoCache = False,
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
    from spf.embedders import label, shown_name
    from spf.files import write_atomic
    from spf.measurement import CORRECTED, measure_clip
    from spf.video import Sampling

    names = columns() + list(CORRECTED if nuisance != "none" else ())
    measuring = embedder_of(embedder, weights)
    sampling = Sampling(stride, max_frames, start, end, stream)
    cache = None if no_cache else user_cache()
    paths = [clip for path in clips for clip in clips_at(path)]
    several, failed = len(paths) > 1, False
    output = Output(SCHEMA, names, as_json, as_jsonl, as_csv)
    done: list[dict[str, Any]] = []
    folder = None if no_plot or (output.form and out is None) else Path(out or ".")
    if folder is not None:
        check_writable(folder)
    if export is not None:
        format_of(Path(export))
        if sampling != Sampling(stream=stream):
            raise ConfigError(
                "--export is of whole clips; leave the options that choose frames out"
            )
        if several:
            raise ConfigError(f"--export is for one clip, not {len(paths)}; give one of them")

    def fail(message: str) -> None:
        nonlocal failed
        failed = True
        tqdm.write(plain(message), file=sys.stderr)

    @contextmanager
    def writing(path: object) -> Iterator[None]:
        """Where a file cannot be written, the row stays."""
        try:
            yield
        except ClipError as error:
            fail(str(error))
        except OSError as error:
            fail(f"{path}: cannot be written ({error.strerror}); choose another place")

    total, unit = (len(paths), "clips") if several else (None, "frames")
    with output, tqdm(total=total, unit=unit, leave=False, disable=None) as bar:
        print_embedder(measuring)
        for clip, title in zip(paths, _titles(paths), strict=True):
            row = dict.fromkeys(names) | {"clip": clip, "embedder": shown_name(measuring)}
            bar.set_description(plain(Path(clip).name[-30:]))
            on_frame = None if several else lambda *_: bar.update()
            try:
                measured = measure_clip(
                    clip, measuring, sampling=sampling, on_frame=on_frame, cache=cache,
                    guarded=True, nuisance=nuisance,
                )  # fmt: skip
            except (ClipError, ConfigError) as error:
                if not (several or isinstance(error, ClipError)):
                    raise  # a stream that the clip does not have
                reason = str(error).removeprefix(f"{getattr(error, 'clip', clip)}: ")
                output.add(row | {"status": "failed", "reason": reason})
                fail(str(error))
                continue
            finally:
                bar.update(several)
            stretches = [asdict(part) for part in measured.named_stretches]
            notes, info = list(measured.embeddings.notes), measured.embeddings.info
            if info is not None and info.video_streams > 1:
                others = f"of {info.video_streams}; --stream takes another"
                notes.append(f"this is video stream {info.stream} (from 0) {others}")
            row |= measured.row | {"status": "done", "stretches": stretches, "notes": notes}
            if folder is not None:
                from spf.figures import plot_measurement, subtitle

                plot = folder / f"{title.replace('/', '-')}.spf.png"
                with writing(plot):
                    below = subtitle(measured.curve, label(measuring))
                    write_atomic(plot, plot_measurement(measured, plain(title), below))
                    row["plot"] = str(plot)
            output.add(row)
            if several and not output.form:
                done.append(row)
            if not several:
                _print_card(row, measured, nuisance)
            if export is not None:
                with writing(export):
                    export_stretches(measured, Path(export))
                    print(f"  export: {plain(export)}")
        if several and not output.form:
            _print_rows(done, len(paths))
    return int(failed)


def columns() -> list[str]:
    """The columns of a row, in order."""
    from spf.progress import METRICS

    return [
        *("clip", "status", "reason", "embedder", "frames", "fps", "duration", "width", "height"),
        *(name for name in METRICS if name != "target_mae"),
        *("flickers", "repeated_frames", "stall_fraction_distinct", "stretches", "notes", "plot"),
    ]


def _titles(clips: Sequence[str]) -> list[str]:
    """A title for each clip's plot: its name, after as many folders as distinguish it."""
    parts = [Path(clip).resolve().parts[1:] or ("clip",) for clip in clips]
    ends = Counter(part[-depth:] for part in parts for depth in range(1, len(part) + 1))
    titles = []
    for part in parts:
        own = (depth for depth in range(1, len(part)) if ends[part[-depth:]] == 1)
        titles.append("/".join(part[-next(own, len(part)) :]))
    names = [title.replace("/", "-") for title in titles]  # of the files
    return [
        f"{x}-{k}" if names.count(y) > 1 else x
        for k, (x, y) in enumerate(zip(titles, names, strict=True))
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
    for name, value in (measured.distinct_scores | measured.corrected_scores).items():
        if not isnan(value):
            print(f"  {name:<23} {value:8.4f}")
    for line in _named(measured):
        print(f"  {line}")
    _print_explained(measured, nuisance)
    if row["plot"]:
        print(f"  plot: {plain(row['plot'])}")


def _print_rows(done: list[dict[str, Any]], clips: int) -> None:
    """A table of the clips that were measured, the most uneven first, then those without a rank."""
    from spf.measurement import CORRECTED

    done.sort(key=lambda row: (bool(row["reason"]), -row["linearity_mae"]))
    folders = [os.path.dirname(os.path.abspath(row["clip"])) for row in done]
    root = os.path.commonpath(folders) if done else ""
    shown = []
    for row in done:
        cells = {"clip": os.path.relpath(row["clip"], root)}
        cells |= {"linearity_mae": row["linearity_mae"], "peak_speed": row["peak_speed"]}
        cells["stalled"] = row["stall_fraction"]
        if CORRECTED[0] in row:
            cells["corrected"], cells["motion"] = (row[name] for name in CORRECTED)
        shown.append(cells | {"what stands out": _standing_out(row)})
    formats = {"linearity_mae": ".4f", "peak_speed": ".2f", "stalled": ".0%"}
    formats |= {"corrected": ".4f", "motion": ".0%"}
    if shown:
        order = "the most uneven (linearity_mae) first, then those without a rank"
        print(f"clips of {plain(root)}, {order}\n")
        print_table(shown, formats)
        print()
    for row, cells in zip(done, shown, strict=True):
        for note in row["notes"]:
            print(f"note: {plain(cells['clip'])}: {plain(note)}")
    drawn = [row["plot"] for row in done if row["plot"]]
    where = f"; a plot of each in {plain(os.path.dirname(drawn[0]) or '.')}" if drawn else ""
    print(f"{len(done)} of {clips} clips measured{where}")


def _standing_out(row: Mapping[str, Any]) -> str:
    """Why a clip is not ranked, and of its stretches the one that holds or lasts most."""
    whole, digits = row["duration"] or row["frames"], 1 if row["duration"] else 0
    unit = " s" if row["duration"] else ""
    texts, parts = [row["reason"]] if row["reason"] else [], row["stretches"]
    if parts:
        part = max(
            parts, key=lambda x: max(x["change"], (x["stop_time"] - x["start_time"]) / whole)
        )
        start, stop = (f"{part[end]:.{digits}f}" for end in ("start_time", "stop_time"))
        dead, sudden = f"dead {start} to {stop}{unit}", f"{part['kind']} at {stop}{unit}"
        texts.append(dead if part["kind"] == "dead" else f"{sudden} ({part['change']:.0%})")
    if len(parts) > 1:
        texts.append(f"{len(parts) - 1} more stretch{'es' * (len(parts) > 2)}")
    return "; ".join(texts)


def _named(measured: "Measurement") -> list[str]:
    """Lines that name the dead stretches and the jumps, or say that there is nothing to name."""
    from spf.curation.verdicts import no_change_text
    from spf.progress.metrics import FLICKER, unranked_reason

    curve, lines = measured.curve, []
    reason = unranked_reason(curve)
    if reason == FLICKER:
        share = f"{curve.noise_share:.0%} of its change is noise from frame to frame"
        lines.append(f"flicker: {share}, so an even curve does not mean even pacing")
    elif reason is not None:
        return [no_change_text(curve)]
    unit = measured.embeddings.unit
    named = [_stretch(part, unit) for part in measured.named_stretches]
    return lines + (named or [f"no dead stretch and no jump worth naming{_half(curve, unit)}"])


def _half(curve: "Curve", unit: str) -> str:
    """The shortest time, from a frame on, that holds half of the change, where that is uneven."""
    import numpy as np

    times = curve.times
    stops = np.interp(curve.progress + 0.5, curve.progress, times, right=np.inf)
    first = int(np.argmin(stops - times))
    start, stop, whole = times[first], stops[first], times[-1] - times[0]
    if not stop - start < UNEVEN * whole:
        return ""
    length, whole, start, stop = (_time(x, unit) for x in (stop - start, whole, start, stop))
    return f"; half of the change takes {length} of {whole} {unit}, from {start} to {stop}"


def _print_explained(measured: "Measurement", nuisance: str) -> None:
    """Print a line where the curve without the nuisance differs by more than noise."""
    from spf.progress.metrics import NO_CHANGE
    from spf.progress.nuisance import disagree

    corrected = measured.corrected
    if corrected is None or not (
        corrected.mostly_motion or disagree(measured.curve, corrected.curve)
    ):
        return
    line = f"{EXPLAINS[nuisance]} {corrected.motion_share:.0%} of the change"
    if not corrected.curve.changes:
        line += f"; without it: {NO_CHANGE}"
    if corrected.mostly_motion:
        line += "; where a motion is the meaning, trust the plain curve"
    print(f"  {line}")


def _stretch(part: "Stretch", unit: str) -> str:
    start, stop, length = (_time(x, unit) for x in (part.start_time, part.stop_time, part.seconds))
    if part.kind == "cut":
        return f"hard cut      at {stop}"
    kind = "dead stretch" if part.kind == "dead" else "jump"
    return (
        f"{kind:<13} from {start} to {stop} ({length} {unit}): "
        f"{part.change:.0%} of the change, {part.speed:.2g} times the mean speed"
    )


def _time(value: float, unit: str) -> str:
    return f"{value:.{2 if unit == 's' else 0}f}"
