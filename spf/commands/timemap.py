"""`spf timemap`: the time map of a clip, for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from spf.commands import options
from spf.commands.output import Output
from spf.commands.retime import output_file, pacing_of, print_plan, progress_bars
from spf.commands.shared import check_writable, embedder_of
from spf.names import plain

if TYPE_CHECKING:
    from spf.pacing.plan import RetimePlan

SCHEMA = "spf.timemap/1"
COLUMNS = ("frame", "time", "source_frame", "source_time")


def timemap(
    clip: options.Clip,
    target: options.TargetName = None,
    like: options.Like = None,
    frames: options.Frames = None,
    fps: options.Fps = None,
    cuts: options.Cuts = None,
    keep: options.Keep = "length",
    embedder: options.EmbedderName = None,
    weights: options.Weights = None,
    out: Annotated[
        str | None,
        options.output_path(
            "PATH",
            "Folder, or name of the table (default: here; with --json, --jsonl or --csv "
            "nothing is written without it).",
        ),
    ] = None,
    as_json: options.Json = False,
    as_jsonl: options.JsonLines = False,
    as_csv: options.Csv = False,
    no_cache: options.NoCache = False,
) -> int:
    """Export the time map of a clip: CSV, and a filter for FFmpeg.

    \b
    Examples:
      spf timemap clip.mp4
      spf timemap clip.mp4 --target ease_in_out --frames 96 --out map.csv
      spf timemap clip.mp4 --json > map.json
    """
    from spf.embedders import shown_name
    from spf.pacing.plan import Wanted, plan_retiming
    from spf.pacing.strategies import described, make_method
    from spf.pacing.timemap import source_times

    measuring, cached = embedder_of(embedder, weights), not no_cache
    with Output(SCHEMA, COLUMNS, as_json, as_jsonl, as_csv) as output:
        with progress_bars() as on_progress:
            method, wanted = make_method("nearest", cuts=cuts), Wanted(keep, frames, fps)
            pacing = pacing_of(target, like, measuring, cached)
            plan = plan_retiming(clip, measuring, pacing, method, wanted, cached, on_progress)
        print_plan(plan, measuring)
        if out is not None or not output.form:
            _write(plan, output_file(clip, out or ".", "timemap", ".csv"))
        output.facts = {
            "clip": clip,
            "embedder": shown_name(measuring),
            "target": described(plan.target),
            "fps": plan.length.fps,
        }
        shown = source_times(plan.positions, plan.curve.times)
        rows = zip(plan.length.times, plan.positions, shown, strict=True)
        for frame, row in enumerate(rows):
            output.add(dict(zip(COLUMNS, (frame, *row), strict=True)))
    return 0


def _write(plan: "RetimePlan", table: Path) -> None:
    """Write the table and the filter for FFmpeg, and print the command that applies it."""
    from spf.pacing.export import as_csv, as_filter, ffmpeg_command, ffmpeg_version
    from spf.pacing.outputs import put

    check_writable(table.parent)
    times, clip_times = plan.length.times, plan.curve.times
    put(table, as_csv(times, plan.positions, clip_times))
    print(f"  table   {plain(table)}")
    chain = table.with_suffix(".filter.txt")
    put(chain, as_filter(times, plan.positions, clip_times, plan.length.fps))
    print(f"  filter  {plain(chain)}")
    info, out = plan.measured.embeddings.info, table.with_suffix(".mp4")
    if info is None or not info.path.is_file():
        print("          a folder of images: make a video of it first, at the rate above")
    else:
        found = ffmpeg_version()
        length = len(plan.positions)
        print(f"          {ffmpeg_command(info.path, chain, out, length, found, info.stream)}")
