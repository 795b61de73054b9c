"""Metrics against literal loops, their declared directions and bounds, and the noise floor."""

import math
from itertools import product

import numpy as np
import oracles
import pytest

import spf

METHODS = ["gradient", "peer", "increments", "isotonic"]
SHAPE = [
    "linearity_mae", "linearity_max", "peak_speed", "speed_cv", "pacing_entropy", "stall_fraction",
]  # fmt: skip
RESAMPLED = ["peak_speed_64", "speed_cv_64", "pacing_entropy_64"]
EVERY = [*SHAPE, *RESAMPLED, "total_change", "change_rate", "noise_floor", "noise_share"]


def clip(seed, length=81):
    random = np.random.default_rng(seed)
    steps = random.random(length - 1) ** 2 * (random.random(length - 1) > 0.2)
    positions = np.concatenate([[0.0], np.cumsum(steps)])
    return oracles.great_circle(positions / positions[-1] * 1.4, seed=seed)


def stamps(seed, length=81):
    return 7 + np.cumsum(np.random.default_rng(seed).random(length) * 0.1 + 0.01)


@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("length", [4, 65, 200])
@pytest.mark.parametrize("timing", ["even", "uneven"])
def test_scores_equal_the_literal_loops(how, length, timing):
    times = None if timing == "even" else stamps(length, length)
    curve = spf.fit(clip(length, length), times=times, monotone=how)
    scores = spf.score(curve)
    for name, value in oracles.metrics(curve.fitted, curve.progress, curve.times).items():
        assert scores[name] == pytest.approx(value, abs=1e-6, rel=1e-6), name
    assert scores["total_change"] == pytest.approx(curve.total_change)


@pytest.mark.parametrize("timing", ["even", "uneven"])
def test_even_pacing_has_the_best_scores(timing):
    times = np.arange(81.0) if timing == "even" else stamps(0)
    positions = (times - times[0]) / (times[-1] - times[0]) * 1.4
    curve = spf.fit(oracles.great_circle(positions), times=times, ridge=0.0, monotone="increments")
    for name in [*SHAPE, *RESAMPLED]:
        if (name, timing) != ("pacing_entropy", "uneven"):  # which counts steps, not time
            best = spf.METRICS[name].best
            assert spf.score(curve)[name] == pytest.approx(best, abs=1e-4), name


@pytest.mark.parametrize("how", ["gradient", "increments", "isotonic"])
def test_scores_do_not_know_the_direction_and_the_unit_of_time(how):
    times = stamps(1)
    forward = spf.score(spf.fit(clip(1), times=times, monotone=how))
    backward = spf.score(spf.fit(clip(1)[::-1], times=-times[::-1], monotone=how))
    longer = spf.score(spf.fit(clip(1), times=1000 * times - 3, monotone=how))
    longer["change_rate"] *= 1000  # per second
    for name in EVERY:
        assert backward[name] == pytest.approx(forward[name], abs=1e-6), name
        assert longer[name] == pytest.approx(forward[name], abs=1e-9), name


def test_resampled_scores_hardly_know_the_number_of_frames():
    short, long = (
        spf.score(spf.fit(oracles.great_circle(1.4 * (0.3 * u + 0.7 * u**3)), ridge=0.0))
        for u in (np.linspace(0, 1, length) for length in (65, 641))
    )
    for name, tolerance in zip(RESAMPLED, (2e-2, 1e-2, 1e-3), strict=True):
        assert short[name] == pytest.approx(long[name], abs=tolerance), name


@pytest.mark.parametrize(("seed", "length"), list(enumerate([5, 6, 20, 64, 65, 500])))
def test_scores_are_declared_and_stay_within_their_bounds(seed, length):
    jumps = oracles.jump(length, 1 + seed % (length - 1), noise=0.001 * seed)
    assert set(spf.score(spf.fit(jumps))) == set(EVERY) <= set(spf.METRICS)
    for z in (clip(seed, length), oracles.random_walk(length, 3, 0.5, seed), jumps):
        for name, value in spf.score(spf.fit(z, times=stamps(seed, length))).items():
            metric = spf.METRICS[name]
            if math.isfinite(value):
                assert metric.minimum - 1e-9 <= value <= metric.maximum + 1e-9, name


@pytest.mark.parametrize("noise", ["none", "nugget"])
@pytest.mark.parametrize("length", [8, 33, 81, 400])
def test_noise_is_no_pace(length, noise):
    """Equally distant frames fit a straight line, and what subtracted noise leaves is noise too."""
    still = np.tile(oracles.random_walk(1), (length, 1))
    apart = np.eye(length, dtype=np.float32)
    sizes = product((0.001, 0.03, 0.3), range(4)) if length > 8 else ()
    noisy = (oracles.great_circle(np.zeros(length), 64, seed, level) for level, seed in sizes)
    for z in (still, apart, *noisy):
        curve = spf.fit(z, noise=noise)
        scores = spf.score(curve)
        assert all(math.isnan(scores[name]) for name in [*SHAPE, *RESAMPLED])
        assert spf.no_change_reason(curve) == "no semantic change"
        if noise == "none" or z is still:
            assert (scores["total_change"] == 0) == (z is still)


@pytest.mark.parametrize(("window", "sigma"), [(30, 20.0), (8, 3.0)])
def test_the_floor_follows_window_and_sigma(window, sigma):
    S = oracles.constant_response(60, window, sigma)
    floor = spf.score(spf.fit(np.eye(60, dtype=np.float32), window=window, sigma=sigma))
    response = oracles.monotone(S, "gradient")[-1]
    assert floor["noise_floor"] == pytest.approx(response * math.pi / 2, rel=0.02)


@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("length", [17, 300])
def test_a_clear_morph_and_a_jump_are_changes(how, noise, length):
    path = oracles.great_circle(1.2 * np.linspace(0, 1, length) ** 2, dim=64, noise=noise)
    for z in (path, oracles.jump(length, length // 6, noise=noise)):
        curve = spf.fit(z, monotone=how)
        scores = spf.score(curve)
        assert spf.no_change_reason(curve) is None
        assert all(math.isfinite(value) for value in scores.values())
        assert 0 <= scores["noise_floor"] < scores["total_change"]
