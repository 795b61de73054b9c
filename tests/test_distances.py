"""Angular distances: exact at both ends, and banded."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

from spf.progress.distances import banded_angles


def expected_band(z: object, window: int) -> np.ndarray:
    """(T, window): entry [i, h - 1] is the angle between frames i and i + h, 0 beyond the end."""
    every = oracles.angles(z)
    band = np.zeros((len(every), window))
    for h in range(1, window + 1):
        band[: len(every) - h, h - 1] = np.diagonal(every, h)
    return band


@pytest.mark.parametrize("length", [2, 9, 31, 97, 600])
@pytest.mark.parametrize("window", [1, 7, 30])
@pytest.mark.parametrize("step", [0.4, 1e-5, 50.0], ids=["walk", "hardly apart", "independent"])
def test_the_band_is_the_all_pairs_matrix(length, window, step):
    z = oracles.random_walk(length, dim=24, step=step, seed=length)
    lags = min(window, length - 1)
    np.testing.assert_allclose(banded_angles(z, window), expected_band(z, lags), atol=1e-9)


@pytest.mark.parametrize("dim", [2, 5, 768])
def test_identical_frames_are_exactly_zero_apart(dim):
    z = np.repeat(oracles.random_walk(50, dim=dim, seed=3), 2, axis=0)
    assert np.all(banded_angles(z, 5)[::2, 0] == 0)
    assert np.all(banded_angles(z, 5)[1:-1:2, 0] > 0)
    assert np.all(banded_angles(np.tile(z[:1], (130, 1)), 30) == 0)


@pytest.mark.parametrize("angle", [1e-5, 1e-3, 0.1, np.pi / 2, np.pi - 1e-3, np.pi - 1e-5])
def test_float32_rows_at_a_known_angle(angle):
    # Two axes hold the pair, so that rounding the rows to float32 moves the angle by 6e-8 at most.
    z = np.array([[1, 0, 0], [np.cos(angle), np.sin(angle), 0]], dtype=np.float32)
    assert banded_angles(z, 1)[0, 0] == pytest.approx(angle, abs=1e-6)
    assert banded_angles(z, 1)[0, 0] == pytest.approx(oracles.angles(z)[0, 1], abs=1e-9)
