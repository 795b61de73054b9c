"""What a number of clips can show: intervals, effects, ties, the best, the detectable difference.

Values are arrays (n, k): a row for each clip, a column for each generator (or strategy). Rows are
paired, so every resample and every sign flip is the same for all columns. What is random is drawn
from a name. docs/how-to/compare-generators.md has the measured coverage and error rates.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf, isnan, nan, sqrt
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special, stats

from benchmarks.harness.cells import Interval
from spf.identity import digest

MINIMAL_RANKED_PAIRS = 6
"""Common pairs below which there is an order, but neither intervals nor ranks."""

Array = NDArray[np.float64]

ALPHA = 0.05
POWER = 0.8
RESAMPLES = 9_999
MEDIAN_RESAMPLES = 2_000
MAXIMAL_WORK = 1_000_000_000
"""Sign flips x comparisons: enough for the ties of 100 generators in seconds."""

BLOCK = 1 << 17
"""Numbers that are worked on at a time: they fit the processor's cache."""

TIE = 1e-12
"""Sums that differ by less than this share of their terms differ by rounding alone."""


def generator(name: str) -> np.random.Generator:
    """Random numbers that depend on nothing but a name."""
    return np.random.default_rng(int(digest(name), 16))


def mean_interval(values: Array, name: str) -> Array:
    """95% studentised bootstrap intervals (k, 2) of the columns' means, from values (n, k).

    mean - t* s / sqrt(n) at the quantiles of t* = (mean* - mean) / (s* / sqrt(n)) over
    `RESAMPLES` resamples of the rows (Efron and Tibshirani 1993, section 12.5): of the intervals
    that were compared it is the one that keeps its coverage with few clips and skewed values.
    A limit is infinite where too many resamples have no spread: so many values are equal that the
    clips set no bound. Equal values give a point; a single row gives NaN.
    """
    count, columns = values.shape
    if count < 2:
        return np.full((columns, 2), nan)
    centre, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
    spread = np.where(spread > TIE * np.abs(values).max(axis=0), spread, 0.0)
    ranks = [round(ALPHA / 2 * (RESAMPLES + 1)) - 1, round((1 - ALPHA / 2) * (RESAMPLES + 1)) - 1]
    limits = np.empty((columns, 2))
    width = max(1, 4_000_000 // RESAMPLES)
    for start in range(0, columns, width):  # all at once would fill the memory
        part = slice(start, start + width)
        scale = np.where(spread[part] > 0, spread[part], 1.0)
        pivots = _pivots((values[:, part] - centre[part]) / scale, name)
        low, high = np.partition(pivots, ranks, axis=0)[ranks]
        with np.errstate(invalid="ignore"):  # 0 x inf, which the next line replaces
            found = centre[part] - spread[part] / sqrt(count) * np.array([high, low])
        limits[part] = np.where(spread[part] > 0, found, centre[part]).T
    return limits


def _pivots(standard: Array, name: str) -> Array:
    """Studentised means (RESAMPLES, k) of resampled rows of values (n, k) with mean 0."""
    count = len(standard)
    made = []
    for counts in _resamples(count, name):
        mean = counts @ standard / count
        variance = (counts @ standard**2 / count - mean**2) * count / (count - 1)
        flat = (variance < TIE) & (np.abs(mean) > TIE)
        error = np.sqrt(np.maximum(variance, TIE) / count)
        made.append(np.where(flat, np.copysign(inf, mean), mean / error))
    return np.concatenate(made)


def _resamples(count: int, name: str) -> Iterator[Array]:
    """How often each of `count` rows is drawn, (B, count) at a time, `RESAMPLES` in all."""
    random = generator(f"{name} resamples")
    size = max(1, BLOCK // count)
    for start in range(0, RESAMPLES, size):
        block = min(size, RESAMPLES - start)
        drawn = random.integers(0, count, (block, count)) + count * np.arange(block)[:, None]
        yield (
            np.bincount(drawn.ravel(), minlength=block * count).reshape(block, count).astype(float)
        )


def probability_of_best(values: Array, name: str) -> Array:
    """Share (k,) of resampled rows by which a column has the lowest mean; equal ones share it."""
    total = np.zeros(values.shape[1])
    near = TIE * np.abs(values).max()
    for counts in _resamples(len(values), name):
        means = counts @ values / len(values)
        best = means <= means.min(axis=1, keepdims=True) + near
        total += (best / best.sum(axis=1, keepdims=True)).sum(axis=0)
    return total / RESAMPLES


def sign_flip_test(differences: Array, name: str) -> Array:
    """Two-sided p (m,) of columns of paired differences (n, m), by sign-flip permutation tests.

    The null hypothesis is that a column's differences are symmetric about 0; the statistic is the
    absolute value of their mean (Fisher 1935; Good 2005). All 2^n flips where they are no more than
    would be drawn; else (1 + b) / (1 + B) with B of `flips` drawn from the name (Phipson and Smyth
    2010), enough for the smallest p to survive Holm's correction for m. NaN is a row that a column
    lacks; it counts as no difference, which changes no p. O(B n m).
    """
    count, columns = differences.shape
    filled = np.nan_to_num(differences, nan=0.0)
    wanted = np.abs(filled.sum(axis=0)) - TIE * np.abs(filled).sum(axis=0)
    beyond = np.zeros(columns)
    total = 0
    for signs in _signs(count, columns, name):
        total += len(signs)
        beyond += np.count_nonzero(np.abs(signs @ filled) >= wanted, axis=0)
    return beyond / total if is_exact(count, columns) else (1 + beyond) / (1 + total)


def flips(family: int) -> int:
    """Sign flips to draw where they are not enumerated: as many as let the smallest p survive
    Holm's correction for so many comparisons, within `MAXIMAL_WORK`."""
    family = max(1, family)
    return min(max(RESAMPLES, int(2 * family / ALPHA)), MAXIMAL_WORK // family)


def is_exact(count: int, family: int) -> bool:
    """Whether all sign flips are enumerated; the first sign can stay, as p is two-sided."""
    return 2 ** (count - 1) <= flips(family) + 1


def _signs(count: int, family: int, name: str) -> Iterator[Array]:
    """Rows of signs (B, count)."""
    total = 2 ** (count - 1) if is_exact(count, family) else flips(family)
    random = generator(f"{name} flips")
    size = max(1, BLOCK // max(count, family))
    for start in range(0, total, size):
        block = min(size, total - start)
        if is_exact(count, family):
            minus = np.arange(start, start + block)[:, None] >> np.arange(count) & 1
        else:
            minus = random.integers(0, 2, (block, count), dtype=np.int8)
        yield 1.0 - 2.0 * minus.astype(np.float64)


def holm(p: Array) -> Array:
    """p-values (m,) corrected for m comparisons by Holm's step-down method (1979)."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def hedges_g(differences: Array) -> float:
    """Paired effect size: mean over standard deviation of the differences (Cohen's d_z) with
    Hedges' exact correction for few clips (Hedges 1981; Lakens 2013). NaN where all are equal.
    """
    df = len(differences) - 1
    if df < 1 or np.ptp(differences) <= TIE * np.abs(differences).max():
        return nan
    correction = 1.0
    if df > 1:
        log = special.gammaln(df / 2) - special.gammaln((df - 1) / 2)
        correction = float(np.exp(log)) / sqrt(df / 2)
    return correction * float(differences.mean() / differences.std(ddof=1))


def superiority(differences: Array) -> float:
    """Share of the differences (of any shape) below 0; those that are 0 count half."""
    return float((np.sign(-differences) + 1).mean() / 2)


def detectable(count: int, alpha: float = ALPHA) -> float:
    """Smallest true difference, in standard deviations of the paired differences, that `count`
    clips show with a probability of 80%: a two-sided paired t-test's, to which the sign-flip test's
    power is close. Infinite where not even clips that all agree reach `alpha`.
    """
    if count < 2 or 2.0 ** (1 - count) > alpha:
        return inf
    df, critical = count - 1, stats.t.isf(alpha / 2, count - 1)

    def surplus(effect: float) -> float:
        # The other tail, in which a test would show the wrong sign, adds less than 1e-5.
        return float(stats.nct.sf(critical, df, effect * sqrt(count))) - POWER

    high = 1.0
    while surplus(high) < 0:
        high *= 2
    return float(optimize.brentq(surplus, 0.0, high, xtol=1e-10))


def clips_needed(alpha: float) -> int:
    """Fewest clips with which a sign-flip test can reach `alpha`."""
    return int(np.ceil(1 - np.log2(alpha)))


def medians(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dict[str, Any]:
    """Median of what is there and finite in each column; None where nothing is."""
    table = pd.DataFrame(list(records), columns=list(columns)).astype(float)
    found = table.replace([inf, -inf], nan).median()
    return {str(name): None if isnan(x) else float(x) for name, x in found.items()}


def median_interval(values: Iterable[float], name: str) -> Interval | None:
    """95% percentile bootstrap interval of the median; None for fewer than 3 values."""
    finite = np.array([value for value in values if np.isfinite(value)])
    if len(finite) < 3:
        return None
    drawn = generator(name).choice(finite, (MEDIAN_RESAMPLES, len(finite)))
    low, high = np.quantile(np.median(drawn, axis=1), (ALPHA / 2, 1 - ALPHA / 2))
    return Interval(float(low), float(high))
