"""Imports point one way, cost little, and the locked environment holds what is promised."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import harness

import spf
from spf.quality import VBENCH_DIMENSIONS
from spf.quality.weights import CAMERA, FIRST_FRAME

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


def test_files_can_be_read_in_a_sitting() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert len(lines) > 40
    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_what_scripts_import_of_ours_is_there() -> None:
    """No type checker reads them."""
    names = [
        (path.name, str(node.module), alias.name)
        for path in sorted((harness.ROOT / "scripts").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in ROOTS
        for alias in node.names
    ]
    assert len(names) > 40
    for script, module, name in names:
        inside = re.search(rf"\b{name}\b", MODULES[module].read_text())
        assert f"{module}.{name}" in MODULES or inside, (script, module, name)


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


def test_vbench_and_its_dimensions_import() -> None:
    """vbench pins libraries of 2023; our lock lifts its pins. One process: it takes seconds."""
    custom = [name for name in VBENCH_DIMENSIONS if name not in (*FIRST_FRAME, CAMERA)]
    assert len(custom) == 7
    homes = dict.fromkeys(custom, "vbench") | {"i2v_subject": "vbench2_beta_i2v"}
    check = "from importlib import import_module as load"
    for dimension, home in homes.items():
        check += f"\nassert callable(load('{home}.{dimension}').compute_{dimension})"
    loaded = harness.command(sys.executable, "-c", f"{check}\nprint('all')")
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
