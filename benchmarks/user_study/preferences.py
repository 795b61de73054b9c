"""What choices between two show: preference rates, scores, agreement, and how many are needed.

Pure statistics. A choice is forced: one of the two is chosen, there are no ties.
docs/how-to/run-a-study.md says why, and what each number means. Random numbers are drawn from a
name.
"""

from collections.abc import Sequence
from math import ceil, nan
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse.csgraph import connected_components

from benchmarks.harness.statistics import ALPHA, POWER, RESAMPLES, generator

Array = NDArray[np.float64]

MINIMAL_RATERS = 6
"""Fewer raters than this cannot be resampled to an interval."""
HALF = 0.5
"""Choices that Bradley-Terry scores add to each side of two that were compared."""
BLOCK = 1 << 20
"""Numbers that are resampled at a time."""
PRECISION, MAXIMAL_STEPS = 1e-9, 10_000
"""Scores are found when a step moves none further than this."""


VOTES = ["rater", "item", "winner", "loser"]
"""Columns of votes: a rater chose `winner` before `loser` where `item` showed both."""


class Rate(NamedTuple):
    """A share of choices, its exact 95% interval (Clopper and Pearson 1934), and p of the exact
    two-sided binomial test against 1/2. NaN without choices."""

    rate: float = nan
    low_95: float = nan
    high_95: float = nan
    p: float = nan


def rate_of(chosen: int, choices: int) -> Rate:
    """The share chosen / choices, as if all choices were independent of each other."""
    if choices == 0:
        return Rate()
    test = stats.binomtest(chosen, choices, 0.5)
    interval = test.proportion_ci(1 - ALPHA, method="exact")
    return Rate(chosen / choices, float(interval.low), float(interval.high), float(test.pvalue))


def majorities(votes: pd.DataFrame, first: str) -> tuple[int, int, int]:
    """Raters who chose `first` more often than not, less often, and as often.

    One rater's choices depend on each other; raters do not.
    """
    share = (votes["winner"] == first).groupby(votes["rater"]).mean()
    return int((share > 0.5).sum()), int((share < 0.5).sum()), int((share == 0.5).sum())


def wins_of(votes: pd.DataFrame, strategies: Sequence[str]) -> Array:
    """(R, S, S): how often each rater, by name, chose strategy i before strategy j."""
    rows, raters = pd.factorize(votes["rater"], sort=True)
    column = pd.Index(strategies).get_indexer
    winner, loser = (column(pd.Index(votes[name])) for name in ("winner", "loser"))
    wins = np.zeros((len(raters), len(strategies), len(strategies)))
    np.add.at(wins, (rows, winner, loser), 1)
    return wins


def bradley_terry(wins: Array, half: float = HALF) -> Array:
    """Scores (S,), mean 0, of wins (S, S): i is chosen before j with the probability
    1 / (1 + exp(score_j - score_i)) (Bradley and Terry 1952). The most likely ones.

    half : choices that are added to both sides of each two that were compared, so that one who is
    always chosen has a finite score; of two strategies it is the log odds of Haldane and Anscombe.
    NaN where no chain of comparisons joins all.
    """
    compared = (wins + wins.T) > 0
    if connected_components(compared)[0] > 1:
        return np.full(len(wins), nan)
    return _scores(wins + half * compared)


def bradley_terry_intervals(wins: Array, name: str) -> Array:
    """95% percentile bootstrap intervals (S, 2) of the scores of wins (R, S, S) over `RESAMPLES`
    resamples of the raters. NaN for fewer than `MINIMAL_RATERS` or where there are no scores."""
    raters, size, _ = wins.shape
    compared = (wins + wins.swapaxes(1, 2)).sum(axis=0) > 0
    if raters < MINIMAL_RATERS or connected_components(compared)[0] > 1:
        return np.full((size, 2), nan)

    def statistic(drawn: NDArray[np.intp], axis: int) -> Array:
        resampled = wins[drawn].sum(axis=axis - 2)
        return np.moveaxis(_scores(resampled + HALF * compared), -1, 0)

    found = stats.bootstrap(
        (np.arange(raters),),
        statistic,
        vectorized=True,
        confidence_level=1 - ALPHA,
        method="percentile",
        n_resamples=RESAMPLES,
        batch=max(1, BLOCK // wins.size),
        rng=generator(name),
    ).confidence_interval
    return np.stack([found.low, found.high], axis=-1)


def _scores(wins: Array) -> Array:
    """Scores (..., S) of wins (..., S, S) by the minorise-maximise steps of Hunter (2004),
    p_i <- W_i / sum_j n_ij / (p_i + p_j), with p = exp(score)."""
    total = wins + wins.swapaxes(-1, -2)
    won = np.log(wins.sum(axis=-1))
    score = np.zeros_like(won)
    for _ in range(MAXIMAL_STEPS):
        power = np.exp(score)
        shares = total / (power[..., :, None] + power[..., None, :])
        following = won - np.log(shares.sum(axis=-1))
        following -= following.mean(axis=-1, keepdims=True)
        if np.abs(following - score).max() < PRECISION:
            break
        score = following
    return following


def ratings(votes: pd.DataFrame, first: str) -> NDArray[np.int8]:
    """(R, U): what each rater chose at each item, 0 or 1, and -1 where nothing.

    first : one of the two strategies that were voted on. It is 0 at every other item and 1 at the
    others: chance is a coin's, so that raters who all choose it everywhere agree, and are not taken
    for raters who chose nothing at all.
    """
    rows, raters = pd.factorize(votes["rater"], sort=True)
    columns, items = pd.factorize(votes["item"], sort=True)
    found = np.full((len(raters), len(items)), -1, np.int8)
    found[rows, columns] = ((votes["winner"] == first) + columns) % 2
    return found


def agreement(values: NDArray[np.int8]) -> float:
    """Share of the pairs of raters at an item who chose alike, of (R, U) with -1 for no choice.
    NaN where no item has two raters."""
    counts = _counts(values)
    pairs = (counts.sum(axis=1) * (counts.sum(axis=1) - 1)).sum()
    return float((counts * (counts - 1)).sum() / pairs) if pairs else nan


def krippendorff_alpha(values: NDArray[np.int8]) -> float:
    """Krippendorff's alpha for nominal values (R, U) >= 0, with -1 for no choice: 1 - D_o / D_e.

    1 is perfect agreement, 0 what chance gives, below it worse. D_o is the disagreement of pairs
    within an item, each weighted by 1 / (m_u - 1), and D_e that of all pairs of values
    (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"). Items with one rater are
    passed over. NaN where nothing is left or all values are equal.
    """
    counts = _counts(values)
    raters, totals = counts.sum(axis=1), counts.sum(axis=0)
    number = totals.sum()
    expected = (number**2 - (totals**2).sum()) / (number - 1) if number else 0.0
    if not expected:
        return nan
    observed = ((raters**2 - (counts**2).sum(axis=1)) / (raters - 1)).sum()
    return float(1 - observed / expected)


def _counts(values: NDArray[np.int8]) -> Array:
    """(U, V): how often each value was chosen at the items that have two raters or more."""
    known = range(max(2, int(values.max(initial=0)) + 1))
    counts = np.stack([(values == value).sum(axis=0) for value in known], axis=1).astype(float)
    return counts[counts.sum(axis=1) >= 2]


def choices_needed(rate: float, power: float = POWER, alpha: float = ALPHA) -> int:
    """Independent choices after which the exact two-sided binomial test against 1/2 shows a true
    preference of `rate` with a probability of `power`, and with every larger number of choices.

    The power of an exact test is a saw: it falls where another choice does not make the critical
    value more extreme, so the first number that reaches it is not the answer.
    Raises ValueError unless 0 < rate < 1 and rate is not 1/2.
    """
    if not 0 < rate < 1 or rate == 0.5:
        raise ValueError(f"rate={rate!r} must lie between 0 and 1, and not be 1/2")
    effect = abs(rate - 0.5)
    normal = ((stats.norm.isf(alpha / 2) + stats.norm.isf(1 - power)) / (2 * effect)) ** 2
    choices = np.arange(1, ceil(2 * normal) + 100)
    enough = binomial_power(choices, rate, alpha) >= power
    return int(choices[np.flatnonzero(~enough)[-1] + 1])


def binomial_power(choices: NDArray[np.int_], rate: float, alpha: float = ALPHA) -> Array:
    """Probability that so many choices, of which a share `rate` falls on one side, reject 1/2."""
    # The smallest k with P(X <= k) >= alpha / 2, and one less where that is too many.
    few = np.asarray(stats.binom.ppf(alpha / 2, choices, 0.5), np.float64)
    few = few - (stats.binom.cdf(few, choices, 0.5) > alpha / 2)
    found = stats.binom.cdf(few, choices, rate) + stats.binom.cdf(few, choices, 1 - rate)
    return np.asarray(found, np.float64)


def passes_by_chance(checks: int, allowed: int) -> float:
    """Probability that one who guesses misses no more than `allowed` of so many checks."""
    return float(stats.binom.cdf(allowed, checks, 0.5))
