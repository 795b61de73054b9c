"""How generators differ from each other, what is significant, and the sentences about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from benchmarks.harness import statistics
from benchmarks.harness.statistics import ALPHA, MINIMAL_RANKED_PAIRS, TIE
from benchmarks.leaderboard.comparison import CLIP, Group, listed, losses


@dataclass(frozen=True, eq=False)
class Differences:
    """Every two generators, compared on all pairs that these two have.

    values : (pairs, comparisons) of `losses`, the generator's less the other's (the two levels of
    the columns); NaN where they do not share the pair. tests : by comparison, `pairs`, `mean`, `p`
    of the sign-flip test, and `p_holm`, corrected for the comparisons among all generators that are
    linked by shared pairs; p is NaN with fewer than 6 pairs. `level` is what the first of them must
    reach by Holm's method.
    """

    names: Sequence[str]
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
        return cls(generators, values, _tested(values, tests, metric))

    @cached_property
    def signs(self) -> pd.DataFrame:
        """Who differs significantly (k, k): 1 where the row is better than the column, -1 where it
        is worse, else 0."""
        worse = np.sign(self.tests["mean"]).where(self.tests["p_holm"] <= ALPHA, 0)
        wide = worse.unstack("against").reindex(index=self.names, columns=self.names).fillna(0)
        return wide.T - wide

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


def sentences(groups: Sequence[Group], differences: Differences) -> list[str]:
    """What a leaderboard says: who is best and worst in each group, and what differences the clips
    of a ranked one can show."""
    if not groups:
        return ["No two generators have clips of one pair that can be ranked, so none is placed."]
    orders = " ".join(_order(group, differences) for group in groups)
    return [orders, *(_power(x, differences) for x in groups if x.ranked and x.places.any())]


def _order(group: Group, differences: Differences) -> str:
    places, metric = group.places, group.metric
    means = group.values(metric).mean()
    kind = "ranked" if group.ranked else "in order, without rank"
    counts = f"{len(places)} generators, {len(group.pairs)} pairs"
    where = f"Group {group.number} ({counts}, {kind})"
    if not places.any():
        return f"{where}: all are equal ({metric} {means.iloc[0]:.4f})."
    best, worst = (
        f"{listed(end)} ({'equal, ' * (len(end) > 1)}{metric} {means[end[0]]:.4f})"
        for end in (places.index[places == 0], places.index[places == places.max()])
    )
    line = f"{where}: most even {best}, least even {worst}."
    if group.ranked:
        signs = differences.signs.loc[str(places.index[0])]
        tied = sum(signs[name] == 0 for name in places.index) - 1
        line += f" Not significantly different from the first: {tied} of {len(places) - 1}."
    return line


def _power(group: Group, differences: Differences) -> str:
    """What differences the comparisons can show."""
    tests = differences.among(group.generators)
    designs = list(zip(tests["pairs"], tests["level"], strict=True))
    known = {one: statistics.detectable(*one) for one in set(designs)}  # few, and slow
    smallest = np.array([known[one] for one in designs])
    able = np.isfinite(smallest)
    where = f"Group {group.number}: "
    if not able.any():
        needed = statistics.clips_needed(tests["level"].max())
        return (
            f"{where}{tests['pairs'].max()} pairs cannot show a significant difference among "
            f"{len(group.generators)} generators, not even if all pairs agree; that takes at least "
            f"{needed} pairs, so all are tied."
        )
    spreads = differences.values[tests.index].std().to_numpy()
    shown = float(np.median(smallest[able] * spreads[able]))
    return (
        f"{where}{able.sum()} of {len(tests)} comparison(s) show a difference in {group.metric} "
        f"of {shown:.4f} or more (median) with a probability of {statistics.POWER:.0%} after "
        "correction for all of them."
    )
