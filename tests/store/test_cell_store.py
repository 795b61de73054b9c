"""The stores: entries that are whole or not there, known by their code; finished runs."""

import json
import os
import shutil
import subprocess
import sys
from unittest.mock import Mock

import harness
import jobs
import pytest

from benchmarks.harness import session
from benchmarks.harness.cells import Interval, Outcome, Section, Summary, Table
from benchmarks.harness.folder import DiskError, RunFolder
from benchmarks.harness.records import DONE, FAILED, make_record
from benchmarks.harness.report.tables import table_as_csv
from benchmarks.harness.runner import Results
from benchmarks.harness.store import CellStore
from spf.identity import closure, code_hash
from spf.store import MANIFEST, Store


def test_an_entry_comes_back_as_it_was_put(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"two")
    made = Store(tmp_path / "store").put("key", {"a": [1, None]}, {"x/1": b"one", "2": source})
    found = Store(tmp_path / "store").get("key")
    assert found == made
    assert found.about == {"a": [1, None]}
    assert [found.read("x/1"), found.read("2")] == [b"one", b"two"]
    assert found.path("2").samefile(source)  # a link
    assert Store(tmp_path / "store").get("another") is None


def test_a_lock_is_free_where_its_holder_died(tmp_path):
    code = (
        "import sys, os; from pathlib import Path; from spf.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "with store.lock('key') as held:\n"
        "    os.rename = lambda *_: os._exit(0 if held else 1)\n"
        "    store.put('key', {}, {'x': b'half-written'})"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
    store = Store(tmp_path)
    assert store.lock_file("key").exists()
    assert len([*tmp_path.glob(".spf-*")]) == 1
    with store.lock("key") as held, Store(tmp_path).lock("key") as also:
        assert (held, also) == (True, False)
    assert list(tmp_path.iterdir()) == []


def test_of_two_results_the_first_one_stays(tmp_path):
    (cell,), store, _ = jobs.make(tmp_path, ["a"])
    failed = store.save(cell, make_record(cell, FAILED, "it rained", {}), Outcome({}))
    assert failed.record["reason"] == "it rained"
    assert store.load(cell) is None
    for number in (0, 1):
        outcome = Outcome({}, files={"curves/a.csv": b"%d" % number})
        found = store.save(cell, make_record(cell, DONE, "", {"linearity_mae": number}), outcome)
        assert found.record["linearity_mae"] == 0
    assert store.folder.read("curves/a.csv") == b"0"
    assert [path.name for path in store.root.iterdir()] == [cell.identity]


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_write_that_fails_leaves_nothing(call, tmp_path, monkeypatch):
    (cell,), store, _ = jobs.make(tmp_path, ["a"])

    monkeypatch.setattr(os, call, Mock(side_effect=OSError(28, "No space left on device")))
    outcome = Outcome({}, files={"curves/a.csv": b"0"})
    with pytest.raises(DiskError, match="No space left"):
        store.save(cell, make_record(cell, DONE, "", {}), outcome)
    assert list(store.root.iterdir()) == []
    assert store.load(cell) is None


FAULTS = """
import resource
import numpy as np
from spf.devices import reuse_freed_memory
if {reuse}:
    reuse_freed_memory()
np.ones(2**22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**22)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(reuse, **environment):
    """Page faults of asking twenty times for 32 MB that were freed before."""
    environment |= {"PYTHONPATH": str(harness.ROOT)}
    return int(
        harness.command(sys.executable, "-c", FAULTS.format(reuse=reuse), **environment).stdout
    )


@pytest.mark.skipif("glibc" not in os.confstr("CS_GNU_LIBC_VERSION"), reason="of glibc")
def test_freed_memory_is_not_faulted_in_again():
    reused = faults(True)
    assert faults(False) > 10 * reused
    assert faults(True, MALLOC_MMAP_THRESHOLD_="1000000") > 10 * reused  # the user's own choice


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
    root = tmp_path_factory.mktemp("tree")
    for package in ("spf", "synthetic", "benchmarks"):
        ignore = shutil.ignore_patterns("*.pyc", "*.sa*")
        shutil.copytree(harness.ROOT / package, root / package, ignore=ignore)
    return root


def edited(module, root):
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


def run(output):
    options = [*harness.TINY, "benchmark.laws=[linear]"]
    return session.run_once(harness.compose(*options, f"output={output}")).folder.root


def stored(root):
    """Manifest of the store's only entry that is a run: that holds tables."""
    found = root.parents[1].glob(f"cells/*/{MANIFEST}")
    (manifest,) = (x for x in found if "index.html" in json.loads(x.read_text())["files"])
    return manifest


def test_what_was_touched_is_as_before(tmp_path, monkeypatch):
    drawn = [("floor", "truth.png", harness.blank(), "an image")]
    monkeypatch.setattr("benchmarks.known_pacing.experiment.draw_figures", lambda *_: drawn)
    made, real = [], session.run
    monkeypatch.setattr(session, "run", lambda config: made.append(real(config)) or made[-1])

    def everything():
        return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    root = run(tmp_path)
    before = everything()
    for touch, runs in (
        (lambda: (root / "truth.png").unlink(), 1),
        (lambda: (root / "noise_floor.csv").write_text("altered"), 2),
        (lambda: shutil.rmtree(tmp_path / "cells"), 3),
        (lambda: stored(root).write_text("{"), 4),
    ):
        touch()
        run(tmp_path)
        assert len(made) == runs
        after = everything()
        assert after.keys() == before.keys()
        same = (".csv", ".md", ".png", "records.parquet")
        assert all(after[name] == before[name] for name in after if name.endswith(same))


def test_failures_are_not_kept(tmp_path):
    folder = RunFolder(tmp_path / "run")
    made = session.Run(folder, 1, Results(), Summary("done", []))
    session.store_run(made, CellStore(tmp_path / "cells", folder), "key")
    assert not (tmp_path / "cells").exists()


def test_intervals_come_back_as_numbers():
    row = {"clip": "a", "error_95": Interval(-0.25, 0.5), "blank": None}
    table = Table.of_rows("t", "title", list(row), [row])
    made = Summary("headline", [Section("s", tables=[table])])
    (again,) = Summary.of_plain(json.loads(json.dumps(made.plain()))).sections[0].tables
    assert again.rows == [row]
    assert again.rows[0]["error_95"] == (-0.25, 0.5)
    assert table_as_csv(again) == "clip,error_95,blank\na,-0.2500 .. 0.5000,\n"
