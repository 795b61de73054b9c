import re
import sys
from pathlib import Path

import harness

SOURCES = [harness.ROOT / "run.py"]
for folder in ("spf", "synthetic", "benchmarks", "scripts"):
    SOURCES += sorted((harness.ROOT / folder).rglob("*.py"))
RULES = "S102,S202,S301,S302,S306,S307,S506,S602,S604,S605,S701"
"""exec, extractall, pickle, marshal, mktemp, eval, yaml, shells, templates."""
PATTERN = re.compile(
    r"(allow_pickle|trust_remote_code)=(?!False\b)|read_pickle|\btorch\.load\((?!.*weights_only=T)"
    r"|\bimport (pickle|dill|cloudpickle|marshal|shelve|joblib|jsonpickle)"
)
BAD = """import pickle
import joblib
np.load(f, allow_pickle=given)
import torch; torch.load(f, weights_only=False)
import pandas as pd; pd.read_pickle(f)
AutoModel.from_pretrained(f, trust_remote_code=True)
import yaml; yaml.load(text, Loader=yaml.Loader)
import subprocess; subprocess.run(words, shell=True)
import os; os.system(word)
eval(text)
exec(text)
import jinja2; jinja2.Environment(autoescape=False)"""


def dangers(paths):
    ruff = [str(Path(sys.executable).with_name("ruff")), "check", "--isolated", "--no-cache"]
    done = harness.command(*ruff, "--select", RULES, "--output-format", "concise", *map(str, paths))
    found = re.findall(r"^(.+?):(\d+):\d+: S", done.stdout, re.MULTILINE)
    return {(harness.ROOT / name, int(line)) for name, line in found} | {
        (path, number)
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if PATTERN.search(line)
    }


def test_no_source_runs_code_out_of_data(tmp_path):
    assert len(SOURCES) > 150
    assert dangers(SOURCES) == set()
    bad = tmp_path / "bad.py"
    bad.write_text(BAD)
    assert [line for _, line in sorted(dangers([bad]))] == [*range(1, 13)]


def test_templates_trust_no_text():
    found = sorted((harness.ROOT / "benchmarks" / "harness" / "report" / "templates").iterdir())
    assert len(found) >= 6
    for path in found:
        trusted = re.search(
            r"\| ?safe|autoescape false|(inner|outer)HTML|insertAdjacentHTML|document\.write",
            path.read_text("utf-8"),
        )
        assert trusted is None, path
