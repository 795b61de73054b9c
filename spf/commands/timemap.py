"""`spf timemap`: the time map of a clip, for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING

from spf.commands.options import Clip, EmbedderName, NoCache, Weights
from spf.commands.retime import (
    Cuts,
    Fps,
    Frames,
    Keep,
    Like,
    Out,
    TargetName,
    make_plan,
    output_file,
    print_plan,
    progress_bars,
)
from spf.commands.shared import check_writable, embedder_of, plain

if TYPE_CHECKING:
    from spf.pacing.plan import Plan


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
    out: Out = ".",
    no_cache: NoCache = False,
) -> int:
    """Export the time map of a clip: CSV, and a filter for FFmpeg.

    \b
    Examples:
      spf timemap clip.mp4
      spf timemap clip.mp4 --target ease_in_out --frames 96 --out map.csv
    """
    from spf.pacing.export import as_csv, as_filter
    from spf.pacing.outputs import put
    from spf.pacing.strategies import make_method

    table = output_file(clip, out, "timemap", ".csv")
    measuring = embedder_of(embedder, weights)
    with progress_bars() as watch:
        method = make_method("nearest", cuts=cuts)
        plan = make_plan(
            clip, measuring, method, (keep, frames, fps), target, like, not no_cache, watch
        )
    print_plan(plan, measuring)
    check_writable(table.parent)
    times, clip_times = plan.length.times, plan.curve.times
    put(table, as_csv(times, plan.positions, clip_times))
    print(f"  table   {plain(table)}")
    chain = table.with_suffix(".filter.txt")
    put(chain, as_filter(times, plan.positions, clip_times, plan.length.fps))
    print(f"  filter  {plain(chain)}")
    print(f"          {_ffmpeg(plan, chain)}")
    return 0


def _ffmpeg(plan: "Plan", chain: Path) -> str:
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
