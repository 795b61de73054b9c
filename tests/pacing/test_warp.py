"""The mathematics of a warp: bands, schedules, and where latents stand. No torch."""

from __future__ import annotations

import numpy as np
import pytest

from spf.errors import ConfigError
from spf.generators.clock import latent_clock
from spf.pacing.bands import Strength
from spf.pacing.gamma import SCHEDULES, gamma
from spf.pacing.warp import Warp

WAN = 10000.0 ** (-np.arange(22) / 22)  # head_dim 128
FACTORS = [(5, 1), (24, 1), (5, 4), (81, 4), (9, 8), (121, 8)]


def test_alpha_belongs_to_the_frequency_whatever_the_order_of_storage():
    """Wan stores the highest band first, LTX-2 last."""
    shuffled = np.random.default_rng(0).permutation(22)
    for order in ("rank", "frequency"):
        strength = Strength(0.1, 0.9, 2.0, order)
        np.testing.assert_array_equal(strength.of(WAN[::-1]), strength.of(WAN)[::-1])
        np.testing.assert_array_equal(strength.of(WAN[shuffled]), strength.of(WAN)[shuffled])
        assert (np.diff(strength.of(WAN)) > 0).all()  # lower frequencies are warped more


@pytest.mark.parametrize("word", sorted(x for x in SCHEDULES if not x.endswith("_down")))
def test_schedules_act_fully_on_pure_noise(word):
    levels = np.linspace(0, 1, 101)
    values = gamma(word, levels)
    assert values.shape == (101,)
    assert values[-1] == pytest.approx(1.0)
    assert (np.diff(values) >= 0).all()
    assert (values >= 0).all()
    if word != "none":
        assert values[0] == 0.0


def test_schedules_by_hand():
    assert gamma("exp_up", np.array(0.5)) == pytest.approx((np.e**1.5 - 1) / (np.e**3 - 1))
    assert gamma("linear", np.array(0.3)) == pytest.approx(0.3)
    assert gamma("cosine", np.array(0.25)) == pytest.approx((1 - np.sqrt(0.5)) / 2)
    assert gamma("window", np.array([0.49, 0.5, 0.9])).tolist() == [0, 1, 1]
    assert gamma("none", np.array([0.0, 0.9])).tolist() == [1, 1]
    assert gamma("exp-up", np.array(1.0)) == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="exp_up"):
        gamma("exp", np.array(0.5))


@pytest.mark.parametrize(("frames", "factor"), FACTORS)
def test_ends_are_pinned_and_order_is_kept(frames, factor):
    clock = latent_clock(frames, factor)
    np.testing.assert_array_equal(clock.shift(np.arange(frames, dtype=float)), 0.0)
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
    expected = [0, 1, 1, 4 / 5.5, 0]
    np.testing.assert_allclose(clock.shift(tau), expected, atol=1e-12)


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
