"""How generators stand to each other: their order, what tells them apart, and what that says."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ranking.groups import ORDER_BY, Array, Group
from benchmarks.scoring import statistics
from benchmarks.scoring.statistics import ALPHA


@dataclass(frozen=True, eq=False)
class Standing:
    """How the complete generators of a group stand to each other by a metric that is best at 0.

    names : in order, best first. values : (pairs, generators) in that order.
    """

    group: Group
    names: tuple[str, ...]
    values: Array

    @classmethod
    def of(cls, group: Group) -> "Standing":
        """The standing by `ORDER_BY`; equal means are in the order of names."""
        names, values = list(group.complete), group.values(ORDER_BY)
        means = values.mean(axis=0)
        order = sorted(range(len(names)), key=lambda k: (means[k], names[k]))
        return cls(group, tuple(names[k] for k in order), values[:, order])

    @cached_property
    def means(self) -> Array:
        """Means (k,) over the pairs."""
        return self.values.mean(axis=0)

    @cached_property
    def p(self) -> Array:
        """p (k, k) of the paired sign-flip tests."""
        return statistics.sign_flip_test(self.values, f"leaderboard {ORDER_BY}")

    @cached_property
    def p_holm(self) -> Array:
        """The same, corrected for all comparisons of the group."""
        return statistics.pairwise_holm(self.p)

    @cached_property
    def told_apart(self) -> NDArray[np.bool_]:
        """Which generators (k, k) the clips tell apart."""
        return self.p_holm <= ALPHA

    @cached_property
    def ranks(self) -> list[int]:
        """1 + how many are told apart as better; ties share a rank."""
        return [1 + int(self.told_apart[: self.place(k), k].sum()) for k in range(len(self.names))]

    def place(self, index: int) -> int:
        """How many generators have a lower mean."""
        return int((self.means < self.means[index]).sum())

    def ties(self, index: int) -> str:
        """Places in the order of all that are not told apart from this one, such as "2 to 4, 7"."""
        tied = np.flatnonzero(~self.told_apart[index])
        return runs([int(k) + 1 for k in tied if k != index])

    @cached_property
    def best(self) -> Array:
        """Probability (k,) of being the best, over resampled pairs."""
        return statistics.probability_of_best(self.values, f"leaderboard {ORDER_BY}")

    @property
    def strictest(self) -> float:
        """The level that the first comparison must reach by Holm's method."""
        return ALPHA / statistics.comparisons(len(self.names))


def runs(numbers: list[int]) -> str:
    """Whole numbers in ascending order as text: [2, 3, 4, 7] is "2 to 4, 7"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    joined = [
        f"{part[0]} to {part[-1]}" if len(part) > 2 else ", ".join(map(str, part)) for part in parts
    ]
    return ", ".join(joined)


def sentence(rows: list[dict[str, Any]]) -> str:
    """What the leaderboard says, in one line computed from it."""
    ordered = [row for row in rows if row["order"] is not None]
    if not ordered:
        return "No two generators share complete pairs, so none is placed before another."
    parts = []
    for number in sorted({row["group"] for row in ordered}):
        members = [row for row in ordered if row["group"] == number]
        best, worst = members[0], members[-1]
        kind = "ranked" if best["rank"] is not None else "in order, without rank"
        tied = sum(row["rank"] == 1 for row in members) - 1
        ties = f" Not told apart from the most even: {tied} of {len(members) - 1}." * (tied >= 0)
        parts.append(
            f"Group {number} ({kind}): most even {best['generator']} "
            f"({ORDER_BY} {best[ORDER_BY]:.4f}), least even {worst['generator']} "
            f"({worst[ORDER_BY]:.4f}).{ties}"
        )
    return " ".join(parts)


def power_sentences(standings: Iterable[Standing]) -> list[str]:
    """What differences the clips of each ranked group can show."""
    said = []
    for standing in standings:
        if not standing.group.ranked:
            continue
        count, generators = standing.values.shape
        where = f"Group {standing.group.number}: {count} pairs"
        if statistics.smallest_p(count, generators) > standing.strictest:
            needed = statistics.clips_needed(standing.strictest)
            said.append(
                f"{where} cannot tell {generators} generators apart, not even if all of them "
                f"agreed; that takes at least {needed} pairs, so all are tied."
            )
            continue
        upper = np.triu_indices(generators, 1)
        spreads = (standing.values[:, upper[0]] - standing.values[:, upper[1]]).std(axis=0, ddof=1)
        smallest = statistics.detectable(count, standing.strictest) * np.median(spreads)
        said.append(
            f"{where} show a difference in {ORDER_BY} of {smallest:.4f} or more with a probability "
            f"of {statistics.POWER:.0%} (corrected for "
            f"{statistics.comparisons(generators)} comparison(s), at their median spread)."
        )
    return said
