import re

import harness
import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

NOTEBOOK = harness.ROOT / "notebooks" / "pacing.ipynb"


@pytest.mark.slow
def test_the_notebook_gives_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(harness.ROOT))
    shown, run = (nbformat.read(NOTEBOOK, as_version=4) for _ in range(2))
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(run, timeout=240, kernel_name="python3", resources=place).execute()
    outputs = [
        [output for cell in book.cells for output in cell.get("outputs", [])]
        for book in (run, shown)
    ]
    printed = ["".join(x.get("text", "") for x in found) for found in outputs]
    assert printed[0] == printed[1]
    assert sum("image/png" in output.get("data", {}) for output in outputs[1]) == 5
    assert NOTEBOOK.stat().st_size < 400_000
    ((before, after),) = re.findall(r"linearity_mae +([\d.]+) -> +([\d.]+)", printed[0])[-1:]
    assert float(after) < float(before) / 3
    assert list(tmp_path.iterdir()) == []
