"""The command line of run.py: what is typed is what is opened, and errors name what works."""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from PIL import Image

from benchmarks.harness import session
from benchmarks.harness.commandline import LISTS, LITERAL, PATHS, parse
from benchmarks.user_study.trials import Study
from spf.embedders.tiny import SHIPPED
from spf.errors import ConfigError, SpfError
from spf.names import printable

ODD = [
    *("2024_05_01", "1e3", "0x1f", "1_000", "null", "true", "nan", "12:30.mp4", "-x", "--out"),
    *("a=b", "a,b", "a b", " a", "a ", "[a]", "[a,b]", "a[0]", "{a: 1}", "(b", "*", "%j", "50%"),
    *("it's", 'say "hi"', "'q'", '"q"', "'", "a','b", "''", "${HOME}", "$HOME", "${oc.env:HOME}"),
    *("\\${x}", "end\\", "\\\\", "#c", "!d", "@p", "+x", "~nobody-here", "choice(a,b)", "`ls`"),
    *("e\u0301", "\u00e9", "line\nbreak", "tab\tend\t", "\x1b[2J", "\udcff.mp4"),
]
OPENED = [
    *("2024_05_01", "null", "a=b", "a,b", "[a]", "'q'", "${HOME}", "end\\", "line\nbreak"),
    *("\udcff.mp4", "~/a b"),
]
SIGNS = "ab1_ =,'\"[]{}()$\\~:%#+-.\n\u0301\udc80"


def drawn(count: int, seed: int) -> list[str]:
    """Names of up to 9 letters that mean something to a shell, to Hydra, to YAML or to a path."""
    pick = random.Random(seed)
    names = ["".join(pick.choices(SIGNS, k=pick.randint(1, 9))) for _ in range(count)]
    return [name for name in names if name not in (".", "..")]


def test_every_option_that_takes_a_path_is_literal() -> None:
    """One is named path, or its comment speaks of files or folders."""
    for file in harness.CONFIGS.glob("*/*.yaml"):
        for line in file.read_text().splitlines():
            name, _, comment = line.partition("#")
            key = f"{file.parent.name}.{name.partition(':')[0]}"
            if ":" in name and (
                key.endswith(".path")
                or re.search(r"\b([Ff]iles?|[Ff]olders?)\b(?! of images)", comment)
            ):
                assert key in PATHS, line


def values(override: str) -> list[Any]:
    """What Hydra and OmegaConf make of an override: one value, or those of a sweep."""
    parsed = OverridesParser.create().parse_override(override)
    if parsed.is_sweep_override():
        key = parsed.get_key_element()
        return [value for one in parsed.sweep_string_iterator() for value in values(f"{key}={one}")]
    value = parsed.value()
    config = OmegaConf.create({"value": list(value) if isinstance(value, list) else value})
    return [OmegaConf.to_container(config, resolve=True)["value"]]  # type: ignore[index, call-overload]


def single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def advised(error: ConfigError) -> str:
    """The argument that an error advises, as a shell reads it."""
    text = harness.check_one_line(str(error))
    (word,) = re.findall(r"write (\$?'.*'|\S+?)(?:; for a name .*)?$", text)
    done = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    return os.fsdecode(done.stdout)


@pytest.mark.parametrize("key", sorted(LITERAL))
def test_values_are_taken_as_they_are_typed(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or refused; then what the error advises gives a value."""
    monkeypatch.chdir(tmp_path)
    refused = {}
    for name in [*ODD, *drawn(100, seed=1)]:
        try:
            (override,) = parse([f"{key}={name}"]).overrides
        except ConfigError as error:
            assert re.fullmatch(r"'[^']*'|\"[^\"]*\"", name) or (key in LISTS and name[0] == "[")
            refused[name] = error
            continue
        if key in LISTS and name[0] == "[" and name[-1] == "]":
            assert values(override) == [["a"]] or "," in name
        else:
            assert single(values(override)[0]) == name
    for name in ("'q'", '"q"'):
        assert single(values(parse([advised(refused[name])]).overrides[0])[0]) == "q"


@pytest.mark.parametrize("key", sorted(LITERAL))
def test_names_in_quotes_make_lists_and_sweeps(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [*ODD, *drawn(60, seed=2)]
    marked = ["'" + name.replace("'", "''") + "'" for name in names]
    (override,) = parse(["-m", f"{key}={', '.join(marked)}"]).overrides
    assert values(override) == ([[name] for name in names] if key in LISTS else names)
    if key not in LISTS:
        assert values(parse(["-m", f"{key}=a, b c,[d]"]).overrides[0]) == ["a", "b c", "[d]"]
        assert values(parse(["-m", f"{key}=a\u00a0 ,b\n"]).overrides[0]) == ["a\u00a0", "b\n"]
        return
    (override,) = parse([f"{key}=[{','.join(marked)}]"]).overrides
    assert values(override) == [names]
    assert values(parse(["-m", f'{key}=[a,"b]"],c,[ ]']).overrides[0]) == [["a", "b]"], ["c"], []]


@pytest.mark.parametrize(
    "word", ["inputs=['a]", "inputs=[a[0],b]", "inputs=[a,]", "output='a'b", "output=a,"]
)
def test_what_is_no_list_names_the_quoting(word: str) -> None:
    words = [word] if word.startswith("inputs") else ["-m", word]
    with pytest.raises(
        ConfigError, match=r"this is no list; put names into quotes: '(inputs|output)="
    ):
        parse(words)


# Variants of embedders


def test_run_takes_a_variant_as_a_setting_or_as_a_name() -> None:
    named = harness.compose("embedder=siglip/b16-384", "embedder.precision=float32")
    assert named == harness.compose(
        "embedder=siglip", "embedder.model=b16-384", "embedder.precision=float32"
    )


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("embedder=siglp/b16-384", "unknown embedder 'siglp'; did you mean siglip?"),
        ("embedder=siglip/b16-834", "unknown siglip variant 'b16-834'; did you mean b16-384"),
        ("embedder=tiny/b16", "embedder tiny has no variants; write tiny"),
        ("embedder=auto/b16", "embedder auto has no variants; write auto"),
    ],
)
def test_run_names_the_nearest_variant(word: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        harness.compose(word)
    assert harness.check_one_line(str(error.value)).startswith(said)


# What is opened


def links_to(target: Path) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[str]]]:
    """For each option that takes a path, something that it accepts, and the words beside it."""
    root = tmp_path_factory.mktemp("there")
    clips = harness.two_generators(root / "clips", 1)
    leaderboard = ["benchmark=leaderboard", "embedder=pixels", "model=folder"]
    study = ["benchmark=user_study", "embedder=pixels"]
    with pytest.MonkeyPatch.context() as patch:
        harness.without_plots(patch)
        run = harness.run(clips, root / "out").folder.root
    harness.touch(root / "answers", "a.json")
    names = ["even", "jumpy"]
    planned = Study.planned("x", names, ["pair0"], 0)
    (root / "key.json").write_text(planned.key())
    (root / "points.csv").write_text("0,0\n1,1\n")
    (root / "categories").write_text("pair0: animals\n")
    Image.fromarray(harness.picture(0)).save(root / "frame.png")
    Image.fromarray(harness.picture(0)).save(root / "p_first.png")
    Image.fromarray(harness.picture(1)).save(root / "p_last.png")
    (root / "described").write_text("[{name: p, first_prompt: a cat, last_prompt: a lion}]")
    (root / "pairs").write_text("[{name: p, first: %s, last: %s}]" % ((root / "frame.png",) * 2))
    return {
        "output": (root / "out", [*leaderboard, f"model.path={clips}"]),
        "model.path": (clips, leaderboard),
        "embedder.path": (SHIPPED, [*leaderboard[::2], f"model.path={clips}"]),
        "stills.path": (root, ["stills=folder", f"benchmark.pairs={root / 'described'}"]),
        "target.path": (root / "points.csv", ["target=custom", "benchmark.num_pairs=1"]),
        "benchmark.clips": (clips, ["benchmark=retime_existing"]),
        "benchmark.pairs": (root / "pairs", []),
        "benchmark.answers": (root / "answers", [*study, "model=folder", f"model.path={clips}"]),
        "benchmark.key": (root / "key.json", [*study, f"benchmark.answers={root / 'answers'}"]),
        "benchmark.categories": (root / "categories", [*leaderboard, f"model.path={clips}"]),
        "benchmark.inputs": (run, [*leaderboard]),
    }


@pytest.mark.parametrize("key", sorted(PATHS))
def test_the_path_that_is_typed_is_opened(
    key: str,
    there: dict[str, tuple[Path, list[str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is nothing else that could be opened."""
    target, words = there[key]
    monkeypatch.setenv("HOME", str(tmp_path))
    for number, name in enumerate(OPENED):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        place = Path(os.path.expanduser(name))
        place.symlink_to(target)
        config = session.resolved(composed(key, name, words))
        _, job = session.make_job(config)
        place.unlink()
        if key == "output":
            assert job.store.root == place / "cells"
            continue
        with pytest.raises(SpfError) as error:
            session.make_job(config)
        text = harness.check_one_line(printable(str(error.value)))
        assert printable(place.name.strip()) in text or repr(name) in text


def composed(key: str, name: str, words: list[str]) -> Any:
    """The config with an option as it is typed; where that is refused, as the error advises."""
    try:
        return harness.compose(*words, f"{key}={name}")
    except ConfigError as error:
        return harness.compose(*words, advised(error))
