"""`spf timemap`: the time map of a clip, for other programs."""

import os
from pathlib import Path

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
from spf.words import shell_quoted

ONE_ARGUMENT = 100_000
"""Bytes; Linux takes 128 KiB in one argument."""


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
    print(f"          {_ffmpeg(clip, chain)}")
    return 0


def _ffmpeg(clip: str, chain: Path) -> str:
    """A command line that retimes the clip. In a name without its folder FFmpeg would read what is
    before a colon as a protocol; options that read a file differ between its versions."""
    source = shell_quoted(os.path.abspath(clip)) if os.path.isfile(clip) else "CLIP.mp4"
    file = shell_quoted(os.path.abspath(chain))
    short = chain.stat().st_size < ONE_ARGUMENT
    filters = f'-filter:v "$(cat {file})"' if short else f"-/filter:v {file}"
    return f"ffmpeg -i {source} -an {filters} OUT.mp4"
