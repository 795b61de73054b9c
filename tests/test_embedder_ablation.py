"""The ablation: absent embedders stay as rows, real clips join, and the tables are exact."""

from __future__ import annotations

import harness
import pandas as pd
import pytest

from benchmarks import session
from benchmarks.embedder_ablation import robustness, sentence
from benchmarks.running.cells import Table

WORDS = (
    "benchmark=embedder_ablation",
    "benchmark.embedders=[pixels,siglip,histogram]",
    "benchmark.contents=[cat-motorcycle-patches]",
    "benchmark.laws=[ease_in_out]",
    "benchmark.num_frames=11",
    "benchmark.size=[24,32]",
    "embedder=pixels",
    "embedder.size=9",
    "model=folder",
)


@pytest.fixture(scope="module")
def ablated(tmp_path_factory: pytest.TempPathFactory) -> session.Run:
    root = tmp_path_factory.mktemp("ablation")
    clips = harness.two_generators(root / "clips")
    places = (f"model.path={clips}", f"output={root / 'out'}")
    return session.run(harness.compose(*WORDS, *places), quiet=True)


def table(run: session.Run, name: str) -> pd.DataFrame:
    return pd.read_csv(run.folder.root / f"{name}.csv")


def test_an_embedder_without_weights_is_a_row_that_says_so(ablated: session.Run) -> None:
    rows = table(ablated, "ablation").set_index("embedder")
    assert list(rows.index) == ["pixels (control)", "siglip", "histogram (control)"]
    assert rows.loc["siglip", "status"] == "not_run"
    assert "make weights EMBEDDER=siglip" in rows.loc["siglip", "reason"]
    assert rows.loc[["pixels (control)", "histogram (control)"], "error_0"].between(0, 1).all()
    assert ablated.code == 0


def test_the_chosen_embedder_keeps_its_settings(ablated: session.Run) -> None:
    with_settings = harness.compose(*WORDS, "output=x")
    plain = harness.compose(*WORDS, "output=x", "embedder.size=16")
    cells = [session.build(config).cells() for config in (with_settings, plain)]
    changed = {a.key.embedder for a, b in zip(*cells, strict=True) if a.identity != b.identity}
    assert changed == {"pixels"}


def test_seconds_are_on_the_page_and_in_no_table(ablated: session.Run) -> None:
    root = ablated.folder.root
    assert "frames per second" in (root / "index.html").read_text()
    assert not list(root.glob("speed.*"))
    for file in root.glob("*.csv"):
        assert "per_second" not in file.read_text().partition("\n")[0]


def test_embedders_are_compared_on_real_clips_too(ablated: session.Run) -> None:
    rows = table(ablated, "agreement").set_index("clips")
    assert set(rows.index) == {"rendered", "real"}
    assert rows.loc["real", "count"] == 4
    assert rows[["pace", "order"]].stack().between(-1, 1).all()


def test_robustness_is_the_largest_shift_of_each_content() -> None:
    rows = [
        ("a", "none", 1.0, 0.20),
        ("a", "noise", 1.0, 0.23),
        ("a", "none", 1.2, 0.15),
        ("b", "none", 1.0, 0.10),
        ("b", "noise", 1.0, 0.11),
    ]
    measured = pd.DataFrame(rows, columns=["content", "motion", "exposure", "linearity_mae"])
    assert robustness(measured).round(6).to_dict() == {"a": 0.05, "b": 0.01}


def compared(**errors: float | None) -> str:
    """What is said of embedders with these errors; None: not run."""
    rows = [
        {
            "embedder": name, "error_30": error, "leakage_30": error and 1 - error, "failed": 0,
            "status": "not_run" if error is None else "done",
        }
        for name, error in errors.items()
    ]  # fmt: skip
    return sentence(Table.of_rows("ablation", "t", list(rows[0]), rows))


def test_the_sentence_says_whether_siglip_won_or_was_absent() -> None:
    first = compared(tiny=0.25, siglip=0.125)
    assert "(error_30) is, best first: siglip 0.125; tiny 0.250." in first
    assert "Motion fakes the least change with tiny (leakage_30 0.750)" in first
    assert "SigLIP is best, as in the paper" in first
    assert "SigLIP is not best, unlike in the paper" in compared(tiny=0.05, siglip=0.1)
    absent = compared(tiny=0.05, siglip=None)
    assert "could not be tested. Not run: siglip." in absent
    assert compared(tiny=None) == "No embedder was measured on all clips. Not run: tiny."
