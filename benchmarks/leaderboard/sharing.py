"""Which sets of generators are compared, where not all of them have all clips."""

from itertools import combinations, islice

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.harness.statistics import MINIMAL_RANKED_PAIRS

MAXIMAL_SETS = 4096
"""Different sets of shared clips up to which all of them are searched."""

SEEDS = 64
"""Comparisons from which sets are grown where there are more."""


def shared_sets(there: pd.DataFrame) -> list[tuple[list[str], pd.Index]]:
    """Sets of generators to compare, each with the clips that all of it have.

    there : (clips, generators) bool, whether a clip is there and can be ranked; by pair and seed.

    A set of generators G has n(G) pairs, those of which all of G have a clip in common. It serves
    two of its generators X, Y that share n(X, Y) pairs if n(G) >= min(6, n(X, Y)), so that those
    who can be ranked are ranked. Sets are added until every two generators that share a pair are
    served. Each time the set is chosen that serves most of the comparisons not served yet; ties go
    to the set with most pairs, then to the first by its generators' names. So there is
    one set, all generators, wherever they share 6 pairs. Those with 6 pairs come first, then in
    descending order of comparisons times pairs, k (k - 1) / 2 n(G).

    Only clips that two generators share matter, and two that could be ranked by a part of the clips
    can be ranked by all of them.

    Each set is the exact optimum where the clips that sets of generators share are at most
    `MAXIMAL_SETS` different sets (always with 12 generators). Else it is the best of those grown
    from the first `SEEDS` unserved comparisons: by the generator that serves most more, and of
    equal ones costs fewest pairs, until none serves more. For k generators and S candidates a set
    takes O(S k^2), at most O(SEEDS k^3); there are at most k^2 / 2, and few where few clips lack.
    """
    sets = _Sets(there)
    unserved, chosen = sets.shared > 0, []
    candidates = sets.intersections()
    while unserved.any():
        grown = (sets.grown(unserved, *two) for two in islice(np.argwhere(unserved), SEEDS))
        found = [sets.served(unserved, clips) for clips in candidates or dict.fromkeys(grown)]
        _, size, members, clips = min(found, key=lambda one: (-one[0], -one[1], one[2]))
        inside = np.ix_(members, members)
        unserved[inside] &= sets.needed[inside] > size
        compared = len(members) * (len(members) - 1) * size
        chosen.append((size < MINIMAL_RANKED_PAIRS, -compared, members, clips))
    places = range(len(there))
    return [
        ([sets.names[k] for k in members], there.index[[clips >> k & 1 == 1 for k in places]])
        for *_, members, clips in sorted(chosen)
    ]


class _Sets:
    """Sets of clips as integers, a bit for each; generators and comparisons by number.

    held : the clips of each generator. shared : (k, k) pairs that two share. needed : (k, k) pairs
    that a set must have to serve them.
    """

    def __init__(self, there: pd.DataFrame) -> None:
        self.names = sorted(there.columns)
        self.held = [_bits(there[name].to_numpy()) for name in self.names]
        codes, pairs = pd.factorize(there.index.get_level_values("pair"))
        self._pairs = [_bits(codes == code) for code in range(len(pairs))]
        self._one_clip = len(pairs) == len(there)
        self.shared = np.zeros((len(self.held), len(self.held)), dtype=int)
        for one, other in combinations(range(len(self.held)), 2):
            size = self.size(self.held[one] & self.held[other])
            self.shared[one, other] = self.shared[other, one] = size
        self.needed = np.minimum(self.shared, MINIMAL_RANKED_PAIRS)

    def size(self, clips: int) -> int:
        """Number of pairs of a set of clips."""
        return (
            clips.bit_count() if self._one_clip else sum(pair & clips > 0 for pair in self._pairs)
        )

    def intersections(self) -> list[int]:
        """Everything that sets of generators share, each once; empty where that is too much."""
        found: set[int] = set()
        for own in sorted(set(self.held)):
            found |= {own, *(own & other for other in found)}
            if len(found) > MAXIMAL_SETS:
                return []
        return sorted(found - {0})

    def served(self, unserved: NDArray[np.bool_], clips: int) -> tuple[int, int, list[int], int]:
        """How many unserved comparisons a set of clips serves, its pairs, and who has all of it."""
        members = [number for number, own in enumerate(self.held) if clips & own == clips]
        size, inside = self.size(clips), np.ix_(members, members)
        return int((unserved[inside] & (self.needed[inside] <= size)).sum()), size, members, clips

    def grown(self, unserved: NDArray[np.bool_], one: int, other: int) -> int:
        """The clips of a set that is grown from a comparison (see `shared_sets`)."""
        members, clips = [one, other], self.held[one] & self.held[other]
        goal = self.needed[one, other]
        while True:
            more = unserved[members].sum(axis=0)
            more[members] = 0
            sizes = [self.size(clips & own) if more[k] else 0 for k, own in enumerate(self.held)]
            more[np.array(sizes) < goal] = 0
            if not more.any():
                return clips
            best = max(range(len(more)), key=lambda k: (more[k], sizes[k], -k))
            members.append(best)
            clips &= self.held[best]


def _bits(flags: np.ndarray) -> int:
    """A set as an integer: bit k is flag k."""
    return int.from_bytes(np.packbits(flags, bitorder="little").tobytes(), "little")
