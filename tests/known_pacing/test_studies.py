import html

import harness
import numpy as np
import pandas as pd
import pytest
from rendered import stack

import spf
from benchmarks.harness import session
from benchmarks.known_pacing import solver_tables, studies
from benchmarks.known_pacing.errors import calibrate
from spf.embedders import load_embedder
from spf.measurement import measure_clip
from synthetic.clips import Still, SyntheticClip, Zoomed, content
from synthetic.laws import law
from synthetic.motion import motion

SMALL = (
    "benchmark=synthetic_pacing", "embedder=pixels", "workers=1", "benchmark.seeds=[1000]",
    "benchmark.contents=[composition-snow-volcano]", "benchmark.size=[32,32]",
    "benchmark.num_frames=9", "benchmark.laws=[linear]",
)  # fmt: skip
FEWER = {
    "KINDS": ("translation", "noise"), "LEVELS": (0.1,), "LENGTHS": (21,), "PLACES": (0.3,),
    "FAULT_STRENGTHS": (0.3,),
}  # fmt: skip
FRAMES = studies.INVARIANCE_FRAMES
SCENE = content("composition-snow-volcano")
MORPH = SyntheticClip(SCENE, num_frames=FRAMES, size=(32, 32), seed=1000)
PAN = motion("translation", "strong")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    words = (*SMALL, f"output={tmp_path_factory.mktemp('studies')}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.harness.measuring.plot_measurement", harness.blank)
        patch.setattr(studies, "COLOURS", {key: x[:1] for key, x in studies.COLOURS.items()})
        for name, fewer in FEWER.items():
            patch.setattr(studies, name, fewer)
        patch.setattr(solver_tables, "LENGTHS", (1_000,))
        patch.setattr(solver_tables, "POWER_LENGTHS", (21,))
        return session.run(harness.compose(*words), quiet=True)


def rows(made, name, *key):
    """The row of a table that begins, after the embedder, with these values."""
    (table,) = (x for part in made.summary.sections for x in part.tables if x.name == name)
    (row,) = (x for x in table.rows if tuple(x.values())[1 : 1 + len(key)] == key)
    return row


def measured(**more):
    """Plain and corrected curve of a clip, from its frames."""
    frames = stack(SyntheticClip(**{**vars(MORPH), **more}))
    plain, found = (
        measure_clip(frames, load_embedder("pixels"), nuisance=nuisance)
        for nuisance in ("none", "camera+light")
    )
    np.testing.assert_array_equal(found.curve.angle, plain.curve.angle)
    return plain.curve, found.corrected.curve


def test_every_study_is_a_part_of_the_page(made):
    found = {part.title: [x.name for x in part.tables] for part in made.summary.sections}
    assert list(found.values()) == [
        ["pacing_by_motion", "synthetic_pacing"], ["colours"], ["leakage"],
        ["invariance", "invariance_ladder", "invariance_remaining"], ["jumps"], ["measures"],
        ["faults"], ["growth"], ["noise_floor"],
        ["sphere", "sphere_long", "sphere_noise", "sphere_power"],
    ]  # fmt: skip
    page = html.unescape(made.folder.read("index.html").decode())
    for part in made.summary.sections:
        assert all(text in page for text in (part.title, *part.paragraphs))
        assert all(table.columns[0] == "embedder" and table.rows for table in part.tables)


def test_leakage_is_that_of_curves_measured_alone(made):
    for table, frames in (("invariance", FRAMES), ("leakage", 9)):
        moving = measured(content=Still(MORPH.content), motion=PAN, num_frames=frames)
        both = zip(moving, measured(num_frames=frames), strict=True)
        plain, corrected = (a.total_change / b.total_change for a, b in both)
        row = rows(made, table, "translation", 0.3)
        assert (row["leakage"], row["clips"]) == (pytest.approx(plain, rel=1e-6), 1)
        if table == "invariance":
            assert row["leakage_corrected"] == pytest.approx(corrected, rel=1e-6)
            assert corrected < 0.8 * plain  # else it would not matter which of them is where


def test_the_ladder_by_hand(made):
    row = rows(made, "invariance_ladder", "translation-strong")
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
        own = whole[place].progress
        errors = [calibrate(c.progress, laws[s].g(u), u, own).error for s, c in curves.items()]
        assert row[f"calibrated_error{end}"] == pytest.approx(np.median(errors), rel=1e-6)


def test_what_is_left_of_each_kind_of_clip_and_its_figure(made):
    counts = {
        "morph, no motion": 5,  # even, and four jumps
        "morph, in motion": 9,  # the jumps under two camera paths, and one hand-held
        "still scene, in motion": 14,
        "zoom that is the meaning": 1,
    }
    remaining = [rows(made, "invariance_remaining", kind) for kind in counts]
    assert [row["clips"] for row in remaining] == list(counts.values())
    plain, corrected = measured(content=Zoomed(MORPH.content, at=0.0))
    share = corrected.total_change / plain.total_change
    assert remaining[-1]["remaining"] == pytest.approx(share, rel=1e-6)
    records = pd.read_parquet(made.folder.path("records.parquet"))
    for column, flag in (("flagged", "mostly_motion"), ("flagged_explained", "explained")):
        assert sum(row[column] for row in remaining) == records[flag].sum()
    figures = (figure for part in made.summary.sections for figure in part.figures)
    (figure,) = (figure for figure in figures if figure.path == "invariance.png")
    shown = records[records["figure_label"].isin(studies.FIGURE_LABELS)].set_index("figure_label")
    assert set(shown.index) == set(studies.FIGURE_LABELS)
    for label, clip in shown.iterrows():
        changes = f"{clip['total_change']:.2f} and {clip['total_change_corrected']:.2f} rad"
        assert f"{label}, {changes}" in figure.alt
