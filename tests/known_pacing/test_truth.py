import hashlib
import pickle
from dataclasses import replace
from pathlib import Path

import harness
import numpy as np
import pandas as pd
import pytest
import torch
from torchvision.models import alexnet

import spf
from benchmarks.harness import session
from benchmarks.known_pacing import errors as truth
from benchmarks.known_pacing import perceptual, solver_tables
from benchmarks.known_pacing import tables as truth_tables
from benchmarks.known_pacing.perceptual import perceptual_steps, reduced
from benchmarks.known_pacing.rendered import consecutive_measures, running_sum_mae
from spf.errors import UnavailableError
from synthetic.laws import law
from synthetic.sphere import great_circle

U = np.linspace(0, 1, 81)


@pytest.mark.parametrize("length", [5, 81, 1000])
def test_static_noisy_clips_do_not_change(length):
    random = np.random.default_rng(length)
    clips = []
    for seed in range(20):
        still, noisy = (
            great_circle(law("linear"), length, total=0.0, noise=noise, seed=seed)
            for noise in (0.0, 0.05)
        )
        clips.append(still + np.exp(0.4 * random.standard_normal((length, 1))) * (noisy - still))
    alarms = sum(curve.changes for curve in spf.fit_many(clips))
    assert alarms <= (4 if length < 1000 else 0)
    steady = great_circle(law("linear"), 2000, total=0.0, noise=0.05, dimensions=32)
    assert spf.fit(steady).noise_spread == pytest.approx(np.sqrt(0.5 / 32), rel=0.1)


def test_the_solver_s_tables_meet_their_bars(monkeypatch):
    monkeypatch.setattr(solver_tables, "POWER_LENGTHS", (21, 81))
    laws, long, _, power = solver_tables.solver_tables()
    assert max(row["increments"] for row in laws.rows) < 1e-3
    assert [row["frames"] for row in long.rows] == [1_000, 10_000, 100_000]
    assert max(row["linearity_mae"] for row in long.rows) < 1e-3
    assert not any(row["false_alarms"] for row in power.rows)
    for length in (21, 81):  # the smallest change is a multiple of the noise
        found = [row["in_noises"] for row in power.rows if row["frames"] == length]
        assert found == pytest.approx([found[0]] * 3, rel=0.15)
    assert "; 0.060 in 81 frames" in solver_tables.solver_sentence([laws, long, _, power])


def test_the_calibration_takes_out_the_embedder_s_own_speed():
    """A warped clock L(p) distorts reference and clip alike; the calibrated error forgets it."""
    pace, wrong = law("ease_in").g(U), law("ease_out").g(U)
    for power in (0.5, 1.0, 2.0):  # L at even parameters is U**power
        found = truth.calibrate(pace**power, pace, U, U**power)
        assert found.error < 3e-3
        # Only U^2 is slower than a tenth of its mean anywhere: up to p = 0.05.
        share = np.sqrt(0.05) if power == 2.0 else 0.0
        assert found.unidentified == pytest.approx(share, abs=0.02)
    assert truth.raw_errors(pace**2, pace, U)["raw_error"] > 0.1
    # It is not blind to a wrong pace.
    found = truth.calibrate(0.5 * wrong + 0.5 * wrong**2, pace, U, 0.5 * U + 0.5 * U**2)
    assert found.error == pytest.approx(np.trapezoid(np.abs(wrong - pace), U), abs=3e-3)
    assert (found.unidentified, found.reason) == (0.0, "")


def clock(start, stop):
    """L at 81 parameters: even, but for a plateau from start to stop."""
    level = start / (1 - (stop - start))
    made = np.interp(U, [0, start, stop, 1], [0, level, level, 1])
    made[round(80 * start) : round(80 * stop) + 1] = level  # interpolation rounds
    return made


@pytest.mark.parametrize("pacing", ["linear", "ease_in"])
def test_a_plateau_of_the_clock_identifies_nothing(pacing):
    """From p = 0.4 to 0.6: the time in which the law is there is left out, and is reported."""
    at, wrong = law(pacing).g(U), law("ease_out").g(U)
    reference = clock(0.4, 0.6)
    right = truth.calibrate(np.interp(at, U, reference), at, U, reference)
    share = np.diff(np.interp([0.4, 0.6], at, U))[0]
    assert right.unidentified == pytest.approx(share, abs=0.02)
    assert right.error == pytest.approx(0.0, abs=1e-9)
    # By hand: the rest of the time alone, with the plateau read in its middle.
    read = np.where((wrong > 0.4) & (wrong < 0.6), 0.5, wrong)
    known = (at < 0.4 - 1e-9) | (at > 0.6 + 1e-9)
    found = truth.calibrate(np.interp(wrong, U, reference), at, U, reference)
    assert found.error == pytest.approx(np.abs(read - at)[known].mean(), abs=0.01)


def test_no_error_where_the_clock_mostly_stands_still():
    for speed, share in ((0.09, 0.5), (0.11, 0.0)):  # slow counts below a tenth of the mean
        reference = np.interp(U, [0, 0.25, 0.75, 1], [0, 0.5 - speed / 4, 0.5 + speed / 4, 1])
        found = truth.calibrate(reference, U, U, reference)
        assert found.unidentified == pytest.approx(share, abs=0.02)
    for reference, changes, unidentified, reason in (
        (clock(0.2, 0.8), True, 49 / 80, "arc length stands still in 61% of the time"),
        (np.zeros(81), True, 1.0, "no semantic change along the morph"),
        (U, False, 1.0, "no semantic change along the morph"),
    ):
        found = truth.calibrate(U, U, U, reference, changes)
        assert np.isnan(found.error)
        assert (found.unidentified, found.reason) == (pytest.approx(unidentified), reason)


@pytest.mark.parametrize("place", [0.3, 0.7])
def test_a_jump_is_found_where_it_is(place):
    pacing = law("sigmoid_jump", place=place, steepness=160)
    curve = spf.fit(great_circle(pacing, 81), times=U * 10)
    assert truth.jump_error(curve, pacing) <= 0.5 + 1e-3
    elsewhere = law("sigmoid_jump", place=0.2, steepness=160)
    assert truth.jump_error(curve, elsewhere) == pytest.approx((place - 0.2) * 80, abs=1)
    assert np.isnan(truth.jump_error(curve, law("linear")))


def test_other_measures_are_zero_for_even_clips_and_grow():
    jump = law("sigmoid_jump")
    even, steep = (consecutive_measures(great_circle(x, 81), U) for x in (law("linear"), jump))
    assert even["pdv"] < 1e-12
    assert even["consecutive_mae"] < 1e-6
    assert steep["pdv"] > 1e-5
    expected = np.trapezoid(np.abs(jump.g(U) - U), U)
    assert steep["consecutive_mae"] == pytest.approx(expected, abs=1e-3)
    assert np.isnan(running_sum_mae(np.zeros(80), U))


def test_measures_know_their_direction():
    columns = {"motion": "none", "true_linearity_mae": [0.0, 0.1, 0.2], "pdv": [3.0, 2.0, 1.0]}
    columns |= {"linearity_mae": [0.01, 0.1, 0.3]}
    columns |= {"pacing_entropy_64": [1.0, 0.8, 0.5]}  # higher is more even
    rows, motions = truth_tables.measure_rows(pd.DataFrame(columns))
    assert motions == ["none"]
    found = {row["measure"]: row["none"] for row in rows if row["status"] == "done"}
    assert found == pytest.approx({"linearity_mae": 1, "pacing_entropy_64": 1, "pdv": -1})
    # A metric tells a fault by the pairs that it orders.
    faulty = pd.DataFrame({"linearity_mae": [0.3, 0.1], "pacing_entropy_64": [0.5, np.nan]})
    even = pd.DataFrame({"linearity_mae": [0.2, 0.1], "pacing_entropy_64": [0.9, 0.4]})
    assert truth_tables._less_even(faulty, even, "linearity_mae") == (1 + 1 + 0 + 0.5) / 4
    # Higher is more even, and a clip without a value counts as even.
    assert truth_tables._less_even(faulty, even, "pacing_entropy_64") == (1 + 0 + 0 + 0) / 4


@pytest.mark.slow
def test_the_documents_table_of_faults_is_measured(tmp_path):
    words = ("benchmark=synthetic_pacing", "embedder=tiny", "benchmark.studies=[faults]")
    run = session.run(harness.compose(*words, f"output={tmp_path}"), quiet=True)
    data = run.summary.sections[0].tables[0].data.drop(columns=["embedder", "clips"])
    text = (harness.ROOT / "docs" / "how-to" / "compare-generators.md").read_text()
    assert f"| {' | '.join(data.columns)} |" in text
    for row in data.to_numpy():
        (line,) = [x for x in text.splitlines() if x.startswith(f"| {row[0]} | {row[1]:g} | ")]
        said = [float(cell) for cell in line.strip("|").split("|")[2:]]
        assert said == pytest.approx(list(row[2:]), abs=0.05)


CHANNELS = (64, 192, 384, 256, 256)


def publish(monkeypatch, name, path):
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(perceptual, name, replace(getattr(perceptual, name), sha256=sha256))


@pytest.fixture
def weights(monkeypatch, tmp_path):
    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = alexnet(weights=None).features.state_dict()
    features = {f"features.{k}": torch.randn(v.shape) * 0.05 for k, v in shapes.items()}
    linear = {f"lin{k}.model.1.weight": torch.rand(1, n, 1, 1) for k, n in enumerate(CHANNELS)}
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name, folder, made in (("ALEXNET", "checkpoints", features), ("LINEAR", "pyiqa", linear)):
        path = tmp_path / "hub" / folder / getattr(perceptual, name).name
        path.parent.mkdir(parents=True)
        torch.save(made, path)
        publish(monkeypatch, name, path)
    perceptual.load_network.cache_clear()
    yield features
    perceptual.load_network.cache_clear()


def steps(frames):
    return perceptual_steps([reduced(frame) for frame in frames])


def test_steps_are_those_of_pyiqa(weights, monkeypatch):
    """A well-kept library's own forward pass; its construction would fetch AlexNet."""
    from pyiqa.archs import lpips_arch

    def local(**_):
        with torch.device("meta"):
            whole = alexnet(weights=None)
        named = {k.removeprefix("features."): v for k, v in weights.items()}
        whole.features.load_state_dict(named, assign=True)
        return whole

    monkeypatch.setattr(lpips_arch.models, "alexnet", local)
    model = lpips_arch.LPIPS(pretrained_model_path=str(perceptual.LINEAR.find()))
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (2 * perceptual.BATCH + 3, 96, 128, 3), dtype=np.uint8)
    planes = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        expected = model(planes[1:], planes[:-1]).flatten().numpy()
    assert expected.min() > 0.01
    np.testing.assert_allclose(steps(frames), expected, rtol=1e-5)
    np.testing.assert_allclose(steps(frames[:5]), expected[:4], rtol=1e-5)
    assert steps(frames[:1]).shape == (0,)
    found = steps(frames[[0] * 9 + [1] * 11])  # equal frames are 0 apart, whatever their batch
    assert found[8] == pytest.approx(expected[0], rel=1e-5)
    assert np.abs(np.delete(found, 8)).max() < 1e-9


def test_code_in_weights_is_not_run(weights, monkeypatch, tmp_path):
    class CountedHarm:
        def __reduce__(self):
            return Path.touch, (tmp_path / "harmed",)

    path = perceptual.LINEAR.find()
    path.write_bytes(pickle.dumps(CountedHarm(), protocol=2))
    for how in ("another hash", "the right hash"):
        with pytest.raises(UnavailableError, match="is damaged or another file"):
            perceptual_steps([])
        assert not (tmp_path / "harmed").exists(), how
        publish(monkeypatch, "LINEAR", path)


def test_absent_weights_say_which_and_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert perceptual.identity() is None
    with pytest.raises(UnavailableError) as caught:
        perceptual_steps([])
    missing = str(caught.value).removeprefix("LPIPS: ")
    for file in (perceptual.ALEXNET, perceptual.LINEAR):
        assert file.name in missing
        assert file.url in missing
    ladder = pd.DataFrame({"motion": "none", "true_linearity_mae": [0.0, 0.1]})
    others = truth_tables.MEASURES.keys() - {"pdv_lpips"}
    ladder = ladder.assign(**{name: [0.0, 1.0] for name in others})
    found = {row["measure"]: row for row in truth_tables.measure_rows(ladder)[0]}["pdv_lpips"]
    assert (found["status"], found["reason"]) == ("not_run", f"not run: {missing}")
