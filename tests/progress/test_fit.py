"""The fit of the progress function against literal solvers, closed forms and invariances."""

from __future__ import annotations

import time

import numpy as np
import oracles
import pytest

import spf
from spf.progress.distances import banded_angles

METHODS = ["gradient", "peer", "increments", "isotonic"]


def uneven(length: int, total: float = 1.3, seed: int = 0) -> np.ndarray:
    """Increasing angles (T,) from 0 to `total` radians by unequal steps."""
    steps = np.random.default_rng(seed).random(length - 1) ** 3 + 0.02
    return np.concatenate([[0.0], np.cumsum(steps) / steps.sum() * total])


def centred(values: np.ndarray) -> np.ndarray:
    return np.asarray(values) - np.mean(values)


# ------------------------------------------------------------------- against the literal solver


SETTINGS = [
    {},
    {"window": 1},
    {"window": 4, "sigma": 2.0},
    {"window": 1000, "sigma": 1.5},
    {"ridge": 1e-3},
    {"ridge": 10.0},
    {"ridge": 0.0},
    {"power": 0.5},
    {"power": 2.0},
]


@pytest.mark.parametrize("length", [2, 3, 30, 31, 81])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_equals_the_literal_fit(length, settings):
    random = np.random.default_rng(length).standard_normal((length, 768)).astype(np.float32)
    for z in (oracles.random_walk(length, seed=length), random):
        curve = spf.fit(z, **settings)
        np.testing.assert_allclose(curve.fitted, oracles.raw_fit(z, **settings), atol=1e-6)
        assert curve.fitted.shape == curve.angle.shape == curve.progress.shape == (length,)
        assert curve.fitted.dtype == curve.angle.dtype == curve.progress.dtype == np.float64


@pytest.mark.parametrize("ridge", [1e-9, 1e-12, 1e-16, 1e-300])
def test_a_ridge_too_small_to_matter_does_no_harm(ridge):
    z = oracles.random_walk(300, seed=1)
    np.testing.assert_allclose(
        spf.fit(z, ridge=ridge).progress, spf.fit(z, ridge=0.0).progress, atol=1e-6
    )


@pytest.mark.parametrize("how", ["default", *METHODS])
@pytest.mark.parametrize("length", [2, 3, 40, 81])
def test_monotone_curves(how, length):
    z = oracles.random_walk(length, dim=3, step=0.6, seed=length)  # wanders back: S also falls
    curve = spf.fit(z) if how == "default" else spf.fit(z, monotone=how)
    how = "gradient" if how == "default" else how
    S = oracles.raw_fit(z)
    np.testing.assert_allclose(curve.angle, oracles.monotone(S, how), atol=1e-6)
    np.testing.assert_allclose(curve.progress, oracles.progress(S, how), atol=1e-6)
    assert curve.angle[0] == 0
    assert curve.progress[0] == 0
    assert curve.progress[-1] == 1
    assert np.all(np.diff(curve.angle) >= 0)
    assert np.all(np.diff(curve.progress) >= 0)
    assert curve.total_change == pytest.approx(curve.angle[-1] - curve.angle[0])


@pytest.mark.parametrize("dim", [2, 768])
def test_identical_frames_are_exactly_zero_apart(dim):
    z = np.repeat(oracles.random_walk(50, dim=dim, seed=3), 2, axis=0)
    assert np.all(banded_angles(z, 5)[::2, 0] == 0)
    assert np.all(banded_angles(z, 5)[1:-1:2, 0] > 0)


@pytest.mark.parametrize("angle", [1e-5, 1e-3, np.pi / 2, np.pi - 1e-3, np.pi - 1e-5])
def test_angles_are_exact_near_both_ends(angle):
    # Two axes hold the pair, so that rounding the rows to float32 moves the angle by 6e-8 at most.
    z = np.array([[1, 0, 0], [np.cos(angle), np.sin(angle), 0]], dtype=np.float32)
    assert banded_angles(z, 1)[0, 0] == pytest.approx(angle, abs=1e-6)
    expected = oracles.between(*z[:, None].astype(float))
    assert banded_angles(z, 1)[:1, 0] == pytest.approx(expected, abs=1e-9)


# ------------------------------------------------------------------------------ closed forms


@pytest.mark.parametrize("length", [2, 3, 40, 81, 500])
def test_a_great_circle_is_its_own_progress(length):
    positions = uneven(length)
    curve = spf.fit(oracles.great_circle(positions, dim=64), ridge=0.0, monotone="increments")
    np.testing.assert_allclose(curve.fitted, centred(positions), atol=1e-6)
    np.testing.assert_allclose(curve.angle, positions, atol=1e-6)
    np.testing.assert_allclose(curve.progress, positions / positions[-1], atol=1e-6)
    assert curve.total_change == pytest.approx(1.3, abs=1e-6)


@pytest.mark.parametrize("at", [1, 23, 80])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_jump_is_found_where_it_is(at, noise):
    z = oracles.jump(81, at, noise=noise)
    curve = spf.fit(z, monotone="increments")
    assert np.argmax(np.diff(curve.progress)) == at - 1
    assert curve.progress[at - 1] < 0.5 < curve.progress[at]
    assert np.argmax(np.diff(curve.fitted)) == at - 1
    if at == 23 and not noise:  # the default smooths it, about the middle of its two frames
        progress = spf.fit(z, ridge=0.0).progress
        assert progress[at - 1] + progress[at] == pytest.approx(1, abs=1e-6)
        assert np.argmax(np.diff(progress)) == at - 1


def test_peer_leads_the_gradient_by_half_a_frame():
    # At rest at both ends, and early: the curve lies above the diagonal for nearly all its rise.
    frames = np.arange(81)
    positions = 1.2 / (1 + np.exp(-(frames - 6) / 0.5))
    z = oracles.great_circle(positions)
    gradient = spf.fit(z, ridge=0.0)
    peer = spf.fit(z, ridge=0.0, monotone="peer")
    # The plain sum counts the whole of a frame's speed, the trapezoid rule half of it.
    half = np.gradient(gradient.fitted) / 2 / gradient.total_change
    np.testing.assert_allclose(peer.progress - gradient.progress, half, atol=1e-4)
    # A curve that is moved by half a frame gains half a frame of area: 0.5 / 80.
    assert (peer.progress - gradient.progress).mean() == pytest.approx(0.5 / 81, rel=0.01)
    above = spf.score(peer)["linearity_mae"] - spf.score(gradient)["linearity_mae"]
    assert above == pytest.approx(0.006, abs=0.001)


# -------------------------------------------------------------------------------- long clips


@pytest.mark.parametrize(
    ("length", "ridge", "used"), [(5000, 1e-5, 1e-5), (6000, 1e-5, 0.0), (6000, 1e-3, 1e-3)]
)
def test_beyond_5000_frames_the_mean_is_pinned_in_place_of_the_default_ridge(length, ridge, used):
    z = oracles.random_walk(length, dim=8, step=0.01, seed=1)
    expected = oracles.raw_fit(z, ridge=used)
    np.testing.assert_allclose(spf.fit(z, ridge=ridge).fitted, expected, atol=2e-6)


@pytest.mark.parametrize("how", ["gradient", "increments"])
def test_an_even_clip_of_100_000_frames_is_straight(how):
    z = oracles.great_circle(np.linspace(0, 1.5, 100_000), dim=16)
    started = time.perf_counter()
    curve = spf.fit(z, monotone=how)
    assert time.perf_counter() - started < 20  # seconds; a dense or a cubic method would hang here
    u = np.linspace(0, 1, 100_000)
    assert np.abs(curve.progress - u).mean() < 1e-3
    assert spf.score(curve)["linearity_mae"] < 1e-3
    assert curve.total_change == pytest.approx(1.5, rel=1e-3)


# -------------------------------------------------------------------------------- invariances


def test_rotation_of_the_embedding_space():
    z = oracles.random_walk(81, seed=0).astype(np.float64)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))
    np.testing.assert_allclose(spf.fit(z @ rotation).fitted, spf.fit(z).fitted, atol=1e-8)


@pytest.mark.parametrize("how", ["gradient", "increments", "isotonic"])
@pytest.mark.parametrize("length", [2, 3, 50, 81])
def test_time_reversal(how, length):
    z = oracles.random_walk(length, dim=3, step=0.6, seed=length)
    forward, backward = spf.fit(z, monotone=how), spf.fit(z[::-1], monotone=how)
    np.testing.assert_allclose(backward.fitted, -forward.fitted[::-1], atol=1e-8)
    np.testing.assert_allclose(backward.progress, 1 - forward.progress[::-1], atol=1e-8)
    assert backward.total_change == pytest.approx(forward.total_change)


def test_the_length_of_the_rows_does_not_matter():
    z = oracles.random_walk(81, seed=8)
    lengths = np.random.default_rng(0).uniform(1e-3, 1e4, (81, 1))
    np.testing.assert_allclose(spf.fit(z * lengths).fitted, spf.fit(z).fitted, atol=1e-6)


@pytest.mark.parametrize("times", [2, 3])
def test_frame_repetition(times):
    positions = uneven(40)
    repeated = spf.fit(
        oracles.great_circle(np.repeat(positions, times)), ridge=0.0, monotone="increments"
    )
    once = spf.fit(oracles.great_circle(positions), ridge=0.0, monotone="increments")
    np.testing.assert_allclose(repeated.progress, np.repeat(once.progress, times), atol=1e-6)
    assert repeated.total_change == pytest.approx(once.total_change, abs=1e-6)


def test_layouts_and_no_mutation():
    z = oracles.random_walk(81, seed=11)
    times = np.linspace(3, 5, 81)
    expected = spf.fit(z, times=times).fitted
    for given in (np.asfortranarray(z), np.repeat(z, 2, axis=0)[::2], z.copy()):
        given.setflags(write=False)
        before, clock = given.copy(), times.copy()
        clock.setflags(write=False)
        curve = spf.fit(given, times=clock)
        np.testing.assert_allclose(curve.fitted, expected, atol=1e-9)
        for found in (curve.times, clock):
            np.testing.assert_array_equal(found, times)
        np.testing.assert_array_equal(given, before)
    np.testing.assert_array_equal(spf.fit(z, times=times).fitted, expected)  # the same twice
    np.testing.assert_array_equal(spf.fit(z).times, np.arange(81))


# -------------------------------------------------------------------------- wrong arguments


def test_a_row_that_is_not_finite_or_zero_is_named():
    for bad in (np.nan, np.inf, 0.0):
        z = oracles.random_walk(40, seed=14)
        z[17] = bad
        with pytest.raises(ValueError, match=r"\b17\b"):
            spf.fit(z)


@pytest.mark.parametrize("shape", [(0, 8), (1, 8), (8,), (4, 8, 8), (), (5, 0)], ids=str)
def test_wrong_shapes(shape):
    with pytest.raises(ValueError, match=r".{15,}"):
        spf.fit(np.ones(shape, np.float32))


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "window": [0, -1],
        "sigma": [0.0, -2.0, np.nan, 1e-300, 1e200, 10**400],
        "ridge": [-1e-5, np.nan, 1e300],
        "power": [0.0, -1.0, 200.0],  # angles to the 200th are none, or no numbers
        "monotone": ["smooth"],
        "noise": ["loud"],
        "times": [
            np.arange(39.0),
            np.zeros(40),
            np.array([*range(10), 9.0, *range(10, 39)]),
            np.array([*range(39), np.nan]),
            np.arange(40.0)[:, None],
        ],
    }.items(),
)
def test_wrong_settings_are_named(name, values):
    for value in values:
        with pytest.raises(ValueError, match=name.removesuffix("s")):
            spf.fit(oracles.random_walk(40), **{name: value})


# --------------------------------------------------------------------------- many at once


def clips() -> list[np.ndarray]:
    """Clips of mixed lengths, in no order, two of them alike in length and one static."""
    lengths = [81, 2, 40, 81, 3, 200, 30, 31, 40, 5]
    found = [oracles.random_walk(n, dim=8, step=0.5, seed=k) for k, n in enumerate(lengths)]
    return [*found, np.tile(found[0][:1], (40, 1))]


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"window": 5, "sigma": 3.0},
        {"ridge": 0.0},
        {"power": 2.0},
        {"monotone": "increments"},
        {"noise": "nugget"},
    ],
    ids=str,
)
def test_equals_a_loop(settings, timed):
    given = clips()
    for z in given:
        z.setflags(write=False)
    times = [
        np.cumsum(np.random.default_rng(k).random(len(z)) + 0.1) if timed else None
        for k, z in enumerate(given)
    ]
    many = spf.fit_many(given, times=times, **settings)
    assert len(many) == len(given)
    for curve, z, stamps in zip(many, clips(), times, strict=True):
        alone = spf.fit(z, times=stamps, **settings)
        for name in ("fitted", "angle", "progress"):
            np.testing.assert_allclose(getattr(curve, name), getattr(alone, name), atol=1e-5)
        np.testing.assert_array_equal(curve.times, alone.times)
        together, single = spf.score(curve), spf.score(alone)
        assert together.keys() == single.keys()
        for name, value in single.items():
            assert together[name] == pytest.approx(value, abs=1e-5, rel=1e-5, nan_ok=True), name
        assert spf.no_change_reason(curve) == spf.no_change_reason(alone)
        assert len(spf.segment(curve)) == len(spf.segment(alone))
    assert not np.shares_memory(many[0].fitted, many[3].fitted)
    assert spf.fit_many([]) == []


def test_bad_clips_and_times_are_named():
    for count in (0, 10, 12):
        with pytest.raises(ValueError, match=rf"\b{count}\b"):
            spf.fit_many(clips(), times=[None] * count)
    bad = clips()
    bad[6][11, 2] = np.nan
    with pytest.raises(ValueError, match=r"\b6\b.*\b11\b"):
        spf.fit_many(bad)
    with pytest.raises(ValueError, match=r"\b3\b"):
        spf.fit_many([*clips()[:3], np.ones((1, 8), np.float32)])


def test_a_device_is_checked_and_changes_nothing():
    plain, named = (spf.fit_many(clips()[:2], device=device) for device in ("auto", "cuda"))
    np.testing.assert_array_equal(named[1].fitted, plain[1].fitted)
    with pytest.raises(ValueError, match="auto, cpu or cuda, not 'gpu'"):
        spf.fit_many(clips()[:2], device="gpu")
