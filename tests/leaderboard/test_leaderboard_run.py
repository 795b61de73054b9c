import json
import math
import os
import re
import warnings
from pathlib import Path

import harness
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from benchmarks.leaderboard.comparison import SHOWN
from spf import METRICS
from spf.errors import ConfigError
from spf.quality.fidelity import FIDELITY
from spf.video import load

HISTOGRAM = "embedder=histogram"
COLUMNS = {"status", "reason", "benchmark", "clip", "embedder", "model", "retime", "target", "seed"}
COLUMNS |= {"curve", "plot", "source", "config_hash", "commit", "dirty", "versions", "device"}
COLUMNS |= {"weights_revision", "weights_hash", "schema", *METRICS} - {"target_mae"}


@pytest.fixture
def no_plots(monkeypatch):
    harness.without_plots(monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("board")
    return harness.run(harness.two_generators(root / "clips"), root / "out")


@pytest.fixture
def clips(finished):
    return finished.folder.root.parents[2] / "clips"


def contents(folder: Path) -> dict[str, bytes]:
    """Everything of a run that must repeat: not the seconds, nor where its output went."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    kept = [x for x in files if x.name not in ("timings.parquet", "config.yaml")]
    return {str(x.relative_to(folder)): x.read_bytes() for x in kept if x.parent.name != "cells"}


def test_records_have_the_columns_of_the_design(finished):
    root = finished.folder.root
    table = harness.read_records(root)
    assert set(table.columns) >= COLUMNS
    assert list(table["source"]) == [f"{g}/pair{k}.mp4" for g in ("even", "jumpy") for k in (0, 1)]
    assert table["duration"].tolist() == pytest.approx([11 / 12] * 4)
    assert set(json.loads(table["versions"][0])) >= {"numpy", "scipy", "av", "torch"}
    assert not re.search(r"second|memory|timing|date|host", " ".join(table.columns))
    timings = pd.read_parquet(root / "timings.parquet")
    assert set(timings["cell"]) == set(table["cell"])
    assert {"embed", "fit", "draw", "total", "peak_memory_mb"} <= set(timings.columns)
    curve = pd.read_csv(root / finished.results.records[0]["curve"])
    assert list(curve.columns) == ["frame", "time", "u", "progress", "angle", "fitted"]
    printed = pd.read_csv(root / "records.csv", dtype=str)
    assert list(table.columns) == list(printed.columns)
    for name in SHOWN:
        np.testing.assert_allclose(printed[name].astype(float), table[name], rtol=1e-5, atol=1e-12)
        digits = printed[name].str.replace(r"e.*|\D", "", regex=True).str.lstrip("0")
        assert (digits.str.len() <= 6).all()


def test_page_is_self_contained(finished):
    page = harness.Page((finished.folder.root / "index.html").read_text())
    policies = [m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in str(policies[0]["content"])
    described = [image for image in page.all("img") if image["alt"]]
    assert len(described) == 4 + 2  # a plot a clip, an overlay a pair
    shown, commit = " ".join(page.text), finished.results.records[0]["commit"]
    assert all(part in shown for part in ("no substitute for SigLIP", "order only", commit))


def test_tables_repeat_byte_by_byte(finished, clips, tmp_path):
    root, before = finished.folder.root, contents(finished.folder.root)
    for output, reused in ((tmp_path / "elsewhere", 0), (root.parents[1], 4)):
        again = harness.run(clips, output)
        assert again.folder.root.name == root.name
        assert again.results.reused == reused
        assert contents(again.folder.root) == before


def test_changed_clips_are_measured_again_and_no_others(tmp_path, no_plots):
    clips = harness.two_generators(tmp_path / "clips")
    first = harness.run(clips, tmp_path / "out", HISTOGRAM).results.records
    harness.save(clips / "even" / "pair1.mp4", harness.jumping(seed=1))
    second = harness.run(clips, tmp_path / "out", HISTOGRAM).results
    both = zip(first, second.records, strict=True)
    changed = [old["linearity_mae"] != new["linearity_mae"] for old, new in both]
    assert (second.reused, changed) == (3, [False, True, False, False])


def test_plots_of_names_that_mean_something_to_matplotlib(tmp_path):
    names = ["$x_1^2$ and $broken", "_hidden", "längs 日本語 😀" + "x" * 180]
    clips = {"plain": {name: harness.steady(6, seed) for seed, name in enumerate(names)}}
    clips["$gen_"] = {"_hidden": harness.jumping(6)}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*font")
        run = harness.run(harness.layout(tmp_path / "clips", clips), tmp_path / "out", HISTOGRAM)
    assert [len([*run.folder.path(x).rglob("*.png")]) for x in ("plots", "pairs")] == [4, 3]


def test_names_of_other_file_systems(tmp_path, no_plots):
    """Names are matched as NFC, and bytes that are no UTF-8 have a row; files are read as they are
    named. Two of one name are refused."""
    clips = tmp_path / "clips"
    composed, split, latin = "caf\xe9", "cafe\u0301", os.fsdecode(b"caf\xe9")
    try:
        for folder, name in (("linux", composed), ("mac", split), ("old", latin)):
            path = harness.save(clips / folder / "x.mp4", harness.steady())
            path.rename(path.with_name(f"{name}.mp4"))
    except OSError:
        pytest.skip("this file system takes no such names")
    if not (clips / "mac" / f"{split}.mp4").exists():
        pytest.skip("this file system changes names")
    run = harness.run(clips, tmp_path / "out", HISTOGRAM)
    assert run.code == 0
    assert [r["clip"] for r in run.results.records] == [composed, composed, "caf\\xe9"]
    assert list(run.summary.sections[0].tables[0].data["pairs"])[:2] == [1, 1]
    harness.save(clips / "mac" / f"{composed}.mp4", harness.steady())
    twice = harness.run(clips, tmp_path / "out", HISTOGRAM).results.records[1]
    assert twice["status"] == "failed"
    assert r"2 files for one pair ('cafe\u0301.mp4', 'caf\xe9.mp4')" in twice["reason"]
    for name in (composed, split):
        harness.save(clips / name / "pair.mp4", harness.steady())
    with pytest.raises(ConfigError, match=r"'cafe\\u0301' and 'caf\\xe9'; rename"):
        harness.run(clips, tmp_path / "out")


def test_what_cannot_order_is_refused(clips, tmp_path):
    for name, hint in (("speed_cv64", "did you mean"), ("total_change", "known: linearity_mae")):
        with pytest.raises(ConfigError, match=f"unknown metric to order by '{name}'; .*{hint}"):
            harness.run(clips, tmp_path / "out", f"benchmark.order_by={name}")


def test_curves_without_a_nuisance_stand_beside_and_decide_nothing(
    finished, clips, tmp_path, no_plots
):
    run = harness.run(clips, tmp_path / "out", "nuisance=camera")
    more = ["linearity_mae_corrected", "motion_share"]
    for name in ("leaderboard", "clips"):
        plain, second = (pd.read_csv(one.folder.root / f"{name}.csv") for one in (finished, run))
        assert second[more].stack().between(0, 1).all()
        assert [column for column in second if column not in plain] == more
        pd.testing.assert_frame_equal(second.drop(columns=more), plain)
    curve = pd.read_csv(run.folder.root / run.results.records[0]["curve"])
    assert curve["progress_corrected"].iloc[-1] == 1.0


def test_a_clip_without_change_is_no_straight_curve_and_an_empty_folder_a_row(tmp_path):
    made = {"dead": {"p": harness.still()}, "even": {"p": harness.steady()}}
    clips = harness.layout(tmp_path / "clips", made)
    (clips / "empty").mkdir()
    run = harness.run(clips, tmp_path / "out")
    assert run.code == 1
    dead, empty, _ = run.results.records
    assert dead["reason"] == "no semantic change"
    assert "holds no clips" in empty["reason"]
    assert math.isnan(dead["linearity_mae"])
    board = pd.read_csv(run.folder.root / "leaderboard.csv").set_index("generator")
    assert board.loc["dead", "no_change"] == board.loc["empty", "failed"] == 1
    assert board.loc[["dead", "empty"], "order"].isna().all()
    page = harness.Page((run.folder.root / "index.html").read_text())
    assert "nan" not in " ".join(page.text).lower().split()


I2V = [HISTOGRAM, "quality=vbench", "quality.dimensions=[i2v_subject]"]


def test_what_clips_were_made_from_is_compared_with_their_ends(tmp_path, no_plots):
    """Of three pairs one has both frames, one a damaged first, one a first of another aspect."""
    made = {"even": {name: harness.steady(seed=7) for name in "abc"}}
    clips, images = harness.layout(tmp_path / "clips", made), tmp_path / "images"
    first, *_, last = load(clips / "even" / "a.mp4").frames
    images.mkdir()
    wide = np.pad(first, ((0, 0), (10, 10), (0, 0)))
    for name, image in (("a", first), ("a.last", 255 - last), ("c", wide)):
        Image.fromarray(image).save(images / f"{name}.png")
    (images / "b.png").write_bytes(b"no picture")
    run = harness.run(clips, tmp_path / "out", f"model.images={images}", *I2V)
    rows = {row["clip"]: row for row in run.results.records}
    assert {row["status"] for row in rows.values()} == {"done"}
    for name in "ac":  # what was added to c is cut off again
        found = (rows[name]["first_psnr"], rows[name]["first_angle"])
        assert found == (pytest.approx(FIDELITY["first_psnr"].maximum), 0)
    opposite = peak_signal_noise_ratio(255 - last, last, data_range=255)
    assert rows["a"]["last_psnr"] == pytest.approx(opposite)
    assert rows["a"]["last_angle"] > 0.1
    assert np.isnan([rows["b"]["first_psnr"], rows["c"]["last_psnr"]]).all()
    assert "model.images: b.png: " in rows["b"]["notes"]
    assert rows["c"]["notes"] == "its first frame was cut to the clip's aspect"
    assert "not run: model.images: b.png: " in rows["b"]["quality_status"]
    Image.fromarray(last).save(images / "a.png")  # another image, another row
    again = harness.run(clips, tmp_path / "out", f"model.images={images}", *I2V)
    changed = {row["clip"]: row["first_psnr"] for row in again.results.records}
    assert changed["a"] < rows["a"]["first_psnr"]
    assert changed["c"] == rows["c"]["first_psnr"]


def test_without_images_what_needs_them_is_not_run(clips, tmp_path, no_plots):
    run = harness.run(clips, tmp_path / "out", *I2V)
    reason = "VBench without i2v_subject on 4 of 4 clips: not run: no first frames, name "
    assert reason in run.folder.path("index.html").read_text()
    assert not set(FIDELITY) & set(run.results.records[0])
    harness.touch(tmp_path, "twice/p0.jpg", "twice/p0.png", "other/p0.mp4")
    wrong = {"none": "No such file", "other": "there is no image in it", "twice": "have one name"}
    for folder, why in wrong.items():
        with pytest.raises(ConfigError, match=f"model.images=.*{why}"):
            harness.run(clips, tmp_path / "out", f"model.images={tmp_path / folder}")
