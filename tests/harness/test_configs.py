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
from spf.embedders import EMBEDDERS, available
from spf.errors import ConfigError, UnavailableError
from spf.generators import MODELS
from spf.pacing import TARGETS
from spf.pacing.strategies import RETIMES
from spf.video import Sampling

FILES = sorted(set(harness.CONFIGS.glob("*/*.yaml")) - {harness.CONFIGS / "embedder" / "auto.yaml"})
# Arguments that benchmarks.harness.session passes, not the group's config.
PASSED = {
    "benchmark": {"measuring", "model", "retime", "target", "quality", "stills"},
    **{group: {"device"} for group in ("embedder", "model", "quality", "stills")},
}
PRESETS = {"retime_ablation": "retime_generated"}  # which gives another benchmark other values
DESCRIPTION = re.compile(r"# [A-Z].*\b[Nn]eeds [^.]*(\.[^.\s][^.]*)*\.$")


def option(path: Path) -> str:
    return f"{path.parent.name}={path.stem}"


def content(path: Path) -> dict[str, Any]:
    """Its settings, with those that it shares with others of its group."""
    own = yaml.safe_load(path.read_text())
    for name in own.pop("defaults", []) if path.parent != harness.CONFIGS else []:
        if name != "_self_":
            own = content(path.parent / f"{name.partition('@')[0]}.yaml") | own
    return own


@pytest.mark.parametrize("path", FILES, ids=option)
def test_composes_and_is_what_its_name_and_first_line_say(path, tmp_path):
    """Its defaults are those of the class and its bases: all of them are shown, and no others."""
    first = path.read_text().partition("\n")[0]
    assert DESCRIPTION.fullmatch(first), first
    assert len(first) <= 100
    assert re.fullmatch(r"[a-z][a-z0-9_]*", path.stem)
    group, settings = path.parent.name, content(path)
    node = harness.compose(option(path))[group]
    assert OmegaConf.to_container(node, resolve=True) == settings
    kind = get_class(settings.pop("_target_"))
    assert kind.name == PRESETS.get(path.stem, path.stem)
    if group == "embedder" and available()[path.stem]:
        with pytest.raises(UnavailableError, match=f"make weights EMBEDDER={path.stem}"):
            kind()  # Hydra would wrap the error
    elif group == "benchmark":
        generates = kind.name == "retime_generated"
        make = generators.save_tiny if generates else harness.two_generators
        model = ["model=tiny" if generates else "model=folder"]
        words = [option(path), *model, f"model.path={make(tmp_path / 'made')}"]
        session.build(harness.compose(*words))
    else:
        instantiate(node)

    own, *bases = kind.__mro__
    parameters = dict(inspect.signature(own).parameters)
    while parameters.pop("common", None):
        parameters = {**inspect.signature(bases.pop(0)).parameters, **parameters}
    assert set(settings) == set(parameters) - PASSED.get(group, set())
    for name, value in settings.items() if path.stem not in PRESETS else ():
        default = parameters[name].default
        default = list(default) if isinstance(default, tuple) else default
        assert (value, type(value)) == (default, type(default)), name


@pytest.mark.parametrize("path", FILES, ids=option)
def test_the_help_has_a_line_for_each_setting(path):
    group = path.parent.name
    text = settings.help_text([option(path)])
    lines = text.rpartition("what they mean\n")[2].splitlines()
    named = {line.split()[0]: re.split(r"  +", line.strip(), maxsplit=2) for line in lines}
    top = content(harness.CONFIGS / "config.yaml")
    known = {name for name in top if name not in ("defaults", "hydra", "fit", "sampling")}
    known |= {f"{name}.{inner}" for name in ("fit", "sampling") for inner in top[name]}
    known |= {f"{group}.{name}" for name in content(path) if name != "_target_"}
    assert known <= set(named)
    assert {name for name in named if name.startswith(f"{group}.")} <= known
    assert [name for name, parts in named.items() if len(parts) != 3] == []
    assert max(map(len, text.splitlines())) <= 100
    assert f"{group}=NAME (now {path.stem})" in text
    assert all(f"\n  {other.stem} " in text for other in FILES)


def test_the_help_shows_what_is_set():
    text = settings.help_text(["embedder=siglip/b16-384", "fit.window=7"])
    assert re.search(r"^  embedder\.model +b16-384  ", text, re.MULTILINE)
    assert re.search(r"^  fit\.window +7  ", text, re.MULTILINE)
    with pytest.raises(ConfigError, match=r"did you mean fit\.window"):
        settings.help_text(["fit.windw=7"])


def test_groups_equal_their_registries():
    known = {"embedder": EMBEDDERS, "model": MODELS, "target": TARGETS, "retime": RETIMES}
    for group, registry in known.items():
        paths = {path.stem: path for path in FILES if path.parent.name == group}
        classes = {name: get_class(content(path)["_target_"]) for name, path in paths.items()}
        assert classes == {
            name: get_class(one) if isinstance(one, str) else one for name, one in registry.items()
        }


@pytest.mark.parametrize(("words", "name"), [
    ("", "tiny"), ("benchmark=retime_existing", "tiny"),
    ("benchmark=retime_existing benchmark.clips=clips", "efficientnet"),
    ("benchmark=leaderboard", "efficientnet"),
    ("benchmark=user_study model=folder", "efficientnet"),
])  # fmt: skip
def test_the_default_embedder_follows_what_is_measured(words, name):
    for embedder, expected in (("auto", name), ("pixels", "pixels")):
        config = session.resolved(harness.compose(f"embedder={embedder}", *words.split()))
        assert get_class(config.embedder._target_).name == expected


def test_defaults_are_the_designs_and_the_librarys():
    config = commandline.compose([])
    names = ("benchmark", "model", "retime", "target", "quality", "logger")
    chosen = [get_class(config[name]._target_).name for name in names]
    assert chosen == ["retime_generated", "tiny", "none", "linear", "none", "csv"]
    assert (config.output, config.device) == ("results", "auto")
    assert Sampling(**config.sampling) == Sampling()
    made = session.build(harness.compose("benchmark=synthetic_pacing"))
    fit = vars(made.measuring.settings)
    parameters = inspect.signature(spf.fit).parameters
    assert set(config.fit.values()) == {None}
    assert set(config.fit) == set(fit) == set(parameters) - {"z", "times"}
    text = (harness.CONFIGS / "config.yaml").read_text()
    for name, value in fit.items():
        assert value == (default := parameters[name].default), name
        (stated,) = re.findall(rf"^  {name}: null +# (\S+)", text, re.MULTILINE)
        assert type(default)(stated) == default  # the comment must not outlive a change of it


def test_settings_arrive(tmp_path):
    folder = harness.two_generators(tmp_path / "clips", 1)
    words = ["embedder=pixels", "embedder.size=9", "fit.window=7", "fit.noise=nugget"]
    words += ["sampling.stride=3", "batch_size=5", "nuisance=camera+light"]
    config = harness.compose(*harness.leaderboard_words(folder, tmp_path, *words))
    measuring: Any = session.build(config).measuring
    fit, default = measuring.settings, inspect.signature(spf.fit).parameters["sigma"].default
    assert (fit.window, fit.noise, fit.sigma) == (7, "nugget", default)
    assert (measuring.embedder.size, measuring.sampling) == (9, Sampling(stride=3))
    assert (measuring.batch_size, measuring.nuisance) == (5, "camera+light")


BAD = {
    "fit": ("window=-1", "window=0", "window=1.5", "window=many", "sigma=0", "sigma=nan",
            "ridge=-1", "power=-1", "monotone=gradien", "noise=loud"),
    "sampling": ("stride=0", "stride=0.5", "start=-1", "end=soon"),
    "benchmark": ("laws=[lineal]", "laws=[]", "laws=linear", "contents=[no-such-content]",
                  "num_frames=1", "size=[0,128]", "size=128", "size=[128]", "fps=0",
                  "seeds=[none]", "seeds=7", "studies=[gird]", "studies=[]",
                  "_target_=benchmarks.no_such.Thing"),
    "+fit": ("no_such=1",), "+sampling": ("no_such=1",), "+embedder": ("no_such=1",),
    "embedder=histogram embedder": ("colours=1", "colours=red"),
    "embedder=efficientnet embedder": ("views=3", "views=two", "size=225", "layer=logits"),
    "": ("nuisance=camra", "batch_size=0", "batch_size=1.5", "batch_size=true", "cache=maybe",
         "cache=1", "workers=0", "workers=many", "workers=true", "device=gpu", "engine=dask",
         "name=a/b", "name=..", "name=.", "name=/absolute", "output="),
}  # fmt: skip


@pytest.mark.parametrize(
    "words", [f"{group}.{one}".lstrip(".") for group, several in BAD.items() for one in several]
)
def test_bad_values_are_config_errors(words, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "run_cells", lambda *_: pytest.fail("work began"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        session.run(harness.compose("benchmark=synthetic_pacing", *words.split()), quiet=True)
    harness.check_one_line(str(error.value))
    assert not list(tmp_path.iterdir())
