"""What retimed clips are judged by, and the sentences that are made of it."""

import numpy as np
import pytest

import spf
from benchmarks.generated.pairs import load_pairs
from benchmarks.generated.scores import oracle_curve, true_pacing
from benchmarks.generated.sentences import sentences
from benchmarks.harness.cells import Interval, Table
from spf.generators.base import GeneratedClip
from spf.measurement import DEFAULT_SETTINGS
from spf.pacing.targets import Linear


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


def test_the_papers_method_stands_beside_our_best():
    text = said(
        row("rope_flat", -0.1, Interval(-0.12, -0.08)),
        row("rope_flat (alpha=0.5)", -0.05, Interval(-0.06, -0.04)),
        row("rope (authors_workflow)", -0.12, Interval(-0.2, 0.01)),
        row("rope (authors_code)", -0.02, Interval(-0.03, 0.01)),
    )
    assert text.startswith(
        "Median linearity_mae of the clips of tiny, target linear, measured by m: "
    )
    true = "better on 2 of 3{}, by the renderer's parameter 0.25 to 0.31"
    doubtful = true.format(", not beyond doubt") + "; "
    assert f"the paper's method, rope (authors_code), lowers it, 0.2 to 0.18, {doubtful}" in text
    assert f"rope (authors_workflow), lowers it, 0.2 to 0.08, {doubtful}" in text
    ours = "our best warp (chosen on these clips), rope_flat, lowers it, 0.2 to 0.10"
    assert f"{ours}, {true.format('')}." in text
    assert "rope_flat, repeated frames 0 to 0.125" in text
    assert "alpha" not in text


@pytest.mark.parametrize(
    ("change", "interval", "verdict"),
    [
        (0.1, Interval(0.05, 0.15), "worse, so the map matters"),
        (0.1, Interval(-0.01, 0.15), "no clear difference"),
        (-0.1, Interval(-0.15, -0.01), "better: the map does NOT matter"),
        (0.1, None, "too few pairs to tell"),
    ],
)
def test_the_control_says_what_its_interval_allows(change, interval, verdict):
    text = said(row("wrong_map", change, interval))
    assert f"{0.2 + change:.1f} against 0.2 before, {verdict}." in text
