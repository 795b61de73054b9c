"""The study of invariance: its rows by hand, its plain columns, and its figure."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import spf
from benchmarks.harness import session
from benchmarks.known_pacing import studies
from benchmarks.known_pacing.errors import calibrate
from spf.embedders import load_embedder
from spf.measurement import measure_clip
from synthetic.clips import Still, SyntheticClip, Zoomed, content
from synthetic.laws import law
from synthetic.motion import motion

SMALL = (
    "benchmark=synthetic_pacing", "embedder=pixels", "workers=1", "benchmark.seeds=[1000]",
    "benchmark.contents=[composition-snow-volcano]", "benchmark.size=[32,32]",
)  # fmt: skip
FRAMES = studies.INVARIANCE_FRAMES


def run(output: Path, study: str, frames: int) -> Any:
    words = (f"benchmark.studies=[{study}]", f"benchmark.num_frames={frames}", f"output={output}")
    return session.run(harness.compose(*SMALL, *words), quiet=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The study on one content, with the run's own nuisance at none and its own length at 9."""
    return run(tmp_path_factory.mktemp("invariance"), "invariance", 9)


@pytest.fixture(scope="module")
def records(made: Any) -> pd.DataFrame:
    return pd.read_parquet(made.folder.path("records.parquet"))


def tables(made: Any) -> dict[str, dict[Any, dict[str, Any]]]:
    """Rows of the study's tables by their first columns after the embedder."""
    (section,) = made.summary.sections
    keys = {"invariance": 2, "invariance_ladder": 1, "invariance_kept": 1}
    return {
        table.name: {tuple(row.values())[1 : 1 + keys[table.name]]: row for row in table.rows}
        for table in section.tables
    }


MORPH = SyntheticClip(
    content("composition-snow-volcano"), num_frames=FRAMES, size=(32, 32), seed=1000
)
PAN = motion("translation", "strong")


def measured(**more: Any) -> tuple[spf.Curve, spf.Curve]:
    """Plain and corrected curve of a clip, from its frames."""
    clip = SyntheticClip(**{**vars(MORPH), **more})
    found = measure_clip(
        np.stack(list(clip.frames())), load_embedder("pixels"), nuisance="camera+light"
    )
    assert found.corrected is not None
    return found.curve, found.corrected.curve


def test_leakage_is_that_of_curves_measured_alone(made: Any) -> None:
    whole = measured()
    moving = measured(content=Still(MORPH.content), motion=PAN)
    row = tables(made)["invariance"]["translation", 0.3]
    plain, corrected = (a.total_change / b.total_change for a, b in zip(moving, whole, strict=True))
    assert corrected < 0.8 * plain  # else it would not matter which of them is where
    assert (row["leakage"], row["leakage_corrected"]) == pytest.approx((plain, corrected), rel=1e-6)
    assert row["clips"] == 1


def test_the_ladder_by_hand(made: Any) -> None:
    row = tables(made)["invariance_ladder"][("translation-strong",)]
    u, fine = MORPH.shares, np.linspace(0, 1, 20001)
    whole = measured()
    laws = {s: law("sigmoid_jump", steepness=s) for s in studies.STEEPNESS[::2]}
    both = {s: measured(law=laws[s], motion=PAN) for s in laws}
    for place, end in enumerate(("", "_corrected")):
        curves = {s: both[s][place] for s in laws}
        raw = [np.abs(np.interp(fine, u, c.progress - laws[s].g(u))) for s, c in curves.items()]
        assert row[f"raw_error{end}"] == pytest.approx(np.median(np.mean(raw, axis=1)), rel=1e-3)
        uneven = [spf.score(curve)["linearity_mae"] for curve in curves.values()]
        ranks = np.argsort(np.argsort(np.nan_to_num(uneven)))  # the truth rises with steepness
        spearman = 1 - 6 * ((ranks - np.arange(4)) ** 2).sum() / (4 * (16 - 1))
        assert np.isfinite(uneven).sum() >= 3  # a single one without a value is the least even
        assert row[f"spearman{end}"] == pytest.approx(spearman)
        jumps = [np.argmax(np.diff(curves[s].fitted)) + 0.5 for s in studies.JUMPS]
        away = np.median(np.abs(np.array(jumps) - (FRAMES - 1) / 2))
        assert row[f"error_frames{end}"] == pytest.approx(away)
        errors = [
            calibrate(c.progress, laws[s].g(u), u, whole[place].progress).error
            for s, c in curves.items()
        ]
        assert row[f"calibrated_error{end}"] == pytest.approx(np.median(errors), rel=1e-6)


def test_what_is_left_of_each_kind_of_clip(made: Any, records: pd.DataFrame) -> None:
    rows = {group: row for (group,), row in tables(made)["invariance_kept"].items()}
    assert {group: row["clips"] for group, row in rows.items()} == {
        "morph, no motion": 5,  # even, and four jumps
        "morph, in motion": 9,  # the jumps under two camera paths, and one hand-held
        "still scene, in motion": 14,
        "zoom that is the meaning": 1,
    }
    plain, corrected = measured(content=Zoomed(MORPH.content, at=0.0))
    zoom = rows["zoom that is the meaning"]
    assert zoom["kept"] == pytest.approx(corrected.total_change / plain.total_change, rel=1e-6)
    for column, flag in (("flagged", "mostly_motion"), ("flagged_explained", "explained")):
        assert sum(row[column] for row in rows.values()) == records[flag].sum()


def test_plain_columns_are_those_of_the_study_of_leakage(
    made: Any, records: pd.DataFrame, tmp_path: Path
) -> None:
    other = run(tmp_path, "leakage", FRAMES)
    alone = pd.read_parquet(other.folder.path("records.parquet")).set_index("clip")
    both = records.set_index("clip")
    shared = both.index.intersection(alone.index)
    assert len(shared) == 15  # 14 still scenes in motion, and the reference
    numbers = alone.loc[shared].select_dtypes("number").dropna(axis=1, how="all")
    assert {"total_change", "linearity_mae", "raw_error"} <= set(numbers)
    pd.testing.assert_frame_equal(both.loc[shared, numbers.columns], numbers)
    for clip in shared:
        second, first = (
            pd.read_csv(io.BytesIO(one.folder.read(frame.loc[clip, "curve"])))
            for one, frame in ((made, both), (other, alone))
        )
        pd.testing.assert_frame_equal(second[first.columns], first)
    settings = [json.loads(frame.loc[shared[0], "settings"]) for frame in (both, alone)]
    assert [one.get("nuisance") for one in settings] == ["camera+light", None]


def test_the_figure_shows_five_clips_and_says_so(made: Any, records: pd.DataFrame) -> None:
    (section,) = made.summary.sections
    (figure,) = section.figures
    assert figure.path == "invariance.png"
    shown = records[records["pictured"] != ""].set_index("pictured")
    assert set(shown.index) == set(studies.PICTURED)
    for label, clip in shown.iterrows():
        changes = f"{clip['total_change']:.2f} and {clip['total_change_corrected']:.2f} rad"
        assert f"{label}, {changes}" in figure.alt
    width, height = Image.open(io.BytesIO(made.folder.read(figure.path))).size
    assert width <= 1000
    assert height > 5 * 100
    assert figure.alt in made.folder.read("index.html").decode()
