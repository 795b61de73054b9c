"""The time map for other programs: a table, and a filter with the command that FFmpeg needs."""

import re
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spf.names import shell_quoted
from spf.pacing.timemap import source_times
from spf.video.write import exact_rate

Array = NDArray[np.float64]

TOLERANCE = 0.1  # frames of the result by which FFmpeg's polyline may be off the map


def as_csv(times: Array, positions: Array, clip_times: Array) -> str:
    """A line for each frame k of the result: k, its time in seconds, which frame of the clip it
    shows (with fractions, from 0), and the time of that in seconds.

    times, positions : (N,) float64. clip_times : (T,) float64 of the clip, from 0.
    """
    shown = source_times(positions, clip_times)
    rows = zip(times.tolist(), positions.tolist(), shown.tolist(), strict=True)
    lines = ["frame,time,source_frame,source_time"]
    lines += [f"{k},{t:.6f},{p:.6f},{s:.6f}" for k, (t, p, s) in enumerate(rows)]
    return "\n".join(lines) + "\n"


def as_filter(times: Array, positions: Array, clip_times: Array, fps: float) -> str:
    """A filter chain that has FFmpeg show the clip along the map, each frame the latest one, in
    exactly N frames.

    `setpts` gives each frame of the clip the time at which the map shows it: a polyline through the
    map, thinned to `TOLERANCE`, as nested comparisons of few levels however long it is. `fps` then
    repeats and drops frames. A copy of the last frame, behind the end, ends the time for which that
    one is shown; `tpad` and `trim` make the number of frames exact where `fps` rounds. Works from
    FFmpeg 4.2 on. Parameters as in `as_csv`; fps : frames a second of the result, written as a
    fraction.
    """
    count, rate = len(times), exact_rate(fps)
    shown = source_times(positions, clip_times)
    # The clip stands still where the map repeats a time: the last one holds, as FFmpeg would.
    last = np.append(np.diff(shown) > 0, True)
    x, y = shown[last], times[last]
    x[0], y[0] = shown[0], times[0]
    knots = thinned(x, y, TOLERANCE / fps)
    tree = _pieces(x[knots], y[knots])
    moved = f"if(gte(N,{len(clip_times)}),{float(count / rate):.9g},{tree})"
    return (
        f"tpad=stop_mode=clone:stop=1,setpts='st(0,T-STARTT);({moved})/TB',"
        f"fps={rate.numerator}/{rate.denominator},"
        f"tpad=stop_mode=clone:stop={count},trim=end_frame={count}\n"
    )


def ffmpeg_version(program: str = "ffmpeg") -> tuple[int, int] | None:
    """Version of libavutil that FFmpeg here has, which builds without a release number have too;
    None where there is no FFmpeg."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            [program, "-version"], capture_output=True, text=True, errors="replace", timeout=20
        )
        if found := re.search(r"libavutil\s+(\d+)\.\s*(\d+)", done.stdout):
            return int(found[1]), int(found[2])
    return None


def ffmpeg_command(
    clip: Path, chain: Path, out: Path, count: int, version: tuple[int, int] | None, stream: int = 0
) -> str:
    """The command line, for a POSIX shell, that shows a clip along its map.

    chain : file with the filter of `as_filter`, for `count` frames. version : of libavutil; None
    stands for the newest. stream : index among the clip's video streams, cover pictures left out.

    Options changed their names: a filter is read from a file by `-filter_script:v` up to FFmpeg 6
    and by `-/filter:v` from 7 on (libavutil 59; the former is deprecated there); frames pass as
    they are by `-vsync` up to 5.0 and by `-fps_mode` from 5.1 on (libavutil 57.28).
    """
    known = version or (99, 0)
    from_file = "-/filter:v" if known >= (59, 0) else "-filter_script:v"
    sync = "-fps_mode" if known >= (57, 28) else "-vsync"
    # Absolute: in a name without its folder FFmpeg reads what is before a colon as a protocol.
    arguments = ["ffmpeg", "-i", str(clip.absolute()), "-map", f"0:V:{stream}", from_file]
    arguments += [str(chain.absolute()), sync, "passthrough", "-frames:v", str(count)]
    return " ".join(map(shell_quoted, [*arguments, str(out.absolute())]))


def thinned(x: Array, y: Array, tolerance: float) -> NDArray[np.intp]:
    """Indices of the points (n,) that a polyline needs to stay within a tolerance of all of them in
    y, ends included (Douglas and Peucker 1973, with distances along y)."""
    chosen = {0, len(x) - 1}
    waiting = [(0, len(x) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        inner = slice(first + 1, last)
        line = np.interp(x[inner], x[[first, last]], y[[first, last]])
        away = np.abs(y[inner] - line)
        if away.max() > tolerance:
            middle = first + 1 + int(away.argmax())
            chosen.add(middle)
            waiting += [(first, middle), (middle, last)]
    return np.array(sorted(chosen))


def _pieces(x: Array, y: Array) -> str:
    """The polyline of ld(0) through points (n,), n >= 2, halved until one piece is left."""
    if len(x) == 2:
        slope = (y[1] - y[0]) / (x[1] - x[0])
        return f"{y[0]:.9g}+(ld(0)-{x[0]:.9g})*{slope:.9g}"
    middle = len(x) // 2
    before, after = _pieces(x[: middle + 1], y[: middle + 1]), _pieces(x[middle:], y[middle:])
    return f"if(lt(ld(0),{x[middle]:.9g}),{before},{after})"
