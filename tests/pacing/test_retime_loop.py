"""The loop of ReTime, on a generator of numbers that follows its clock more or less."""

from itertools import pairwise

import numpy as np
import oracles
import pytest

import spf
from spf.generators.base import GeneratedClip, Request
from spf.generators.clock import latent_clock
from spf.pacing.generated import retime_generated
from spf.pacing.strategies import RopeFlat, RopeIterative
from spf.pacing.targets import EaseIn

COUNT = 25
REQUEST = Request(*[np.zeros((2, 2, 3), np.uint8)] * 2, num_frames=COUNT)


def law(u):
    """A jump past the middle, smooth enough to be inverted."""
    low, curve, high = (1 / (1 + np.exp(-18 * (x - 0.6))) for x in (0.0, u, 1.0))
    return (curve - low) / (high - low)


class Numbers:
    """Frame k holds the progress at position k + obedience * alpha * shift_k of an uneven law."""

    name = "numbers"

    def __init__(self, obedience=1.0, still=False):
        self.obedience, self.still, self.count = obedience, still, 0

    def clock(self, request):
        return latent_clock(COUNT, 1)

    def generate(self, request, warp=None, on_progress=None):
        self.count += 1
        positions = np.arange(COUNT, dtype=float)
        if warp is not None:
            positions += self.obedience * warp.strength.of([1.0])[0] * warp.shift
        shown = law(np.clip(positions / (COUNT - 1), 0, 1)) * (not self.still)
        values = np.round(shown * 65535).astype(np.uint16)
        frames = np.zeros((COUNT, 2, 2, 3), np.uint8)
        frames[:, 0, 0, 0], frames[:, 0, 0, 1] = values // 256, values % 256
        return GeneratedClip(frames, 8.0)


def measure(clip):
    values = clip.frames[:, 0, 0, :2].astype(float) @ [256, 1] / 65535
    return spf.fit(oracles.great_circle(1.3 * values), ridge=0.0, monotone="increments")


def test_one_flat_warp_makes_an_obedient_model_even():
    done = retime_generated(Numbers(), REQUEST, measure, "rope_flat")
    assert done.ended == "done"
    assert [attempt.warp is None for attempt in done.attempts] == [True, False]
    before = done.baseline
    assert before.target_mae == pytest.approx(spf.score(before.curve)["linearity_mae"])
    assert before.target_mae > 0.15
    assert done.best.target_mae < 0.02
    expected = spf.time_map(before.curve) - np.arange(COUNT)
    np.testing.assert_allclose(done.best.warp.shift, expected, atol=1e-12)


def test_the_target_is_reached_and_measured_against():
    done = retime_generated(Numbers(), REQUEST, measure, "rope-flat", EaseIn(power=3))
    assert done.best.target_mae < 0.02
    wanted = np.linspace(0, 1, COUNT) ** 3
    np.testing.assert_allclose(done.best.curve.progress, wanted, atol=0.06)
    with pytest.raises(ValueError, match="increase"):
        retime_generated(Numbers(), REQUEST, measure, "rope_flat", lambda u: 1 - u)


def test_refinement_makes_up_for_a_model_that_half_obeys():
    lazy = Numbers(obedience=0.5)
    once = retime_generated(lazy, REQUEST, measure, RopeFlat())
    more = retime_generated(lazy, REQUEST, measure, RopeFlat(iterations=6))
    assert once.best.target_mae > 2 * more.best.target_mae
    distances = [attempt.target_mae for attempt in more.attempts]
    # Every attempt but perhaps the last is better than the one before it.
    assert all(b < a for a, b in pairwise(distances[:-1]))
    # Corrections add up: each shift is the one before plus what the last curve still needs.
    for before, after in pairwise(more.attempts[1:]):
        expected = before.warp.shift + spf.time_map(before.curve) - np.arange(COUNT)
        np.testing.assert_allclose(after.warp.shift[1:-1], expected[1:-1], atol=1e-12)


def test_it_stops_when_it_gets_no_better_and_returns_the_best():
    """A model that overdoes every correction swings around its target, ever wider."""
    wild = Numbers(obedience=2.5)
    done = retime_generated(wild, REQUEST, measure, RopeIterative(alpha_low=1.0, iterations=9))
    assert done.ended == "no better"
    assert len(done.attempts) < 10
    assert done.attempts[-1].target_mae >= done.attempts[-2].target_mae
    assert done.best is done.attempts[-2]


def test_a_clip_without_change_is_returned_as_it_is():
    still = Numbers(still=True)
    done = retime_generated(still, REQUEST, measure, "rope")
    assert (done.ended, done.note) == ("no change", "nothing to retime: no semantic change")
    assert done.best is done.baseline
    assert np.isnan(done.best.target_mae)
    assert still.count == 1
