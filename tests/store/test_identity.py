"""The code of a result is found from the source: whatever can run counts, and nothing else does."""

import json
import shutil
import sys

import harness
import pytest

from spf.identity import closure, code_hash

CELL = "benchmarks.leaderboard.cells"
UNUSED = (
    "benchmarks.leaderboard.tables",
    "benchmarks.leaderboard.page",
    "benchmarks.harness.runner",
    "benchmarks.user_study.experiment",
    "spf.corpus.run",
    "synthetic.landscapes",
    "spf.cli",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the packages, whose modules may be edited."""
    root = tmp_path_factory.mktemp("tree")
    for package in ("spf", "synthetic", "benchmarks"):
        ignore = shutil.ignore_patterns("*.pyc", "*.sa*")
        shutil.copytree(harness.ROOT / package, root / package, ignore=ignore)
    return root


def edited(module, root):
    """Code of the cell after a line was added to a module."""
    before = module.read_bytes()
    module.write_bytes(before + b"\n# edited\n")
    try:
        code_hash.__globals__["_code_hash"].cache_clear()
        return code_hash(CELL, tree=root)
    finally:
        module.write_bytes(before)


@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_an_edit_counts_where_the_module_is_used_and_only_there(tree, stride):
    used = closure(CELL, tree=tree)
    before = code_hash(CELL, tree=tree)
    assert len(used) > 60
    for name, file in [*used.items()][::stride]:
        assert edited(file, tree) != before, name
    for name in UNUSED:
        assert name not in used
        assert edited(tree / f"{name.replace('.', '/')}.py", tree) == before, name


def test_what_is_loaded_is_in_the_closure():
    """Python itself is the second source: what an import loads, the closure holds."""
    script = (
        "import importlib, json, sys; importlib.import_module(sys.argv[1]);"
        "from spf.embedders import load_embedder; import numpy;"
        "load_embedder('tiny').encode(numpy.zeros((1, 64, 64, 3), numpy.uint8));"
        "ours = [x for x in sys.modules if x.split('.')[0] in ('spf', 'synthetic', 'benchmarks')];"
        "print(json.dumps(ours))"
    )
    done = harness.command(sys.executable, "-c", script, "benchmarks.generated.experiment")
    loaded = set(json.loads(done.stdout))
    passed = {name for name in loaded if any(other.startswith(f"{name}.") for other in loaded)}
    assert loaded - passed <= set(closure("benchmarks.generated.experiment")) | {"spf.identity"}


FILES = {
    "spf/__init__.py": "HOMES = {'spf.lazy': 'x'}\nfrom spf.core import a\n",
    "spf/start.py": (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from spf.types_only import T\n"
        "REGISTRY = {'one': 'spf.plugins.one.One'}\n"
        "def run():\n    from . import inner\n    import spf.deep.leaf\n"
        "def text():\n    '''Not spf.prose, which is a sentence.'''\n"
    ),
    "spf/plugins/__init__.py": "ALL = ['spf.plugins.two']\ndef f():\n    import spf.prose\n",
    "spf/deep/leaf.py": "from ..core import a\nimport json\n",
}
EMPTY = ("core", "lazy", "types_only", "prose", "inner", "plugins/one", "plugins/two")


def test_every_way_to_name_a_module(tmp_path):
    empty = dict.fromkeys(["spf/deep/__init__.py", *(f"spf/{name}.py" for name in EMPTY)], "")
    for name, text in (FILES | empty).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    wanted = {f"spf.{name}" for name in ("core", "start", "plugins.one", "inner", "deep.leaf")}
    assert set(closure("spf.start", tree=tmp_path)) == wanted  # packages are passed
    assert "spf.plugins.two" in closure("spf.plugins", tree=tmp_path)


def test_another_embedder_in_the_registry_leaves_the_others_vectors_known(tree):
    """The registry is no part of them, nor is any other embedder; what they share is."""
    roots = ("spf.embedders.base", "spf.thumbnails", "spf.embedders.openclip")
    used = closure(*roots, tree=tree)
    assert not {"spf.embedders", "spf.embedders.dinov2", "spf.embedders.tiny"} & set(used)
    assert {"spf.embedders.tower", "spf.embedders.network", "spf.video.reader"} <= set(used)
