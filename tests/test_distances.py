"""Angular distances: exact at both ends, banded, careful about what they are given."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

from spf.progress.distances import banded_angles


def expected_band(z: object, window: int) -> np.ndarray:
    """(T, window): entry [i, h - 1] is the angle between frames i and i + h, 0 beyond the end."""
    every = oracles.angles(z)
    band = np.zeros((len(every), window))
    for i in range(len(every)):
        for h in range(1, window + 1):
            if i + h < len(every):
                band[i, h - 1] = every[i, i + h]
    return band


@pytest.mark.parametrize("length", [2, 3, 30, 31, 97, 200])
@pytest.mark.parametrize("window", [1, 7, 30])
def test_band_is_the_all_pairs_matrix(length, window):
    z = oracles.random_walk(length, dim=24, step=0.4, seed=length)
    band = banded_angles(z, window)
    assert band.dtype == np.float64
    lags = min(window, length - 1)
    np.testing.assert_allclose(band[:, :lags], expected_band(z, lags), atol=1e-6)


def test_window_longer_than_the_clip():
    z = oracles.random_walk(9, seed=1)
    band = banded_angles(z, 30)
    assert band.shape == (9, 8)
    np.testing.assert_allclose(band, expected_band(z, 30)[:, :8], atol=1e-6)


def test_independent_rows_all_around_the_sphere():
    z = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(banded_angles(z, 63), expected_band(z, 63), atol=1e-6)


@pytest.mark.parametrize("dim", [2, 5, 768])
@pytest.mark.parametrize("seed", range(3))
def test_identical_frames_are_exactly_zero_apart(dim, seed):
    row = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    z = np.tile(row / np.linalg.norm(row), (130, 1))
    assert np.all(banded_angles(z, 30) == 0)


def test_a_repeated_frame_is_exactly_zero_apart_amid_others():
    z = np.repeat(oracles.random_walk(50, dim=768, seed=3), 2, axis=0)
    assert np.all(banded_angles(z, 5)[::2, 0] == 0)
    assert np.all(banded_angles(z, 5)[1:-1:2, 0] > 0)


def test_the_same_direction_at_another_length():
    row = np.random.default_rng(0).standard_normal(64)
    z = np.stack([row, 3 * row, 1e-3 * row, 1e4 * row]).astype(np.float32)
    assert banded_angles(z, 3).max() < 1e-6


@pytest.mark.parametrize("angle", [1e-5, 1e-3, 0.1, np.pi / 2, np.pi - 1e-3, np.pi - 1e-5])
def test_float32_rows_at_a_known_angle(angle):
    # Two axes hold the pair, so that rounding the rows to float32 moves the angle by 6e-8 at most.
    z = np.array([[1, 0, 0], [np.cos(angle), np.sin(angle), 0]], dtype=np.float32)
    assert banded_angles(z, 1)[0, 0] == pytest.approx(angle, abs=1e-6)
    assert banded_angles(z, 1)[0, 0] == pytest.approx(oracles.angles(z)[0, 1], abs=1e-9)


@pytest.mark.parametrize("angle", [1e-5, 1e-3])
def test_tiny_angles_in_many_dimensions(angle):
    z = oracles.great_circle(np.arange(60) * angle, dim=768, seed=4)
    expected = expected_band(z, 30)
    np.testing.assert_allclose(banded_angles(z, 30), expected, atol=1e-9)
    assert expected[:-1, 0] == pytest.approx(angle, abs=2e-7)


def test_opposite_frames_are_pi_apart():
    row = oracles.random_walk(1, dim=768, seed=0)[0]
    assert banded_angles(np.stack([row, -row]), 1)[0, 0] == pytest.approx(np.pi, abs=1e-7)


def test_blocks_leave_no_seam():
    # Longer than any block: a band computed in pieces equals the band of each part of the clip.
    z = oracles.random_walk(1500, dim=8, seed=5)
    whole = banded_angles(z, 30)
    for start in range(0, 1400, 93):
        part = banded_angles(z[start : start + 100], 30)
        np.testing.assert_allclose(part[:70], whole[start : start + 70], atol=1e-12)


def test_rotation_of_the_embedding_space():
    z = oracles.random_walk(80, dim=16, seed=6).astype(np.float64)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((16, 16)))
    np.testing.assert_allclose(banded_angles(z @ rotation, 30), banded_angles(z, 30), atol=1e-10)


def test_time_reversal():
    z = oracles.random_walk(80, seed=7)
    forward, backward = banded_angles(z, 5), banded_angles(z[::-1], 5)
    for h in range(1, 6):
        np.testing.assert_allclose(
            backward[: 80 - h, h - 1], forward[: 80 - h, h - 1][::-1], atol=1e-12
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["C", "F", "strided", "read-only"])
def test_any_layout_and_no_mutation(dtype, layout):
    z = oracles.random_walk(70, dim=12, seed=8).astype(dtype) * dtype(2.5)
    expected = expected_band(z, 10)
    if layout == "F":
        z = np.asfortranarray(z)
    elif layout == "strided":
        z = np.repeat(np.repeat(z, 2, axis=0), 2, axis=1)[::2, ::2]
    elif layout == "read-only":
        z.setflags(write=False)
    before = z.copy()
    np.testing.assert_allclose(banded_angles(z, 10), expected, atol=1e-6)
    np.testing.assert_array_equal(z, before)
