"""Segmentation against brute force: the exact optimum, whatever the penalty."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import oracles
import pytest
import segment_oracles

import spf


def walk_curve(length: int, seed: int, timing: str = "even") -> spf.Curve:
    """A curve with a wandering slope."""
    random = np.random.default_rng(seed)
    speed = np.exp(1.5 * np.cumsum(random.standard_normal(length - 1)) / np.sqrt(length))
    positions = np.concatenate([[0.0], np.cumsum(speed * random.random(length - 1))])
    times = None if timing == "even" else np.cumsum(random.random(length) + 0.05)
    z = oracles.great_circle(positions / positions[-1] * 1.4, seed=seed)
    return spf.fit(z, times=times)


def jump_curve(length: int, cuts: list[int], noise: float = 0.0) -> spf.Curve:
    """A curve that drifts slowly and jumps at every frame of `cuts`."""
    steps = np.full(length - 1, 0.1 / length)
    steps[[cut - 1 for cut in cuts]] = 1.2 / len(cuts)
    z = oracles.great_circle(np.concatenate([[0.0], np.cumsum(steps)]), noise=noise)
    return spf.fit(z, ridge=0.0, monotone="increments")


def cuts_of(segments: list) -> list[tuple[int, int]]:
    return [(piece.start, piece.stop) for piece in segments]


def cost_of(curve: spf.Curve, segments: list, penalty: float = 0.0) -> float:
    """Sum of squared residuals of the segments as returned, plus the penalty for each."""
    total = penalty * len(segments)
    for piece in segments:
        inside = slice(piece.start, piece.stop)
        line = piece.slope * curve.times[inside] + piece.intercept
        total += float(((curve.progress[inside] - line) ** 2).sum())
    return total


def check(curve: spf.Curve, segments: list, min_length: int = 2) -> None:
    """Disjoint, in order, covering 0..T, none too short, each the least-squares line."""
    length = len(curve.progress)
    assert segments[0].start == 0
    assert segments[-1].stop == length
    for left, right in pairwise(segments):
        assert left.stop == right.start
    for piece in segments:
        assert piece.stop - piece.start >= min_length
        line = segment_oracles.line(curve.times, curve.progress, piece.start, piece.stop)
        span = curve.times[piece.stop - 1] - curve.times[piece.start]
        assert piece.slope * span == pytest.approx(line.slope * span, abs=1e-7)
        middle = curve.times[piece.start : piece.stop].mean()
        assert piece.slope * middle + piece.intercept == pytest.approx(
            line.slope * middle + line.intercept, abs=1e-7
        )


@pytest.mark.parametrize(
    "choice",
    [
        {"penalty": 1e-6},
        {"penalty": 2e-3},
        {"penalty": 10.0},
        {"penalty": 1e-4, "min_length": 7},
        {"n_segments": 1},
        {"n_segments": 5},
        {"n_segments": 2, "min_length": 20},
        {"n_segments": 22},  # as many as fit
    ],
    ids=str,
)
@pytest.mark.parametrize(("length", "timing"), [(45, "even"), (60, "uneven")])
def test_the_optimum_is_that_of_brute_force(length, timing, choice):
    for seed in (0, 1):
        curve = walk_curve(length, seed, timing)
        segments = spf.segment(curve, **choice)
        check(curve, segments, choice.get("min_length", 2))
        expected, cost = segment_oracles.brute_segmentation(curve.times, curve.progress, **choice)
        penalty = choice.get("penalty", 0.0)
        assert cost_of(curve, segments, penalty) == pytest.approx(cost, abs=1e-10)
        assert len(segments) == len(expected)


@pytest.mark.parametrize("noise", [0.0, 0.003])
@pytest.mark.parametrize("cuts", [[11], [5, 17, 60]])
def test_jumps_lie_between_segments(cuts, noise):
    curve = jump_curve(81, cuts, noise)
    segments = spf.segment(curve, n_segments=len(cuts) + 1)
    assert [piece.start for piece in segments] == [0, *cuts]
    segments = spf.segment(curve, penalty=0.02)
    assert [piece.start for piece in segments] == [0, *cuts]
    check(curve, segments)


def test_a_straight_curve_is_one_segment():
    curve = spf.fit(oracles.great_circle(np.linspace(0, 1.4, 81)), times=np.arange(81) / 25)
    (piece,) = spf.segment(curve)
    assert (piece.start, piece.stop) == (0, 81)
    assert piece.slope == pytest.approx(25 / 80, rel=1e-3)  # progress per second
    assert piece.intercept == pytest.approx(0, abs=1e-3)


def test_frame_repetition_with_the_mean_scale():
    corners = ([0, 0.25, 0.4, 1], [0, 0.05, 0.9, 1])
    positions = 1.4 * np.interp(np.linspace(0, 1, 80), *corners)
    curve = spf.fit(oracles.great_circle(positions), ridge=0.0, monotone="increments")
    twice = spf.fit(oracles.great_circle(np.repeat(positions, 2)), ridge=0.0, monotone="increments")
    once = spf.segment(curve, penalty=1e-3, scale="mean")
    doubled = spf.segment(twice, penalty=1e-3, scale="mean")
    assert len(once) == len(doubled) > 1
    np.testing.assert_allclose(
        [piece.start for piece in doubled], [2 * piece.start for piece in once], atol=4
    )


def test_far_away_time_stamps_lose_nothing():
    # Time stamps of a day's recording, in seconds: prefix sums must not cancel.
    near = walk_curve(61, 6)
    far = spf.fit(
        oracles.great_circle(near.fitted - near.fitted[0], seed=6), times=86_400 + near.times / 25
    )
    segments = spf.segment(far, n_segments=4)
    check(far, segments)
    expected, cost = segment_oracles.brute_segmentation(
        far.times - far.times[0], far.progress, n_segments=4
    )
    assert cost_of(far, segments) == pytest.approx(cost, abs=1e-9)
    assert cuts_of(segments) == [(piece.start, piece.stop) for piece in expected]


def test_time_reversal():
    z = oracles.great_circle(np.sort(np.random.default_rng(7).random(50)) * 1.4)
    forward = spf.segment(spf.fit(z), n_segments=4)
    backward = spf.segment(spf.fit(z[::-1]), n_segments=4)
    assert cuts_of(backward) == [(50 - b, 50 - a) for a, b in cuts_of(forward)][::-1]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"n_segments": 11}, "n_segments"),
        ({"n_segments": 3, "min_length": 7}, "n_segments"),
        ({"n_segments": 0}, "n_segments"),
        ({"penalty": float("nan")}, "penalty"),
        ({"scale": "median"}, "scale"),
        ({"min_length": 21}, "min_length"),
    ],
    ids=str,
)
def test_wrong_arguments(arguments, word):
    with pytest.raises(ValueError, match=word):
        spf.segment(walk_curve(20, 0), **arguments)
