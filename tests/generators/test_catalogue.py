"""The tables of generators: what the document says is what is computed."""

from __future__ import annotations

import harness
import pytest

from spf.cli import main
from spf.generators.weights import MODEL_REPOSITORIES

GIB = 2**30


@pytest.fixture
def printed(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """On a machine on which nothing was ever downloaded."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert main(["doctor", "--gpus"]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_document_has_the_computed_tables(printed: list[str]) -> None:
    page = (harness.ROOT / "docs" / "reference" / "generators.md").read_text()
    missing = [line for line in printed if line not in page.splitlines()]
    assert not missing, "put what spf doctor --gpus prints into docs/reference/generators.md"


def test_memory_falls_with_each_way_to_save_it(printed: list[str]) -> None:
    rows = [line.strip("| ").split(" | ") for line in printed[2 : printed.index("")]]
    names = [f"`{name}` {x}" for name, known in MODEL_REPOSITORIES.items() for x in known]
    assert [row[0] for row in rows] == names
    every = [x for known in MODEL_REPOSITORIES.values() for x in known.values()]
    for row, known in zip(rows, every, strict=True):
        whole, model, bnb4, group, gguf = map(float, row[3:8])
        sizes = {name: 2e9 * billions / GIB for name, billions in known.parts.items()}
        assert whole >= sum(sizes.values())
        assert max(sizes.values()) <= model < whole
        assert bnb4 <= model
        assert gguf <= group <= model
        assert float(row[-1].split()[0]) >= 1.2 * min(whole, model, bnb4, group, gguf)
