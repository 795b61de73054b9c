"""The help of run.py: a line for each name of each group, and for each setting.

What a setting means is the comment beside it in configs/, and nowhere else.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

from benchmarks.harness.commandline import CONFIGS, GROUPS, compose, options_of
from spf.weights import EMBEDDER_PINS

WIDTH = 100
LONGEST = 14
"""Letters of a value that are shown."""
USAGE = """\
python run.py [NAME=VALUE ...]       one experiment; started again, it goes on where it stopped
python run.py -m NAME=A,B ...        a sweep: every combination of the values (docs/how-to/sweep.md)

  python run.py model=folder model.path=clips/ benchmark=leaderboard
  python run.py embedder=siglip model=ltx2 retime=rope target=ease-in-out quality=vbench
  python run.py -m embedder=pixels,histogram fit.window=15,30 benchmark=synthetic_pacing

  --fresh      start over: nothing that was finished counts
  --cfg job    print the whole configuration and run nothing
  --help       this, with the settings of the names that stand beside it: embedder=siglip --help

exit codes: 0 done or not run, with the reason; 1 some cells failed; 2 bad configuration; 3 the
embedder or model cannot run here; 130 after Ctrl-C"""


def help_text(overrides: Sequence[str]) -> str:
    """What `run.py --help` prints. Raises ConfigError for what cannot be composed."""
    config = compose(overrides, with_hydra=True)
    chosen = config.hydra.runtime.choices
    parts = [USAGE]
    for group in GROUPS:
        files = {path.stem: path.read_text() for path in sorted((CONFIGS / group).glob("*.yaml"))}
        lines = {name: text.split("\n")[0].removeprefix("# ") for name, text in files.items()}
        parts.append(_block(f"{group}=NAME (now {chosen[group]})", lines))
    variants = {f"{name}/...": ", ".join(pins) for name, pins in EMBEDDER_PINS.items()}
    parts.append(_block("embedder=NAME/VARIANT", variants))
    title = "settings, their values now, and what they mean"
    parts.append("\n".join([title, *setting_lines(config)]))
    return "\n\n".join(parts)


def _block(title: str, lines: Mapping[str, str]) -> str:
    width = max(map(len, lines))
    indent = " " * (width + 4)
    wrapped = [
        textwrap.fill(
            f"  {name:<{width}}  {text}", WIDTH, subsequent_indent=indent, break_on_hyphens=False
        )
        for name, text in lines.items()
    ]
    return "\n".join([title, *wrapped])


def setting_lines(config: DictConfig) -> Iterator[str]:
    """A line for each setting of a composed config: its name, its value, what it means."""
    values = {
        name: _value(value)
        for name, value in options_of(config).items()
        if not re.match(r"hydra\b|.*\b_target_$", name) and not (value and isinstance(value, dict))
    }
    known = dict(meanings("config"))
    for group in GROUPS:
        file = str(config.hydra.runtime.choices[group]).partition("/")[0]
        known |= {f"{group}.{name}": text for name, text in meanings(f"{group}/{file}").items()}
    width, across = (max(map(len, found)) for found in (values, values.values()))
    for name in sorted(values, key=lambda one: one.partition(".")[0] in GROUPS):
        yield f"  {name:<{width}}  {values[name]:<{across}}  {known.get(name, '')}".rstrip()


@cache
def meanings(file: str) -> Mapping[str, str]:
    """Comments beside the settings of a file of configs/, by the settings' dotted names.

    Where a file takes settings from a shared one (`defaults: [shared/NAME@_here_]`), or gives other
    values to a class that another file of its group explains, they are that file's.
    """
    path = (CONFIGS / file).with_suffix(".yaml")
    found = _comments(path)
    for name in yaml.safe_load(path.read_text()).get("defaults", ()):
        if isinstance(name, str) and name.endswith("@_here_"):
            found = _comments(path.parent / f"{name.partition('@')[0]}.yaml") | found
    for other in sorted(path.parent.glob("*.yaml")):
        if not all(found.values()) and _target(other) == _target(path):
            found = {name: text or _comments(other).get(name, "") for name, text in found.items()}
    return found


def _comments(path: Path) -> dict[str, str]:
    text = path.read_text()
    lines = text.splitlines()

    def walk(node: yaml.MappingNode, above: str) -> Iterator[tuple[str, str]]:
        for key, value in node.value:
            name = f"{above}{key.value}"
            if isinstance(value, yaml.MappingNode) and value.value:
                yield from walk(value, f"{name}.")
            else:
                line = key.start_mark.line
                end = (value if value.end_mark.line == line else key).end_mark.column
                yield name, lines[line][end:].partition("#")[2].strip()

    root = yaml.compose(text)
    return dict(walk(root, "")) if isinstance(root, yaml.MappingNode) else {}


def _target(path: Path) -> str:
    return yaml.safe_load(path.read_text()).get("_target_") or path.stem


def _value(value: Any) -> str:
    """A value as it is typed, or how many there are."""
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).split("\n...")[0].strip()
    if len(text) <= LONGEST:
        return text
    return f"{len(value)} values" if isinstance(value, list) else f"{text[: LONGEST - 3]}..."
