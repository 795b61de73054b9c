"""Benchmark `retime_existing`: folders and rendered clips, rows for all that happens, tables."""

from __future__ import annotations

from pathlib import Path

import harness
import numpy as np
import pandas as pd
import pytest

from benchmarks.existing import clips as existing_clips
from benchmarks.existing.clips import load_clips
from benchmarks.existing.tables import CLIP_COLUMNS, COLUMNS
from benchmarks.harness import session
from spf.errors import ConfigError
from spf.video import load

BLEND = "benchmark.retimes=[none,blend]"


def run(output: Path, *words: str) -> session.Run:
    """A run in this process; of control measures, which cost nothing."""
    usual = ["benchmark=retime_existing", f"output={output}", "embedder=pixels"]
    return session.run(harness.compose(*usual, *words), quiet=True)


def table(done: session.Run, name: str) -> pd.DataFrame:
    return pd.read_csv(done.folder.path(f"{name}.csv"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clip on top, one in a category, one that is none."""
    root = tmp_path / "clips"
    harness.save(root / "slow.mp4", harness.steady(17, power=3.0))
    harness.save(root / "film" / "jump.mp4", harness.jumping(17, seed=1))
    (root / "broken.mp4").write_bytes(b"no video")
    return root


def test_a_bad_clip_is_a_failed_row_and_the_rest_is_done(folder: Path, tmp_path: Path) -> None:
    words = [f"benchmark.clips={folder}", "benchmark.retimes=[blend,regenerate]"]
    done = run(tmp_path / "out", "model=folder", *words)
    assert done.code == 1
    rows = table(done, "existing_clips")
    assert list(rows.columns) == CLIP_COLUMNS
    found = {(row.clip, row.strategy): row for row in rows.itertuples()}
    assert len(found) == 6
    status = {key: row.status for key, row in found.items()}
    assert status["broken", "blend"] == "failed"
    assert "broken.mp4" in found["broken", "blend"].reason
    assert str(tmp_path) not in found["broken", "blend"].reason
    assert [status["slow", "blend"], status["film/jump", "blend"]] == ["done", "done"]
    for name in ("slow", "film/jump", "broken"):
        assert status[name, "regenerate"] == "not_run"
        assert "model=folder generates nothing" in found[name, "regenerate"].reason
    for name in ("slow", "film/jump"):
        assert found[name, "blend"].target_mae < 0.5 * found[name, "blend"].before_target_mae
        assert done.folder.path(f"retimed/{name.replace('/', '-')}").parent.is_dir()
    groups = table(done, "existing")
    assert list(groups.columns) == COLUMNS
    assert set(groups["category"].fillna("")) == {"", "film"}
    record = next(r for r in done.results.records if r["clip"] == "slow" and r["file"])
    assert done.folder.path(record["file"]).read_bytes()[4:8] == b"ftyp"
    assert record["before_file"] == "slow.mp4"
    assert list(done.folder.root.glob("films/*.mp4"))
    assert len(list(done.folder.root.glob("pairs/*.png"))) == 2


def test_the_true_pacing_of_a_rendered_clip_comes_nearer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the second run writes the same tables."""
    one = load_clips(None)[:1]
    monkeypatch.setattr(existing_clips, "_morphs", lambda: [])
    monkeypatch.setattr("benchmarks.existing.experiment.load_clips", lambda _: one)
    first, again = (run(tmp_path / name, BLEND) for name in ("one", "two"))
    assert first.code == 0
    none, blend = table(first, "existing_clips").itertuples()
    assert none.true_target_mae == none.before_true_target_mae == blend.before_true_target_mae
    assert none.before_true_target_mae > 0.1
    assert blend.true_target_mae < 0.6 * blend.before_true_target_mae
    assert none.source_distance == 0
    assert blend.source_distance > 0
    for name in ("existing.csv", "existing_clips.csv", "existing.md"):
        assert first.folder.read(name) == again.folder.read(name)
    said = first.summary.sections[0].paragraphs
    assert len(said) == 1
    assert "by the renderer's own parameter it falls" in said[0]


def test_a_model_of_another_size_is_not_run_and_says_so(folder: Path, tmp_path: Path) -> None:
    harness.save(folder / "wide.mp4", [x.repeat(2, axis=1) for x in harness.steady()])
    config = harness.compose(
        "benchmark=retime_existing",
        f"benchmark.clips={folder}",
        "benchmark.retimes=[regenerate]",
        f"output={tmp_path / 'out'}",
    )
    cells = session.build(config).cells()
    said = {cell.key.clip: cell.not_run for cell in cells}
    assert said["wide"] == (
        "model=tiny makes 32x32, the clip has 64x32 and would be resized; resize it, or choose a "
        "model that takes its size"
    )
    assert said["slow"] == said["film/jump"] == said["broken"] == ""
    assert {cell.key.model for cell in cells} == {"tiny"}


def test_a_clip_without_change_is_left_as_it_is(tmp_path: Path) -> None:
    harness.save(tmp_path / "clips" / "still.mp4", harness.still())
    clips = f"benchmark.clips={tmp_path / 'clips'}"
    done = run(tmp_path / "out", clips, "benchmark.retimes=[blend]")
    (row,) = table(done, "existing_clips").itertuples()
    assert (done.code, row.status) == (0, "done")
    assert "no semantic change" in row.reason
    assert table(done, "existing")["unchanging"].tolist() == [1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["retime=rope"], "retime=rope is for benchmark=retime_generated"),
        (["benchmark.retimes=[wrong_map]"], "retime=wrong_map is for benchmark=retime_generated"),
        (["benchmark.retimes=[blur]"], "unknown retime 'blur'"),
        (["benchmark.clips=/nowhere"], "there is no such folder"),
        (["benchmark.fps=-1"], "fps"),
        (["sampling.stride=2"], "shows all frames"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        session.build(harness.compose("benchmark=retime_existing", *words))
    assert "\n" not in str(error.value)


def flickering(path: Path) -> float:
    """VBench's temporal flickering by our own decoder: 1 - mean |x' - x| / 255."""
    frames = load(path).frames.astype(np.float64)
    return 1 - float(np.abs(np.diff(frames, axis=0)).mean()) / 255
