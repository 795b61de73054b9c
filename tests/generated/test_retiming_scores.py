import json

import harness
import numpy as np
import pytest

import spf
from benchmarks.generated.pairs import load_pairs
from benchmarks.generated.scores import oracle_curve, true_pacing
from benchmarks.generated.tables import sentences
from benchmarks.harness.cells import Interval, Table
from benchmarks.harness.quality import paired_table, reasons, retimed_columns, sentence
from benchmarks.harness.session import build
from spf.generators.base import GeneratedClip
from spf.measurement import DEFAULT_SETTINGS
from spf.pacing.targets import Linear
from spf.quality import UNKNOWN, Score
from spf.video import load


def test_true_pacing_of_known_parameters():
    times = np.arange(5) / 4.0
    even = true_pacing(np.linspace(0.1, 0.9, 5), times, Linear())
    assert even["true_linearity_mae"] == pytest.approx(0.0, abs=1e-12)
    assert even["true_peak_step"] == pytest.approx(1.0)
    jump = true_pacing(np.array([0.2, 0.2, 0.2, 0.8, 0.8]), times, Linear())
    # |q - u|: triangles below and above the diagonal, which the jump crosses between.
    fine = np.linspace(0, 1, 20001)
    line = np.interp(fine, times, [0, 0, 0, 1, 1])
    assert jump["true_linearity_mae"] == pytest.approx(np.abs(line - fine).mean(), abs=1e-4)
    assert jump["true_peak_step"] == pytest.approx(4.0)
    assert jump["true_target_mae"] == jump["true_linearity_mae"]
    assert all(np.isnan(list(true_pacing(np.full(5, 0.4), times, Linear()).values())))


def test_the_oracles_curve_follows_the_renderer():
    pair = load_pairs("procedural", (32, 32))[0]

    def curve(shares):
        clip = GeneratedClip(np.stack([pair.painter(float(p)) for p in shares]), 8.0)
        return oracle_curve(pair, clip, DEFAULT_SETTINGS)

    shares = np.linspace(0, 1, 17)
    even = curve(shares)
    assert spf.score(even)["linearity_mae"] < 0.01
    assert even.total_change == pytest.approx(1.2, rel=0.05)
    assert np.abs(curve(shares**2).progress - shares**2).max() < 0.03


def row(strategy, change, interval):
    names = ("linearity_mae", "true_linearity_mae", "repeated_frames")
    before, after = (0.2, 0.25, 0.0), (0.2 + change, 0.31, 0.125)
    return {
        "strategy": strategy, "measure": "m", "generator": "tiny", "difference": change,
        "difference_95": interval, "better": "2 of 3",
        **{f"before_{name}": value for name, value in zip(names, before, strict=True)},
        **dict(zip(names, after, strict=True)),
    }  # fmt: skip


def said(*rows):
    rows = [row("none", 0.0, Interval(0, 0)), *rows]
    table = Table.of_rows("retiming", "t", list(rows[0]), rows)
    return " ".join(sentences(table, "m", "linearity_mae", "linear"))


def test_sentences_follow_the_rows_and_their_intervals():
    text = said(
        row("rope_flat", -0.1, Interval(-0.12, -0.08)),
        row("rope_flat (alpha=0.5)", -0.05, Interval(-0.06, -0.04)),
        row("rope (authors_code)", -0.02, Interval(-0.03, 0.01)),
    )
    doubt = "better on 2 of 3, not beyond doubt, by the renderer's parameter 0.25 to 0.31"
    assert f"rope (authors_code), lowers it, 0.2 to 0.18, {doubt}" in text
    assert "our best warp (chosen on these clips), rope_flat, lowers it, 0.2 to 0.10, be" in text
    assert "rope_flat, repeated frames 0 to 0.125" in text
    assert "alpha" not in text
    for change, interval, verdict in (
        (0.1, Interval(0.05, 0.15), "worse, so the map matters"),
        (0.1, Interval(-0.01, 0.15), "no clear difference"),
        (-0.1, Interval(-0.15, -0.01), "better: the map does NOT matter"),
        (0.1, None, "too few pairs for an interval"),
    ):
        text = said(row("wrong_map", change, interval))
        assert f"{0.2 + change:.1f} against 0.2 before, {verdict}." in text


ABSENT = "not run: weights absent, get them by make weights QUALITY=vbench"
FLICKER = "vbench_temporal_flickering"


class Brightness:
    name = "vbench"
    dimensions = ("temporal_flickering", "dynamic_degree", "imaging_quality")

    def measure(self, clip, cache=None, conditions=UNKNOWN):
        frames = np.stack(load(clip).frames)
        missing = dict.fromkeys(self.dimensions[1:], Score(None, ABSENT))
        return {self.dimensions[0]: Score(float(frames.mean()) / 255), **missing}

    def identity(self):
        return {"quality": self.name}


def test_a_retimed_clips_columns_are_not_swapped():
    dark, light = (GeneratedClip(np.full((5, 32, 32, 3), x, np.uint8), 8.0) for x in (50, 200))
    columns = retimed_columns(Brightness(), before=dark, after=light)
    assert columns[f"before_{FLICKER}"] == pytest.approx(50 / 255, abs=0.02)
    assert columns[FLICKER] == pytest.approx(200 / 255, abs=0.02)
    assert reasons(columns, before=True) == reasons(columns)


def record(clip, before, after, **more):
    reason = json.dumps({"imaging_quality": ABSENT})
    return {
        "status": "done", "clip": f"pair{clip}", "embedder": "tiny", "model": "tiny",
        "retime": "rope", "before_file": f"generated/{clip}.npz",
        "file": f"generated/{clip}-warped.npz", FLICKER: after, f"before_{FLICKER}": before,
        "vbench_imaging_quality": None, "before_vbench_imaging_quality": None,
        "quality_status": reason, "before_quality_status": reason,
    } | more  # fmt: skip


def test_differences_are_paired_and_signed():
    """An asymmetric case by hand: levels differ by clip, the change by a hundredth."""
    befores = [0.1, 0.3, 0.5, 0.7, 0.8, 0.9]
    rows = [record(clip, x, x + 0.01 * (1 + clip % 2)) for clip, x in enumerate(befores)]
    table = paired_table(rows)
    first, second = table.rows
    assert first["original"] == pytest.approx(0.55)
    assert first["retimed"] == pytest.approx(0.565)
    assert first["difference"] == pytest.approx(0.015)
    assert (first["dimension"], first["clips"]) == ("temporal_flickering", "6 of 6")
    low, high = first["difference_95"]
    assert 0 < low < 0.015 < high < 0.03  # though the levels spread over 0.8
    assert first["effect"] > 2
    assert (second["difference"], second["clips"], second["note"]) == (None, "0 of 6", ABSENT)
    assert ": higher temporal_flickering (rope by tiny), 0.55 to 0.565;" in sentence(table)


def test_the_sentence_follows_sign_and_number():
    lower = [0.45 + clip / 1000 for clip in range(6)]
    alike = [0.5 + (-1) ** clip / 100 for clip in range(6)]
    for afters, said in (
        (lower, "lower temporal_flickering (rope by tiny), 0.5"),
        (alike, "no interval of a difference excludes zero"),
        ([0.6] * 5, "too few clips"),
    ):
        table = paired_table([record(clip, 0.5, after) for clip, after in enumerate(afters)])
        assert said in sentence(table)
        assert (table.rows[0]["difference_95"] is None) == (len(afters) < 6)


def test_what_was_not_retimed_is_no_pair():
    rows = [record(clip, 0.5, 0.6) for clip in range(3)]
    rows += [record(3, 0.9, 0.9, file="generated/3.npz"), record(4, 0.9, 0.1, status="failed")]
    rows += [record(clip, 0.2, 0.2, retime="none") for clip in range(3)]
    table = paired_table(rows)
    first = table.rows[0]
    assert (first["clips"], first["note"]) == ("3 of 3", "1 left as generated")
    assert first["difference"] == pytest.approx(0.1)
    assert {row["strategy"] for row in table.rows} == {"rope"}


def test_a_benchmark_without_quality_refuses_it():
    config = harness.compose("benchmark=synthetic_pacing", "quality=vbench")
    with pytest.raises(spf.ConfigError, match="uses no quality; write quality=none"):
        build(config)
