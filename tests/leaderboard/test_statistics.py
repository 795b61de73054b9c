from math import inf, isinf, isnan, sqrt

import harness
import numpy as np
import pytest
from scipy import special, stats

from benchmarks.harness import statistics as ours

DOCUMENT = (harness.ROOT / "docs" / "how-to" / "compare-generators.md").read_text()


def skewed(count: int, columns: int) -> np.ndarray:
    return np.random.default_rng(count).gamma(2.0, 0.05, (count, columns))


def differences(values: np.ndarray) -> np.ndarray:
    first, second = np.triu_indices(values.shape[1], 1)
    return values[:, first] - values[:, second]


def test_interval_follows_shift_scale_and_sign_column_by_column():
    values = skewed(9, 450)  # more than are worked on at a time
    limits = ours.mean_interval(values, "x")
    np.testing.assert_allclose(ours.mean_interval(3 * values + 5, "x"), 3 * limits + 5, rtol=1e-9)
    np.testing.assert_allclose(ours.mean_interval(-values, "x"), -limits[:, ::-1], rtol=1e-3)
    for column in (0, 399, 400, 449):
        alone = ours.mean_interval(values[:, [column]], "x")[0]
        np.testing.assert_allclose(limits[column], alone, rtol=1e-12)
    assert (ours.mean_interval(values[:, :1], "another name") != limits[0]).any()


@pytest.mark.parametrize("count", [8, 25])
def test_interval_is_the_textbooks(count):
    """A studentised bootstrap, drawn here."""
    values = skewed(count, 1)[:, 0]
    samples = np.random.default_rng(99).choice(values, (20_000, count))
    pivots = (samples.mean(1) - values.mean()) / (samples.std(1, ddof=1) / sqrt(count))
    error = values.std(ddof=1) / sqrt(count)
    textbook = values.mean() - np.quantile(pivots, (0.975, 0.025)) * error
    found = ours.mean_interval(values[:, None], "x")[0]
    assert found == pytest.approx(textbook, abs=0.06 * np.ptp(textbook))


def test_intervals_of_equal_values_of_one_and_of_one_that_differs():
    assert ours.mean_interval(np.full((6, 1), 0.3), "x").tolist() == [[0.3, 0.3]]
    assert np.isnan(ours.mean_interval(np.array([[0.3]]), "x")).all()
    # One in six differs: a third of the resamples do not hold it and have no spread.
    low, high = ours.mean_interval(np.array([[0.0, 0, 0, 0, 0, 1]]).T, "x")[0]
    assert high == inf
    assert -1 < low < 1 / 6


DRAWN = {  # distributions of the document's table, and their means
    "normal": (lambda random, size: random.normal(0, 1, size), 0.0),
    "skewed (lognormal)": (lambda random, size: random.lognormal(0, 1, size), np.exp(0.5)),
    "bounded, half zeros": (lambda r, size: r.beta(1, 3, size) * (r.random(size) < 0.5), 0.125),
}


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("count", [6, 20])
def test_interval_covers_the_true_mean_as_documented(name, count):
    draw, truth = DRAWN[name]
    low, high = ours.mean_interval(draw(np.random.default_rng(count), (count, 400)), "coverage").T
    covered = float(((low <= truth) & (truth <= high)).mean())
    row = f"| {name} | {count} | "
    (line,) = [x for x in DOCUMENT.splitlines() if x.startswith(row)]
    documented = float(line.removeprefix(row).partition(" |")[0])
    assert covered == pytest.approx(documented, abs=4 * sqrt(documented * (1 - documented) / 400))


def test_median_interval_holds_the_median():
    values = skewed(40, 1)[:, 0]
    found = ours.median_interval([*values, float("nan")], "x")
    drawn = np.median(np.random.default_rng(0).choice(values, (5000, 40)), axis=1)
    assert found == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.004)
    assert ours.median_interval([1.0, 2.0, float("nan")], "x") is None


@pytest.mark.parametrize("count", [2, 5, 14])
def test_exact_p_is_scipys(count):
    values = skewed(count, 3)
    values[:, 2] += 0.05
    p = ours.sign_flip_test(differences(values), "x")
    options = {"permutation_type": "samples", "vectorized": True, "n_resamples": inf}
    for index, two in enumerate([(0, 1), (0, 2), (1, 2)]):
        mean = lambda x, y, axis: (x - y).mean(axis=axis)  # noqa: E731
        expected = stats.permutation_test(tuple(values[:, two].T), mean, **options)
        assert p[index] == pytest.approx(expected.pvalue, abs=1e-12)


def test_rows_that_a_column_lacks_change_no_p():
    values = differences(skewed(9, 3))
    holes = values.copy()
    holes[6:, 1] = np.nan
    found = ours.sign_flip_test(holes, "x")
    assert found[1] == ours.sign_flip_test(values[:6, [1]], "x")[0]
    assert (found[[0, 2]] == ours.sign_flip_test(values, "x")[[0, 2]]).all()


def test_drawn_p_is_near_the_exact_one():
    assert not ours.is_exact(16, 1)
    values = -differences(skewed(16, 2))
    (drawn,) = ours.sign_flip_test(values, "x")
    signs = 1 - 2 * (np.arange(2**16)[:, None] >> np.arange(16) & 1)
    exact = np.mean(np.abs(signs @ values) >= abs(values.sum()) - 1e-12)
    assert drawn == pytest.approx(exact, abs=4 * sqrt(exact / ours.flips(1)))


def test_p_of_ties_and_of_clips_that_all_agree():
    assert ours.sign_flip_test(np.zeros((3, 1)), "x").tolist() == [1]
    # 0.1 + 0.2 is not 0.3 in floating point, but these sums are equal: 6 of 8 reach the observed.
    assert ours.sign_flip_test(np.array([[0.1], [0.2], [-0.3]]), "x")[0] == 1
    for count, expected in ((6, 2.0**-5), (10, 2.0**-9), (40, 1 / (1 + ours.flips(1)))):
        p = ours.sign_flip_test(1 + skewed(count, 1), "x")[0]
        assert p == pytest.approx(expected)
    for generators in (2, 24, 60, 100):  # the smallest p survives Holm
        family = generators * (generators - 1) // 2
        assert family / (1 + ours.flips(family)) < ours.ALPHA
        assert family * ours.flips(family) <= ours.MAXIMAL_WORK


def test_holm_and_hedges_g_by_hand():
    for p, adjusted in (([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]), ([0.5, 0.9], [1, 1]), ([], [])):
        assert ours.holm(np.array(p)) == pytest.approx(adjusted)
    values = np.array([0.1, 0.4, 0.2, 0.5])
    exact = special.gamma(1.5) / (sqrt(1.5) * special.gamma(1.0))
    assert ours.hedges_g(-values) == pytest.approx(-exact * values.mean() / values.std(ddof=1))
    assert all(isnan(ours.hedges_g(np.full(count, 0.2))) for count in (1, 3))


def test_superiority_and_the_probability_of_being_the_best():
    assert ours.superiority(np.array([-1.0, -0.1, 0.0, 5.0])) == 0.625
    assert ours.superiority(np.zeros(3)) == 0.5
    values = skewed(20, 1) + np.array([0.0, 0.0, 10.0])
    assert ours.probability_of_best(values, "x").tolist() == [0.5, 0.5, 0]
    values = skewed(30, 2) * np.array([1.0, 1.1])
    difference = values[:, 1] - values[:, 0]
    near = stats.norm.cdf(difference.mean() / (difference.std() / sqrt(30)))
    assert ours.probability_of_best(values, "x") == pytest.approx([near, 1 - near], abs=0.03)


@pytest.mark.parametrize("count", [10, 20])
def test_the_test_has_the_power_that_is_stated(count):
    """A paired t-test needs 34 pairs for an effect of 0.5 (Cohen 1988; G*Power 33.4)."""
    assert ours.detectable(34) < 0.5 < ours.detectable(33)
    draws = np.random.default_rng(count).normal(ours.detectable(count), 1, (400, count, 1))
    p = np.array([ours.sign_flip_test(drawn, "x")[0] for drawn in draws])
    assert np.mean(p <= ours.ALPHA) == pytest.approx(ours.POWER, abs=0.06)


@pytest.mark.parametrize("comparisons", [1, 3, 15, 45])
def test_too_few_clips_show_nothing(comparisons):
    level = ours.ALPHA / comparisons
    needed = ours.clips_needed(level)
    assert 2.0 ** (1 - needed) <= level < 2.0 ** (2 - needed)
    assert isinf(ours.detectable(needed - 1, level))
    assert ours.detectable(needed + 5, level) < ours.detectable(needed, level) < inf
