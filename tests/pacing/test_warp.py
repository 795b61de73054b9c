"""Where latents stand under a warp, by hand-made numbers. No torch."""

import numpy as np
import pytest

from spf.generators.clock import latent_clock
from spf.pacing.bands import Strength
from spf.pacing.warp import Warp

WAN = 10000.0 ** (-np.arange(22) / 22)  # head_dim 128


@pytest.mark.parametrize("order", ["rank", "frequency"])
def test_alpha_belongs_to_the_frequency_whatever_the_order_of_storage(order):
    """Wan stores the highest band first, LTX-2 last."""
    shuffled = np.random.default_rng(0).permutation(22)
    strength = Strength(0.1, 0.9, 2.0, order)
    np.testing.assert_array_equal(strength.of(WAN[shuffled]), strength.of(WAN)[shuffled])
    assert (np.diff(strength.of(WAN)) > 0).all()  # lower frequencies are warped more


@pytest.mark.parametrize(("frames", "factor"), [(5, 1), (24, 1), (81, 4), (9, 8), (121, 8)])
def test_ends_are_pinned_and_latents_stay_in_order(frames, factor):
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


@pytest.mark.parametrize(
    ("shift", "said"), [([0.0], r"must be \(L,\)"), ([0.0, float("nan")], "finite")]
)
def test_shifts_that_make_no_warp(shift, said):
    with pytest.raises(ValueError, match=said):
        Warp(np.arange(2.0), np.array(shift))
