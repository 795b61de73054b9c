"""The command line of run.py: arguments as they are typed -> overrides of Hydra -> config -> run.

Hydra's grammar reads `2024_05_01` and `1e3` as numbers and `${HOME}` as a lookup. Paths and texts
are none of that: the value of an option in `LITERAL` is quoted before Hydra sees it. Lists, sweeps
and what stands in quotes are left to that grammar, which must find nothing but text in them.
"""

import os
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from spf.errors import ConfigError, SpfError, one_line
from spf.extras import require_extra
from spf.names import NO_NETWORK, choose, is_url, printable
from spf.weights import EMBEDDER_PINS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.name != "hydra" and path.is_dir())
LAUNCHER = "hydra/launcher"
PRESET = "retime.preset"
SHORT = {"inputs": "benchmark.inputs", "preset": PRESET}
"""Options that stand for longer ones."""

LISTS = {"benchmark.answers", "benchmark.inputs"}
"""Options that take a path or a list of paths."""
PATHS = LISTS | {"output", "model.path", "embedder.path", "stills.path", "target.path"}
PATHS |= {"benchmark.clips", "benchmark.pairs", "benchmark.key", "benchmark.categories"}
LITERAL = PATHS | {"name", "fresh", "model.command", "model.suffix", "retime.prompt"}
LITERAL |= {"logger.project", "logger.entity", "logger.group"}
"""Options whose values are taken as they are typed: paths and free text."""

SWEEP = {"-m", "--multirun"}
ASKING = {"-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "-i", "--info"}
ASKING |= {"-p", "--package", "--resolve", "-sc", "--shell-completion"}
"""Hydra's own options, by which it shows something and runs nothing."""
OPTIONS = {*SWEEP, *ASKING, "--fresh"}
QUOTED = re.compile(r"'([^'\\]|\\.)*'|\"([^\"\\]|\\.)*\"", re.DOTALL)
"""One text in quotes; a command or a prompt may begin and end with two of them."""
HELP = "python run.py --help"


for _family, _variant in ((x, y) for x, pins in EMBEDDER_PINS.items() for y in pins):
    ConfigStore.instance().store(  # embedder=NAME/VARIANT: the file of that name, another model
        group=f"embedder/{_family}",
        name=_variant,
        node={"defaults": [f"/embedder/{_family}@_here_"], "model": _variant},
        package="embedder",
    )


class CommandLine(NamedTuple):
    """What was asked for: overrides in Hydra's grammar, whether they are a sweep, and Hydra's own
    options where it is only asked to show something."""

    overrides: list[str]
    sweep: bool = False
    asking: tuple[str, ...] = ()


def parse(arguments: Sequence[str]) -> CommandLine:
    """The command line, with names in their canonical spelling (`ease-in` becomes `ease_in`).
    Raises ConfigError for an unknown option or name, and for a list that is none of texts."""
    asking = any(argument.partition("=")[0] in ASKING for argument in arguments)
    sweep = not asking and not SWEEP.isdisjoint(arguments)
    overrides: list[str] = []
    others: list[str] = []
    for argument in arguments:
        if argument == "--fresh":
            overrides.append(f"fresh=run-{secrets.token_hex(8)}")
        elif asking and (argument.startswith("-") or "=" not in argument):
            others.append(argument)
        elif not argument.startswith("-"):
            overrides.append(_override(argument, sweep))
        elif argument not in OPTIONS:
            raise _unknown_option(argument, OPTIONS)
    return CommandLine(overrides, sweep, tuple(others))


def _override(argument: str, sweep: bool) -> str:
    """An argument in Hydra's grammar; errors as in `parse`."""
    found = re.fullmatch(r"(\+{0,2})([\w./]+)=(.*)", argument, re.DOTALL)
    if found is None:
        if "=" not in argument and not argument.startswith("~"):
            raise ConfigError(f"{argument}: write OPTION=VALUE; {HELP} lists all options")
        return argument  # Hydra says what is wrong
    sign, typed, text = found.groups()
    key = SHORT.get(typed, typed)
    argument = f"{sign}{key}={text}"
    if key in LITERAL:
        return f"{sign}{key}={_literal(key, typed, text, sweep)}"
    if sign or key not in (*GROUPS, LAUNCHER) or not re.fullmatch(r"[\w,\s/-]*", text):
        return argument
    known = [path.stem for path in (CONFIGS / key).glob("*.yaml")]
    known += ["basic"] * (key == LAUNCHER)  # Hydra's own: one job after the other
    names = map(str.strip, text.split(","))
    if key == "embedder":
        from spf.embedders import full_name  # not for --help: it loads the decoders

        return f"{key}={','.join(full_name(name, known) for name in names)}"
    return f"{key}={','.join(choose(name, known, key) for name in names)}"


def quoted(value: str | list[str]) -> str:
    """A value as Hydra's grammar reads it back, whatever characters it has."""
    if isinstance(value, list):
        return f"[{','.join(map(quoted, value))}]"
    return _in_quotes(escaped(value))


def _in_quotes(value: str) -> str:
    return QuotedString(value, Quote.single).with_quotes()


def escaped(value: str) -> str:
    """Text as OmegaConf reads it back: `${` means nothing."""
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", value)


def compose(overrides: Sequence[str], with_hydra: bool = False) -> DictConfig:
    """The config of overrides in Hydra's grammar; `with_hydra` adds Hydra's own settings. Raises
    ConfigError for what cannot be composed, with the name nearest to an unknown one."""
    try:
        config = _compose(overrides, with_hydra)
    except Exception as error:  # Hydra raises its own, OmegaConf's and Python's
        raise explained(error, overrides) from None
    if unknown := _unknown([option for option in overrides if option.startswith("+")], overrides):
        raise unknown  # Hydra would add it, and nobody would read it
    for group in GROUPS:
        if config.get(group) is None:
            raise ConfigError(f"{group} is taken out, but every run needs one; write {group}=NAME")
    return config


def explained(error: Exception, overrides: Sequence[str]) -> ConfigError:
    """An error of composing, in one line."""
    try:
        for option in overrides:
            if first(option) != option:
                return ConfigError(f"{option} names several; add -m to run one after the other")
    except ConfigError as wrong:
        return wrong
    unknown = _unknown(overrides, overrides)
    return unknown or ConfigError(f"{one_line(error, None)} ({HELP} lists all)")


def run(config: DictConfig) -> tuple[int, str]:
    """Run a config and print its folder, or in one line why it ended; exit code and folder."""
    from benchmarks.harness import session

    try:
        finished = session.run(config)
        folder = str(finished.folder.root)
        print(printable(folder), flush=True)
        return finished.code, folder
    except SpfError as error:
        if plan := getattr(error, "plan", ""):
            session.print_plan(plan, [], {})
        print(printable(str(error)), file=sys.stderr)
        return error.exit_code, ""
    except OSError as error:  # a file that the run wrote and reads again, or its folder
        what = f"{error.filename or 'a file'}: {error.strerror or one_line(error, None)}"
        print(printable(f"{what}; fix it and start again: finished cells stay"), file=sys.stderr)
        return 1, ""


def prepare_sweep(overrides: Sequence[str]) -> tuple[list[str], Path]:
    """The overrides of a sweep with its folder, and the folder. Raises ConfigError for what its
    first job cannot be composed of, UnavailableError for a launcher whose package is missing."""
    from benchmarks.harness import sweeps

    config = compose([first(option) for option in overrides], with_hydra=True)
    launcher = str(config.hydra.runtime.choices[LAUNCHER])
    if launcher.startswith("submitit"):
        require_extra(f"{LAUNCHER}={launcher}", "cluster")
    swept = [option.partition("=")[0] for option in overrides if first(option) != option]
    options = [_later(option, swept) for option in overrides]
    if any(option.startswith("hydra.sweep.dir=") for option in overrides):
        return options, Path(config.hydra.sweep.dir)
    lasting = [option for option in overrides if not option.startswith("fresh=")]
    folder = sweeps.folder_of(os.path.expanduser(str(config.output)), lasting)
    return [*options, f"hydra.sweep.dir={quoted(str(folder))}"], folder


def run_job(config: DictConfig) -> int:
    """Run one job of a sweep, wherever it is, and report how it ended; its exit code."""
    from benchmarks.harness import sweeps

    job = HydraConfig.get()
    if config.workers is None and job.runtime.choices[LAUNCHER] in sweeps.SIDE_BY_SIDE:
        config.workers = 1
    code, folder = 1, ""
    try:
        code, folder = run(config)
    finally:
        options = as_typed(config, job.overrides.task)
        sweeps.report(Path(job.sweep.dir), job.job.num, code, options, folder)
    return code


def first(option: str) -> str:
    """An override, or the first of those that a sweep runs through. Raises ConfigError."""
    try:
        parsed = OverridesParser.create().parse_override(option)
        if not parsed.is_sweep_override():
            return option
        return f"{parsed.key_or_group}={next(iter(parsed.sweep_string_iterator()))}"
    except Exception as error:
        raise ConfigError(f"{option}: {one_line(error, None)}") from None


def _later(option: str, swept: Sequence[str]) -> str:
    """A setting of a group that is swept, as a sweep of one value: Hydra composes the config once
    without what is swept, where the setting may not be."""
    key, _, value = option.partition("=")
    group, dot, _ = key.partition(".")
    single = dot and group in GROUPS and group in swept and first(option) == option
    return f"{key}=choice({value})" if single else option


def as_typed(config: DictConfig, overrides: Sequence[str]) -> list[str]:
    """The overrides of a config as arguments of the command."""
    options = []
    for option in overrides:
        key = option.partition("=")[0].lstrip("+")
        value = OmegaConf.select(config, key) if key in LITERAL else None
        if value is not None and not isinstance(value, str):
            value = f"[{','.join(map(_in_quotes, value))}]"
        options.append(option if value is None else f"{key}={value}")
    return options


def _compose(overrides: Sequence[str], with_hydra: bool) -> DictConfig:
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return hydra.compose("config", list(overrides), return_hydra_config=with_hydra)


def _unknown(options: Sequence[str], overrides: Sequence[str]) -> ConfigError | None:
    """The error of the first of `options` that sets an option which no config here has."""
    if not options:
        return None
    chosen = [option for option in overrides if option.partition("=")[0] in (*GROUPS, LAUNCHER)]
    try:
        known = {*options_of(_compose([*map(first, chosen)], with_hydra=True))}
    except Exception:
        return None  # it is the choice that cannot be composed
    for option in options:
        key = option.partition("=")[0].lstrip("+~")
        if key == PRESET and key not in known:
            retime = next((x for x in chosen if x.startswith("retime=")), "retime=none")
            return ConfigError(f"{retime} has no preset; presets are for retime=rope")
        added_to_hydra = re.match(r"\++hydra\.", option)
        if key not in known and re.fullmatch(r"[\w.-]+", key) and not added_to_hydra:
            ours = {name for name in known if name.startswith("hydra.") == key.startswith("hydra.")}
            return _unknown_option(key, ours)
    return None


def options_of(config: DictConfig) -> dict[str, Any]:
    """The dotted names of all options and groups of options, and their values."""
    found: dict[str, Any] = {}

    def walk(node: Mapping[Any, Any], above: str) -> None:
        for name, value in node.items():
            found[f"{above}{name}"] = value
            if isinstance(value, dict):
                walk(value, f"{above}{name}.")

    walk(OmegaConf.to_container(config, resolve=False), "")  # type: ignore[arg-type]
    return found


def _unknown_option(option: str, known: set[str]) -> ConfigError:
    """With the nearest known option, by its whole name or else by its last part."""
    last = {name.rpartition(".")[2]: name for name in sorted(known, reverse=True)}
    near = get_close_matches(option, sorted(known), n=1)
    near += [last[name] for name in get_close_matches(option.rpartition(".")[2], last, n=1)]
    hint = f"did you mean {near[0]}? " if near else ""
    return ConfigError(f"unknown option {option}; {hint}{HELP} lists all")


def _literal(key: str, typed: str, text: str, sweep: bool) -> str:
    """The value of an option in `LITERAL`, or those of a sweep, for Hydra. Raises ConfigError."""
    listed = key in LISTS and text[:1] == "[" and text[-1:] == "]"
    hydras = listed or (sweep and "," in text) or QUOTED.fullmatch(text)
    exists = key in PATHS and os.path.lexists(os.path.expanduser(text))
    values = _parsed(key, typed, text) if hydras and not exists else [text]
    for path in (path for value in values for path in _listed(value) if key in PATHS):
        if not path:
            raise ConfigError(f"{typed}= names nothing; the current folder is {typed}=.")
        if is_url(path) and not os.path.lexists(path):
            raise ConfigError(f"{typed}={path}: {'; '.join(NO_NETWORK)}")
    return ",".join(quoted(_listed(value) if key in LISTS else value) for value in values)


def _parsed(key: str, typed: str, text: str) -> list[Any]:
    """The texts, or lists of texts, of a sweep, or one, by Hydra's grammar. Raises ConfigError."""
    try:
        found = OverridesParser.create().parse_override(f"{key}={text}").value()
    except HydraException:
        found = None
    values = found.list if isinstance(found, ChoiceSweep) else [found]
    plain = [[*map(_text, x)] if isinstance(x, list) else _text(x) for x in values]
    texts = [path for value in plain for path in _listed(value)] if key in LISTS else plain
    if not all(isinstance(text, str) for text in texts):
        example = "['A','B']" if key in LISTS else "'A','B'"
        remedy = f'put names into quotes: "{typed}={example}"'
        raise ConfigError(f"{typed}={text}: this is no list of texts; {remedy}")
    return plain


def _text(value: Any) -> Any:
    return value.text if isinstance(value, QuotedString) else value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
