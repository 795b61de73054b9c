"""`spf retime` and `spf timemap`: another pacing for an existing clip."""

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.commands.shared import (
    add_embedder,
    add_no_cache,
    check_writable,
    chosen_embedder,
    embedder_of,
    local_path,
    plain,
    print_embedder,
    weights_folder,
)
from spf.errors import ConfigError

if TYPE_CHECKING:
    from spf.embedders import Embedder
    from spf.generators.base import Generator
    from spf.pacing.plan import Plan, Watch
    from spf.pacing.retime import Retimed
    from spf.pacing.strategies import Regenerate, Resampling

TARGETS = (
    "linear (default), ease_in, ease_out, ease_in_out, exponential, sine, custom; with settings: "
    "exponential:temperature=5, custom:path=points.csv"
)
FASTEST = "keep the clip's length, or make it longer so that no part passes faster than it did"
METHOD = (
    "nearest, blend or flow (default) show the clip's own frames; regenerate has a model make it "
    "anew between its keyframes"
)
MODEL = "tiny (32x32 pictures), wan22, ltx2, or command, a program of yours"
COMMAND = (
    "the program of --model command, such as 'python make.py --first={first} --last={last} "
    "--frames={frames} --out={output}'; also {prompt}, {seed}, {fps}, {width}, {height}"
)
SET = (
    "a setting of the model, may be given again: path=FOLDER, variant=flf2v, offload=model, "
    "size=480,832; of a command: factor=8, longest=81, timeout=60"
)
CUTS = (
    "hard cuts stay, and no frame lies between two shots (keep, the default), or are retimed like "
    "any other change (bridge)"
)
CHECK = (
    "a second embedder that looks at the result too, and says where it disagrees (default: auto, "
    "the default embedder, or histogram where that one makes the time map)"
)
SETTINGS = {
    "segments": "n_segments",
    "steer": "strategy",
    "prompt": "prompt",
    "seed": "seed",
}
"""Options, and the settings of `Regenerate` alone that they are."""


def add(commands: Any) -> None:
    """Add `spf retime` to the parser's commands."""
    command = commands.add_parser(
        "retime", help="give a clip another pacing: MP4, side by side, plot and time map"
    )
    _add_common(command)
    command.add_argument("--method", default="flow", metavar="WORD", help=METHOD)
    command.add_argument(
        "--check-embedder", default="auto", metavar="NAME[/VARIANT]|none", help=CHECK
    )
    command.add_argument(
        "--check-weights", type=weights_folder, metavar="FOLDER", help="its weights, as --weights"
    )
    command.add_argument("--dry-run", action="store_true", help="print the plan, write nothing")
    anew = command.add_argument_group(
        "--method regenerate",
        "Finished segments are kept in NAME.segments beside the result: started again, it goes on "
        "after them.",
    )
    anew.add_argument("--model", metavar="WORD", help=MODEL)
    anew.add_argument("--command", metavar="TEMPLATE", help=COMMAND)
    anew.add_argument("--set", action="append", metavar="NAME=VALUE", help=SET)
    anew.add_argument("--segments", type=int, metavar="N", help="number of segments")
    anew.add_argument(
        "--steer",
        metavar="WORD",
        help="how each is steered: rope_flat (default), rope, rope_iterative, or none",
    )
    anew.add_argument("--prompt", metavar="TEXT", help="of every segment")
    anew.add_argument("--seed", type=int, metavar="N", help="of the noise (default: 0)")
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
    command.add_argument(
        "--like", type=os.path.expanduser, metavar="CLIP", help="take the pacing of another clip"
    )
    command.add_argument("--frames", type=int, metavar="N", help="number of frames of the result")
    command.add_argument("--fps", type=float, metavar="R", help="its frames a second")
    command.add_argument("--cuts", metavar="keep|bridge", help=CUTS)
    command.add_argument("--keep", default="length", metavar="length|fastest", help=FASTEST)
    add_embedder(command)
    command.add_argument(
        "--out", type=local_path, default=".", metavar="PATH", help="folder, or name of the result"
    )
    add_no_cache(command)


def run(given: argparse.Namespace) -> int:
    """`spf retime`."""
    from spf.pacing.outputs import write_plot, write_report, write_side_by_side
    from spf.pacing.plan import PlanAnew
    from spf.pacing.retime import carry_out, check_out, segments_beside

    out = check_out(given.clip, _named(given, "retimed", ".mp4"))
    embedder, method = chosen_embedder(given), _method(given)
    check = _check(given, embedder)
    generator = _generator(given, method)
    with _bars() as watch:
        plan = _plan(given, embedder, method, watch, generator)
        _print_plan(plan, embedder)
        if given.dry_run:
            return 0
        check_writable(out.parent)
        done = carry_out(plan, out, embedder, not given.no_cache, watch, check=check)
        _print_result(done, embedder)
        print(f"  result        {plain(out)}")
        write_report(done, out.with_suffix(".json"), embedder)
        print(f"  time map      {plain(out.with_suffix('.json'))}")
        write_plot(done, out.with_suffix(".png"), embedder)
        print(f"  plot          {plain(out.with_suffix('.png'))}")
        beside = out.with_suffix(".side-by-side.mp4")
        write_side_by_side(done, beside, watch)
    print(f"  side by side  {plain(beside)}")
    if isinstance(plan, PlanAnew):
        print(f"  segments      {plain(segments_beside(out))} (for starting again)")
    return 0


def _method(given: argparse.Namespace) -> "Resampling | Regenerate":
    """The strategy with its settings. Raises ConfigError for options of another one."""
    from spf.pacing.strategies import Regenerate, make_method

    method = make_method(given.method)
    named = [
        name for name in ("model", "command", "set", *SETTINGS) if vars(given)[name] is not None
    ]
    if named and not isinstance(method, Regenerate):
        raise ConfigError(f"--{named[0]} is for --method regenerate; add that, or leave it out")
    settings = {SETTINGS[name]: vars(given)[name] for name in named if name in SETTINGS}
    if given.cuts is not None:
        settings["cuts"] = given.cuts
    return make_method(method, **settings)


def _generator(given: argparse.Namespace, method: "Resampling | Regenerate") -> "Generator | None":
    """The model with its settings, where the method needs one; it can run here."""
    from spf.generators import load_generator
    from spf.pacing.plan import ready_generator

    settings = dict(_setting(text) for text in given.set or [])
    word = given.model
    if given.command is not None:
        if word not in (None, "command"):
            raise ConfigError(f"--command is for --model command, not {word}; give one of them")
        word, settings["command"] = "command", given.command
    if word == "command" and settings.get("command") is None:
        raise ConfigError(f"--model command needs --command TEMPLATE: {COMMAND}")
    if word is None and settings:
        raise ConfigError(f"--set is for a model; name it: --model {MODEL}")
    generator = None if word is None else load_generator(word, **settings)
    return ready_generator(method, generator)


def _setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE: a number, a list of numbers, true, false, null, or else text; a path is taken as
    it is typed. Messages call the setting model.NAME, which serves too."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text}: write NAME=VALUE")
    name = name.removeprefix("model.")
    if name in ("path", "command", "suffix"):
        return name, os.path.expanduser(value) if name == "path" else value
    with suppress(ValueError):
        return name, json.loads(f"[{value}]" if "," in value and value[0] != "[" else value)
    return name, value


def run_timemap(given: argparse.Namespace) -> int:
    """`spf timemap`."""
    from spf.pacing.export import as_csv, as_filter
    from spf.pacing.outputs import put
    from spf.pacing.strategies import make_method

    table = _named(given, "timemap", ".csv")
    embedder = chosen_embedder(given)
    with _bars() as watch:
        plan = _plan(given, embedder, make_method("nearest", cuts=given.cuts), watch)
    _print_plan(plan, embedder)
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


def _named(given: argparse.Namespace, word: str, suffix: str) -> Path:
    """The output file: `--out` where that is one, else CLIP.WORD.SUFFIX in that folder."""
    out = Path(given.out)
    if out.suffix.lower() == suffix and not out.is_dir():
        return out
    name = Path(given.clip).resolve().name or "clip"
    return out / f"{name}.{word}{suffix}"


def _check(given: argparse.Namespace, embedder: "Embedder") -> "Embedder | None":
    """The second embedder. Raises as `embedder_of` and `check_embedder`."""
    from spf.embedders import check_embedder

    name, weights = given.check_embedder, given.check_weights
    if name not in ("auto", "none"):
        return check_embedder(embedder_of(name, weights, "--check-weights"), embedder)
    if weights is not None:
        raise ConfigError("--check-weights is for --check-embedder NAME; name one")
    return check_embedder(name, embedder)


def _plan(
    given: argparse.Namespace,
    embedder: "Embedder",
    method: "Resampling | Regenerate",
    watch: "Watch",
    generator: "Generator | None" = None,
) -> "Plan":
    """The plan that the arguments ask for; words are checked before anything is measured."""
    from spf.cache import user_cache
    from spf.measurement import measure_clip
    from spf.pacing.lengths import Wanted
    from spf.pacing.plan import plan_retiming
    from spf.pacing.targets import Target, make_target
    from spf.progress import Curve

    wanted = Wanted(given.keep, given.frames, given.fps)
    if given.like and given.target:
        raise ConfigError("--target and --like both name a pacing; give one of them")
    target: Target | Curve = make_target(given.target or "linear")
    if given.like:
        cache = None if given.no_cache else user_cache()
        target = measure_clip(given.like, embedder, cache=cache, guarded=True).curve
    cached = not given.no_cache
    return plan_retiming(given.clip, embedder, target, method, wanted, cached, watch, generator)


def _print_plan(plan: "Plan", embedder: "Embedder") -> None:
    print_embedder(embedder)
    print(f"\n{plain(plan.source)}")
    for line in plan.lines():
        print(f"  {plain(line)}")


def _print_result(done: "Retimed", embedder: "Embedder") -> None:
    from spf.embedders import shown_name
    from spf.progress import METRICS

    columns, names = [done.before, done.after], [shown_name(embedder)]
    if done.check is not None:
        columns += [done.check.before, done.check.after]
        names.append(shown_name(done.check.embedder))
    print(f"\n  {'':<23}" + "".join(f" {plain('by ' + name):>21}" for name in names))
    print(f"  {'':<23}" + f" {'before':>10} {'after':>10}" * len(names))
    for name in done.before:
        values = [column[name] for column in columns]
        if not (name.endswith("_64") or all(isnan(value) for value in values)):
            unit = METRICS[name].unit if name in METRICS else ""
            numbers = "".join(f" {value:>10.4f}" for value in values)
            print(f"  {name:<23}{numbers} {unit}".rstrip())
    if done.plain is not None:
        print(
            f"  target_mae of the same segments unsteered, before encoding: "
            f"{done.plain['target_mae']:.4f}"
        )
    for line in done.check.lines() if done.check is not None else ():
        print(f"  disagree: {plain(line)}")
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
            unit = "steps" if stage.startswith("segment") else "frames"
            bars[stage] = tqdm(total=total, unit=unit, desc=stage, leave=False, disable=None)
        bars[stage].update(count - bars[stage].n)

    def close() -> None:
        for bar in bars.values():
            bar.close()

    try:
        yield watch
    finally:
        close()
