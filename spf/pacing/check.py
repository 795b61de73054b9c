"""What a second embedder sees in a retimed clip, and where the two disagree.

A time map evens out what its own embedder sees. A stretch that only looks like change to that one,
by contrast alone for example, comes out slow or still to anybody else.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spf.embedders import Embedder, label, shown_name
from spf.measurement import Measurement
from spf.pacing.plan import OnProgress, RetimePlan, measured_clip, scores
from spf.pacing.shots import paced
from spf.progress.agreement import Disagreement, disagreements
from spf.progress.metrics import NO_CHANGE, no_change_reason

CHECKING = "checking the clip", "checking the result"


@dataclass(frozen=True, eq=False)
class Check:
    """A clip and its result by another embedder than the one that made the time map.

    embedder : the second one; steering : the first one. before, after : `spf.score` and target_mae
    by the second one. disagreements : stretches of the result, its kept cuts apart, that pass at
    different speeds by the two. changes : whether the second one sees any semantic change in it.
    """

    embedder: Embedder
    steering: Embedder
    before: dict[str, float]
    after: dict[str, float]
    disagreements: list[Disagreement]
    changes: bool

    def lines(self) -> Iterator[str]:
        """Where the two disagree, for people."""
        if not self.changes:
            yield f"the result shows {NO_CHANGE} by {shown_name(self.embedder)}"
        for one in self.disagreements:
            yield (
                f"{one.start_time:.2f} to {one.stop_time:.2f} s pass at {one.speeds[0]:.2g} times "
                f"the mean speed by {shown_name(self.steering)}, {one.speeds[1]:.2g} times "
                f"by {shown_name(self.embedder)}"
            )

    def plain(self) -> dict[str, Any]:
        """Who checked, and the disagreements, as plain values."""
        return {
            "embedder": label(self.embedder),
            "identity": self.embedder.identity(),
            "changes": self.changes,
            "disagreements": [asdict(one) for one in self.disagreements],
        }


def checked(
    plan: RetimePlan,
    out: Path,
    result: Measurement,
    steering: Embedder,
    embedder: Embedder,
    cache: bool = True,
    on_progress: OnProgress | None = None,
) -> Check:
    """Measure a clip and its result by a second embedder; result : by the first one."""
    before, after = (
        measured_clip(path, embedder, cache, on_progress, stage).curve
        for path, stage in zip((plan.source, out), CHECKING, strict=True)
    )
    cuts = plan.cuts_shown
    return Check(
        embedder,
        steering,
        scores(before, plan.target, plan.cuts),
        scores(after, plan.target, cuts),
        disagreements(paced(result.curve, cuts), paced(after, cuts)),
        no_change_reason(after) is None,
    )
