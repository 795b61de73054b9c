"""Which generators may be compared: those that were measured on exactly the same clips."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.running.records import DONE, Record
from benchmarks.scoring.quality import QUALITY, SCORED_BY
from benchmarks.scoring.statistics import MINIMAL_RANKED_PAIRS
from spf.progress.metrics import MINIMAL_RANKED_FRAMES

ORDER_BY = "linearity_mae"
SHOWN = [
    "linearity_mae",
    "linearity_max",
    "peak_speed_64",
    "speed_cv_64",
    "pacing_entropy_64",
    "stall_fraction",
    "total_change",
]
"""Those that depend on the number of frames are compared on 64 equal steps of time."""

UNDIRECTED = "vbench_dynamic_degree"
"""Says whether a clip moves, which is neither good nor bad."""

Array = NDArray[np.float64]
Clip = tuple[str, int]
"""What generators share: a pair and a seed."""


@dataclass(frozen=True, eq=False)
class Group:
    """Generators that have exactly the same clips, and those that lack some of them.

    complete : generator -> its records by clip, where every clip of the group can be used.
    incomplete : the same for generators that lack a usable measurement of some clip.
    """

    number: int
    clips: tuple[Clip, ...]
    complete: Mapping[str, Mapping[Clip, Record]]
    incomplete: Mapping[str, Mapping[Clip, Record]]

    @cached_property
    def pairs(self) -> tuple[str, ...]:
        """Different pairs of the clips: what generators are compared over."""
        return tuple(dict.fromkeys(pair for pair, _ in self.clips))

    @property
    def ranked(self) -> bool:
        """Whether there are ranks and intervals: enough pairs, and someone to compare with."""
        return len(self.complete) > 1 and len(self.pairs) >= MINIMAL_RANKED_PAIRS

    def values(self, metric: str) -> Array:
        """Values (pairs, generators) of the complete generators: means over the pair's seeds.

        Seeds of one pair share its pictures, so that they are no samples of their own.
        """
        table = np.array(
            [[found[clip][metric] for found in self.complete.values()] for clip in self.clips],
            dtype=np.float64,
        )
        place = {pair: number for number, pair in enumerate(self.pairs)}
        index = np.array([place[pair] for pair, _ in self.clips])
        sums = np.zeros((len(self.pairs), len(self.complete)))
        np.add.at(sums, index, table)
        return sums / np.bincount(index)[:, None]

    def has(self, metric: str) -> bool:
        """Whether every complete generator has a value of the metric for every clip; of a quality
        dimension, by the same weights and versions."""
        records = [record for found in self.complete.values() for record in found.values()]
        scorers = {record.get(SCORED_BY) for record in records if metric.startswith(QUALITY)}
        return len(scorers) < 2 and all(finite(record.get(metric)) for record in records)


def groups_of(records: Iterable[Record]) -> list[Group]:
    """Generators grouped by equal clips, the largest group first.

    A generator that nobody equals, but whose clips are part of a group's, is shown there as
    incomplete: what it lacks is missing.
    """
    made: dict[str, dict[Clip, Record]] = defaultdict(dict)
    for record in sorted(records, key=lambda record: (record["clip"], record.get("seed", 0))):
        made[generator_of(record)][record["clip"], record.get("seed", 0)] = record
    members: dict[tuple[Clip, ...], list[str]] = defaultdict(list)
    for name in sorted(made):
        members[tuple(made[name])].append(name)
    shared = [(set(clips), clips) for clips, names in members.items() if len(names) > 1]
    shared.sort(key=lambda both: (-len(members[both[1]]), both[1]))
    for clips, names in list(members.items()):
        if len(names) == 1:
            home = next((other for found, other in shared if found.issuperset(clips)), None)
            if home is not None:
                members[home] += members.pop(clips)
    largest_first = sorted(members.items(), key=lambda group: (-len(group[1]), group[0]))
    groups = []
    for number, (clips, names) in enumerate(largest_first, start=1):
        complete: dict[str, Mapping[Clip, Record]] = {}
        incomplete: dict[str, Mapping[Clip, Record]] = {}
        for name in sorted(names):
            whole = len(made[name]) == len(clips) and all(map(usable, made[name].values()))
            (complete if whole else incomplete)[name] = made[name]
        groups.append(Group(number, clips, complete, incomplete))
    return groups


def generator_of(record: Record) -> str:
    """The generator of a record: its model, with the retiming where there is one."""
    if record.get("retime", "none") == "none":
        return record["model"]
    target = record.get("target", "linear")
    aim = "" if target == "linear" else f" to {target}"
    return f"{record['model']} + {record['retime']}{aim}"


def finite(value: Any) -> bool:
    """Whether a record's value is a number."""
    return isinstance(value, int | float) and bool(np.isfinite(value))


def usable(record: Record) -> bool:
    """Whether a clip may take part in a comparison."""
    return (
        record["status"] == DONE
        and finite(record[ORDER_BY])
        and record["frames"] >= MINIMAL_RANKED_FRAMES
    )
