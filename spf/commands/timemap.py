"""`spf timemap`: the time map of a clip, for other programs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spf.commands.options import (
    Clip,
    Csv,
    EmbedderName,
    Json,
    JsonLines,
    NoCache,
    Weights,
    local_path,
)
from spf.commands.output import Output
from spf.commands.retime import (
    Cuts,
    Fps,
    Frames,
    Keep,
    Like,
    TargetName,
    make_plan,
    output_file,
    print_plan,
    progress_bars,
)
from spf.commands.shared import check_writable, embedder_of, plain

if TYPE_CHECKING:
    from spf.pacing.plan import RetimePlan

SCHEMA = "spf.timemap/1"
COLUMNS = ("frame", "time", "source_frame", "source_time")


def timemap(
    clip: Clip,
    target: TargetName = None,
    like: Like = None,
    frames: Frames = None,
    fps: Fps = None,
    cuts: Cuts = None,
    keep: Keep = "length",
    embedder: EmbedderName = None,
    weights: Weights = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Folder, or name of the table (default: here; with --json, --jsonl or --csv "
            "nothing is written without it).",
            callback=local_path,
        ),
    ] = None,
    as_json: Json = False,
    as_jsonl: JsonLines = False,
    as_csv: Csv = False,
    no_cache: NoCache = False,
) -> int:
    """Export the time map of a clip: CSV, and a filter for FFmpeg.

    \b
    Examples:
      spf timemap clip.mp4
      spf timemap clip.mp4 --target ease_in_out --frames 96 --out map.csv
      spf timemap clip.mp4 --json > map.json
    """
    from spf.embedders import shown_name
    from spf.pacing.strategies import make_method
    from spf.pacing.targets import described

    measuring = embedder_of(embedder, weights)
    with Output(SCHEMA, COLUMNS, as_json, as_jsonl, as_csv) as output:
        with progress_bars() as on_progress:
            method = make_method("nearest", cuts=cuts)
            plan = make_plan(
                clip,
                measuring,
                method,
                (keep, frames, fps),
                target,
                like,
                not no_cache,
                on_progress,
            )
        print_plan(plan, measuring)
        if out is not None or not output.form:
            _write(plan, output_file(clip, out or ".", "timemap", ".csv"))
        output.facts = {
            "clip": clip,
            "embedder": shown_name(measuring),
            "target": described(plan.target),
            "fps": plan.length.fps,
        }
        for row in _rows(plan):
            output.add(row)
    return 0


def _rows(plan: "RetimePlan") -> Iterator[dict[str, Any]]:
    """A row for each frame of the result."""
    from spf.pacing.timemap import source_times

    shown = source_times(plan.positions, plan.curve.times)
    for number, values in enumerate(zip(plan.length.times, plan.positions, shown, strict=True)):
        yield dict(zip(COLUMNS, (number, *values), strict=True))


def _write(plan: "RetimePlan", table: Path) -> None:
    """Write the table and the filter, and say what to do with them."""
    from spf.pacing.export import as_csv, as_filter
    from spf.pacing.outputs import put

    check_writable(table.parent)
    times, clip_times = plan.length.times, plan.curve.times
    put(table, as_csv(times, plan.positions, clip_times))
    print(f"  table   {plain(table)}")
    chain = table.with_suffix(".filter.txt")
    put(chain, as_filter(times, plan.positions, clip_times, plan.length.fps))
    print(f"  filter  {plain(chain)}")
    print(f"          {_ffmpeg(plan, chain)}")


def _ffmpeg(plan: "RetimePlan", chain: Path) -> str:
    """What retimes the clip by the FFmpeg that is here, or how to have it do so."""
    from spf.pacing.export import ffmpeg_command, ffmpeg_version

    info = plan.measured.embeddings.info
    if info is None or not info.path.is_file():
        return "a folder of images: make a video of it first, at the rate above"
    out, count = (
        chain.with_name(f"{chain.name.removesuffix('.filter.txt')}.mp4"),
        len(plan.positions),
    )
    return ffmpeg_command(info.path, chain, out, count, ffmpeg_version(), info.stream)
