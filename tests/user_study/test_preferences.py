from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from benchmarks.user_study import preferences
from benchmarks.user_study.preferences import VOTES, rate_of, wins_of


def simulated(scores, raters, items, seed, spread=0.0):
    random = np.random.default_rng(seed)
    found = []
    for rater in range(raters):
        own = {name: score + random.normal(0, spread) for name, score in scores.items()}
        for item in range(items):
            for two in combinations(scores, 2):
                chance = 1 / (1 + np.exp(own[two[1]] - own[two[0]]))
                order = two if random.random() < chance else two[::-1]
                found.append((f"r{rater:03}", f"{item}-{'-'.join(two)}", *order))
    return pd.DataFrame(found, columns=VOTES)


SCORES = {"a": 0.9, "b": 0.1, "c": -1.0}


def pmf(n: int, p: float) -> list[float]:
    return [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


def unlike(values: list[int]) -> int:
    return sum(a != b for a, b in combinations(values, 2))


def test_the_interval_is_where_both_tails_hold_a_fortieth():
    for k, n in ((1, 7), (13, 20), (19, 20)):
        rate = rate_of(k, n)
        assert sum(pmf(n, rate.low_95)[k:]) == pytest.approx(0.025, rel=1e-6)
        assert sum(pmf(n, rate.high_95)[: k + 1]) == pytest.approx(0.025, rel=1e-6)
        assert rate.rate == k / n
    assert rate_of(8, 11).p == pytest.approx(2 * sum(pmf(11, 0.5)[:4]))
    assert np.isnan([rate_of(0, 0).rate, rate_of(0, 0).low_95, rate_of(0, 0).p]).all()
    assert (rate_of(0, 5).low_95, rate_of(5, 5).high_95) == (0.0, 1.0)


def test_majorities_count_people():
    choices = [("x", "ab"), ("x", "ab"), ("x", "ba"), ("y", "ba"), ("z", "ab"), ("z", "ba")]
    rows = [(rater, str(item), *two) for item, (rater, two) in enumerate(choices)]
    votes = pd.DataFrame(rows, columns=VOTES)
    assert preferences.majorities(votes, "a") == (1, 1, 1)


@pytest.mark.parametrize("half", [0.0, 0.5])
def test_scores_have_the_largest_likelihood(half):
    """Against a general optimiser, with different numbers of choices, one comparison missing."""
    wins = np.random.default_rng(3).integers(1, 12, (4, 4)) * (1.0 - np.eye(4))
    wins[0, 3] = wins[3, 0] = 0
    added = wins + half * (wins + wins.T > 0)

    def surprise(free: np.ndarray) -> float:
        scores = np.append(free, -free.sum())
        return float((added * np.log1p(np.exp(-np.subtract.outer(scores, scores)))).sum())

    free = optimize.minimize(surprise, np.zeros(3), tol=1e-12).x
    found = np.append(free, -free.sum())
    assert preferences.bradley_terry(wins, half) == pytest.approx(found, abs=1e-5)
    always = preferences.bradley_terry(np.array([[0.0, 9, 9], [0, 0, 5], [0, 4, 0]]))
    assert np.inf > always[0] > always[1] > always[2]
    apart = np.kron(np.eye(2), [[0, 5], [5, 0]])  # nothing joins the first two and the last two
    assert np.isnan(preferences.bradley_terry(apart)).all()
    assert np.isnan(preferences.bradley_terry_intervals(np.stack([apart] * 8), "x")).all()


@pytest.mark.parametrize("spread", [0.0, 0.8])
def test_intervals_cover_the_true_scores(spread, monkeypatch):
    """Raters who are alike, and raters who differ, whose choices are not independent. Averaging
    over raters flattens scores, so the truth is what very many raters give."""
    monkeypatch.setattr(preferences, "RESAMPLES", 299)
    names = list(SCORES)
    many = wins_of(simulated(SCORES, 4000, 4, seed=99, spread=spread), names)
    truth = preferences.bradley_terry(many.sum(axis=0))
    covered = []
    for seed in range(30):
        wins = wins_of(simulated(SCORES, 24, 4, seed, spread), names)
        low, high = preferences.bradley_terry_intervals(wins, f"{seed}").T
        covered.append((low <= truth) & (truth <= high))
    assert 0.84 <= np.mean(covered) <= 0.99
    few = wins[: preferences.MINIMAL_RATERS - 1]
    assert np.isnan(preferences.bradley_terry_intervals(few, "n")).all()


def parsed(*rows: str) -> np.ndarray:
    return np.array([[-1 if x == "." else int(x) for x in row] for row in rows], np.int8)


def test_published_alphas():
    """Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability": examples A (binary, two
    observers) and C (nominal, four observers, missing values)."""
    two = parsed("0100000000", "1110010100")
    assert preferences.krippendorff_alpha(two) == pytest.approx(0.095, abs=5e-4)
    four = parsed("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
    assert preferences.krippendorff_alpha(four) == pytest.approx(0.743, abs=5e-4)


@pytest.mark.parametrize("seed", range(3))
def test_agreement_pair_by_pair(seed):
    values = np.random.default_rng(seed).integers(-1, 3, (5, 9)).astype(np.int8)
    units = [[x for x in column if x >= 0] for column in values.T]
    alike = [a == b for unit in units for a, b in combinations(unit, 2)]
    assert preferences.agreement(values) == pytest.approx(np.mean(alike))
    units = [unit for unit in units if len(unit) > 1]
    pooled = [x for unit in units for x in unit]
    observed = sum(2 * unlike(unit) / (len(unit) - 1) for unit in units) / len(pooled)
    expected = unlike(pooled) / comb(len(pooled), 2)
    assert preferences.krippendorff_alpha(values) == pytest.approx(1 - observed / expected)


def test_agreement_of_raters_who_choose_alike_and_of_one():
    rows = [(f"r{k}", f"i{item}", *"ab") for k in range(5) for item in range(6)]
    votes = pd.DataFrame(rows, columns=VOTES)
    assert preferences.krippendorff_alpha(preferences.ratings(votes, "a")) == 1.0
    alone = preferences.ratings(votes[:6], "a")
    assert np.isnan([preferences.krippendorff_alpha(alone), preferences.agreement(alone)]).all()


def literal_power(n: int, p: float) -> float:
    """Probability of the numbers of choices that the exact test rejects 1/2 for."""
    tail = np.cumsum(pmf(n, 0.5))
    return sum(x for k, x in enumerate(pmf(n, p)) if 2 * tail[min(k, n - k)] <= 0.05)


@pytest.mark.parametrize("p", [0.65, 0.2, 0.95])
def test_power_is_that_of_the_test(p):
    numbers = np.arange(1, 60)
    expected = [literal_power(int(n), p) for n in numbers]
    assert preferences.binomial_power(numbers, p) == pytest.approx(expected, abs=1e-12)
    rejected = [rate_of(k, 17).p <= 0.05 for k in range(18)]  # the test that tables print
    assert np.dot(pmf(17, p), rejected) == pytest.approx(expected[16])


def test_needed_choices_are_enough_and_one_less_is_not():
    for p in (0.7, 0.8, 0.25, 0.97):
        needed = preferences.choices_needed(p)
        assert literal_power(needed - 1, p) < 0.8
        assert all(literal_power(n, p) >= 0.8 for n in range(needed, needed + 60))
    for rate in (0.5, 0.0, 1.5):
        with pytest.raises(ValueError, match="between 0 and 1"):
            preferences.choices_needed(rate)
