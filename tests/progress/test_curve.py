"""A curve's inverse and the time maps that are read from it."""

import json
from itertools import pairwise

import numpy as np
import oracles
import pytest
from numpy.testing import assert_allclose as close

import spf

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
    """JSON knows no scalars of NumPy."""
    path = change * oracles.great_circle(np.linspace(0, 1.5, 60), dim=16)
    noise = np.random.default_rng(0).normal(size=path.shape)
    curve = spf.fit((path + noise) / np.linalg.norm(path + noise, axis=1, keepdims=True))
    read = [name for name, x in vars(spf.Curve).items() if isinstance(x, property)]
    assert "changes" in read
    values = {name: getattr(curve, name) for name in read}
    assert json.loads(json.dumps(values)) == values
    assert curve.changes is (change > 1)
