"""Sources that run nothing out of data (docs/security.md), by a walk over all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest

FOLDERS = ("spf", "synthetic", "benchmarks", "scripts")
SOURCES = [harness.ROOT / "run.py"]
SOURCES += [path for name in FOLDERS for path in sorted((harness.ROOT / name).rglob("*.py"))]

MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"}
"""What these read may run code; an exception of theirs may be named."""
NAMES = {"eval", "exec", "compile", "__import__"}
CALLS = {
    "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen",
    "subprocess.getoutput", "subprocess.getstatusoutput", "pd.read_pickle", "torch.hub.load",
    "tempfile.mktemp", "shutil.unpack_archive",
}  # fmt: skip
METHODS = {"extractall", "read_pickle", "to_pickle"}
ONLY = {"allow_pickle": False, "trust_remote_code": False, "shell": False, "autoescape": True}
"""Arguments that may have this value alone."""


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def dangers(source: str) -> Iterator[str]:
    """What a source has that may run code out of data."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            yield from (x.name for x in node.names if not x.name.endswith("Error"))
        elif isinstance(node, ast.Call):
            yield from dangerous_call(node)


def dangerous_call(node: ast.Call) -> Iterator[str]:
    name = dotted(node.func)
    if name in NAMES or name in CALLS or name.rpartition(".")[2] in METHODS:
        yield name
    given = {word.arg: word.value for word in node.keywords}
    for word, wanted in ONLY.items():
        if word in given and getattr(given[word], "value", None) is not wanted:
            yield f"{name}({word})"
    if name == "torch.load" and getattr(given.get("weights_only"), "value", None) is not True:
        yield name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(harness.ROOT)))
def test_no_source_runs_code_out_of_data(path: Path) -> None:
    assert list(dangers(path.read_text(encoding="utf-8"))) == []


BAD = [
    "import pickle",
    "from pickle import loads",
    "import joblib",
    "np.load(f, allow_pickle=True)",
    "np.load(f, allow_pickle=given)",
    "torch.load(f)",
    "torch.load(f, weights_only=False)",
    "pd.read_pickle(f)",
    "table.to_pickle(f)",
    "AutoModel.from_pretrained(f, trust_remote_code=True)",
    "yaml.load(text, Loader=yaml.Loader)",
    "yaml.unsafe_load(text)",
    "subprocess.run(words, shell=True)",
    "os.system(word)",
    "eval(text)",
    "exec(text)",
    "archive.extractall(folder)",
    "Environment(autoescape=False)",
]
GOOD = [
    "from pickle import UnpicklingError",
    "np.load(f, allow_pickle=False)",
    "torch.load(f, weights_only=True)",
    "yaml.safe_load(text)",
    "model.eval()",
    "re.compile(text)",
    "subprocess.run(words)",
]


@pytest.mark.parametrize("source", BAD)
def test_the_walk_sees_what_runs_code(source: str) -> None:
    assert list(dangers(source))


def test_templates_trust_no_text() -> None:
    found = sorted((harness.ROOT / "benchmarks" / "harness" / "report" / "templates").iterdir())
    assert len(found) >= 6
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert not {"|safe", "| safe", "autoescape false", "innerHTML"} & {
            word for word in ("|safe", "| safe", "autoescape false", "innerHTML") if word in text
        }, path
