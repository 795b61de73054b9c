"""Which generators are compared, on which clips, and how they stand to each other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from benchmarks.harness import statistics
from benchmarks.harness.quality import QUALITY, SCORED_BY
from benchmarks.harness.records import FAILED, NOT_RUN, Record
from benchmarks.harness.statistics import ALPHA, MINIMAL_RANKED_PAIRS, TIE, Array
from benchmarks.leaderboard.sharing import shared_sets
from spf.measurement import CORRECTED
from spf.names import normalized_name
from spf.progress import METRICS
from spf.progress.metrics import MINIMAL_RANKED_FRAMES, NO_CHANGE
from spf.quality.fidelity import FIDELITY

LINEARITY = "linearity_mae"
SHOWN = ["linearity_mae", "speed_cv_64", "peak_speed_64", "linearity_max", "pacing_entropy_64"]
SHOWN += ["stall_fraction", "total_change"]
"""Those that depend on the number of frames are compared on 64 equal steps of time."""

KNOWN = METRICS | FIDELITY
"""Numbers of a clip, with their directions and bounds."""

UNDIRECTED = "vbench_dynamic_degree"
"""Says whether a clip moves, which is neither good nor bad."""

NO_CLIP, TOO_SHORT, FLICKERS = "no clip", f"fewer than {MINIMAL_RANKED_FRAMES} frames", "flickers"
CLIP = ["pair", "seed"]


def is_quality(name: str) -> bool:
    """Whether a column is a dimension of quality, or says how close the end frames are."""
    return name.startswith(QUALITY) or name in FIDELITY


def generator_of(record: Record) -> str:
    """The generator of a record: its model, with the retiming where there is one."""
    if record.get("retime", "none") == "none":
        return record["model"]
    target = record.get("target", "linear")
    goal = "" if target == "linear" else f" to {target}"
    return f"{record['model']} + {record['retime']}{goal}"


def clips_of(records: Iterable[Record], order_by: str) -> pd.DataFrame:
    """A row for each record, sorted by generator, pair and seed.

    Beside the record's columns: `generator` and `pair` (NFC), and `exclusion`, why the clip takes
    part in no comparison by the metric `order_by`; "" where it does: measured, with a finite value,
    of 5 frames or more, and not flickering.
    """
    rows = list(records)
    table = pd.DataFrame(rows)
    known = [name for name in map(str, table) if is_quality(name) or name in CORRECTED]
    numbers = sorted({*METRICS, *known})
    columns = ["status", "reason", "model", "clip", "embedder", "seed", "frames", "flickers"]
    table = table.reindex(columns=list(dict.fromkeys([*columns, *table.columns, *numbers])))
    table[numbers] = table[numbers].astype(float)
    table["generator"] = [normalized_name(generator_of(row)) for row in rows]
    table["pair"] = [normalized_name(row["clip"]) for row in rows]
    absent = ~np.isfinite(table[order_by])
    reasons = {
        "not run": table["status"] == NOT_RUN,
        "failed": table["status"] == FAILED,
        TOO_SHORT: table["frames"].astype(float) < MINIMAL_RANKED_FRAMES,
        FLICKERS: table["flickers"].eq(True),
        NO_CHANGE: absent & (table["reason"] == NO_CHANGE),
        f"no {order_by}": absent,
    }
    table["exclusion"] = np.select(list(reasons.values()), list(reasons), "")
    return table.sort_values(["generator", *CLIP], kind="stable", ignore_index=True)


def pair_means(clips: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Values (pairs, generators), both sorted: means over a pair's seeds, which share its images
    and are no samples of their own. NaN where a generator lacks a pair or a value."""
    means = clips.groupby(["pair", "generator"])[metric].mean(skipna=False)
    return means.unstack("generator")


def losses(values: pd.DataFrame, metric: str) -> Array:
    """Values of a metric, negative where higher is better, so that lower is better."""
    sign = -1.0 if METRICS[metric].direction == "higher" else 1.0
    return sign * values.to_numpy(dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Group:
    """Generators that are compared by a metric with a direction, and the clips that can be ranked
    and all of them have."""

    number: int
    metric: str
    generators: list[str]
    clips: pd.DataFrame

    @cached_property
    def pairs(self) -> list[str]:
        """Different pairs of the clips: what generators are compared over."""
        return sorted(set(self.clips["pair"]))

    @property
    def ranked(self) -> bool:
        """Whether there are ranks and intervals: enough pairs."""
        return len(self.pairs) >= MINIMAL_RANKED_PAIRS

    def values(self, metric: str) -> pd.DataFrame:
        """Values (pairs, generators) as `pair_means`."""
        return pair_means(self.clips, metric)

    @cached_property
    def places(self) -> pd.Series:
        """How many generators have a better mean, best first; equal means, which differ by no more
        than rounding, share a place, and stand by name."""
        table = self.values(self.metric)
        values = losses(table, self.metric)
        means = values.mean(axis=0)
        order = np.argsort(means, kind="stable")
        apart = np.diff(means[order]) > TIE * np.abs(values).max()
        step = np.concatenate([[0], np.cumsum(apart)])  # equal means are one step
        steps = pd.Series(step, table.columns[order]).sort_index().sort_values(kind="stable")
        return steps.rank(method="min").astype(int) - 1

    def has(self, metric: str) -> bool:
        """Whether every clip has a value of the metric; of a quality dimension, by the same weights
        and versions."""
        mixed = metric.startswith(QUALITY) and self.clips[SCORED_BY].nunique(dropna=False) > 1
        return not mixed and bool(np.isfinite(self.clips[metric]).all())


def groups_of(clips: pd.DataFrame, metric: str) -> list[Group]:
    """The groups of `shared_sets` with their clips (see `clips_of`), numbered from 1."""
    used = clips[clips["exclusion"] == ""]
    there = used.pivot(index=CLIP, columns="generator", values="exclusion").notna()
    clip = pd.MultiIndex.from_frame(used[CLIP])
    return [
        Group(number, metric, names, used[used["generator"].isin(names) & clip.isin(shared)])
        for number, (names, shared) in enumerate(shared_sets(there), start=1)
    ]


def left_out(clips: pd.DataFrame, groups: Sequence[Group]) -> pd.DataFrame:
    """What the groups leave out: a row for the clips that can be ranked and not all of a
    group have, by the reason, and for each generator that is not in the first group.

    Columns: group; clips, how many; pairs, their names; generators, whose they are; reason.
    """
    rows: list[tuple[Any, ...]] = []
    for group in groups:
        own = clips[clips["generator"].isin(group.generators)]
        wide = own.pivot(index=CLIP, columns="generator", values="exclusion").fillna(NO_CLIP)
        used = wide.index.isin(pd.MultiIndex.from_frame(group.clips[CLIP]))
        for found, alike in wide[~used].groupby(list(wide.columns)):
            states = pd.Series(found, wide.columns).astype(str)
            who = {
                str(state): listed(names) for state, names in states.groupby(states).groups.items()
            }
            if whose := who.pop("", ""):
                count = len(alike) * int((states == "").sum())
                pairs = listed(dict.fromkeys(alike.index.get_level_values("pair")))
                reasons = "; ".join(f"{state}: {names}" for state, names in who.items())
                rows.append((group.number, count, pairs, whose, reasons))
    shown = set(groups[0].generators) if groups else set()
    for name, own in clips.groupby("generator"):
        if name not in shown:
            first = groups[0].number if groups else None
            rows.append((first, None, None, name, _why_apart(str(name), own, groups)))
    return pd.DataFrame(rows, columns=["group", "clips", "pairs", "generators", "reason"])


def _why_apart(name: str, clips: pd.DataFrame, groups: Sequence[Group]) -> str:
    """Why a generator is not in the first group, and where it is."""
    ranked = set(clips.loc[clips["exclusion"] == "", "pair"])
    if not ranked:
        return f"no clip that can be ranked ({listed(sorted(set(clips['exclusion'])))})"
    own = [group.number for group in groups if name in group.generators]
    if not own:
        return "no other generator has a clip of its pairs that can be ranked"
    pairs = groups[0].pairs
    has = f"has {len(ranked.intersection(pairs))} of the group's {len(pairs)} pairs"
    return f"{has}; compared in group {runs(own)}"


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names after each other, the first so many."""
    found = list(names)
    more = len(found) - most
    return ", ".join(found[:most]) + (f" and {more} more" if more > 0 else "")


def runs(numbers: Sequence[int]) -> str:
    """Whole numbers in ascending order as text: [2, 3, 4, 7] is "2 to 4, 7"."""
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(
        f"{part[0]} to {part[-1]}" if len(part) > 2 else ", ".join(map(str, part)) for part in parts
    )


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
        tests[["p", "p_holm", "level"]] = np.nan
        enough = tests["pairs"] >= MINIMAL_RANKED_PAIRS
        one, other = (
            pd.Index(generators).get_indexer(tests.index.get_level_values(side)) for side in (0, 1)
        )
        size = (len(generators), len(generators))
        links = csr_array((np.ones(len(one)), (one, other)), shape=size)
        family = connected_components(links, directed=False)[1][one]
        for number in np.unique(family):
            own = enough & (family == number)
            if own.any():
                found = values.loc[values.loc[:, own].notna().any(axis=1), own].to_numpy()
                tests.loc[own, "p"] = statistics.sign_flip_test(found, f"leaderboard {metric}")
                tests.loc[own, "p_holm"] = statistics.holm(tests.loc[own, "p"].to_numpy())
                tests.loc[own, "level"] = ALPHA / own.sum()
        return cls(generators, values, tests)

    @cached_property
    def signs(self) -> pd.DataFrame:
        """Who differs significantly (k, k): 1 where the row is better than the column, -1 where it
        is worse, else 0."""
        worse = np.sign(self.tests["mean"]).where(self.tests["p_holm"] <= ALPHA, 0)
        wide = worse.unstack("against").reindex(index=self.names, columns=self.names).fillna(0)
        return wide.T - wide


@dataclass(frozen=True, eq=False)
class Board:
    """Records as compared by a metric: their clips (see `clips_of`), groups and differences."""

    order_by: str
    clips: pd.DataFrame
    groups: Sequence[Group]
    differences: Differences

    @classmethod
    def of(cls, records: Iterable[Record], order_by: str = LINEARITY) -> "Board":
        clips = clips_of(records, order_by)
        groups = groups_of(clips, order_by)
        placed = list(dict.fromkeys(name for group in groups for name in group.places.index))
        used = clips[(clips["exclusion"] == "") & clips["generator"].isin(placed)]
        differences = Differences.of(used, placed, order_by)
        return cls(order_by, clips, groups, differences)

    @property
    def second(self) -> list[str]:
        """Columns of the curves without a nuisance, where one is named; none decides a rank."""
        return [name for name in CORRECTED if name in self.clips]

    @property
    def metrics(self) -> list[str]:
        """All columns that the leaderboard has means of."""
        return [*dict.fromkeys([self.order_by, *SHOWN, *self.second])]


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
    two = differences.tests.index.to_frame().isin(group.generators).all(axis=1)
    tests = differences.tests[two]
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
