"""`spf retime` and `spf timemap`: another pacing for an existing clip."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.commands.shared import add_no_cache, check_writable, plain
from spf.errors import ConfigError

if TYPE_CHECKING:
    from spf.embedders import Embedder
    from spf.retiming import Plan, Retimed, Watch

TARGETS = (
    "linear (default), ease_in, ease_out, ease_in_out, exponential, sine, custom; with settings: "
    "exponential:temperature=5, custom:path=points.csv"
)
FASTEST = "keep the clip's length, or make it longer so that no part passes faster than it did"


def add(commands: Any) -> None:
    """Add `spf retime` to the parser's commands."""
    command = commands.add_parser(
        "retime", help="give a clip another pacing: MP4, side by side, plot and time map"
    )
    _add_common(command)
    command.add_argument(
        "--method", default="flow", metavar="WORD", help="nearest, blend or flow (default)"
    )
    command.add_argument("--dry-run", action="store_true", help="print the plan, write nothing")
    command.set_defaults(run=run)


def add_timemap(commands: Any) -> None:
    """Add `spf timemap` to the parser's commands."""
    command = commands.add_parser(
        "timemap", help="export a clip's time map: CSV, and a filter for FFmpeg"
    )
    _add_common(command)
    command.set_defaults(run=run_timemap)


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("clip", metavar="CLIP", help="video, GIF or image folder")
    command.add_argument("--target", metavar="WORD", help=TARGETS)
    command.add_argument("--like", metavar="CLIP", help="take the pacing of another clip")
    command.add_argument("--frames", type=int, metavar="N", help="number of frames of the result")
    command.add_argument("--fps", type=float, metavar="R", help="its frames a second")
    command.add_argument("--keep", default="length", metavar="length|fastest", help=FASTEST)
    command.add_argument("--embedder", help="word of an embedder (default: the shipped one)")
    command.add_argument("--out", default=".", metavar="PATH", help="folder, or name of the result")
    add_no_cache(command)


def run(given: argparse.Namespace) -> int:
    """`spf retime`."""
    from spf.retiming import carry_out, check_out
    from spf.retiming_outputs import write_plot, write_report, write_side_by_side

    out = check_out(given.clip, _named(given, "retimed", ".mp4"))
    embedder = _embedder(given)
    with _bars() as watch:
        plan = _plan(given, embedder, given.method, watch)
        _print_plan(plan, embedder)
        if given.dry_run:
            return 0
        check_writable(out.parent)
        done = carry_out(plan, out, embedder, not given.no_cache, watch)
        _print_result(done)
        print(f"  result        {plain(out)}")
        write_report(done, out.with_suffix(".json"), embedder)
        print(f"  time map      {plain(out.with_suffix('.json'))}")
        write_plot(done, out.with_suffix(".png"), embedder)
        print(f"  plot          {plain(out.with_suffix('.png'))}")
        beside = out.with_suffix(".side-by-side.mp4")
        write_side_by_side(done, beside, watch)
    print(f"  side by side  {plain(beside)}")
    return 0


def run_timemap(given: argparse.Namespace) -> int:
    """`spf timemap`."""
    from spf.retime.export import as_csv, as_filter
    from spf.retiming_outputs import put

    table = _named(given, "timemap", ".csv")
    embedder = _embedder(given)
    with _bars() as watch:
        plan = _plan(given, embedder, "nearest", watch)
    _print_plan(plan, embedder)
    check_writable(table.parent)
    times, clip_times = plan.length.times, plan.curve.times
    put(table, as_csv(times, plan.positions, clip_times))
    print(f"  table   {plain(table)}")
    chain = table.with_suffix(".filter.txt")
    put(chain, as_filter(times, plan.positions, clip_times, plan.length.fps))
    print(f"  filter  {plain(chain)}")
    print("          ffmpeg -i CLIP -an -/filter:v FILTER OUT.mp4")
    return 0


def _named(given: argparse.Namespace, word: str, suffix: str) -> Path:
    """The output file: `--out` where that is one, else CLIP.WORD.SUFFIX in that folder."""
    out = Path(given.out)
    if out.suffix.lower() == suffix and not out.is_dir():
        return out
    name = Path(given.clip).resolve().name or "clip"
    return out / f"{name}.{word}{suffix}"


def _embedder(given: argparse.Namespace) -> "Embedder":
    from spf.embedders import DEFAULT_EMBEDDER, load_embedder

    return load_embedder(given.embedder or DEFAULT_EMBEDDER)


def _plan(given: argparse.Namespace, embedder: "Embedder", method: str, watch: "Watch") -> "Plan":
    """The plan that the arguments ask for; words are checked before anything is measured."""
    from spf.cache import user_cache
    from spf.measurement import measure_clip
    from spf.progress import Curve
    from spf.retime.lengths import Wanted
    from spf.retime.strategies import make_resampling
    from spf.retime.targets import Target, make_target
    from spf.retiming import plan_retiming

    wanted = Wanted(given.keep, given.frames, given.fps)
    method = make_resampling(method).name
    if given.like and given.target:
        raise ConfigError("--target and --like both name a pacing; give one of them")
    target: Target | Curve = make_target(given.target or "linear")
    if given.like:
        cache = None if given.no_cache else user_cache()
        target = measure_clip(given.like, embedder, cache=cache).curve
    return plan_retiming(given.clip, embedder, target, method, wanted, not given.no_cache, watch)


def _print_plan(plan: "Plan", embedder: "Embedder") -> None:
    from spf.embedders import CAUTIONS, label, remark

    print(f"embedder: {label(embedder)}")
    caution = CAUTIONS.get(remark(embedder))
    if caution:
        print(f"  {caution}")
    print(f"\n{plain(plan.source)}")
    for line in plan.lines():
        print(f"  {plain(line)}")


def _print_result(done: "Retimed") -> None:
    from spf.progress import METRICS

    print(f"\n  {'':<18} {'before':>10} {'after':>10}")
    for name, before in done.before.items():
        after = done.after[name]
        if not (name.endswith("_64") or (isnan(before) and isnan(after))):
            unit = METRICS[name].unit
            print(f"  {name:<18} {before:>10.4f} {after:>10.4f} {unit}".rstrip())
    for note in done.notes[len(done.plan.notes) :]:
        print(f"  note: {plain(note)}")


@contextmanager
def _bars() -> Iterator["Watch"]:
    """A progress bar for each stage, one after the other."""
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def watch(stage: str, count: int, total: int | None) -> None:
        if stage not in bars:
            close()
            bars[stage] = tqdm(total=total, unit="frames", desc=stage, leave=False, disable=None)
        bars[stage].update(count - bars[stage].n)

    def close() -> None:
        for bar in bars.values():
            bar.close()

    try:
        yield watch
    finally:
        close()
