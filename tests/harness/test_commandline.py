import os
import re
from pathlib import Path
from typing import Any

import harness
import pytest
import rows
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import OmegaConf

from benchmarks.harness import commandline, session
from benchmarks.harness.commandline import LISTS, LITERAL, PATHS, compose, first, parse
from spf.embedders.tiny import SHIPPED
from spf.errors import ConfigError, SpfError
from spf.names import printable

ODD = [
    "2024_05_01", "1e3", "0x1f", "1_000", "null", "true", "nan", "12:30.mp4", "-x", "--out",
    "a=b", "a,b", "a b", " a", "a ", "[a]", "[a,b]", "a[0]", "{a: 1}", "(b", "*", "%j", "50%",
    "it's", 'say "hi"', "'q'", '"q"', "'", "a','b", "''", "${HOME}", "$HOME", "${oc.env:HOME}",
    "'a b' {c} 'd'", '"a" "b"',
    "\\${x}", "end\\", "\\\\", "#c", "!d", "@p", "+x", "~nobody-here", "choice(a,b)", "`ls`",
    "e\u0301", "\u00e9", "line\nbreak", "tab\tend\t", "\x1b[2J", "\udcff.mp4",
]  # fmt: skip
OPENED = ["2024_05_01", "a,b", "'q'", "${HOME}", "line\nbreak", "\udcff.mp4", "~/a b"]
pytestmark = pytest.mark.filterwarnings("ignore:\\s*'hydra/launcher")


def values(override: str) -> list[Any]:
    """What Hydra and OmegaConf make of an override: one value, or those of a sweep."""
    parsed = OverridesParser.create().parse_override(override)
    if parsed.is_sweep_override():
        key = parsed.get_key_element()
        return [value for one in parsed.sweep_string_iterator() for value in values(f"{key}={one}")]
    value = parsed.value()
    config = OmegaConf.create({"value": list(value) if isinstance(value, list) else value})
    return [OmegaConf.to_container(config, resolve=True)["value"]]


def single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def in_quotes(name: str) -> str:
    return QuotedString(name, Quote.single).with_quotes()


@pytest.mark.parametrize("key", sorted(LITERAL))
def test_values_are_taken_as_they_are_typed(key, tmp_path, monkeypatch):
    """In quotes, lists and sweeps they are what Hydra's grammar makes of them, if that is text."""
    monkeypatch.chdir(tmp_path)
    theirs = {"'q'": "q", '"q"': "q", "''": ""}
    if key in LISTS:
        theirs |= {"[a]": "a", "[a,b]": ["a", "b"]}
    for name in ODD:
        if key in PATHS and name == "''":
            continue
        (override,) = parse([f"{key}={name}"]).overrides
        assert single(values(override)[0]) == theirs.get(name, name)

    marked = [in_quotes(name) for name in ODD]
    (override,) = parse(["-m", f"{key}={', '.join(marked)}"]).overrides
    assert values(override) == ([[name] for name in ODD] if key in LISTS else ODD)
    if key not in LISTS:
        assert values(parse(["-m", f"{key}=a, b c,'[d]'"]).overrides[0]) == ["a", "b c", "[d]"]
        return
    (override,) = parse([f"{key}=[{','.join(marked)}]"]).overrides
    assert values(override) == [ODD]
    assert values(parse(["-m", f'{key}=[a,"b]"],c,[ ]']).overrides[0]) == [["a", "b]"], ["c"], []]


LISTED = """this is no list of texts; put names into quotes: "(inputs|output)=.*'A','B'"""
UNCOMPOSABLE = [
    ("embedder=pixel", "embedder 'pixel'; did you mean pixels"),
    ("embedder=pixels,histogrm", "'histogrm'; did you mean histogram"),
    ("embedder=", "embedder ''.* clip, dinov2, efficientnet, histogram, pixels"),
    ("benchmark=synthetic-pacin", "'synthetic-pacin'; did you mean synthetic_pacing"),
    ("hydra/launcher=jobli", "did you mean joblib"),
    ("embedder=siglip/b16-834", "^unknown siglip variant 'b16-834'; did you mean b16-384"),
    ("embedder=tiny/b16", "^embedder tiny has no variants; write tiny"),
    ("embedder", "^embedder: write OPTION=VALUE"),
    ("fit.window=(", r"fit.window=\(: extraneous input"),
    ("embedder=tiny,pixels", "embedder=tiny,pixels names several; add -m"),
    ("~embedder", "embedder is taken out"),
    ("+embedder=pixels", "embedder"),
    ("model.path=", "model.path= names nothing; the current folder is model.path=."),
    ("output=https://a//b", "output=https://a//b: network sources are not opened; download"),
    ("inputs=[a,s3://b]", "inputs=s3://b: network sources are not opened"),
    ("inputs=['a]", LISTED),
    ("inputs=[a[0],b]", LISTED),
    ("-m output='a'b,c", LISTED),
    ("-m output=a,", LISTED),
    ("-m output=2024,a", LISTED),
    ("-m output=[a],b", LISTED),
    ("inputs=[a,null]", LISTED),
    ("zzz=1", "unknown option zzz; python run.py --help lists all"),
]
NEAREST = {
    "fit.windw=3": "fit.window", "window=3": "fit.window", "++fit.windw=3": "fit.window",
    "~fit.windw": "fit.window", "+embeder=pixels": "embedder", "model-path=clips": "model.path",
    "benchmark.sed=[1]": "benchmark.seeds", "-m fit.windw=3": "fit.window", "--frsh": "--fresh",
    "-m hydra.launcher.n_job=2": "hydra.launcher.n_jobs",
}  # fmt: skip
UNKNOWN = [
    (f"hydra/launcher=joblib {words}", rf"^unknown option \S+; did you mean {near}\? python run.py")
    for words, near in NEAREST.items()
]


@pytest.mark.parametrize(("words", "message"), [*UNCOMPOSABLE, *UNKNOWN])
def test_what_cannot_be_composed_is_named_with_the_nearest(words, message):
    with pytest.raises(ConfigError, match=message) as error:  # noqa: PT012
        line = parse(words.split(" "))
        compose([first(word) for word in line.overrides] if line.sweep else line.overrides)
    harness.check_one_line(str(error.value))


def test_other_spellings_serve():
    words = ["--fresh", "benchmark=synthetic-pacing", "-m", "target=ease-in,sine"]
    made = [parse(words).overrides for _ in range(2)]
    names = ["benchmark=synthetic_pacing", "target=ease_in,sine"]
    assert made[0][1:] == made[1][1:] == names
    assert made[0][0] != made[1][0]  # fresh: all jobs of a sweep share it, no two sweeps do
    assert compose(made[0][:1]).fresh == made[0][0].removeprefix("fresh=")
    more = "embedder.precision=float32"
    plain = harness.compose("embedder=siglip", "embedder.model=b16-384", more)
    assert harness.compose("embedder=siglip/b16-384", more) == plain


def sweep(*words: str) -> tuple[list[str], Path]:
    return commandline.prepare_sweep(parse(["-m", *words]).overrides)


def test_a_sweep_is_named_after_its_options_not_the_clock():
    words = ["embedder=pixels,histogram", "fit.window=3,5"]
    one = sweep(*words)[1]
    assert one == Path("results/sweeps") / one.name
    assert sweep(*reversed(words), "--fresh")[1] == one != sweep(words[0], "fit.window=3")[1]
    assert sweep(*words, "hydra.sweep.dir=mine")[1] == Path("mine")
    for output in ("it's", "a=b", "brä(c]k", "a,b", "${x}\\"):
        overrides, folder = sweep(f"output={in_quotes(output)}")
        assert compose(overrides, with_hydra=True).hydra.sweep.dir == str(folder)
        assert folder.parent == Path(output) / "sweeps"


# What is opened


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """Options that take a folder, a file, a list; what they accept, and the words beside it."""
    root = tmp_path_factory.mktemp("there")
    clips = harness.two_generators(root / "clips", 1)
    board = ["benchmark=leaderboard", "embedder=pixels", "model=folder"]
    (root / "categories").write_text("pair0: animals\n")
    return {
        "output": (harness.touch(root, "out/x") / "out", [*board, f"model.path={clips}"]),
        "model.path": (clips, board),
        "embedder.path": (SHIPPED, [*board[::2], f"model.path={clips}"]),
        "benchmark.categories": (root / "categories", [*board, f"model.path={clips}"]),
        "benchmark.inputs": (rows.stored(root / "run", rows.board("a", 2)), board[:1]),
    }


def test_every_option_that_takes_a_path_is_literal():
    """One is named path, or its comment speaks of files or folders."""
    for file in harness.CONFIGS.glob("*/*.yaml"):
        for line in file.read_text().splitlines():
            name, _, comment = line.partition("#")
            key = f"{file.parent.name}.{name.partition(':')[0]}"
            speaks = re.search(r"\b([Ff]iles?|[Ff]olders?)\b(?! of images)", comment)
            assert key in PATHS or ":" not in name or not (key.endswith(".path") or speaks), line


@pytest.mark.parametrize(
    "key", ["output", "model.path", "embedder.path", "benchmark.categories", "benchmark.inputs"]
)
def test_the_path_that_is_typed_is_opened(key, there, tmp_path, monkeypatch):
    target, words = there[key]
    monkeypatch.setenv("HOME", str(tmp_path))
    for number, name in enumerate(OPENED):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        place = Path(os.path.expanduser(name))
        place.symlink_to(target)
        config = session.resolved(harness.compose(*words, f"{key}={name}"))
        _, job = session.make_job(config)
        place.unlink()
        if key == "output":
            assert job.store.root == place / "cells"
            continue
        with pytest.raises(SpfError) as error:
            session.make_job(config)
        text = harness.check_one_line(printable(str(error.value)))
        assert printable(place.name.strip()) in text or repr(name) in text
