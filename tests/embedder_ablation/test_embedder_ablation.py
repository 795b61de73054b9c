import harness
import pandas as pd
import pytest

from benchmarks.embedder_ablation.tables import sentence
from benchmarks.harness import session
from benchmarks.harness.cells import Table
from benchmarks.known_pacing import studies
from benchmarks.known_pacing.errors import PacingResults

OPTIONS = (
    "benchmark=embedder_ablation", "benchmark.embedders=[pixels,siglip,histogram]",
    "benchmark.studies=[grid,leakage,robustness]", "benchmark.contents=[cat-motorcycle-patches]",
    "benchmark.laws=[ease_in_out]", "benchmark.num_frames=11", "benchmark.size=[24,32]",
    "embedder=pixels", "embedder.size=9", "model=folder", "nuisance=camera",
)  # fmt: skip


@pytest.fixture(scope="module")
def ablated(tmp_path_factory):
    root = tmp_path_factory.mktemp("ablation")
    clips = harness.two_generators(root / "clips")
    config = harness.compose(*OPTIONS, f"model.path={clips}", f"output={root / 'out'}")
    return session.run(config, quiet=True)


def table(run: session.Run, name: str) -> pd.DataFrame:
    return pd.read_csv(run.folder.root / f"{name}.csv")


def test_an_embedder_without_weights_is_a_row_and_real_clips_join(ablated):
    rows = table(ablated, "ablation").set_index("embedder")
    status = {"pixels (control)": "done", "siglip": "not_run", "histogram (control)": "done"}
    assert rows["status"].to_dict() == status
    assert "make weights EMBEDDER=siglip" in rows.loc["siglip", "reason"]
    second = rows.loc["pixels (control)", ["linearity_mae", "linearity_mae_corrected"]]
    assert second.between(0, 0.5).all()
    assert rows.loc["pixels (control)", "motion_share"] > 0.1
    agreement = table(ablated, "agreement").set_index("clips")
    assert set(agreement.index) == {"rendered", "real"}
    assert agreement.loc["real", "count"] == 4
    assert agreement[["pace", "order"]].stack().between(-1, 1).all()


def test_the_chosen_embedder_keeps_its_settings(ablated):
    with_settings = harness.compose(*OPTIONS, "output=x")
    plain = harness.compose(*OPTIONS, "output=x", "embedder.size=16")
    cells = [session.build(config).cells() for config in (with_settings, plain)]
    changed = {a.key.embedder for a, b in zip(*cells, strict=True) if a.identity != b.identity}
    assert changed == {"pixels"}


def test_errors_by_colour_and_nuisance_are_those_of_the_clips(tmp_path, monkeypatch):
    pairs = {"unmatched": ("cat-motorcycle-warp",), "matched": ("cat-motorcycle-matched",)}
    monkeypatch.setattr(studies, "COLOURS", pairs)
    own = ("benchmark.studies=[colour]", f"output={tmp_path}")
    coloured = session.run(harness.compose(*OPTIONS[:2], *OPTIONS[4:8], *own), quiet=True)
    rows = table(coloured, "colours").set_index(["embedder", "colours"])
    names = ["pixels (control)"] * 2 + ["siglip"] + ["histogram (control)"] * 2
    assert list(rows.index.get_level_values(0)) == names
    done = [row for row in coloured.results.records if row["embedder"] == "histogram"]
    measured = PacingResults.read(done, coloured.folder).of("colour")
    chosen = measured[(measured["colours"] == "unmatched") & (measured["nuisance"] == "drift")]
    assert list(chosen["motion_kind"]) == ["hue+exposure+white_balance"] * 2
    plain = rows.loc[("histogram (control)", "unmatched")]
    assert plain["drift"] == pytest.approx(chosen["calibrated_error"].median(), rel=1e-4)
    assert (plain["clips"], plain["stated"]) == (8, 8)
    assert plain["unidentified"] == 0.0
    # Colours that change with the meaning are a clock; matched ones are none.
    lying = rows.loc[("histogram (control)", "matched")]
    assert lying["drift"] > plain["drift"]
    assert not (coloured.folder.root / "ablation.csv").exists()


@pytest.mark.slow
def test_the_documents_table_of_colours_is_measured(tmp_path):
    options = (OPTIONS[0], "benchmark.studies=[colour]", f"output={tmp_path}")
    embedders = "benchmark.embedders=[efficientnet,tiny,pixels,histogram]"
    made = session.run(harness.compose(*options, embedders), quiet=True)
    text = (harness.ROOT / "docs" / "experiments.md").read_text()
    for row in table(made, "colours").to_dict("records"):
        (line,) = [x for x in text.splitlines() if f"| {row['embedder']} | {row['colours']} |" in x]
        documented = [float(cell) for cell in line.strip("| ").split(" | ")[2:]]
        assert documented == pytest.approx([row[name] for name in studies.NUISANCES], abs=0.003)


def compared(**errors: float | None) -> str:
    rows = [
        {"embedder": name, "error_30": error, "leakage_30": error and 1 - error, "failed": 0}
        | {"status": "not_run" if error is None else "done"}
        for name, error in errors.items()
    ]
    return sentence(Table.of_rows("ablation", "t", list(rows[0]), rows))


def test_the_sentence_says_whether_siglip_won_or_was_absent():
    first = compared(tiny=0.25, siglip=0.125)
    assert "(error_30) is, best first: siglip 0.125; tiny 0.250." in first
    assert "Motion fakes the least change with tiny (leakage_30 0.750)" in first
    assert "SigLIP is best, as in the paper" in first
    assert "SigLIP is not best, unlike in the paper" in compared(tiny=0.05, siglip=0.1)
    assert "could not be tested. Not run: siglip." in compared(tiny=0.05, siglip=None)
