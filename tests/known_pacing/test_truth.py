"""The synthetic benchmark's own arithmetic: errors against the truth, studies, tables."""

from __future__ import annotations

from pathlib import Path

import harness
import numpy as np
import pandas as pd
import pytest

import spf
from benchmarks.harness import session
from benchmarks.known_pacing import errors as truth
from benchmarks.known_pacing import solver_tables, studies
from benchmarks.known_pacing import tables as truth_tables
from benchmarks.known_pacing.pacing_measures import (
    consecutive_measures,
    running_sum_mae,
)
from synthetic.laws import law
from synthetic.sphere import great_circle

U = np.linspace(0, 1, 81)


# Clips made in embedding space


@pytest.mark.parametrize("dimensions", [32, 512])
def test_the_spread_of_distances_is_that_of_the_noise(dimensions: int) -> None:
    z = great_circle(law("linear"), 2000, total=0.0, noise=0.05, dimensions=dimensions)
    assert spf.fit(z).noise_spread == pytest.approx(np.sqrt(0.5 / dimensions), rel=0.1)


@pytest.mark.parametrize("length", [5, 81, 1000])
def test_static_noisy_clips_do_not_change(length: int) -> None:
    """Also where the noise of every frame has another size."""
    random = np.random.default_rng(length)
    clips = []
    for seed in range(20):
        still = great_circle(law("linear"), length, total=0.0, seed=seed)
        noisy = great_circle(law("linear"), length, total=0.0, noise=0.05, seed=seed)
        size = np.exp(0.4 * random.standard_normal((length, 1)))
        clips.append(still + size * (noisy - still))
    alarms = sum(curve.changes for curve in spf.fit_many(clips))
    assert alarms <= (4 if length < 1000 else 0)


def test_the_solver_s_tables_meet_their_bars() -> None:
    laws, long, _, power = solver_tables.solver_tables()
    assert max(row["increments"] for row in laws.rows) < 1e-3
    assert [row["frames"] for row in long.rows] == [1_000, 10_000, 100_000]
    assert max(row["linearity_mae"] for row in long.rows) < 1e-3
    assert not any(row["false_alarms"] for row in power.rows)
    for length in solver_tables.POWER_LENGTHS[:2]:  # the smallest change is a multiple of the noise
        found = [row["in_noises"] for row in power.rows if row["frames"] == length]
        assert found == pytest.approx([found[0]] * 3, rel=0.15)
    assert "; 0.06 in 81 frames" in solver_tables.solver_sentence([laws, long, _, power])


# Errors


def test_the_calibration_takes_out_the_embedder_s_own_speed() -> None:
    """A warped clock L(p) distorts reference and clip alike; the calibrated error forgets it."""
    truth_of_clip = law("ease_in").g(U)
    for power in (0.5, 1.0, 2.0):
        reference = U**power  # L at even parameters
        measured = truth_of_clip**power
        found = truth.calibrate(measured, truth_of_clip, U, reference)
        assert found.error < 3e-3
        # Only U^2 is slower than a tenth of its mean anywhere: up to p = 0.05.
        share = np.sqrt(0.05) if power == 2.0 else 0.0
        assert found.unidentified == pytest.approx(share, abs=0.02)
    raw = truth.raw_errors(truth_of_clip**2, truth_of_clip, U)["raw_error"]
    assert raw > 0.1


def test_the_calibrated_error_is_not_blind() -> None:
    reference = 0.5 * U + 0.5 * U**2
    wrong = law("ease_out").g(U)
    found = truth.calibrate(0.5 * wrong + 0.5 * wrong**2, law("ease_in").g(U), U, reference)
    expected = np.trapezoid(np.abs(law("ease_out").g(U) - law("ease_in").g(U)), U)
    assert found.error == pytest.approx(expected, abs=3e-3)
    assert (found.unidentified, found.reason) == (0.0, "")


def clock(start: float, stop: float) -> np.ndarray:
    """L at 81 parameters: even, but for a plateau from start to stop."""
    level = start / (1 - (stop - start))
    made = np.interp(U, [0, start, stop, 1], [0, level, level, 1])
    made[round(80 * start) : round(80 * stop) + 1] = level  # interpolation rounds
    return made


@pytest.mark.parametrize("pacing", ["linear", "ease_in"])
def test_a_plateau_of_the_clock_identifies_nothing(pacing: str) -> None:
    """From p = 0.4 to 0.6: the time in which the law is there is left out, and is reported."""
    at, wrong = law(pacing).g(U), law("ease_out").g(U)
    reference = clock(0.4, 0.6)
    right = truth.calibrate(np.interp(at, U, reference), at, U, reference)
    share = float(np.diff(law(pacing).inverse([0.4, 0.6]))[0])
    assert right.unidentified == pytest.approx(share, abs=0.02)
    assert right.error == pytest.approx(0.0, abs=1e-9)
    # By hand: the rest of the time alone, with the plateau read in its middle.
    read = np.where((wrong > 0.4) & (wrong < 0.6), 0.5, wrong)
    known = (at < 0.4 - 1e-9) | (at > 0.6 + 1e-9)
    found = truth.calibrate(np.interp(wrong, U, reference), at, U, reference)
    assert found.error == pytest.approx(np.abs(read - at)[known].mean(), abs=0.01)


def test_a_slow_stretch_counts_as_a_plateau_below_a_tenth_of_the_mean() -> None:
    for speed, share in ((0.09, 0.5), (0.11, 0.0)):
        reference = np.interp(U, [0, 0.25, 0.75, 1], [0, 0.5 - speed / 4, 0.5 + speed / 4, 1])
        found = truth.calibrate(reference, U, U, reference)
        assert found.unidentified == pytest.approx(share, abs=0.02)


def test_no_error_where_the_clock_mostly_stands_still() -> None:
    found = truth.calibrate(U, U, U, clock(0.2, 0.8))
    assert np.isnan(found.error)
    assert found.unidentified == pytest.approx(49 / 80)  # frames 16 to 64
    assert found.reason == "arc length stands still in 61% of the time"
    for reference, changes in ((np.zeros(81), True), (U, False)):
        found = truth.calibrate(U, U, U, reference, changes)
        assert np.isnan(found.error)
        assert found.unidentified == 1.0
        assert found.reason == "no semantic change along the morph"


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7])
def test_a_jump_is_found_where_it_is(place: float) -> None:
    pacing = law("sigmoid_jump", place=place, steepness=160)
    curve = spf.fit(great_circle(pacing, 81), times=U * 10)
    assert truth.jump_error(curve, pacing) <= 0.5 + 1e-3
    elsewhere = law("sigmoid_jump", place=0.2, steepness=160)
    assert truth.jump_error(curve, elsewhere) == pytest.approx((place - 0.2) * 80, abs=1)
    assert np.isnan(truth.jump_error(curve, law("linear")))


# Other measures


def test_other_measures_are_zero_for_even_clips_and_grow() -> None:
    even, steep = (
        consecutive_measures(great_circle(law(name), 81), U) for name in ("linear", "sigmoid_jump")
    )
    assert even["pdv"] < 1e-12
    assert even["consecutive_mae"] < 1e-6
    assert steep["pdv"] > 1e-5
    assert steep["consecutive_mae"] == pytest.approx(
        np.trapezoid(np.abs(law("sigmoid_jump").g(U) - U), U), abs=1e-3
    )
    assert np.isnan(running_sum_mae(np.zeros(80), U))


def test_rank_correlation_knows_its_direction() -> None:
    ladder = pd.DataFrame(
        {
            "motion": "none",
            "true_linearity_mae": [0.0, 0.1, 0.2],
            "linearity_mae": [0.01, 0.1, 0.3],
            "pacing_entropy_64": [1.0, 0.8, 0.5],  # higher is more even
            "pdv": [3.0, 2.0, 1.0],
        }
    )
    rows, motions = truth_tables.measure_rows(ladder)
    assert motions == ["none"]
    found = {row["measure"]: row for row in rows}
    assert found["linearity_mae"]["none"] == pytest.approx(1.0)
    assert found["pacing_entropy_64"]["none"] == pytest.approx(1.0)
    assert found["pdv"]["none"] == pytest.approx(-1.0)
    assert found["pdv_lpips"]["status"] == "not_run"
    assert found["pdv_lpips"]["reason"].startswith("not run: ")


# Faults


def test_a_metric_tells_a_fault_by_the_pairs_that_it_orders() -> None:
    faulty = pd.DataFrame({"linearity_mae": [0.3, 0.1], "pacing_entropy_64": [0.5, np.nan]})
    even = pd.DataFrame({"linearity_mae": [0.2, 0.1], "pacing_entropy_64": [0.9, 0.4]})
    assert truth_tables._less_even(faulty, even, "linearity_mae") == (1 + 1 + 0 + 0.5) / 4
    # Higher is more even, and a clip without a value counts as even.
    assert truth_tables._less_even(faulty, even, "pacing_entropy_64") == (1 + 0 + 0 + 0) / 4


@pytest.mark.parametrize(
    ("fault", "share"), [("late start", 0.3), ("stall", 0.3), ("many jumps", 0.3)]
)
def test_faults_stand_still_as_long_as_they_say(fault: str, share: float) -> None:
    pacing, camera = studies.FAULTS[fault](share)
    still = np.diff(pacing.g(np.linspace(0, 1, 3001))) < 1e-9
    assert camera is None
    assert still.mean() == pytest.approx(share, abs=0.01)
    jump, _ = studies.FAULTS["one jump"](share)  # holds that share of the change
    assert jump.g([0.49, 0.51]) @ [-1, 1] == pytest.approx(share)


@pytest.mark.slow
def test_the_documents_table_of_faults_is_measured(tmp_path: Path) -> None:
    config = harness.compose(
        "benchmark=synthetic_pacing", "embedder=tiny", "benchmark.studies=[faults]",
        f"output={tmp_path}",
    )  # fmt: skip
    (section,) = session.run(config, quiet=True).summary.sections
    text = (harness.ROOT / "docs" / "how-to" / "compare-generators.md").read_text()
    data = section.tables[0].data.drop(columns=["embedder", "clips"])
    assert f"| {' | '.join(data.columns)} |" in text
    for row in data.to_numpy():
        (line,) = [x for x in text.splitlines() if x.startswith(f"| {row[0]} | {row[1]:g} | ")]
        said = [float(cell) for cell in line.strip("|").split("|")[2:]]
        assert said == pytest.approx(list(row[2:]), abs=0.05)
