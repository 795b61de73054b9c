"""A warp by hand-made numbers, and the loop of ReTime on a generator of numbers. No torch."""

from itertools import pairwise

import harness
import numpy as np
import oracles
import pytest
from clips import refused

import spf
from benchmarks.generated.strategies import described, parse_retimes
from benchmarks.harness.report.players import AUTHORS
from spf.errors import ConfigError
from spf.generators.base import GeneratedClip, Request
from spf.generators.clock import latent_clock
from spf.pacing.generated import retime_generated
from spf.pacing.strategies import PRESETS, Rope, RopeFlat, RopeIterative
from spf.pacing.targets import EaseIn
from spf.pacing.warp import Warp, gamma


@pytest.mark.parametrize(("frames", "factor"), [(5, 1), (24, 1), (81, 4), (9, 8), (121, 8)])
def test_ends_are_pinned_and_latents_stay_in_order(frames, factor):
    clock = latent_clock(frames, factor)
    assert not clock.shift(np.arange(frames, dtype=float)).any()
    for seed in range(20):
        tau = np.sort(np.random.default_rng(seed).random(frames)) * (frames - 1)
        tau[0], tau[-1] = 0, frames - 1
        shift = clock.shift(tau)
        assert shift[0] == shift[-1] == 0.0
        moved = clock.positions + shift
        assert (np.diff(moved) >= -1e-12).all()
        assert moved.min() >= 0
        assert moved.max() <= clock.positions[-1]


def test_wan_latents_by_hand():
    clock = latent_clock(17, 4)
    assert clock.frames.tolist() == [0, 2.5, 6.5, 10.5, 16]
    assert clock.positions.tolist() == [0, 1, 2, 3, 4]
    # A map that runs ahead: every frame shows one 4 frames later, but for the ends.
    tau = np.minimum(np.arange(17) + 4.0, 16)
    tau[0] = 0
    # Frame 2.5 shows 6.5, which is latent 2; 10.5 shows 14.5, 4 of 5.5 frames on to latent 4.
    np.testing.assert_allclose(clock.shift(tau), [0, 1, 1, 4 / 5.5, 0], atol=1e-12)


def test_composed_corrections_look_up_the_old_map():
    t = np.arange(65.0)
    first = 64 * (t / 64) ** 2 - t  # positions t^2 / 64
    second = 64 * np.sqrt(t / 64) - t  # undoes it
    undone = Warp(t, first).composed(second)
    np.testing.assert_allclose(undone.shift, 0, atol=0.02)  # linear between latents
    assert np.abs(Warp(t, first).corrected(second).shift).max() > 1
    other_way = Warp(t, second).composed(np.where(t < 32, 0.0, 3.0))
    assert other_way.shift[40] == pytest.approx(64 * np.sqrt(43 / 64) - 40)
    np.testing.assert_array_equal(Warp(t, first).composed(0 * t).shift, first)
    np.testing.assert_allclose(Warp(t, 0 * t).composed(first).shift, first, atol=1e-12)


def test_shifts_that_make_no_warp():
    for shift, said in (([0.0], r"must be \(L,\)"), ([0.0, np.nan], "finite")):
        with pytest.raises(ValueError, match=said):
            Warp(np.arange(2.0), np.array(shift))


OMEGA = 10.0 ** -np.arange(7.0)  # the highest frequency first, places 0, 1/6 .. 1


def test_the_presets_are_what_is_known_of_the_authors():
    """Low band 0.77, high band 0.20, three corrections: a public digest of the paper."""
    code, flow = Rope("authors_code"), Rope("authors_workflow")
    assert code == Rope()
    assert code.strength.of(OMEGA)[[0, -1]] == pytest.approx([0.2, 1 - 0.8 * np.exp(-3)])
    assert flow.strength.of(OMEGA)[[0, -1]] == pytest.approx([0.2, 0.770], abs=5e-4)
    assert (code.iterations, flow.iterations, RopeIterative().iterations) == (1, 3, 3)
    assert code.gamma == flow.gamma == "exp_up"
    assert RopeIterative().strength == code.strength
    assert Rope("ours").strength.of(OMEGA).tolist() == [1.0] * 7


@pytest.mark.parametrize(("bands", "alpha"), [
    ("flat", [0.8] * 7), ("linear", [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]),
    ("linear_inverse", [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]),
    ("3_bands", [0.2, 0.2, 0.5, 0.5, 0.8, 0.8, 0.8]),
    ("3_bands_inverse", [0.8, 0.8, 0.8, 0.5, 0.5, 0.2, 0.2]),
    ("smooth", [0.2, 0.2 + 0.6 * 2 / 27, 0.2 + 0.6 * 7 / 27, 0.5, None, None, 0.8]),
    ([0.1, 0.9, 0, 0, 0, 0, 0.5], [0.1, 0.9, 0, 0, 0, 0, 0.5]),
])  # fmt: skip
def test_bands_by_hand(bands, alpha):
    found = Rope("authors_workflow", bands=bands).strength.of(OMEGA)
    known = [index for index, value in enumerate(alpha) if value is not None]
    assert found[known] == pytest.approx([alpha[index] for index in known])
    backwards = Rope("authors_workflow", bands=bands).strength.of(OMEGA[::-1])
    assert backwards == pytest.approx(found[::-1])  # a strength goes with its frequency


@pytest.mark.parametrize(("name", "levels", "wanted"), [
    ("exp-up", 0.5, (np.e**1.5 - 1) / (np.e**3 - 1)), ("linear", 0.3, 0.3),
    ("exp_down", [0.5, 0.0, 1.0], [(np.e**1.5 - 1) / (np.e**3 - 1), 1, 0]),
    ("linear_down", 0.3, 0.7), ("none", [0.0, 0.9], [1, 1]),
    ("cosine", 0.25, (1 - np.sqrt(0.5)) / 2), ("cosine_down", 0.75, (1 - np.sqrt(0.5)) / 2),
    ("window", [0.49, 0.5, 0.9], [0, 1, 1]),
    ((0.9, 0.4), [1.0, 0.91, 0.9, 0.6, 0.4, 0.39, 0.0], [0, 0, 1, 1, 1, 0, 0]),
])  # fmt: skip
def test_schedules_by_hand(name, levels, wanted):
    assert gamma(name, np.array(levels)) == pytest.approx(wanted)


@pytest.mark.parametrize(("settings", "said"), [
    ({"preset": "authors"}, "did you mean"), ({"gamma": [0.4, 0.9]}, "START > END"),
    ({"gamma": [1.0]}, "START, END"), ({"gamma": "exp"}, "exp_up"), ({"bands": "cubic"}, "smooth"),
    ({"bands": [0.1, -1.0]}, "at least 0"), ({"bands": []}, "neither a name nor a list"),
    ({"bands": [1, 2]}, "2 strengths.*7 bands"),
])  # fmt: skip
def test_wrong_settings_are_refused_in_a_line(settings, said):
    with refused(said):
        Rope(**settings).strength.of(OMEGA)


def test_tables_name_the_preset_and_what_differs_from_it():
    listed = described(Rope("ours", decay=1, gamma=[1.0, 0.3]))
    assert listed == "rope (ours, decay=1, gamma=[1 0.3])"
    made = tuple(map(described, (Rope(), Rope("authors_workflow"), RopeIterative())))
    known = "rope (authors_code)", "rope (authors_workflow)", "rope_iterative (authors_code)"
    assert made == AUTHORS == known


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_an_option_and_stands_beside_the_authors_script(name):
    node = harness.compose("retime=rope", f"preset={name}").retime
    chosen = Rope(**{key: value for key, value in node.items() if key != "_target_"})
    assert chosen == Rope(name)
    labels = list(parse_retimes(["none", "rope"], chosen))
    assert labels[:2] == ["none", "rope (authors_code)"]
    assert f"rope ({name})" in labels
    with pytest.raises(ConfigError, match=r"retime=flow has no preset.*retime=rope"):
        harness.compose("retime=flow", f"preset={name}")


COUNT = 25
REQUEST = Request(*[np.zeros((2, 2, 3), np.uint8)] * 2, num_frames=COUNT)


def law(u):
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
