"""The fit against literal solvers and invariances; a curve's inverse and its time maps."""

import json
from itertools import pairwise

import numpy as np
import oracles
import pytest
from numpy.testing import assert_allclose as close

import spf
from spf.progress.distances import banded_angles


def uneven(length):
    """Increasing angles (T,) from 0 to 1.3 radians by unequal steps."""
    steps = np.random.default_rng(0).random(length - 1) ** 3 + 0.02
    return np.concatenate([[0.0], np.cumsum(steps) / steps.sum() * 1.3])


def exact(positions, **settings):
    settings = {"ridge": 0.0, "monotone": "increments"} | settings
    return spf.fit(oracles.great_circle(positions), **settings)


SETTINGS = [
    {}, {"window": 1}, {"window": 4, "sigma": 2.0}, {"window": 1000, "sigma": 1.5},
    {"ridge": 1e-3}, {"ridge": 10.0}, {"ridge": 0.0}, {"power": 0.5}, {"power": 2.0},
]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_equals_the_literal_fit(settings):
    for length in (2, 3, 31, 81):
        random = np.random.default_rng(length).standard_normal((length, 768)).astype(np.float32)
        for z in (oracles.random_walk(length, seed=length), random):
            curve = spf.fit(z, **settings)
            close(curve.fitted, oracles.raw_fit(z, **settings), atol=1e-6, strict=True)


@pytest.mark.parametrize("how", [None, "gradient", "peer", "increments", "isotonic"])
def test_monotone_curves(how):
    for length in (2, 3, 40, 81):
        z = oracles.random_walk(length, dim=3, step=0.6, seed=length)  # it wanders back: S falls
        curve = spf.fit(z, **({"monotone": how} if how else {}))
        S = oracles.raw_fit(z)
        close(curve.angle, oracles.monotone(S, how or "gradient"), atol=1e-6)
        close(curve.progress, curve.angle / curve.angle[-1], atol=1e-12)
        assert (curve.angle[0], curve.progress[-1]) == (0, 1)
        assert np.all(np.diff(curve.angle) >= 0)


@pytest.mark.parametrize("angle", [1e-5, 1e-3, np.pi / 2, np.pi - 1e-3, np.pi - 1e-5])
def test_angles_are_exact_near_both_ends(angle):
    # Two axes hold the pair, so that rounding the rows to float32 moves the angle by 6e-8 at most.
    z = np.array([[1, 0, 0], [np.cos(angle), np.sin(angle), 0]], dtype=np.float32)
    assert banded_angles(z, 1)[0, 0] == pytest.approx(angle, abs=1e-6)
    expected = oracles.between(*z[:, None].astype(float))
    assert banded_angles(z, 1)[:1, 0] == pytest.approx(expected, abs=1e-9)
    twice = banded_angles(np.repeat(oracles.random_walk(50, dim=768, seed=3), 2, axis=0), 5)
    assert np.all(twice[::2, 0] == 0)
    assert np.all(twice[1:-1:2, 0] > 0)


@pytest.mark.parametrize("length", [2, 3, 81, 500])
def test_a_great_circle_is_its_own_progress(length):
    positions = uneven(length)
    curve = exact(positions)
    close(curve.fitted, positions - positions.mean(), atol=1e-6)
    close(curve.angle, positions, atol=1e-6)
    close(curve.progress, positions / positions[-1], atol=1e-6)
    for times in (2, 3):  # frames that are repeated
        repeated = exact(np.repeat(positions, times))
        close(repeated.progress, np.repeat(curve.progress, times), atol=1e-6)
        assert repeated.total_change == pytest.approx(1.3, abs=1e-6)


@pytest.mark.parametrize(
    ("length", "ridge", "used"),
    [(5000, 1e-5, 1e-5), (6000, 1e-5, 0.0), (6000, 1e-3, 1e-3), (300, 1e-9, 0), (300, 1e-300, 0)],
)
def test_beyond_5000_frames_the_mean_is_pinned_in_place_of_the_default_ridge(length, ridge, used):
    z = oracles.random_walk(length, dim=8, step=0.01, seed=1)
    close(spf.fit(z, ridge=ridge).fitted, oracles.raw_fit(z, ridge=used), atol=2e-6)


def test_an_even_clip_of_100_000_frames_is_straight():
    """A dense or a cubic method would need all memory, or hang here."""
    curve = spf.fit(oracles.great_circle(np.linspace(0, 1.5, 100_000), dim=16))
    assert np.abs(curve.progress - np.linspace(0, 1, 100_000)).mean() < 1e-3
    assert spf.score(curve)["linearity_mae"] < 1e-3
    assert curve.total_change == pytest.approx(1.5, rel=1e-3)


def test_rotation_and_length_of_the_rows_do_not_matter():
    z = oracles.random_walk(81, seed=0).astype(np.float64)
    random = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(random.standard_normal((16, 16)))
    for other in (z @ rotation, z * random.uniform(1e-3, 1e4, (81, 1))):
        close(spf.fit(other).fitted, spf.fit(z).fitted, atol=1e-8)


@pytest.mark.parametrize("how", ["gradient", "increments", "isotonic"])
@pytest.mark.parametrize("length", [2, 3, 81])
def test_time_reversal(how, length):
    z = oracles.random_walk(length, dim=3, step=0.6, seed=length)
    forward, backward = spf.fit(z, monotone=how), spf.fit(z[::-1], monotone=how)
    close(backward.fitted, -forward.fitted[::-1], atol=1e-8)
    close(backward.progress, 1 - forward.progress[::-1], atol=1e-8)
    assert backward.total_change == pytest.approx(forward.total_change)


def test_layouts_and_no_mutation():
    z, times = oracles.random_walk(81, seed=11), np.linspace(3, 5, 81)
    expected = spf.fit(z).fitted
    times.setflags(write=False)
    for rows in (np.asfortranarray(z), np.repeat(z, 2, axis=0)[::2], z.copy()):
        rows.setflags(write=False)
        curve = spf.fit(rows, times=times)
        close(curve.fitted, expected, atol=1e-9)
        assert curve.times.tolist() == times.tolist()
    assert spf.fit(z).times.tolist() == [*range(81)]


def test_wrong_embeddings_are_refused():
    for bad in (np.nan, np.inf, 0.0):
        z = oracles.random_walk(40, seed=14)
        z[17] = bad
        with pytest.raises(ValueError, match=r"\b17\b"):
            spf.fit(z)
    for shape in [(0, 8), (1, 8), (8,), (4, 8, 8), (), (5, 0)]:
        with pytest.raises(ValueError, match=r".{15,}"):
            spf.fit(np.ones(shape, np.float32))


WRONG = {
    "window": [0, -1], "sigma": [0.0, -2.0, np.nan, 1e-300, 1e200, 10**400],
    "ridge": [-1e-5, np.nan, 1e300], "monotone": ["smooth"], "noise": ["loud"],
    "power": [0.0, -1.0, 200.0],  # angles to the 200th are none, or no numbers
    "times": [
        np.arange(39.0), np.zeros(40), np.array([*range(10), 9.0, *range(10, 39)]),
        np.array([*range(39), np.nan]), np.arange(40.0)[:, None],
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings_are_named(name):
    for value in WRONG[name]:
        with pytest.raises(ValueError, match=name.removesuffix("s")):
            spf.fit(oracles.random_walk(40), **{name: value})


def clips():
    """Clips of mixed lengths, in no order, two of them alike in length and one static."""
    lengths = [81, 2, 40, 81, 3, 200, 30, 31, 40, 5]
    found = [oracles.random_walk(n, dim=8, step=0.5, seed=k) for k, n in enumerate(lengths)]
    return [*found, np.tile(found[0][:1], (40, 1))]


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("settings", [
    {}, {"window": 5, "sigma": 3.0}, {"ridge": 0.0}, {"power": 2.0}, {"monotone": "increments"},
    {"noise": "nugget"},
], ids=str)  # fmt: skip
def test_equals_a_loop(settings, timed):
    found = clips()
    for z in found:
        z.setflags(write=False)
    random = np.random.default_rng(0)
    times = [np.cumsum(random.random(len(z)) + 0.1) if timed else None for z in found]
    many = spf.fit_many(found, times=times, **settings)
    for curve, z, stamps in zip(many, clips(), times, strict=True):
        alone = spf.fit(z, times=stamps, **settings)
        for name in ("fitted", "angle", "progress"):
            close(getattr(curve, name), getattr(alone, name), atol=1e-5)
        np.testing.assert_array_equal(curve.times, alone.times)
        single = pytest.approx(spf.score(alone), abs=1e-5, rel=1e-5, nan_ok=True)
        assert spf.score(curve) == single
        assert spf.no_change_reason(curve) == spf.no_change_reason(alone)
        assert len(spf.segment(curve)) == len(spf.segment(alone))
    assert not np.shares_memory(many[0].fitted, many[3].fitted)


def test_bad_clips_times_and_devices_are_named():
    assert spf.fit_many([]) == []
    for count in (0, 10, 12):
        with pytest.raises(ValueError, match=rf"\b{count}\b"):
            spf.fit_many(clips(), times=[None] * count)
    bad = clips()
    bad[6][11, 2] = np.nan
    with pytest.raises(ValueError, match=r"\b6\b.*\b11\b"):
        spf.fit_many(bad)
    with pytest.raises(ValueError, match=r"\b3\b"):
        spf.fit_many([*clips()[:3], np.ones((1, 8), np.float32)])
    plain, named = (spf.fit_many(clips()[:2], device=device) for device in ("auto", "cuda"))
    np.testing.assert_array_equal(named[1].fitted, plain[1].fitted)
    with pytest.raises(ValueError, match="auto, cpu or cuda, not 'gpu'"):
        spf.fit_many(clips()[:2], device="gpu")


METHODS = ["gradient", "peer", "increments", "isotonic"]


def detour(*where):
    """Angles (T,) along a circle that step back for a while, where the fit falls and is clipped."""
    positions = np.linspace(0.1, 1.4, 41)
    if "start" in where:
        positions[:4] = [0.5, 0.35, 0.25, 0.15]
    if "middle" in where:
        positions[18:23] -= 0.12 * np.arange(1, 6)
    if "end" in where:
        positions[-4:] = 1.4 - np.array([0.05, 0.15, 0.25, 0.4])
    return positions


@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_a_plateau_inverts_to_its_middle_and_the_ends_to_the_ends(how, where):
    curve = spf.fit(oracles.great_circle(detour(where)), monotone=how)
    edges = [0, *(np.flatnonzero(np.diff(curve.progress) > 0) + 1), 41]
    flat = [(a, b - 1) for a, b in pairwise(edges) if b - 1 > a]
    assert flat, "the clip should hold a plateau"
    for first, last in flat:
        assert where != "middle" or 0 < first < last < 40
        expected = 0 if first == 0 else 40 if last == 40 else (first + last) / 2
        assert float(curve.inverse(curve.progress[first])) == pytest.approx(expected, abs=1e-9)
    assert curve.inverse([0.0, 1.0]).tolist() == [0, 40]


@pytest.mark.parametrize("how", METHODS)
def test_the_inverse_rises_from_end_to_end_and_leads_back(how):
    curve = spf.fit(oracles.random_walk(81, dim=3, step=0.6, seed=0), monotone=how)
    positions = curve.inverse(np.linspace(0, 1, 1001))
    assert np.all(np.diff(positions) >= 0)
    assert positions[[0, -1]].tolist() == [0, 80]
    back = np.interp(positions, np.arange(81), curve.progress)
    close(back, np.linspace(0, 1, 1001), atol=1e-6)


def test_a_curve_without_change():
    for length in (2, 3, 40):
        curve = spf.fit(np.tile(oracles.random_walk(1), (length, 1)))
        assert not curve.progress.any()
        assert not curve.angle.any()
        with pytest.raises(ValueError, match="change"):
            curve.inverse(0.5)


@pytest.mark.parametrize("target", ["linear", "ease-in", "exponential"])
@pytest.mark.parametrize("how", METHODS)
def test_time_maps_rise_from_end_to_end(target, how):
    curve = spf.fit(oracles.great_circle(detour("start", "middle", "end")), monotone=how)
    for count in (None, 2, 33, 200):
        positions = spf.time_map(curve, target=target, num_frames=count)
        assert (positions.shape, positions.dtype) == ((count or 41,), np.float64)
        assert positions[[0, -1]].tolist() == [0, 40]
        assert np.all(np.diff(positions) >= 0)


def test_time_maps_of_known_pacings_and_targets():
    steps = np.random.default_rng(0).random(60) + 0.05
    positions = np.concatenate([[0.0], np.cumsum(steps) / steps.sum() * 1.3])
    curve = spf.fit(oracles.great_circle(positions), ridge=0.0, monotone="increments")
    for count in (2, 17, 61, 200):
        expected = np.interp(np.linspace(0, 1.3, count), positions, np.arange(61))
        close(spf.time_map(curve, num_frames=count), expected, atol=1e-4)
    curve = spf.fit(oracles.great_circle(np.linspace(0, 1.4, 81)), ridge=0.0)
    u = np.linspace(0, 1, 81)
    made = spf.time_map(curve, target=lambda u: u + np.sin(2 * np.pi * u) / (2 * np.pi))
    close(made, 80 * (u + np.sin(2 * np.pi * u) / (2 * np.pi)), atol=1e-3)
    close(spf.time_map(curve), np.arange(81), atol=1e-3)
    assert np.all(spf.time_map(curve, target=lambda u: u**2)[1:-1] < np.arange(81.0)[1:-1])


def test_wrong_time_maps():
    curve = spf.fit(oracles.random_walk(40))
    for law in (lambda u: 1 - u, lambda u: u / 2, lambda u: np.sin(7 * u) / np.sin(7)):
        with pytest.raises(ValueError, match="increase"):
            spf.time_map(curve, target=law)
    with pytest.raises((ValueError, spf.ConfigError), match="sideways"):
        spf.time_map(curve, target="sideways")
    for count in (-1, 0, 1):
        with pytest.raises(ValueError, match="num_frames"):
            spf.time_map(curve, num_frames=count)


@pytest.mark.parametrize("change", [0.0, 0.5, 8.0])
def test_what_is_read_off_a_curve_can_be_written_to_a_record(change):
    path = change * oracles.great_circle(np.linspace(0, 1.5, 60), dim=16)
    noise = np.random.default_rng(0).normal(size=path.shape)
    curve = spf.fit((path + noise) / np.linalg.norm(path + noise, axis=1, keepdims=True))
    read = [name for name, x in vars(spf.Curve).items() if isinstance(x, property)]
    assert "changes" in read
    values = {name: getattr(curve, name) for name in read}
    assert json.loads(json.dumps(values)) == values
    assert curve.changes is (change > 1)
