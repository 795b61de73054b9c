"""Judge weights of the shipped generator: figures by the renderer's oracle, and a contact sheet.

`python scripts/evaluate_tiny_generator.py FOLDER --sheet sheet.png` generates the held-out pairs,
measures each clip's progress against true renders, generates again under warps of the clock, and
prints a table. In the sheet rows are clips and columns frames; of each pair it shows the true
morph, the plain generation, and what each schedule gives after its refinements.

Behind a schedule's name stands how many refinements it was allowed. They look up the old positions
at tau (composition); adding tau - t to them, as the paper does, overshoots where they are dense:
`--additive` shows it. All schedules act at every noise level.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.generated.baselines import misled  # noqa: E402
from benchmarks.generated.pairs import Pair, load_pairs  # noqa: E402
from benchmarks.generated.scores import judge, oracle_curve  # noqa: E402
from benchmarks.generated.strategies import WrongMap  # noqa: E402
from spf.generators.base import Request  # noqa: E402
from spf.generators.tiny.adapter import Tiny  # noqa: E402
from spf.measurement import DEFAULT_SETTINGS  # noqa: E402
from spf.pacing.generated import (  # noqa: E402
    Attempt,
    Measure,
    generate_baseline,
    measured,
    retime_generated,
)
from spf.pacing.strategies import Rope, RopeFlat  # noqa: E402
from spf.pacing.targets import EaseIn, Linear, Target  # noqa: E402

SCHEDULES = {
    "flat": RopeFlat(),
    "authors": Rope(gamma="none"),
    "strong": Rope(alpha_low=0.5, decay=6.0, gamma="none"),
}


def worst_end(found: Mapping[str, float]) -> float:
    """dB of the end frame that is further from the given one."""
    return min(found["first_psnr"], found["last_psnr"])


@dataclass
class Judged:
    """One held-out pair: how to generate it, and what was measured."""

    model: Tiny
    pair: Pair
    request: Request
    refinements: int
    correction: str
    figures: dict[str, float] = field(default_factory=dict)
    strips: list[NDArray[np.uint8]] = field(default_factory=list)

    @property
    def measure(self) -> Measure:
        return lambda clip: oracle_curve(self.pair, clip, DEFAULT_SETTINGS)

    def plain(self) -> None:
        """Judge the plain generation."""
        self.first = generate_baseline(self.model, self.request, self.measure)
        self.found = judge(self.pair, self.first.clip, Linear())
        self.figures = {
            "baseline": self.first.target_mae,
            "largest/mean step": self.found["true_peak_step"],
            "content residual": self.found["residual"],
            "end PSNR": worst_end(self.found),
        }
        assert self.pair.painter is not None
        even = np.linspace(0.0, 1.0, len(self.first.clip.frames))
        truth = np.stack([self.pair.painter(float(p)) for p in even])
        self.strips = [truth, self.first.clip.frames]

    def steer(self, name: str, target: Target) -> None:
        """Judge a schedule and its refinements, starting from the plain clip."""
        label = name if isinstance(target, Linear) else f"{name} to {target.name}"
        strategy = replace(
            SCHEDULES[name], iterations=self.refinements + 1, correction=self.correction
        )
        first = measured(self.first.clip, self.measure, target)
        done = retime_generated(self.model, self.request, self.measure, strategy, target, first)
        for turn in range(self.refinements + 1):
            tried = [attempt.target_mae for attempt in done.attempts[1 : turn + 2]]
            self.figures[f"{label} {turn}"] = min(tried, default=first.target_mae)
        found = judge(self.pair, done.best.clip, target)
        ratio = found["residual"] / max(self.found["residual"], 1e-9)
        self.figures[f"{label} residual ratio"] = ratio
        self.figures[f"{label} end PSNR"] = worst_end(found)
        self.strips.append(done.best.clip.frames)

    def mislead(self, lead: Attempt) -> None:
        """Judge the control: a flat warp by another pair's time map."""
        done = misled(
            self.model, self.request, self.measure, WrongMap(), Linear(), self.first, lead
        )
        self.figures["wrong pair's map"] = done.best.target_mae


def summary(rows: list[dict[str, float]]) -> str:
    """The table of all pairs: mean, least and largest of each figure."""
    lines = [f"{'figure':28s}{'mean':>10s}{'least':>10s}{'largest':>10s}  better than baseline"]
    for key in rows[0]:
        values = np.array([row[key] for row in rows])
        better = sum(row[key] < row["baseline"] for row in rows)
        lines.append(
            f"{key:28s}{values.mean():10.4f}{values.min():10.4f}{values.max():10.4f}"
            f"  {better}/{len(rows)}"
        )
    return "\n".join(lines)


def draw(path: Path, judged: list[Judged]) -> None:
    """The contact sheet, twice as large as the clips, with a gap under each pair."""
    strips = [
        cv2.copyMakeBorder(np.hstack(list(strip)), 0, 6 * (strip is one.strips[-1]), 0, 0, 0)
        for one in judged
        for strip in one.strips
    ]
    sheet = cv2.resize(np.vstack(strips), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(path), sheet[..., ::-1])


def main() -> None:
    """Read the command line, judge, print and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", help="of weights; else the shipped ones")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--refinements", type=int, default=2)
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--schedules", nargs="*", choices=SCHEDULES, default=["flat", "authors"])
    parser.add_argument("--additive", action="store_true")
    parser.add_argument("--controls", action="store_true", help="a wrong map, and another target")
    given = parser.parse_args()
    model = Tiny(given.folder)
    make = partial(
        Judged,
        model,
        refinements=given.refinements,
        correction="add" if given.additive else "compose",
    )
    judged = [
        make(pair, Request(pair.first, pair.last, seed=given.seed, num_frames=given.frames))
        for pair in load_pairs("procedural", model.size)[: given.pairs]
    ]
    for one in judged:
        one.plain()
    for index, one in enumerate(judged):
        for name in given.schedules:
            one.steer(name, Linear())
        if given.controls:
            one.mislead(judged[index - 1].first)
            one.steer("flat", EaseIn())
        text = "  ".join(f"{key} {value:.3g}" for key, value in one.figures.items())
        print(f"{one.pair.name}: {text}", flush=True)
    print(summary([one.figures for one in judged]))
    if given.sheet is not None:
        draw(given.sheet, judged)


if __name__ == "__main__":
    main()
