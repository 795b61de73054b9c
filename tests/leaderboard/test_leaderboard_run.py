"""The leaderboard from clips to tables, plots and the page; names that mean harm."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import warnings
from pathlib import Path

import harness
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from benchmarks.harness import session
from benchmarks.leaderboard.comparison import SHOWN
from benchmarks.leaderboard.page import PAGE
from spf import METRICS
from spf.errors import ConfigError
from spf.quality.fidelity import FIDELITY
from spf.video import load

KEYS = ["benchmark", "clip", "embedder", "model", "retime", "target", "seed"]
PROVENANCE = [
    "config_hash", "commit", "dirty", "versions", "device", "weights_revision", "weights_hash",
    "schema",
]  # fmt: skip
NASTY = [
    "<script>alert(1)</script>".replace("/", "∕"),
    '"><img src=x onerror=alert(1)> {{ 7 * 7 }} {% raw %}',
    "$x_1^2$ and $broken <b>bold & brash",
    "_hidden",
    'co,mma;"quote" pipe|pipe\nnew line %s %d',
    "  spaces  ",
    "-dash",
    "=cmd('calc')!A0",
    "längs 日本語 😀" + "x" * 180,
]


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    harness.without_plots(monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> session.Run:
    """Two generators, two pairs."""
    root = tmp_path_factory.mktemp("board")
    return harness.run(harness.two_generators(root / "clips"), root / "out")


def contents(folder: Path) -> dict[str, bytes]:
    """Everything of a run that must repeat: not the seconds, nor where it was told to go."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in ("timings.parquet", "config.yaml")
        and path.parent.name != "cells"
    }


def test_records_have_the_columns_of_the_design(finished: session.Run) -> None:
    table = harness.read_records(finished.folder.root)
    wanted = ["status", "reason", *KEYS, *METRICS, "curve", "plot", "source", *PROVENANCE]
    wanted.remove("target_mae")  # where a target is set
    assert [name for name in wanted if name not in table.columns] == []
    assert len(table) == 4
    assert list(table["status"]) == ["done"] * 4
    assert list(table["model"]) == ["even", "even", "jumpy", "jumpy"]
    assert list(table["clip"]) == ["pair0", "pair1"] * 2
    assert list(table["source"]) == [f"{m}/{c}.mp4" for m, c in table[["model", "clip"]].values]
    assert (table["frames"] == 12).all()
    assert table["cell"].is_unique
    assert (table["duration"] - 11 / 12).abs().max() < 1e-6
    assert set(json.loads(table["versions"][0])) >= {"numpy", "scipy", "av", "torch"}
    for name in table.columns:  # what differs from run to run is kept in timings.parquet
        assert not re.search(r"second|memory|timing|date|host", name)
    timings = pd.read_parquet(finished.folder.root / "timings.parquet")
    assert set(timings["cell"]) == set(table["cell"])
    assert {"embed", "fit", "draw", "total", "peak_memory_mb"} <= set(timings.columns)


def test_csv_holds_the_records_in_six_digits(finished: session.Run) -> None:
    root = finished.folder.root
    exact, printed = harness.read_records(root), pd.read_csv(root / "records.csv", dtype=str)
    assert list(exact.columns) == list(printed.columns)
    for name in SHOWN:
        np.testing.assert_allclose(printed[name].astype(float), exact[name], rtol=1e-5, atol=1e-12)
        digits = printed[name].str.replace(r"e.*|\D", "", regex=True).str.lstrip("0")
        assert (digits.str.len() <= 6).all()


def test_curves_and_plots_exist(finished: session.Run) -> None:
    root = finished.folder.root
    for record in finished.results.records:
        curve = pd.read_csv(root / record["curve"])
        assert list(curve.columns) == ["frame", "time", "u", "progress", "angle", "fitted"]
        assert len(curve) == 12
        assert curve["progress"].iloc[[0, -1]].tolist() == [0, 1]
        with Image.open(root / record["plot"]) as image:
            assert image.format == "PNG"
            assert min(image.size) > 300
            assert np.asarray(image.convert("L")).std() > 10
    assert {path.name for path in (root / "pairs").iterdir()} == {"pair0.png", "pair1.png"}


def check_page(text: str) -> harness.Page:
    """A page that fetches nothing and runs nothing but its own script."""
    page = harness.Page(text)
    sources = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert sources
    assert all(str(value).startswith(("data:", "#")) or value == PAGE for value in sources)
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert len(page.all("script")) == 1
    policies = [m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in str(policies[0]["content"])
    assert not re.search(r"url\(|@import", text)
    return page


def test_page_is_self_contained(finished: session.Run) -> None:
    text = (finished.folder.root / "index.html").read_text()
    page = check_page(text)
    images = page.all("img")
    assert len(images) == 4 + 2  # a plot a clip, an overlay a pair
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in images)
    assert all(image["alt"] for image in images)
    said = " ".join(page.text)
    assert "no substitute for SigLIP" in said
    assert "order only" in said
    assert str(finished.results.records[0]["commit"]) in said
    assert text.count("<h1") == 1
    assert page.rows[0][:2] == ["group", "order"]
    assert "speed cv 64 ↓" in page.rows[0]


def test_tables_repeat_byte_by_byte(finished: session.Run, tmp_path: Path) -> None:
    clips = finished.folder.root.parents[2] / "clips"
    before = contents(finished.folder.root)
    assert harness.TABLES[0] in before
    elsewhere = harness.run(clips, tmp_path / "elsewhere")
    assert elsewhere.folder.root.name == finished.folder.root.name
    assert elsewhere.results.reused == 0
    assert contents(elsewhere.folder.root) == before
    again = harness.run(clips, finished.folder.root.parents[1])
    assert again.results.reused == 4
    assert contents(again.folder.root) == before


def test_changed_clips_are_measured_again_and_no_others(tmp_path: Path, no_plots: None) -> None:
    clips = harness.two_generators(tmp_path / "clips")
    first = harness.run(clips, tmp_path / "out")
    harness.save(clips / "even" / "pair1.mp4", harness.jumping(seed=1))
    second = harness.run(clips, tmp_path / "out")
    assert second.results.reused == 3
    changed = [
        new["clip"]
        for old, new in zip(first.results.records, second.results.records, strict=True)
        if old["linearity_mae"] != new["linearity_mae"]
    ]
    assert changed == ["pair1"]


def test_names_that_mean_harm(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    for number, name in enumerate(NASTY):
        harness.save(clips / "plain" / f"{name}.mp4", harness.steady(12, number))
    harness.save(clips / "<i>$gen_</i>".replace("/", "∕") / "_hidden.mp4", harness.jumping(12))
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        run = harness.run(clips, tmp_path / "out")
    # matplotlib warns of every letter that its font lacks, in the middle of the progress bar.
    assert [str(item.message) for item in complaints if "font" in str(item.message)] == []
    root = run.folder.root
    count = len(NASTY) + 1
    assert [record["reason"] for record in run.results.records] == [""] * count
    assert run.code == 0
    names = {record["clip"] for record in run.results.records}
    assert {name for name in NASTY if name.isprintable()} < names
    assert all(name.isprintable() for name in names)
    with open(root / "records.csv", newline="", encoding="utf-8") as file:
        printed = {row["clip"] for row in csv.DictReader(file)}
    # A spreadsheet would compute what begins like a formula.
    assert {"'-dash", "'=cmd('calc')!A0"} < printed
    assert {name.removeprefix("'") for name in printed} == names
    assert set(harness.read_records(root)["clip"]) == names
    assert len(list((root / "plots").rglob("*.png"))) == count
    assert len(list((root / "pairs").iterdir())) == len(NASTY)
    page = check_page((root / "index.html").read_text(encoding="utf-8"))
    assert names <= {cell for row in page.rows for cell in row}
    assert not page.all("b") + page.all("i")
    lines = (root / "clips.md").read_text(encoding="utf-8").splitlines()
    table = lines[2 : 4 + count]
    assert all(line.startswith("|") and line.endswith("|") for line in table)


def test_names_that_are_no_text(tmp_path: Path, no_plots: None) -> None:
    """File names are bytes: these are no UTF-8, as on disks that came from elsewhere."""
    clips = harness.two_generators(tmp_path / "clips", 1)
    good = harness.save(clips / "even" / "good.mp4", harness.steady())
    try:
        good.rename(clips / "even" / b"caf\xe9.mp4".decode("utf-8", "surrogateescape"))
    except OSError:
        pytest.skip("this file system takes no such names")
    run = harness.run(clips, tmp_path / "out")
    assert run.code == 0
    assert len(harness.read_records(run.folder.root)) == 3
    harness.Page((run.folder.root / "index.html").read_text(encoding="utf-8"))


def test_names_of_two_file_systems_are_one_pair(tmp_path: Path, no_plots: None) -> None:
    """Names are matched as NFC; files are read as they are named. Two of one name are refused."""
    clips = tmp_path / "clips"
    composed, split = "caf\xe9", "cafe\u0301"
    for folder, name in (("linux", composed), ("mac", split)):
        harness.save(clips / folder / f"{name}.mp4", harness.steady())
    if not (clips / "mac" / f"{split}.mp4").exists():
        pytest.skip("this file system changes names")
    run = harness.run(clips, tmp_path / "out")
    assert run.code == 0
    assert [r["clip"] for r in run.results.records] == [composed, composed]
    assert list(run.summary.sections[0].tables[0].data["pairs"]) == [1, 1]
    harness.save(clips / "mac" / f"{composed}.mp4", harness.steady())
    twice = harness.run(clips, tmp_path / "out").results.records[1]
    assert twice["status"] == "failed"
    assert r"2 files for one pair ('cafe\u0301.mp4', 'caf\xe9.mp4')" in twice["reason"]
    for name in (composed, split):
        harness.save(clips / name / "pair.mp4", harness.steady())
    with pytest.raises(ConfigError, match=r"'cafe\\u0301' and 'caf\\xe9'; rename"):
        harness.run(clips, tmp_path / "out")


def test_a_metric_to_order_by(finished: session.Run, tmp_path: Path, no_plots: None) -> None:
    clips = finished.folder.root.parents[2] / "clips"
    run = harness.run(clips, tmp_path / "out", "benchmark.order_by=speed_cv_64")
    board = run.summary.sections[0].tables[0].data
    assert list(board.columns[7:10]) == ["speed_cv_64", "speed_cv_64_low", "speed_cv_64_high"]
    assert board["speed_cv_64"].is_monotonic_increasing
    for given, hint in (("speed_cv64", "did you mean"), ("total_change", "known: linearity_mae")):
        with pytest.raises(ConfigError, match=f"unknown metric to order by '{given}'; .*{hint}"):
            harness.run(clips, tmp_path / "out", f"benchmark.order_by={given}")


def test_curves_without_a_nuisance_stand_beside_and_decide_nothing(
    finished: session.Run, tmp_path: Path, no_plots: None
) -> None:
    """The tables are those of the plain run, with two columns more."""
    clips = finished.folder.root.parents[2] / "clips"
    run = harness.run(clips, tmp_path / "out", "nuisance=camera")
    more = ["linearity_mae_corrected", "motion_share"]
    for name in ("leaderboard", "clips"):
        plain, second = (pd.read_csv(one.folder.root / f"{name}.csv") for one in (finished, run))
        assert second[more].notna().all(axis=None)
        assert second["motion_share"].between(0, 1).all()
        assert [column for column in second if column not in plain] == more
        pd.testing.assert_frame_equal(second.drop(columns=more), plain)
    curve = pd.read_csv(run.folder.root / run.results.records[0]["curve"])
    assert curve["progress_corrected"].iloc[-1] == 1.0


def test_a_clip_without_change_is_no_straight_curve(tmp_path: Path) -> None:
    clips = harness.layout(
        tmp_path / "clips", {"dead": {"p": harness.still()}, "even": {"p": harness.steady()}}
    )
    run = harness.run(clips, tmp_path / "out")
    assert run.code == 0
    dead, even = run.results.records
    assert (dead["status"], dead["reason"]) == ("done", "no semantic change")
    assert math.isnan(dead["linearity_mae"])
    assert dead["total_change"] == pytest.approx(0.0, abs=1e-6)
    assert even["reason"] == ""
    board = pd.read_csv(io.StringIO((run.folder.root / "leaderboard.csv").read_text()))
    by_name = board.set_index("generator")
    assert by_name.loc["dead", "no_change"] == 1
    assert math.isnan(by_name.loc["dead", "order"])
    page = check_page((run.folder.root / "index.html").read_text())
    assert "nan" not in " ".join(page.text).lower().split()


def test_an_empty_folder_is_a_row_with_any_number_of_workers(tmp_path: Path) -> None:
    """What is wrong with it travels to the workers."""
    root = harness.two_generators(tmp_path / "clips")
    (root / "empty").mkdir()
    words = harness.leaderboard_words(root, tmp_path / "two", "embedder=pixels", "workers=2")
    two = session.run(harness.compose(*words), quiet=True)
    one = harness.run(root, tmp_path / "one")
    assert two.code == one.code == 1
    found = [
        {record["model"]: record["reason"] for record in run.results.records} for run in (one, two)
    ]
    assert found[0] == found[1]
    assert "holds no clips" in found[1]["empty"]


def test_what_clips_were_made_from_is_compared_with_their_ends(tmp_path: Path) -> None:
    """Of three pairs one has both frames, one a damaged first, one a first of another aspect."""
    clips = harness.layout(
        tmp_path / "clips", {"even": {name: harness.steady(seed=7) for name in "abc"}}
    )
    first, *_, last = load(clips / "even" / "a.mp4").frames
    images = tmp_path / "images"
    images.mkdir()
    wide = np.pad(first, ((0, 0), (10, 10), (0, 0)))
    for name, image in (("a", first), ("a.last", 255 - last), ("c", wide)):
        Image.fromarray(image).save(images / f"{name}.png")
    (images / "b.png").write_bytes(b"no picture")
    words = ["embedder=histogram", "quality=vbench", "quality.dimensions=[i2v_subject]"]
    run = harness.run(clips, tmp_path / "out", f"model.images={images}", *words)
    rows = {row["clip"]: row for row in run.results.records}
    assert {row["status"] for row in rows.values()} == {"done"}
    for name in "ac":  # what was added to c is cut off again
        assert rows[name]["first_psnr"] == pytest.approx(FIDELITY["first_psnr"].maximum)
        assert rows[name]["first_angle"] == 0
    opposite = peak_signal_noise_ratio(255 - last, last, data_range=255)
    assert rows["a"]["last_psnr"] == pytest.approx(opposite)
    assert rows["a"]["last_angle"] > 0.1
    assert math.isnan(rows["b"]["first_psnr"])
    assert math.isnan(rows["c"]["last_psnr"])
    assert rows["a"]["notes"] == ""
    assert "model.images: b.png: " in rows["b"]["notes"]
    assert rows["c"]["notes"] == "its first frame was cut to the clip's aspect"
    assert "not run: model.images: b.png: " in rows["b"]["quality_status"]
    table = pd.read_csv(run.folder.path("clips.csv")).set_index("pair")
    assert table.loc["a", "last_psnr"] == pytest.approx(opposite, rel=1e-5)
    Image.fromarray(last).save(images / "a.png")  # another image, another row
    again = harness.run(clips, tmp_path / "out", f"model.images={images}", *words)
    changed = {row["clip"]: row for row in again.results.records}
    assert changed["a"]["first_psnr"] < rows["a"]["first_psnr"]
    assert changed["c"]["first_psnr"] == rows["c"]["first_psnr"]


def test_without_images_what_needs_them_says_so(tmp_path: Path) -> None:
    clips = harness.two_generators(tmp_path / "clips", pairs=1)
    words = ["embedder=histogram", "quality=vbench", "quality.dimensions=[i2v_subject]"]
    run = harness.run(clips, tmp_path / "out", *words)
    said = "VBench without i2v_subject on 2 of 2 clips: not run: no first frames are given, name "
    assert said in (run.folder.path("index.html").read_text())
    assert not set(FIDELITY) & set(run.results.records[0])
    (tmp_path / "twice").mkdir()
    for suffix in ("jpg", "png"):
        (tmp_path / "twice" / f"p0.{suffix}").touch()
    wrong = {"none": "No such file", "clips": "there is no image in it", "twice": "have one name"}
    for folder, why in wrong.items():
        with pytest.raises(ConfigError, match=f"model.images=.*{why}"):
            harness.run(clips, tmp_path / "out", f"model.images={tmp_path / folder}")
