"""How the generators of a group stand to each other: their order and what is significant."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from benchmarks.harness import statistics
from benchmarks.harness.statistics import ALPHA, MINIMAL_RANKED_PAIRS, TIE, Array
from benchmarks.leaderboard.comparison import CLIP, Group, listed, runs
from spf.progress import METRICS


def losses(values: pd.DataFrame, metric: str) -> Array:
    """Values of a metric, negative where higher is better, so that lower is better."""
    sign = -1.0 if METRICS[metric].direction == "higher" else 1.0
    return sign * values.to_numpy(dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Differences:
    """Every two generators, compared on all pairs that these two have.

    values : (pairs, comparisons) of `losses`, the generator's less the other's (the two levels of
    the columns); NaN where they do not share the pair. tests : by comparison, `pairs`, `mean`, `p`
    of the sign-flip test, and `p_holm`, corrected for the comparisons among all generators that are
    linked by shared pairs; p is NaN with fewer than 6 pairs. `level` is what the first of them must
    reach by Holm's method.
    """

    values: pd.DataFrame
    tests: pd.DataFrame

    @classmethod
    def of(cls, clips: pd.DataFrame, generators: Sequence[str], metric: str) -> "Differences":
        """The differences of clips that can be ranked; each generator's from those before it."""
        table = clips.pivot(index=CLIP, columns="generator", values=metric)[list(generators)]
        lower = losses(table, metric)
        near = TIE * np.nanmax(np.abs(lower), initial=0.0)
        first, second = np.triu_indices(len(generators), 1)
        found = lower[:, second] - lower[:, first]
        found[np.abs(found) <= near] = 0.0
        two = [table.columns[second], table.columns[first]]
        columns = pd.MultiIndex.from_arrays(two, names=["generator", "against"])
        values = pd.DataFrame(found, table.index, columns).groupby("pair").mean()
        values = values.loc[values.notna().any(axis=1), values.notna().any()]
        tests = pd.DataFrame({"pairs": values.count(), "mean": values.mean()})
        tests["mean"] = tests["mean"].where(tests["mean"].abs() > near, 0.0)
        return cls(values, _tested(values, tests, metric))

    def signs(self, names: Sequence[str]) -> NDArray[np.int_]:
        """Who differs significantly (k, k): 1 where the row is better than the column, -1 where it
        is worse, else 0."""
        tests = self.among(names)
        signs = np.zeros((len(names), len(names)), dtype=int)
        found = np.sign(tests["mean"]).where(tests["p_holm"] <= ALPHA, 0).astype(int)
        one, other = (pd.Index(names).get_indexer(tests.index.get_level_values(n)) for n in (0, 1))
        signs[other, one], signs[one, other] = found, -found
        return signs

    def among(self, names: Sequence[str]) -> pd.DataFrame:
        """The tests of comparisons among these generators."""
        generator, against = (self.tests.index.get_level_values(level) for level in (0, 1))
        return self.tests[generator.isin(names) & against.isin(names)]


def _tested(values: pd.DataFrame, tests: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The tests with p, p_holm and level."""
    tests = tests.assign(p=np.nan, p_holm=np.nan, level=np.nan)
    enough = tests["pairs"] >= MINIMAL_RANKED_PAIRS
    both = np.concatenate([tests.index.get_level_values(side) for side in (0, 1)])
    names, codes = np.unique(both, return_inverse=True)
    one, other = codes.reshape(2, -1)
    links = csr_array((np.ones(len(one)), (one, other)), shape=(len(names), len(names)))
    count, family = connected_components(links, directed=False)
    for number in range(count):
        own = enough & (family[one] == number)
        if own.any():
            found = values.loc[values.loc[:, own].notna().any(axis=1), own].to_numpy()
            tests.loc[own, "p"] = statistics.sign_flip_test(found, f"leaderboard {metric}")
            tests.loc[own, "p_holm"] = statistics.holm(tests.loc[own, "p"].to_numpy())
            tests.loc[own, "level"] = ALPHA / own.sum()
    return tests


@dataclass(frozen=True, eq=False)
class Standing:
    """How the generators of a group stand to each other by a metric with a direction.

    names : in order, best first; equal means by name. values : `losses` (pairs, generators) in that
    order. places : how many generators have a better mean; equal means share a place. Means are
    equal where they differ by no more than rounding.
    """

    group: Group
    metric: str
    names: tuple[str, ...]
    values: Array
    places: tuple[int, ...]

    @classmethod
    def of(cls, group: Group, metric: str) -> "Standing":
        table = group.values(metric)
        values = losses(table, metric)
        means = values.mean(axis=0)
        order = np.argsort(means, kind="stable")
        apart = np.diff(means[order]) > TIE * np.abs(values).max()
        step = np.concatenate([[0], np.cumsum(apart)])  # equal means are one step
        steps = step[np.argsort(order, kind="stable")]
        order = np.lexsort([table.columns.to_numpy(dtype=str), steps])
        places = tuple(int((steps < steps[k]).sum()) for k in order)
        return cls(group, metric, tuple(table.columns[order]), values[:, order], places)

    def ranks(self, differences: Differences) -> list[int]:
        """1 + how many of the group are significantly better; ties share a rank."""
        return [1 + int(better) for better in (differences.signs(self.names) > 0).sum(axis=0)]

    def tied_with(self, differences: Differences) -> list[str]:
        """Rows in the order, such as "2 to 4, 7", of all that do not differ significantly."""
        tied = (differences.signs(self.names) == 0) & ~np.eye(len(self.names), dtype=bool)
        return [runs((np.flatnonzero(row) + 1).tolist()) for row in tied]

    def sentences(self, differences: Differences) -> list[str]:
        """Who is best and worst, and what differences the clips of a ranked group can show."""
        means = self.group.values(self.metric).mean()
        names, places, group = np.array(self.names), np.array(self.places), self.group
        kind = "ranked" if group.ranked else "in order, without rank"
        counts = f"{len(names)} generators, {len(group.pairs)} pairs"
        where = f"Group {group.number} ({counts}, {kind})"
        if not places.any():
            return [f"{where}: all are equal ({self.metric} {means.iloc[0]:.4f})."]
        ends = [names[places == places.min()], names[places == places.max()]]
        best, worst = (
            f"{listed(end)} ({'equal, ' * (len(end) > 1)}{self.metric} {means[end[0]]:.4f})"
            for end in ends
        )
        line = f"{where}: most even {best}, least even {worst}."
        if not group.ranked:
            return [line]
        tied = int((differences.signs(self.names)[0] == 0).sum()) - 1
        line += f" Not significantly different from the first: {tied} of {len(names) - 1}."
        return [line, self._power(differences)]

    def _power(self, differences: Differences) -> str:
        """What differences the comparisons can show."""
        tests = differences.among(self.names)
        designs = list(zip(tests["pairs"], tests["level"], strict=True))
        known = {one: statistics.detectable(*one) for one in set(designs)}  # few, and slow
        smallest = np.array([known[one] for one in designs])
        able = np.isfinite(smallest)
        where = f"Group {self.group.number}: "
        if not able.any():
            needed = statistics.clips_needed(tests["level"].max())
            return (
                f"{where}{tests['pairs'].max()} pairs cannot show a significant difference among "
                f"{len(self.names)} generators, not even if all pairs agree; that takes at least "
                f"{needed} pairs, so all are tied."
            )
        spreads = differences.values[tests.index].std().to_numpy()
        shown = float(np.median(smallest[able] * spreads[able]))
        return (
            f"{where}{able.sum()} of {len(tests)} comparison(s) show a difference in {self.metric} "
            f"of {shown:.4f} or more (median) with a probability of {statistics.POWER:.0%} after "
            "correction for all of them."
        )


def sentences(standings: Iterable[Standing], differences: Differences) -> list[str]:
    """What a leaderboard says, computed from it."""
    found = [standing.sentences(differences) for standing in standings]
    if not found:
        return ["No two generators have clips of one pair that can be ranked, so none is placed."]
    powers = [line for lines in found for line in lines[1:]]
    return [" ".join(lines[0] for lines in found), *powers]
