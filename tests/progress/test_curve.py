"""A curve's inverse and the time maps that are read from it."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import oracles
import pytest

import spf
from spf.pacing import TARGETS

METHODS = ["gradient", "peer", "increments", "isotonic"]


def detour(start: bool = False, middle: bool = False, end: bool = False) -> np.ndarray:
    """Angles (T,) along a circle that step back for a while: the fit falls there, and is clipped.

    At the very start the clip begins ahead of where it goes on from; at the very end it returns.
    """
    positions = np.linspace(0.1, 1.4, 41)
    if start:
        positions[:4] = [0.5, 0.35, 0.25, 0.15]
    if middle:
        positions[18:23] -= 0.12 * np.arange(1, 6)
    if end:
        positions[-4:] = 1.4 - np.array([0.05, 0.15, 0.25, 0.4])
    return positions


def runs(progress: np.ndarray) -> list[tuple[int, int]]:
    """(first, last) frame of every run of equal progress, runs of one frame among them."""
    edges = [0, *(np.flatnonzero(np.diff(progress) > 0) + 1), len(progress)]
    return [(int(a), int(b) - 1) for a, b in pairwise(edges)]


def test_inverse_interpolates_between_frames():
    positions = np.array([0.0, 0.1, 0.4, 1.0])
    curve = spf.fit(oracles.great_circle(positions), ridge=0.0, monotone="increments")
    asked = [0.0, 0.05, 0.1, 0.25, 0.4, 0.55, 1.0]
    expected = [0, 0.5, 1, 1.5, 2, 2.25, 3]
    np.testing.assert_allclose(curve.inverse(np.array(asked)), expected, atol=1e-5)
    assert float(curve.inverse(0.25)) == pytest.approx(1.5, abs=1e-5)
    assert np.asarray(curve.inverse(np.array(asked))).shape == (7,)


@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_a_plateau_inverts_to_its_middle_and_the_ends_to_the_ends(how, where):
    curve = spf.fit(oracles.great_circle(detour(**{where: True})), monotone=how)
    flat = [(a, b) for a, b in runs(curve.progress) if b > a]
    assert flat, "the clip should hold a plateau"
    if where == "middle":
        assert all(a > 0 and b < 40 for a, b in flat)
    for first, last in flat:
        expected = (first + last) / 2
        if first == 0:
            expected = 0
        if last == 40:
            expected = 40
        assert float(curve.inverse(curve.progress[first])) == pytest.approx(expected, abs=1e-9)
    assert float(curve.inverse(0.0)) == 0
    assert float(curve.inverse(1.0)) == 40


@pytest.mark.parametrize("how", METHODS)
def test_the_inverse_rises_from_end_to_end_and_leads_back(how):
    curve = spf.fit(oracles.random_walk(81, dim=3, step=0.6, seed=0), monotone=how)
    positions = curve.inverse(np.linspace(0, 1, 1001))
    assert np.all(np.diff(positions) >= 0)
    assert positions[0] == 0
    assert positions[-1] == 80
    back = np.interp(positions, np.arange(81), curve.progress)
    np.testing.assert_allclose(back, np.linspace(0, 1, 1001), atol=1e-6)


@pytest.mark.parametrize("length", [2, 3, 40])
def test_a_curve_without_change(length):
    curve = spf.fit(np.tile(oracles.random_walk(1), (length, 1)))
    assert curve.total_change == 0
    np.testing.assert_array_equal(curve.progress, np.zeros(length))
    np.testing.assert_array_equal(curve.angle, np.zeros(length))
    with pytest.raises(ValueError, match="change"):
        curve.inverse(0.5)


# --------------------------------------------------------------------------------- time maps


@pytest.mark.parametrize("target", sorted(set(TARGETS) - {"custom"}))  # which needs points
@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("count", [None, 2, 33, 200])
def test_time_maps_rise_from_end_to_end(target, how, count):
    z = oracles.great_circle(detour(start=True, middle=True, end=True))
    positions = spf.time_map(spf.fit(z, monotone=how), target=target, num_frames=count)
    assert positions.shape == (count or 41,)
    assert positions.dtype == np.float64
    assert positions[0] == 0
    assert positions[-1] == 40
    assert np.all(np.diff(positions) >= 0)


def test_a_target_is_a_function_of_the_output_time():
    curve = spf.fit(oracles.great_circle(np.linspace(0, 1.4, 81)), ridge=0.0)
    u = np.linspace(0, 1, 81)
    expected = 80 * (u + np.sin(2 * np.pi * u) / (2 * np.pi))
    made = spf.time_map(curve, target=lambda u: u + np.sin(2 * np.pi * u) / (2 * np.pi))
    np.testing.assert_allclose(made, expected, atol=1e-3)
    np.testing.assert_allclose(spf.time_map(curve), np.arange(81), atol=1e-3)
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
    """As JSON, which knows no scalars of NumPy: for noise, flicker over a change, and a change."""
    path = change * oracles.great_circle(np.linspace(0, 1.5, 60), dim=16)
    noise = np.random.default_rng(0).normal(size=path.shape)
    curve = spf.fit((path + noise) / np.linalg.norm(path + noise, axis=1, keepdims=True))
    read = [name for name, x in vars(spf.Curve).items() if isinstance(x, property)]
    assert "changes" in read
    values = {name: getattr(curve, name) for name in read}
    assert json.loads(json.dumps(values)) == values
    assert curve.changes is (change > 1)


def test_time_map_of_a_known_pacing():
    positions = np.concatenate([[0.0], np.cumsum(np.random.default_rng(0).random(60) + 0.05)])
    positions /= positions[-1] / 1.3
    curve = spf.fit(oracles.great_circle(positions), ridge=0.0, monotone="increments")
    for count in (2, 17, 61, 200):
        expected = np.interp(np.linspace(0, 1.3, count), positions, np.arange(61))
        np.testing.assert_allclose(spf.time_map(curve, num_frames=count), expected, atol=1e-4)
    assert spf.time_map(curve).shape == (61,)
