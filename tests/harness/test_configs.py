"""Every config composes, says what it is, and agrees with the class that it names."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import generators
import harness
import pytest
import yaml
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

import spf
from benchmarks.harness import commandline, session, settings
from benchmarks.harness.session import build
from spf.embedders import EMBEDDERS, available
from spf.errors import ConfigError, UnavailableError
from spf.generators import MODELS
from spf.pacing import TARGETS
from spf.pacing.strategies import RETIMES
from spf.video import Sampling

FILES = sorted(set(harness.CONFIGS.glob("*/*.yaml")) - {harness.CONFIGS / "embedder" / "auto.yaml"})
# Arguments that benchmarks.harness.session passes, not the group's config.
GIVEN = {
    "benchmark": {"measuring", "model", "retime", "target", "quality", "stills"},
    "embedder": {"device"},
    "model": {"device"},
    "quality": {"device"},
    "stills": {"device"},
}
# Words that give another benchmark other values.
PRESETS = {"retime_ablation": "retime_generated"}
DESCRIPTION = re.compile(r"# [A-Z].*\b[Nn]eeds [^.]*(\.[^.\s][^.]*)*\.$")


def word(path: Path) -> str:
    return f"{path.parent.name}={path.stem}"


def content(path: Path) -> dict[str, Any]:
    """Its settings, with those that it shares with others of its group."""
    own = yaml.safe_load(path.read_text())
    for name in own.pop("defaults", []) if path.parent != harness.CONFIGS else []:
        if name != "_self_":
            own = content(path.parent / f"{name.partition('@')[0]}.yaml") | own
    return own


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def test_there_are_configs() -> None:
    groups = {path.parent.name for path in FILES}
    assert groups == {
        "embedder",
        "model",
        "retime",
        "target",
        "benchmark",
        "quality",
        "stills",
        "logger",
    }
    assert not list(harness.CONFIGS.rglob("*.yml"))


@pytest.mark.parametrize("path", FILES, ids=word)
def test_composes_and_is_what_its_name_and_first_line_say(path: Path, tmp_path: Path) -> None:
    first = path.read_text().partition("\n")[0]
    assert DESCRIPTION.fullmatch(first), first
    assert len(first) <= 100
    assert re.fullmatch(r"[a-z][a-z0-9_]*", path.stem)
    group = path.parent.name
    node = harness.compose(word(path))[group]
    assert OmegaConf.to_container(node, resolve=True) == content(path)
    kind = get_class(node._target_)
    assert kind.name == PRESETS.get(path.stem, path.stem)
    if group == "embedder" and available()[path.stem]:
        with pytest.raises(UnavailableError, match=f"make weights EMBEDDER={path.stem}"):
            kind()  # Hydra would wrap the error
    elif group == "benchmark":
        generates = kind.name == "retime_generated"
        make = generators.save_tiny if generates else harness.two_generators
        model = ["model=tiny" if generates else "model=folder"]
        build(harness.compose(word(path), *model, f"model.path={make(tmp_path / 'made')}"))
    else:
        instantiate(node)


@pytest.mark.parametrize("path", FILES, ids=word)
def test_the_help_has_a_line_for_each_setting(path: Path) -> None:
    """Its name, its value, and some words, in 100 columns."""
    group = path.parent.name
    text = settings.help_text([word(path)])
    lines = text.rpartition("what they mean\n")[2].splitlines()
    named = {line.split()[0]: re.split(r"  +", line.strip(), maxsplit=2) for line in lines}
    top = content(harness.CONFIGS / "config.yaml")
    known = {name for name in top if name not in ("defaults", "hydra", "fit", "sampling")}
    known |= {f"{name}.{inner}" for name in ("fit", "sampling") for inner in top[name]}
    known |= {f"{group}.{name}" for name in content(path) if name != "_target_"}
    assert known <= set(named)
    assert {name for name in named if name.startswith(f"{group}.")} <= known
    for name, parts in named.items():
        assert len(parts) == 3, name
    assert max(map(len, text.splitlines())) <= 100
    assert f"{group}=NAME (now {path.stem})" in text
    assert all(f"\n  {other.stem} " in text for other in FILES)


def test_the_help_shows_what_is_set() -> None:
    text = settings.help_text(["embedder=siglip/b16-384", "fit.window=7"])
    assert re.search(r"^  embedder\.model +b16-384  ", text, re.MULTILINE)
    assert re.search(r"^  fit\.window +7  ", text, re.MULTILINE)
    with pytest.raises(ConfigError, match=r"did you mean fit\.window"):
        settings.help_text(["fit.windw=7"])


@pytest.mark.parametrize("path", FILES, ids=word)
def test_defaults_equal_those_of_the_class(path: Path) -> None:
    """Those of its bases too, where it passes the rest on to them."""
    node = content(path)
    kind, *bases = get_class(node.pop("_target_")).__mro__
    parameters = dict(inspect.signature(kind).parameters)
    while parameters.pop("common", None):
        parameters = {**inspect.signature(bases.pop(0)).parameters, **parameters}
    free = set(parameters) - GIVEN.get(path.parent.name, set())
    assert set(node) == free  # all of them are shown, and none that the class does not know
    if path.stem in PRESETS:
        return
    for name, value in node.items():
        assert value == plain(parameters[name].default), name
        assert type(value) is type(plain(parameters[name].default)), name


@pytest.mark.parametrize(
    ("group", "known"),
    [("embedder", EMBEDDERS), ("model", MODELS), ("target", TARGETS), ("retime", RETIMES)],
)
def test_group_equals_the_registry(group: str, known: dict[str, Any]) -> None:
    files = {path.stem: content(path) for path in FILES if path.parent.name == group}
    classes = {name: get_class(node["_target_"]) for name, node in files.items()}
    assert classes == {
        name: get_class(one) if isinstance(one, str) else one for name, one in known.items()
    }


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("", "tiny"),
        ("benchmark=synthetic_pacing", "tiny"),
        ("benchmark=retime_existing", "tiny"),
        ("benchmark=retime_existing benchmark.clips=clips", "efficientnet"),
        ("benchmark=leaderboard", "efficientnet"),
        ("model=folder", "efficientnet"),
        ("benchmark=user_study model=folder", "efficientnet"),
        ("benchmark=user_study", "tiny"),
    ],
)
def test_the_default_embedder_follows_what_is_measured(words: str, name: str) -> None:
    config = session.resolved(harness.compose("embedder=auto", *words.split()))
    assert get_class(config.embedder._target_).name == name
    named = session.resolved(harness.compose("embedder=pixels", *words.split()))
    assert get_class(named.embedder._target_).name == "pixels"


def test_defaults_are_the_designs() -> None:
    config = commandline.compose([])
    assert config.logger._target_ == "benchmarks.harness.report.trackers.NoTracker"
    assert config.output == "results"
    assert config.device == "auto"
    assert get_class(config.retime._target_) is RETIMES["none"]
    assert get_class(config.target._target_) is TARGETS["linear"]
    assert config.quality._target_ == "spf.quality.NoQuality"
    assert config.model._target_ == MODELS["tiny"]
    assert get_class(config.benchmark._target_).name == "retime_generated"


def test_null_fit_settings_are_the_librarys_defaults() -> None:
    config = harness.compose("benchmark=synthetic_pacing")
    assert set(config.fit.values()) == {None}
    settings = build(config).measuring.settings  # type: ignore[attr-defined]
    parameters = inspect.signature(spf.fit).parameters
    for name, value in vars(settings).items():
        assert value == parameters[name].default, name
    assert set(config.fit) == set(vars(settings)) == set(parameters) - {"z", "times"}


def test_comments_on_null_settings_give_the_true_defaults() -> None:
    """`window: null  # 30 frames` must not outlive a change of the default."""
    text = (harness.CONFIGS / "config.yaml").read_text()
    for name in harness.compose().fit:
        (said,) = re.findall(rf"^  {name}: null +# (\S+)", text, re.MULTILINE)
        default = inspect.signature(spf.fit).parameters[name].default
        assert type(default)(said) == default


def test_sampling_is_the_librarys_default() -> None:
    assert Sampling(**harness.compose().sampling) == Sampling()


def test_given_settings_arrive(tmp_path: Path) -> None:
    folder = harness.two_generators(tmp_path / "clips", 1)
    words = harness.leaderboard_words(folder, tmp_path)
    words += ["fit.window=7", "fit.noise=nugget", "sampling.stride=3", "batch_size=5"]
    words += ["nuisance=camera+light"]
    config = harness.compose("embedder=pixels", "embedder.size=9", *words)
    measuring: Any = build(config).measuring  # type: ignore[attr-defined]
    assert measuring.embedder.size == 9
    assert (measuring.settings.window, measuring.settings.noise) == (7, "nugget")
    assert measuring.settings.sigma == inspect.signature(spf.fit).parameters["sigma"].default
    assert measuring.sampling == Sampling(stride=3)
    assert measuring.batch_size == 5
    assert measuring.nuisance == "camera+light"


@pytest.mark.parametrize(
    "words",
    [
        "fit.window=-1",
        "nuisance=camra",
        "fit.window=0",
        "fit.window=1.5",
        "fit.window=many",
        "fit.sigma=0",
        "fit.sigma=-2",
        "fit.sigma=nan",
        "fit.ridge=-1",
        "fit.power=-1",
        "fit.monotone=gradien",
        "fit.noise=loud",
        "+fit.no_such=1",
        "sampling.stride=0",
        "sampling.stride=0.5",
        "sampling.start=-1",
        "sampling.end=soon",
        "+sampling.no_such=1",
        "batch_size=0",
        "batch_size=-3",
        "batch_size=1.5",
        "batch_size=true",
        "cache=maybe",
        "cache=1",
        "workers=0",
        "workers=many",
        "workers=true",
        "device=gpu",
        "embedder=histogram embedder.colours=1",
        "embedder=histogram embedder.colours=red",
        "+embedder.no_such=1",
        "embedder=efficientnet embedder.views=3",
        "embedder=efficientnet embedder.views=two",
        "embedder=efficientnet embedder.size=225",
        "embedder=efficientnet embedder.size=1024",
        "embedder=efficientnet embedder.layer=logits",
        "benchmark.laws=[lineal]",
        "benchmark.laws=[]",
        "benchmark.laws=linear",
        "benchmark.contents=[no-such-content]",
        "benchmark.contents=[]",
        "benchmark.num_frames=1",
        "benchmark.size=[0,128]",
        "benchmark.size=128",
        "benchmark.size=[128]",
        "benchmark.fps=0",
        "benchmark.seeds=[none]",
        "benchmark.seeds=[]",
        "benchmark.seeds=7",
        "benchmark.studies=[gird]",
        "benchmark.studies=[]",
        "benchmark._target_=benchmarks.no_such.Thing",
        "name=a/b",
        "name=..",
        "name=.",
        "output=",
    ],
)
def test_bad_values_are_config_errors(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any work begins, in one line."""

    def began(*_: object) -> None:
        pytest.fail("work began")

    monkeypatch.setattr(session, "run_cells", began)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        session.run(harness.compose("benchmark=synthetic_pacing", *words.split()), quiet=True)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
