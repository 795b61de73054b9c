import harness
import pandas as pd
import pytest
from clips import refused

from benchmarks.existing.clips import load_clips
from benchmarks.existing.tables import CLIP_COLUMNS, COLUMNS
from benchmarks.harness import session


def run(output, *words):
    usual = ["benchmark=retime_existing", f"output={output}", "embedder=pixels"]
    return session.run(harness.compose(*usual, *words), quiet=True)


def table(done, name):
    return pd.read_csv(done.folder.path(f"{name}.csv"))


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "clips"
    harness.save(root / "slow.mp4", harness.steady(17, power=3.0))
    harness.save(root / "film" / "jump.mp4", harness.jumping(17, seed=1))
    (root / "broken.mp4").write_bytes(b"no video")
    return root


def test_a_bad_clip_is_a_failed_row_and_the_rest_is_done(folder, tmp_path):
    harness.save(folder / "still.mp4", harness.still())
    words = [f"benchmark.clips={folder}", "benchmark.retimes=[blend,regenerate]"]
    done = run(tmp_path / "out", "model=folder", *words)
    assert done.code == 1
    rows = table(done, "existing_clips")
    assert list(rows.columns) == CLIP_COLUMNS
    regenerated = rows[rows["strategy"] == "regenerate"]
    assert list(regenerated["status"]) == ["not_run"] * 4
    assert regenerated["reason"].str.contains("model=folder generates nothing").all()
    blend = rows[rows["strategy"] == "blend"].set_index("clip")
    status = {"broken": "failed", "film/jump": "done", "slow": "done", "still": "done"}
    assert blend["status"].to_dict() == status
    assert "broken.mp4" in blend.reason["broken"]
    assert str(tmp_path) not in blend.reason["broken"]
    assert "no semantic change" in blend.reason["still"]  # which is left as it is
    paced = blend.loc[["film/jump", "slow"]]
    assert (paced["target_mae"] < 0.5 * paced["before_target_mae"]).all()
    groups = table(done, "existing")
    assert list(groups.columns) == COLUMNS
    assert set(groups["category"].fillna("")) == {"", "film"}
    record = next(r for r in done.results.records if r["clip"] == "slow" and r["file"])
    assert done.folder.path(record["file"]).read_bytes()[4:8] == b"ftyp"
    assert record["before_file"] == "slow.mp4"
    assert len(list(done.folder.root.glob("pairs/*.png"))) == 2


def test_the_true_pacing_of_a_rendered_clip_comes_nearer(tmp_path, monkeypatch):
    one = load_clips(None)[:1]
    monkeypatch.setattr("benchmarks.existing.experiment.load_clips", lambda _: one)
    words = "benchmark.retimes=[none,blend]"
    first, again = (run(tmp_path / name, words) for name in ("one", "two"))
    assert first.code == 0
    none, blend = table(first, "existing_clips").itertuples()
    assert none.true_target_mae == none.before_true_target_mae == blend.before_true_target_mae
    assert blend.true_target_mae < 0.6 * blend.before_true_target_mae
    assert none.source_distance == 0 < blend.source_distance
    for name in ("existing.csv", "existing_clips.csv", "existing.md"):
        assert first.folder.read(name) == again.folder.read(name)


def test_a_model_of_another_size_is_not_run_and_says_so(folder, tmp_path):
    harness.save(folder / "wide.mp4", [x.repeat(2, axis=1) for x in harness.steady()])
    words = [f"benchmark.clips={folder}", "benchmark.retimes=[regenerate]", f"output={tmp_path}"]
    cells = session.build(harness.compose("benchmark=retime_existing", *words)).cells()
    reasons = {cell.key.clip: cell.not_run for cell in cells}
    wide = reasons.pop("wide")
    assert wide.startswith("model=tiny makes 32x32, the clip has 64x32 and would be resized; ")
    assert reasons == {"slow": "", "film/jump": "", "broken": ""}
    assert {cell.key.model for cell in cells} == {"tiny"}


def test_impossible_settings_are_refused_in_one_line():
    for word, message in {
        "retime=rope": "retime=rope is for benchmark=retime_generated",
        "benchmark.retimes=[wrong_map]": "retime=wrong_map is for benchmark=retime_generated",
        "benchmark.retimes=[blur]": "unknown retime 'blur'", "benchmark.fps=-1": "fps",
        "benchmark.clips=/nowhere": "no such folder", "sampling.stride=2": "shows all frames",
    }.items():  # fmt: skip
        with refused(message):
            session.build(harness.compose("benchmark=retime_existing", word))
