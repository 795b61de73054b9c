"""Measure the tables of docs/how-to/compare-generators.md: what the statistics promise.

    python scripts/measure_coverage.py [REPETITIONS]

How often 95% intervals hold the true mean, by kind of interval, and how often at least two of
several equal generators differ significantly, which should be in 5% of leaderboards or fewer.
"""

import sys
from collections.abc import Callable, Iterator
from math import sqrt
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness.statistics import (
    ALPHA,
    Array,
    generator,
    holm,
    mean_interval,
    paired_differences,
    sign_flip_test,
)

REPETITIONS = 4000
COUNTS = (6, 10, 20, 50)
Draw = Callable[[np.random.Generator, tuple[int, int]], Array]

DRAWN: dict[str, tuple[Draw, float]] = {
    "normal": (lambda random, size: random.normal(0, 1, size), 0.0),
    "skewed (exponential)": (lambda random, size: random.exponential(1, size), 1.0),
    "skewed (lognormal)": (lambda random, size: random.lognormal(0, 1, size), float(np.exp(0.5))),
    "bounded (beta 0.5, 2)": (lambda random, size: random.beta(0.5, 2, size), 0.2),
    "bounded, half zeros": (
        lambda random, size: random.beta(1, 3, size) * (random.random(size) < 0.5),
        0.125,
    ),
}
"""Distributions and their means."""


def scipys(values: Array, method: str) -> Array:
    """Limits (2, k) by scipy's bootstrap."""
    with np.errstate(all="ignore"):
        found = stats.bootstrap(
            (values,), np.mean, axis=0, method=method, n_resamples=1999, batch=50, rng=1
        ).confidence_interval
    return np.array([found.low, found.high])


def student(values: Array) -> Array:
    """Limits (2, k) of Student's t interval."""
    half = stats.t.isf(ALPHA / 2, len(values) - 1) * values.std(axis=0, ddof=1) / sqrt(len(values))
    return values.mean(axis=0) + np.array([[-1], [1]]) * half


INTERVALS: dict[str, Callable[[Array], Array]] = {
    "studentised (used)": lambda values: mean_interval(values, "coverage").T,
    "BCa": lambda values: scipys(values, "BCa"),
    "percentile": lambda values: scipys(values, "percentile"),
    "Student's t": student,
}


def coverage(repetitions: int) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Share of intervals that hold the true mean, for each distribution and number of clips."""
    for name, (draw, truth) in DRAWN.items():
        for count in COUNTS:
            values = draw(generator(f"coverage {name} {count}"), (count, repetitions))
            found = {}
            for kind, interval in INTERVALS.items():
                low, high = interval(values)
                found[kind] = float(((low <= truth) & (truth <= high)).mean())
            yield name, count, found


def false_findings(repetitions: int) -> Iterator[tuple[int, int, float]]:
    """Share of leaderboards of equal generators in which any two differ significantly."""
    for generators in (2, 6, 12):
        for count in (10, 20, 50):
            random = generator(f"equal {generators} {count}")
            wrong = 0
            for repetition in range(repetitions):
                clips = random.gamma(2.0, 0.05, (count, 1))  # some clips are hard for everyone
                values = clips * random.lognormal(0, 0.5, (count, generators))
                p = sign_flip_test(paired_differences(values), f"{repetition}")
                wrong += bool((holm(p) <= ALPHA).any())
            yield generators, count, wrong / repetitions


def tables(repetitions: int = REPETITIONS) -> str:
    """Both tables as Markdown."""
    lines = ["| values | clips | " + " | ".join(INTERVALS) + " |"]
    lines.append("| --- " * (2 + len(INTERVALS)) + "|")
    for name, count, found in coverage(repetitions):
        numbers = " | ".join(f"{value:.3f}" for value in found.values())
        lines.append(f"| {name} | {count} | {numbers} |")
    lines += ["", "| equal generators | clips | significantly different |", "| --- | --- | --- |"]
    for generators, count, share in false_findings(repetitions // 4):
        lines.append(f"| {generators} | {count} | {share:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(tables(*map(int, sys.argv[1:])))
