"""Pacing laws: inverses, derivatives, endpoints, direction, and impossible parameters."""

import numpy as np
import pytest

from spf.errors import ConfigError
from synthetic.laws import LAWS, law, steepest, unevenness

U = np.linspace(0.0, 1.0, 1001)
VARIANTS = [
    law("linear"),
    law("ease_in", power=3.5),
    law("ease_out", power=3),
    law("ease_in_out", power=2.5),
    law("sigmoid_jump"),
    law("sigmoid_jump", place=0.15, steepness=12),
    law("sigmoid_jump", place=0.5, steepness=0.1),
    law("two_jumps"),
    law("two_jumps", first=0.05, second=0.95, steepness=1000, share=0.1),
    law("plateau", start=0.0, stop=0.4),
    law("plateau", start=0.7, stop=1.0),
    law("staircase", steps=7, rise=0.6),
    law("staircase", steps=3, rise=1.0),
    law("partial_jump", place=0.2, share=0.9, width=0.3),
    law("exponential"),
    law("exponential", temperature=-5),
    law("exponential", temperature=0),
    law("exponential", temperature=100),
    law("sine"),
    law("random_monotone", seed=5, pieces=20, concentration=0.3),
]
over_variants = pytest.mark.parametrize("pacing", VARIANTS, ids=str)


def test_every_law_is_covered():
    assert {pacing.name for pacing in VARIANTS} == set(LAWS)


@over_variants
def test_a_law_and_its_inverse_rise_from_end_to_end(pacing):
    for values in (pacing.g(U), pacing.inverse(U)):
        assert values.dtype == np.float64
        assert values[0] == 0.0
        assert values[-1] == 1.0
        assert np.all(np.diff(values) >= -1e-12)
    np.testing.assert_allclose(pacing.g(pacing.inverse(U)), U, atol=1e-12)


@over_variants
def test_time_survives_law_and_inverse_where_the_law_moves(pacing):
    progress = pacing.g(U)
    moves = np.minimum(progress, 1.0 - progress) > 1e-9
    # A knot between a slope and a flat part belongs to either, by a rounding error.
    for side in (-1e-9, 1e-9):
        moves &= pacing.derivative(np.clip(U + side, 0.0, 1.0)) > 1e-4
    np.testing.assert_allclose(pacing.inverse(progress)[moves], U[moves], atol=1e-9)


@over_variants
def test_derivative_is_the_slope(pacing):
    step = 1e-6
    # Irrational places, so that no difference straddles a knot.
    u = (np.arange(500) + 0.5) / 500 + np.pi * 1e-5
    slope = (pacing.g(u + step) - pacing.g(u - step)) / (2 * step)
    # The truncation error of a difference is step^2 g''' / 6, and g''' at most about k^3.
    np.testing.assert_allclose(pacing.derivative(u), slope, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("pacing", "u", "progress"),
    [
        (law("ease_out"), 0.25, 0.4375),
        (law("ease_in_out"), 0.25, 0.125),
        (law("plateau", start=0.2, stop=0.6), 0.1, 1 / 6),
        (law("staircase", steps=2, rise=0.5), 0.25, 0.25),
        (law("exponential", temperature=np.log(4)), 0.5, 1 / 3),
        (law("sine"), 0.25, 0.25 + 1 / (2 * np.pi)),
    ],
    ids=str,
)
def test_values_by_hand(pacing, u, progress):
    assert pacing.g(u) == pytest.approx(progress, abs=1e-12)


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (law("ease_in", power=3), law("ease_out", power=3)),
        (law("sigmoid_jump", place=0.3), law("sigmoid_jump", place=0.7)),
        (
            law("two_jumps", first=0.1, second=0.6, share=0.3),
            law("two_jumps", first=0.4, second=0.9, share=0.7),
        ),
        (law("plateau", start=0.1, stop=0.6), law("plateau", start=0.4, stop=0.9)),
        (law("exponential", temperature=4), law("exponential", temperature=-4)),
        (law("staircase", steps=3), law("staircase", steps=3)),
        (law("sine"), law("sine")),
    ],
    ids=str,
)
def test_time_reversal(forward, backward):
    np.testing.assert_allclose(1.0 - backward.g(1.0 - U), forward.g(U), atol=1e-12)
    # The sine law's inverse has an infinite slope in the middle, hence the tolerance.
    np.testing.assert_allclose(1.0 - backward.inverse(1.0 - U), forward.inverse(U), atol=1e-5)


def test_inverse_of_a_flat_part_is_its_middle():
    assert law("plateau", start=0.2, stop=0.6).inverse(1 / 3) == pytest.approx(0.4)
    assert law("staircase", steps=2, rise=0.5).inverse(0.5) == pytest.approx(0.5)


def test_unevenness_by_hand():
    assert unevenness(law("linear")) == 0.0
    assert unevenness(law("ease_in")) == pytest.approx(1 / 6, abs=1e-8)
    assert unevenness(law("sine")) == pytest.approx(1 / np.pi**2, abs=1e-8)
    ladder = [unevenness(law("sigmoid_jump", steepness=k)) for k in (1, 5, 20, 80, 320)]
    assert ladder == sorted(ladder)
    # A jump in the middle is a step but for the area 2 ln(2) / k between it and its rounding.
    steep = unevenness(law("sigmoid_jump", steepness=500))
    assert steep == pytest.approx(0.25 - 2 * np.log(2) / 500, abs=1e-6)


@pytest.mark.parametrize(
    ("pacing", "place"),
    [
        (law("sigmoid_jump", place=0.37), 0.37),
        (law("ease_out"), 0.0),
        (law("ease_in_out"), 0.5),
        (law("two_jumps", share=0.3), 0.7),
    ],
    ids=str,
)
def test_steepest_place(pacing, place):
    assert steepest(pacing) == pytest.approx(place, abs=1e-4)


def test_no_single_steepest_place():
    for name in ("linear", "two_jumps", "staircase", "plateau", "sine"):
        assert np.isnan(steepest(law(name)))


def test_a_law_is_its_name_and_parameters():
    assert law("ease-in-out") == law("ease_in_out")
    assert law("random_monotone", seed=1) == law("random_monotone", seed=1)
    one, two = (law("random_monotone", seed=seed).g(U) for seed in (1, 2))
    assert np.abs(one - two).max() > 0.01


def test_input_is_not_changed_and_must_be_in_the_unit_interval():
    u = U.copy()
    for pacing in VARIANTS:
        assert pacing.g(u) is not u
    np.testing.assert_array_equal(u, U)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        law("linear").g([0.5, 1.2])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        law("linear").g(np.nan)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("easein", {}, "did you mean ease_in"),
        ("linear", {"power": 2}, "unknown parameter of law linear 'power'; known: none"),
        ("sigmoid_jump", {"steepnes": 2}, "did you mean steepness"),
        ("sigmoid_jump", {"place": 0.0}, "place=0.0 is impossible"),
        ("sigmoid_jump", {"place": 1.5}, r"it must be a number in \(0, 1\)"),
        ("sigmoid_jump", {"steepness": float("nan")}, "steepness=nan"),
        ("sigmoid_jump", {"steepness": "steep"}, "steepness=steep"),
        ("two_jumps", {"first": 0.8, "second": 0.2}, "must come before"),
        ("plateau", {"start": 0.0, "stop": 1.0}, "leave time"),
        ("staircase", {"steps": 2.5}, "an integer"),
        ("random_monotone", {"seed": -1}, "seed=-1"),
    ],
)
def test_bad_words_and_values_are_one_clear_line(name, parameters, message):
    with pytest.raises(ConfigError, match=message) as caught:
        law(name, **parameters)
    assert "\n" not in str(caught.value)
