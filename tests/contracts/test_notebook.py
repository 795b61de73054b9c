"""notebooks/pacing.ipynb runs, and its committed outputs are what it gives."""

from __future__ import annotations

import re
from pathlib import Path

import harness
import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

NOTEBOOK = harness.ROOT / "notebooks" / "pacing.ipynb"


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What each cell prints."""
    return [
        "".join(output.get("text", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.slow
def test_the_notebook_gives_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(harness.ROOT))
    shown = nbformat.read(NOTEBOOK, as_version=4)
    run = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(run, timeout=240, kernel_name="python3", resources=place).execute()
    assert printed(run) == printed(shown)
    figures = [
        "image/png" in output.get("data", {})
        for cell in shown.cells
        for output in cell.get("outputs", [])
    ]
    assert sum(figures) == 5
    assert NOTEBOOK.stat().st_size < 400_000
    before, after = map(
        float, re.findall(r"linearity_mae +([\d.]+) -> +([\d.]+)", printed(run)[-1])[0]
    )
    assert after < before / 3
    assert list(tmp_path.iterdir()) == []
