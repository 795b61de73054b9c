"""`spf retime`: another pacing for an existing clip."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from spf.commands import options
from spf.commands.shared import check_writable, embedder_of, print_embedder
from spf.errors import ConfigError
from spf.generators import MAKERS
from spf.names import plain

if TYPE_CHECKING:
    from spf.embedders import Embedder
    from spf.generators.base import Generator
    from spf.pacing.plan import OnProgress, RetimePlan
    from spf.pacing.retime import Retimed
    from spf.pacing.strategies import Regenerate, Resampling
    from spf.progress import Curve

MODELS = f"{', '.join(MAKERS)} (tiny: 32x32 images), or command, a program of yours"
TEMPLATE = (
    "the program of --model command, such as 'python make.py --first={first} --last={last} "
    "--frames={frames} --out={output}'; also {prompt}, {seed}, {fps}, {width}, {height}"
)


def retime(
    clip: options.Clip,
    target: options.TargetName = None,
    like: options.Like = None,
    frames: options.Frames = None,
    fps: options.Fps = None,
    cuts: options.Cuts = None,
    keep: options.Keep = "length",
    embedder: options.EmbedderName = None,
    weights: options.Weights = None,
    out: Annotated[str, options.output_path("PATH", "Folder, or name of the result.")] = ".",
    no_cache: options.NoCache = False,
    method: Annotated[
        str,
        options.option(
            "NAME",
            "nearest, blend or flow show the clip's own frames; regenerate has a model make "
            "it again between its keyframes.",
        ),
    ] = "flow",
    check_embedder: Annotated[
        str,
        options.option(
            "NAME[/VARIANT]|none",
            "A second embedder that looks at the result too, and says where it disagrees "
            "(auto: the default embedder, or histogram where that one makes the time map).",
        ),
    ] = "auto",
    check_weights: Annotated[
        str | None,
        options.option("FOLDER", "Its weights, as --weights.", callback=options.weights_folder),
    ] = None,
    dry_run: Annotated[bool, options.flag("--dry-run", "Print the plan, write nothing.")] = False,
    model: Annotated[
        str | None, options.option("NAME", f"Of --method regenerate: {MODELS}.")
    ] = None,
    command: Annotated[str | None, options.option("TEMPLATE", f"Regenerate: {TEMPLATE}.")] = None,
    settings: Annotated[
        list[str] | None,
        options.option(
            "NAME=VALUE",
            "Regenerate: a setting of the model, may be repeated: path=FOLDER, "
            "variant=flf2v, offload=model, size=480,832; of a command: factor=8, longest=81, "
            "timeout=60.",
            "--set",
        ),
    ] = None,
    segments: Annotated[int | None, options.option("N", "Regenerate: number of segments.")] = None,
    steer: Annotated[
        str | None,
        options.option(
            "NAME",
            "Regenerate: how each is steered: rope_flat (default), rope, rope_iterative, or none.",
        ),
    ] = None,
    prompt: Annotated[str | None, options.option("TEXT", "Regenerate: of every segment.")] = None,
    seed: Annotated[
        int | None, options.option("N", "Regenerate: of the noise (default: 0).")
    ] = None,
) -> int:
    """Give a clip another pacing: MP4, side by side, plot and time map.

    With --method regenerate, finished segments are stored in NAME.segments beside the result:
    started again, it goes on after them.

    \b
    Examples:
      spf retime clip.mp4
      spf retime clip.mp4 --target ease_in_out --method blend --frames 96
      spf retime clip.mp4 --method regenerate --model wan22 --dry-run
    """
    from spf import embedders
    from spf.pacing.outputs import write_plot, write_report, write_side_by_side
    from spf.pacing.plan import RegenerationPlan, Wanted, plan_retiming
    from spf.pacing.retime import carry_out, check_out, segments_beside
    from spf.pacing.strategies import Regenerate, make_method

    result = check_out(clip, output_file(clip, out, "retimed", ".mp4"))
    measuring = embedder_of(embedder, weights)
    strategy = make_method(method)
    alone = {"model": model, "command": command, "set": settings or None, "segments": segments}
    alone |= {"steer": steer, "prompt": prompt, "seed": seed}
    named = [name for name, value in alone.items() if value is not None]
    if named and not isinstance(strategy, Regenerate):
        raise ConfigError(f"--{named[0]} is for --method regenerate; add that, or leave it out")
    fields = {"n_segments": segments, "strategy": steer, "prompt": prompt, "seed": seed}
    fields |= {"cuts": cuts}
    strategy = make_method(strategy, **{k: x for k, x in fields.items() if x is not None})
    check: str | Embedder = check_embedder
    if check_embedder not in ("auto", "none"):
        check = embedder_of(check_embedder, check_weights, "--check-weights")
    elif check_weights is not None:
        raise ConfigError("--check-weights is for --check-embedder NAME; name one")
    second = embedders.check_embedder(check, measuring)
    generator = _generator(model, command, settings or [], strategy)
    wanted, cached = Wanted(keep, frames, fps), not no_cache
    with progress_bars() as on_progress:
        pacing = pacing_of(target, like, measuring, cached)
        plan = plan_retiming(
            clip, measuring, pacing, strategy, wanted, cached, on_progress, generator
        )
        print_plan(plan, measuring)
        if dry_run:
            return 0
        check_writable(result.parent)
        done = carry_out(plan, result, measuring, cached, on_progress, check=second)
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


def _generator(
    name: str | None, command: str | None, texts: Sequence[str], method: "Resampling | Regenerate"
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
    """NAME=VALUE: a number, a list of numbers, true, false, null, or else text."""
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
    """`out` where that is a file of this kind, else CLIP.NAME.SUFFIX in that folder. Raises
    ConfigError where it is a video of another kind."""
    from spf.video import SUFFIXES

    path = Path(out)
    if path.suffix.lower() == suffix and not path.is_dir():
        return path
    if path.suffix.lower() in SUFFIXES and not path.is_dir():
        remedy = f"give a folder, or a name that ends in {suffix}"
        raise ConfigError(f"{path}: the result is no {path.suffix} file; {remedy}")
    return path / f"{Path(clip).resolve().name or 'clip'}.{name}{suffix}"


def pacing_of(
    target: str | None, like: str | None, embedder: "Embedder", cached: bool
) -> "str | Curve":
    """The target, by its name or as the curve of another clip. Raises ConfigError for both."""
    from spf.cache import user_cache
    from spf.measurement import measure_clip

    if like and target:
        raise ConfigError("--target and --like both name a pacing; give one of them")
    if not like:
        return target or "linear"
    cache = user_cache() if cached else None
    return measure_clip(like, embedder, cache=cache, guarded=True).curve


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
        unsteered = f"{done.plain['target_mae']:.4f}"
        print(f"  target_mae of the same segments unsteered, before encoding: {unsteered}")
    disagreeing = list(done.check.lines()) if done.check is not None else []
    for line in disagreeing:
        print(f"  disagree: {plain(line)}")
    if disagreeing:
        print("  look at the result there, and trust the embedder that suits what the clip shows")
    for note in done.notes[len(done.plan.notes) :]:
        print(f"  note: {plain(note)}")


@contextmanager
def progress_bars() -> Iterator["OnProgress"]:
    """A progress bar for each stage, one after the other."""
    from tqdm import tqdm

    bars: dict[str, Any] = {}
    with ExitStack() as shown:

        def on_progress(stage: str, count: int, total: int | None) -> None:
            if stage not in bars:
                shown.close()
                unit = "steps" if stage.startswith("segment") else "frames"
                bar = tqdm(total=total, unit=unit, desc=stage, leave=False, disable=None)
                bars[stage] = shown.enter_context(bar)
            bars[stage].update(count - bars[stage].n)

        yield on_progress
