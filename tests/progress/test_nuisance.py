"""Curves without what a camera does to the vectors: against dense matrices, and by invariance."""

from math import isnan

import numpy as np
import pytest

from spf.progress import fit, no_change_reason, nuisance, score
from spf.progress.metrics import NO_CHANGE
from spf.progress.nuisance import REACH, correct, corrected, disagree, motion_share


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def walk(length, dimensions):
    steps = np.random.default_rng(0).normal(size=(length, dimensions))
    return unit(3 * np.eye(dimensions)[0] + 0.2 * np.cumsum(steps, axis=0))


def views(frames, count, dimensions):
    """Differences (F, V, D) with a few strong directions and many weak ones."""
    made = np.random.default_rng(1).normal(size=(frames, count, dimensions))
    return made * 0.2 * 0.7 ** np.arange(dimensions)[::-1]


@pytest.mark.parametrize("reach", [0.5, 1.0, REACH])
@pytest.mark.parametrize("shape", [(5, 4, 7), (2, 3, 30), (9, 8, 24)])
def test_corrections_are_those_of_the_dense_covariance(shape, reach):
    """C and its eigenvectors as D x D matrices, each chosen by itself; sums as loops."""
    differences = views(*shape).reshape(-1, shape[2])
    z = walk(40, shape[2])
    values, columns = np.linalg.eigh(sum(np.outer(n, n) for n in differences) / len(differences))
    matrix = np.eye(shape[2])
    for value, axis in zip(values, columns.T, strict=True):
        if value > 1e-12 * values[-1] and reach**2 * value > np.var([axis @ one for one in z]):
            matrix -= np.outer(axis, axis)
    found = nuisance.nuisance_directions(differences, z, reach)
    assert len(found) == round(shape[2] - np.trace(matrix))
    if 0 < len(found) < shape[2]:
        assert corrected(z, found) == pytest.approx(unit(z @ matrix), abs=1e-9)
        share = share_by_loops(z, matrix, 6, 4.0)
        assert motion_share(z, found, 6, 4.0) == pytest.approx(share, abs=1e-9)


def share_by_loops(z, matrix, window, sigma):
    whole = left = 0.0
    for i in range(len(z)):
        for j in range(i + 1, min(i + window, len(z) - 1) + 1):
            weight = np.exp(-((j - i) ** 2) / (2 * sigma**2))
            whole += weight * np.linalg.norm(z[j] - z[i])
            a, b = matrix @ z[i], matrix @ z[j]
            radial = np.linalg.norm(a) - np.linalg.norm(b)
            left += weight * np.sqrt(max(0.0, (a - b) @ (a - b) - radial**2))
    return float(1 - left / whole)


def test_unseen_views_take_no_part_in_their_directions():
    differences = np.zeros((2, 2, 6))
    differences[0, :, 1], differences[1, :, 2] = (0.1, -0.2), (0.2, 0.1)
    still = np.tile(np.eye(6)[0], (5, 1))
    assert nuisance.unseen_left(differences, still) == 1.0
    differences[1] = differences[0]
    assert nuisance.unseen_left(differences, still) == pytest.approx(0.0, abs=1e-12)
    assert isnan(nuisance.unseen_left(differences[:1], still))


def test_rotation_order_and_time_change_nothing():
    z, differences = walk(50, 16), 0.2 * views(6, 8, 16)
    usual = correct(fit(z, window=8), z, differences)
    assert 0.05 < usual.motion_share < 0.95
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(16, 16)))[0]
    order = np.random.default_rng(3).permutation(6)
    for rows, moved, path in (
        (z @ turn, differences @ turn, usual.curve.progress),
        (z, differences[order][:, ::-1], usual.curve.progress),
        (z[::-1], differences, 1 - usual.curve.progress[::-1]),
    ):
        other = correct(fit(rows, window=8), rows, moved)
        assert other.curve.progress == pytest.approx(path, abs=1e-9)
        assert other.motion_share == pytest.approx(usual.motion_share, abs=1e-9)
        assert other.unseen_left == pytest.approx(usual.unseen_left, abs=1e-9)


@pytest.mark.parametrize(
    ("z", "differences"),
    [
        pytest.param(walk(30, 12).astype(np.float32), np.zeros((9, 8, 12)), id="no answer"),
        pytest.param(walk(30, 12).astype(np.float32), 1e-7 * views(9, 8, 12), id="rounding"),
        # Identical frames, whose vectors rounding would set apart once they are projected.
        pytest.param(np.tile(walk(1, 64), (40, 1)), 0.1 * views(9, 8, 64), id="still"),
    ],
)
def test_nothing_to_correct_is_the_plain_curve_itself(z, differences):
    plain = fit(z)
    found = correct(plain, z, differences)
    assert found.curve is plain
    assert found.motion_share == 0.0
    if plain.changes:
        assert corrected(z, nuisance.nuisance_directions(differences[0], z)) is z


def sphere(amplitude):
    """A morph along an arc, moved along three axes of nuisance, and small motions along these."""
    u = np.linspace(0, 1, 80)
    z = np.zeros((80, 20))
    z[:, 0], z[:, 1] = np.cos(1.2 * u**2), np.sin(1.2 * u**2)
    z[:, 5:8] = amplitude * np.sin(np.outer(u, (4, 9, 13)) + np.arange(3))
    differences = np.zeros((9, 6, 20))
    for axis in range(3):
        differences[:, 2 * axis, 5 + axis] = 0.4 - 0.08 * axis
        differences[:, 2 * axis + 1, 5 + axis] = -0.4 + 0.08 * axis
    return unit(z), differences


@pytest.mark.parametrize("amplitude", [0.0, 0.1, 0.5])
def test_a_known_nuisance_is_taken_out_whole(amplitude):
    z, differences = sphere(amplitude)
    truth, plain = fit(sphere(0.0)[0]), fit(z)
    found = correct(plain, z, differences)
    assert found.curve.progress == pytest.approx(truth.progress, abs=1e-9)
    assert found.curve.angle == pytest.approx(truth.angle, abs=1e-9)
    off = np.abs(plain.progress - truth.progress).mean()
    assert off > 0.02 * (amplitude / 0.1) ** 0.5 or not amplitude
    assert not found.explained
    assert disagree(plain, found.curve) == (amplitude > 0.1 or disagree(plain, truth))
    assert score(found.curve)["linearity_mae"] == pytest.approx(score(truth)["linearity_mae"])
    if not amplitude:
        assert found.motion_share == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("left", [0.0, 0.05])
def test_motion_alone_is_no_semantic_change_beside_its_plain_curve(left):
    """left : a part that stays, less than half of what unseen views leave."""
    u = np.linspace(-0.5, 0.5, 60)
    z = np.zeros((60, 20))
    z[:, 0], z[:, 5], z[:, 6] = 1.0, u, left * u
    differences = np.zeros((9, 2, 20))
    differences[:, 0, 5], differences[:, 1, 5] = 0.1, -0.1
    for frame in range(9):  # of each frame's answer a part that no other has
        differences[frame, :, 10 + frame] = 0.2 * differences[frame, :, 5]
    plain = fit(unit(z))
    found = correct(plain, unit(z), differences)
    assert plain.changes
    assert found.explained
    assert no_change_reason(found.curve) == NO_CHANGE
    assert isnan(score(found.curve)["linearity_mae"])
    assert disagree(plain, found.curve)


def test_where_nothing_is_left_of_a_vector_nothing_changes():
    z = walk(10, 4)
    assert fit(corrected(z, np.eye(4))).total_change == 0.0
    assert motion_share(z, np.eye(4), 5, 3.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("differences", "reach"),
    [(np.full((2, 3), np.nan), REACH), (np.ones(3), REACH), (np.eye(3), 0.0), (np.eye(3), np.inf)],
)
def test_what_is_no_difference_or_reach_is_refused(differences, reach):
    with pytest.raises(ValueError, match="must be"):
        nuisance.nuisance_directions(differences, walk(5, 3), reach)
