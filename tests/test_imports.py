"""Imports point one way, cost little, and the locked environment holds what is promised."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import harness
import pytest

import spf
from spf.quality import VBENCH_DIMENSIONS

ROOTS = ["spf", "synthetic", "benchmarks", "run"]
HEAVY = {
    "torch", "torchvision", "diffusers", "transformers", "open_clip", "vbench", "wandb", "pandas",
    "scipy", "cv2", "av", "PIL", "matplotlib",
}  # fmt: skip
LOCK = (harness.ROOT / "requirements.lock").read_text()


def modules() -> dict[str, Path]:
    """Our modules by name."""
    found = {"run": harness.ROOT / "run.py"}
    for package in ROOTS[:-1]:
        for path in sorted((harness.ROOT / package).rglob("*.py")):
            parts = path.relative_to(harness.ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imported(name: str) -> Iterator[str]:
    """Modules that a module imports anywhere in it, lazily or not, or names in an import_module."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in MODULES else base
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant))


def ours(name: str) -> list[str]:
    return [module for module in imported(name) if module.partition(".")[0] in ROOTS]


def test_the_walk_sees_imports() -> None:
    """The tests below would pass on an empty list."""
    assert len(MODULES) > 40
    assert "spf.progress.curve" in ours("spf.progress.fit")
    assert "benchmarks.harness.commandline" in ours("run")  # inside a function
    assert "spf.errors" in ours("spf.video.reader")


@pytest.mark.parametrize("name", [name for name in MODULES if "." in name])
def test_files_can_be_read_in_a_sitting(name: str) -> None:
    assert len(MODULES[name].read_text().splitlines()) <= 400


# Scripts and tests, which no type checker reads


def source_of(module: str) -> Path | None:
    """The file, or the folder, of a module of ours, by the names that scripts and tests use."""
    for root in (harness.ROOT, harness.ROOT / "scripts", harness.ROOT / "tests"):
        base = root.joinpath(*module.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py", base):
            if path.exists():
                return path
    return None


@lru_cache
def bound(path: Path) -> set[str]:
    """Names that a module has: those bound outside functions and classes, and its submodules."""
    found = {other.stem for other in path.parent.glob("*.py") if path.name == "__init__.py"}
    if path.is_dir():
        return {other.stem for other in path.iterdir()}
    left: list[ast.AST] = [ast.parse(path.read_text())]
    while left:
        node = left.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        else:
            left.extend(ast.iter_child_nodes(node))
    return found


def unresolved(text: str) -> list[str]:
    """What some code imports, lazily or not, that neither we have nor the environment."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            wanted = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            wanted = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        for module, name in wanted:
            root, path = module.partition(".")[0], source_of(module)
            if not source_of(root):
                known = root in sys.modules or find_spec(root) is not None
            elif path and name and name not in bound(path):
                known = source_of(f"{module}.{name}") is not None
            else:
                known = path is not None
            if not known:
                found.append(f"{module} {name}".strip())
    return found


@pytest.mark.parametrize("folder", ["scripts", "tests"])
def test_what_scripts_and_tests_import_is_there(folder: str) -> None:
    files = sorted((harness.ROOT / folder).glob("*.py"))
    assert len(files) > 20
    missing = {path.name: unresolved(path.read_text()) for path in files}
    assert {name: found for name, found in missing.items() if found} == {}


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("from scripts.bad_clips import DAMAGES, nobody", ["scripts.bad_clips nobody"]),
        ("from scripts.gone import x", ["scripts.gone x"]),
        ("def f():\n    from harness import gone", ["harness gone"]),
        ("from spf.corpus import rows, gone", ["spf.corpus gone"]),
        ("import bench_gone, bench_fit, numpy", ["bench_gone"]),
        ("from spf import measure, gone", ["spf gone"]),
    ],
)
def test_an_import_of_what_is_gone_is_seen(code: str, missing: list[str]) -> None:
    assert unresolved(code) == missing


# What is loaded


def loaded_by(code: str, **more: str) -> set[str]:
    """Roots of the modules that a Python has loaded after running some code."""
    tail = "import sys, json; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = harness.command(sys.executable, "-c", f"{code}\n{tail}", **more)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_spf_loads_nothing_heavy() -> None:
    loaded = loaded_by("import spf; dir(spf); spf.__version__")
    assert not loaded & (HEAVY | {"numpy"})


def exits(code: str) -> str:
    return f"try:\n    {code}\nexcept SystemExit as stop:\n    assert not stop.code, stop.code"


def test_help_of_spf_loads_nothing_heavy() -> None:
    assert not loaded_by("import spf.cli; assert spf.cli.main(['--help']) == 0") & (
        HEAVY | {"numpy", "hydra"}
    )


def test_help_of_run_loads_nothing_heavy() -> None:
    start = f"import runpy; runpy.run_path({harness.RUN[1]!r}, run_name='__main__')"
    code = "import sys; sys.argv = ['run.py', '--help']\n" + exits(start)
    loaded = loaded_by(code)
    assert "hydra" in loaded
    assert not loaded & HEAVY


def test_measuring_a_clip_with_a_control_loads_no_torch() -> None:
    code = "import numpy, spf; spf.measure(numpy.zeros((4, 8, 8, 3), numpy.uint8), 'pixels')"
    assert not loaded_by(code) & {"torch", "diffusers", "transformers", "vbench", "wandb", "pandas"}


def test_every_promised_name_exists() -> None:
    for name in spf.__all__:
        assert getattr(spf, name) is not None
        assert name in dir(spf)
    with pytest.raises(AttributeError, match="no_such_name"):
        spf.no_such_name  # noqa: B018


def test_promised_names_are_those_of_the_type_checker() -> None:
    """The lazy table and the imports under TYPE_CHECKING say the same."""
    tree = ast.parse(MODULES["spf"].read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == {(home, name) for name, home in spf._HOME_OF.items()}
    for home, name in typed:
        assert getattr(import_module(str(home)), name) is getattr(spf, name)


# The environment


def test_vbench_and_its_custom_input_dimensions_import() -> None:
    """vbench pins libraries of 2023; our lock lifts its pins. One process: it takes seconds."""
    assert len(VBENCH_DIMENSIONS) == 7
    names = ["vbench", *(f"vbench.{dimension}" for dimension in VBENCH_DIMENSIONS)]
    check = "from importlib import import_module as load"
    for dimension in VBENCH_DIMENSIONS:
        check += f"\nassert callable(load('vbench.{dimension}').compute_{dimension})"
    loaded = harness.command(
        sys.executable, "-c", f"import {', '.join(names)}\n{check}\nprint('all')"
    )
    assert loaded.stdout.splitlines()[-1:] == ["all"], loaded.stderr


def locked() -> dict[str, set[str]]:
    """Distributions of the lock file with their versions: one for each range of Pythons."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", LOCK, re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def test_lock_has_every_package_of_the_project() -> None:
    project = tomllib.loads((harness.ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(line for lines in extras for line in lines)]
    names = {re.split(r"[<>=! ;\[]", line)[0].lower().replace("_", "-") for line in wanted}
    issue = {"hydra-core", "torch", "diffusers", "transformers", "open-clip-torch", "vbench"}
    issue |= {"scipy", "pandas", "wandb", "pytest"}
    assert issue <= names | {"vbench"}  # which no extra can name: requirements-vbench.in does
    assert names | issue <= set(locked())


def test_lock_is_pinned_and_names_no_host() -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host| @ ", LOCK)
    entries = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) > 50
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_installed_versions_are_the_locked_ones() -> None:
    from importlib.metadata import version

    for name in ("numpy", "scipy", "av", "torch", "vbench", "transformers", "hydra-core"):
        assert version(name).partition("+")[0] in locked()[name], name
