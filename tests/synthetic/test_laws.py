import numpy as np
import pytest

from synthetic.laws import LAWS, law, steepest

U = np.linspace(0.0, 1.0, 1001)
VARIANTS = [
    law("linear"), law("sine"), law("ease_in", power=3.5), law("ease_out", power=3),
    law("ease_in_out", power=2.5), law("sigmoid_jump"),
    law("sigmoid_jump", place=0.15, steepness=12), law("sigmoid_jump", place=0.5, steepness=0.1),
    law("two_jumps"), law("two_jumps", first=0.05, second=0.95, steepness=1000, share=0.1),
    law("plateau", start=0.0, stop=0.4), law("plateau", start=0.7, stop=1.0),
    law("staircase", steps=7, rise=0.6), law("staircase", steps=3, rise=1.0),
    law("partial_jump", place=0.2, share=0.9, width=0.3), law("exponential"),
    law("exponential", temperature=-5), law("exponential", temperature=0),
    law("exponential", temperature=100),
    law("random_monotone", seed=5, pieces=20, concentration=0.3),
]  # fmt: skip


@pytest.mark.parametrize("pacing", VARIANTS, ids=str)
def test_a_law_rises_from_end_to_end_with_its_derivative(pacing):
    u = U.copy()
    progress = pacing.g(u)
    assert progress.dtype == np.float64
    assert progress is not u
    assert (progress[0], progress[-1]) == (0.0, 1.0)
    assert np.all(np.diff(progress) >= -1e-12)
    np.testing.assert_array_equal(u, U)
    step = 1e-6
    # Irrational places, so that no difference straddles a knot.
    u = (np.arange(500) + 0.5) / 500 + np.pi * 1e-5
    slope = (pacing.g(u + step) - pacing.g(u - step)) / (2 * step)
    # The truncation error of a difference is step^2 g''' / 6, and g''' at most about k^3.
    np.testing.assert_allclose(pacing.derivative(u), slope, rtol=1e-4, atol=1e-5)


def test_values_by_hand():
    for pacing, u, progress in (
        (law("ease_in"), 0.25, 0.0625), (law("ease_out"), 0.25, 0.4375),
        (law("ease_in_out"), 0.25, 0.125), (law("plateau", start=0.2, stop=0.6), 0.1, 1 / 6),
        (law("staircase", steps=2, rise=0.5), 0.25, 0.25),
        (law("exponential", temperature=np.log(4)), 0.5, 1 / 3),
        (law("sine"), 0.25, 0.25 + 1 / (2 * np.pi)),
        (law("sigmoid_jump", place=0.3, steepness=500), 0.3, 0.5),
    ):  # fmt: skip
        assert pacing.g(u) == pytest.approx(progress, abs=1e-12)
    assert steepest(law("sigmoid_jump", place=0.37)) == pytest.approx(0.37, abs=1e-4)
    assert steepest(law("two_jumps", share=0.3)) == pytest.approx(0.7, abs=1e-4)
    for name in ("linear", "two_jumps", "staircase", "plateau", "sine"):
        assert np.isnan(steepest(law(name)))


@pytest.mark.parametrize(("name", "names", "forward", "backward"), [
    ("sigmoid_jump", ["place"], [0.3], [0.7]),
    ("two_jumps", ["first", "second", "share"], [0.1, 0.6, 0.3], [0.4, 0.9, 0.7]),
    ("plateau", ["start", "stop"], [0.1, 0.6], [0.4, 0.9]),
    ("exponential", ["temperature"], [4], [-4]), ("sine", [], [], []),
])  # fmt: skip
def test_time_reversal(name, names, forward, backward):
    one, other = (law(name, **dict(zip(names, x, strict=True))) for x in (forward, backward))
    np.testing.assert_allclose(1.0 - other.g(1.0 - U), one.g(U), atol=1e-12)


def test_a_law_is_its_name_and_parameters():
    assert {pacing.name for pacing in VARIANTS} == set(LAWS)
    assert law("ease-in-out") == law("ease_in_out")
    one, two = (law("random_monotone", seed=seed).g(U) for seed in (1, 2))
    assert np.abs(one - two).max() > 0.01
    for impossible in ([0.5, 1.2], np.nan):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            law("linear").g(impossible)
