"""`spf retime`: another pacing for an existing clip."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spf.commands.options import (
    Clip,
    EmbedderName,
    NoCache,
    Weights,
    local_path,
    weights_folder,
)
from spf.commands.shared import check_writable, embedder_of, plain, print_embedder
from spf.errors import ConfigError
from spf.generators import MAKERS

if TYPE_CHECKING:
    from spf.embedders import Embedder
    from spf.generators.base import Generator
    from spf.pacing.plan import OnProgress, RetimePlan
    from spf.pacing.retime import Retimed
    from spf.pacing.strategies import Regenerate, Resampling

MODELS = f"{', '.join(MAKERS)} (tiny: 32x32 pictures), or command, a program of yours"
TEMPLATE = (
    "the program of --model command, such as 'python make.py --first={first} --last={last} "
    "--frames={frames} --out={output}'; also {prompt}, {seed}, {fps}, {width}, {height}"
)
SETTINGS = {
    "segments": "n_segments",
    "steer": "strategy",
    "prompt": "prompt",
    "seed": "seed",
}
"""Options, and the settings of `Regenerate` alone that they are."""

TargetName = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="NAME",
        help="linear (default), ease_in, ease_out, ease_in_out, exponential, sine, custom; with "
        "settings: exponential:temperature=5, custom:path=points.csv.",
    ),
]
Like = Annotated[
    str | None,
    typer.Option(
        metavar="CLIP",
        help="Take the pacing of another clip.",
        callback=lambda path: path and os.path.expanduser(path),
    ),
]
Frames = Annotated[int | None, typer.Option(metavar="N", help="Number of frames of the result.")]
Fps = Annotated[float | None, typer.Option(metavar="R", help="Its frames a second.")]
Cuts = Annotated[
    str | None,
    typer.Option(
        metavar="keep|bridge",
        help="Hard cuts stay, and no frame lies between two shots (keep, the default), or are "
        "retimed like any other change (bridge).",
    ),
]
Keep = Annotated[
    Literal["length", "fastest"],
    typer.Option(
        help="Keep the clip's length, or make it longer so that no part passes faster than it did."
    ),
]
Out = Annotated[
    str, typer.Option(metavar="PATH", help="Folder, or name of the result.", callback=local_path)
]


def retime(
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
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="nearest, blend or flow show the clip's own frames; regenerate has a model make "
            "it anew between its keyframes.",
        ),
    ] = "flow",
    check_embedder: Annotated[
        str,
        typer.Option(
            metavar="NAME[/VARIANT]|none",
            help="A second embedder that looks at the result too, and says where it disagrees "
            "(auto: the default embedder, or histogram where that one makes the time map).",
        ),
    ] = "auto",
    check_weights: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Its weights, as --weights.", callback=weights_folder),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, write nothing.")] = (
        False
    ),
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"Of --method regenerate: {MODELS}.")
    ] = None,
    command: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help=f"Regenerate: {TEMPLATE}.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Regenerate: a setting of the model, may be given again: path=FOLDER, "
            "variant=flf2v, offload=model, size=480,832; of a command: factor=8, longest=81, "
            "timeout=60.",
        ),
    ] = None,
    segments: Annotated[
        int | None, typer.Option(metavar="N", help="Regenerate: number of segments.")
    ] = None,
    steer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Regenerate: how each is steered: rope_flat (default), rope, rope_iterative, or "
            "none.",
        ),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Regenerate: of every segment.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Regenerate: of the noise (default: 0).")
    ] = None,
) -> int:
    """Give a clip another pacing: MP4, side by side, plot and time map.

    With --method regenerate, finished segments are kept in NAME.segments beside the result: started
    again, it goes on after them.

    \b
    Examples:
      spf retime clip.mp4
      spf retime clip.mp4 --target ease_in_out --method blend --frames 96
      spf retime clip.mp4 --method regenerate --model wan22 --dry-run
    """
    from spf.pacing.outputs import write_plot, write_report, write_side_by_side
    from spf.pacing.plan import RegenerationPlan
    from spf.pacing.retime import carry_out, check_out, segments_beside

    result = check_out(clip, output_file(clip, out, "retimed", ".mp4"))
    measuring = embedder_of(embedder, weights)
    of_segments = {"segments": segments, "steer": steer, "prompt": prompt, "seed": seed}
    of_model = {"model": model, "command": command, "set": settings or None}
    strategy = _method(method, cuts, of_model, of_segments)
    check = _check(check_embedder, check_weights, measuring)
    generator = _generator(model, command, settings or [], strategy)
    with progress_bars() as on_progress:
        plan = make_plan(
            clip,
            measuring,
            strategy,
            (keep, frames, fps),
            target,
            like,
            not no_cache,
            on_progress,
            generator,
        )
        print_plan(plan, measuring)
        if dry_run:
            return 0
        check_writable(result.parent)
        done = carry_out(plan, result, measuring, not no_cache, on_progress, check=check)
        _print_result(done, measuring)
        print(f"  result        {plain(result)}")
        write_report(done, result.with_suffix(".json"), measuring)
        print(f"  time map      {plain(result.with_suffix('.json'))}")
        write_plot(done, result.with_suffix(".png"), measuring)
        print(f"  plot          {plain(result.with_suffix('.png'))}")
        beside = result.with_suffix(".side-by-side.mp4")
        write_side_by_side(done, beside, on_progress)
    print(f"  side by side  {plain(beside)}")
    if isinstance(plan, RegenerationPlan):
        print(f"  segments      {plain(segments_beside(result))} (for starting again)")
    return 0


def _method(
    name: str, cuts: str | None, of_model: dict[str, Any], of_segments: dict[str, Any]
) -> "Resampling | Regenerate":
    """The strategy with its settings. Raises ConfigError for options of another one."""
    from spf.pacing.strategies import Regenerate, make_method

    method = make_method(name)
    named = [key for key, value in (of_model | of_segments).items() if value is not None]
    if named and not isinstance(method, Regenerate):
        raise ConfigError(f"--{named[0]} is for --method regenerate; add that, or leave it out")
    settings = {SETTINGS[key]: of_segments[key] for key in named if key in SETTINGS}
    if cuts is not None:
        settings["cuts"] = cuts
    return make_method(method, **settings)


def _generator(
    name: str | None, command: str | None, texts: list[str], method: "Resampling | Regenerate"
) -> "Generator | None":
    """The model with its settings, where the method needs one; it can run here."""
    from spf.generators import load_generator
    from spf.pacing.plan import ready_generator

    settings = dict(_setting(text) for text in texts)
    if command is not None:
        if name not in (None, "command"):
            raise ConfigError(f"--command is for --model command, not {name}; give one of them")
        name, settings["command"] = "command", command
    if name == "command" and settings.get("command") is None:
        raise ConfigError(f"--model command needs --command TEMPLATE: {TEMPLATE}")
    if name is None and settings:
        raise ConfigError(f"--set is for a model; name it: --model {MODELS}")
    generator = None if name is None else load_generator(name, **settings)
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


def output_file(clip: str, out: str, name: str, suffix: str) -> Path:
    """`out` where that is a file of this kind, else CLIP.NAME.SUFFIX in that folder."""
    path = Path(out)
    if path.suffix.lower() == suffix and not path.is_dir():
        return path
    return path / f"{Path(clip).resolve().name or 'clip'}.{name}{suffix}"


def _check(name: str, weights: str | None, embedder: "Embedder") -> "Embedder | None":
    """The second embedder. Raises as `embedder_of` and `check_embedder`."""
    from spf.embedders import check_embedder

    if name not in ("auto", "none"):
        return check_embedder(embedder_of(name, weights, "--check-weights"), embedder)
    if weights is not None:
        raise ConfigError("--check-weights is for --check-embedder NAME; name one")
    return check_embedder(name, embedder)


def make_plan(
    clip: str,
    embedder: "Embedder",
    method: "Resampling | Regenerate",
    length: tuple[str, int | None, float | None],
    target: str | None,
    like: str | None,
    cached: bool,
    on_progress: "OnProgress",
    generator: "Generator | None" = None,
) -> "RetimePlan":
    """The plan that the arguments ask for; names are checked before anything is measured.

    length : --keep, --frames and --fps.
    """
    from spf.cache import user_cache
    from spf.measurement import measure_clip
    from spf.pacing.lengths import Wanted
    from spf.pacing.plan import plan_retiming
    from spf.pacing.targets import Target, make_target
    from spf.progress import Curve

    wanted = Wanted(*length)
    if like and target:
        raise ConfigError("--target and --like both name a pacing; give one of them")
    pacing: Target | Curve = make_target(target or "linear")
    if like:
        cache = user_cache() if cached else None
        pacing = measure_clip(like, embedder, cache=cache, guarded=True).curve
    return plan_retiming(clip, embedder, pacing, method, wanted, cached, on_progress, generator)


def print_plan(plan: "RetimePlan", embedder: "Embedder") -> None:
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
def progress_bars() -> Iterator["OnProgress"]:
    """A progress bar for each stage, one after the other."""
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def on_progress(stage: str, count: int, total: int | None) -> None:
        if stage not in bars:
            close()
            unit = "steps" if stage.startswith("segment") else "frames"
            bars[stage] = tqdm(total=total, unit=unit, desc=stage, leave=False, disable=None)
        bars[stage].update(count - bars[stage].n)

    def close() -> None:
        for bar in bars.values():
            bar.close()

    try:
        yield on_progress
    finally:
        close()
