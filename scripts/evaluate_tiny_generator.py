"""Judge weights of the shipped generator: figures by the renderer's oracle, and a contact sheet.

`python scripts/evaluate_tiny_generator.py FOLDER --sheet sheet.png` generates the held-out pairs,
measures each clip's progress against true renders, generates again with warped temporal positions,
and prints a table. In the sheet rows are clips and columns frames; of each pair it shows the true
morph, the plain generation, and what the flat and the frequency-aware warp give after refinement.

A refinement looks up the old positions at tau (composition). Adding tau - t to them, as the paper
does, overshoots where they are dense; `--additive` shows it.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import WanTransformer3DModel
from numpy.typing import NDArray
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from spf.generators.tiny.sampling import TinySampler  # noqa: E402
from synthetic.drawing import Painter  # noqa: E402
from synthetic.morph_pairs import HELD_OUT_PAIRS  # noqa: E402
from synthetic.oracle import RenderOracle  # noqa: E402

FloatArray = NDArray[np.float64]
Clip = NDArray[np.uint8]
Target = Callable[[FloatArray], FloatArray]

SCHEDULES = {"flat": (1.0, 1.0, 0.0), "authors": (0.2, 1.0, 3.0), "strong": (0.5, 1.0, 6.0)}
"""alpha of the highest band, alpha of the lowest, decay by the bands' rank."""


@contextmanager
def warped(model: WanTransformer3DModel, shift: FloatArray) -> Iterator[None]:
    """Move temporal positions by `shift` (T, bands) frames; highest band first."""
    bands = shift.shape[1]
    omega = 10000.0 ** (-np.arange(bands) / bands)
    angle = torch.tensor(np.repeat(shift * omega, 2, axis=1), dtype=torch.float32)

    def turn(
        rope: nn.Module, inputs: tuple[Tensor], tables: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        cos, sin = tables
        delta = torch.zeros(cos.shape[1], cos.shape[3])
        delta[:, : 2 * bands] = angle.repeat_interleave(cos.shape[1] // len(angle), dim=0)
        c, s = delta.cos()[None, :, None], delta.sin()[None, :, None]
        return cos * c - sin * s, sin * c + cos * s

    handle = model.rope.register_forward_hook(turn)
    try:
        yield
    finally:
        handle.remove()


def strengths(bands: int, high: float, low: float, decay: float) -> FloatArray:
    """alpha (bands,), highest band first: low + (high - low) exp(-decay b / (B - 1))."""
    return low + (high - low) * np.exp(-decay * np.arange(bands) / (bands - 1))


def progress(p: FloatArray) -> FloatArray:
    """Progress (T,), non-decreasing from 0 to 1, of a measured parameter (T,)."""
    steps = np.clip(np.diff(p), 0.0, None)
    return np.concatenate([[0.0], np.cumsum(steps)]) / max(steps.sum(), 1e-9)


def pacing_error(p: FloatArray, target: Target = np.asarray) -> float:
    """linearity_mae of a measured parameter (T,), or target_mae."""
    return float(np.abs(progress(p) - target(np.linspace(0.0, 1.0, len(p)))).mean())


def time_map(p: FloatArray, target: Target = np.asarray) -> FloatArray:
    """tau (T,) in frames: where the measured clip shows what frame t should."""
    even = np.linspace(0.0, 1.0, len(p))
    # Equal values have no inverse; a hair's slope chooses the middle between a plateau's ends.
    slanted = (1 - 1e-4) * progress(p) + 1e-4 * even
    return np.interp(target(even), slanted, np.arange(len(p), dtype=float))


def refined(
    positions: FloatArray, tau: FloatArray, alpha: FloatArray, additive: bool
) -> FloatArray:
    """New positions (T, bands) from old ones and a time map (T,)."""
    frames = np.arange(len(tau), dtype=float)
    if additive:
        return positions + alpha * (tau - frames)[:, None]
    looked_up = np.stack([np.interp(tau, frames, band) for band in positions.T], axis=1)
    return positions + alpha * (looked_up - positions)


@dataclass
class Pair:
    """One held-out pair: how to generate it, and what was measured."""

    sampler: TinySampler
    paint: Painter
    num_frames: int
    seed: int
    additive: bool
    figures: dict[str, float] = field(default_factory=dict)
    strips: list[Clip] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.oracle = RenderOracle(self.paint)
        self.ends = self.paint(0.0), self.paint(1.0)
        self.bands = self.sampler.transformer.rope.t_dim // 2
        self.frames = np.repeat(np.arange(self.num_frames, dtype=float)[:, None], self.bands, 1)

    def generate(self, positions: FloatArray) -> Clip:
        """The clip (T, H, W, 3) at temporal positions (T, bands)."""
        with warped(self.sampler.transformer, positions - self.frames):
            return self.sampler.sample(*self.ends, self.num_frames, self.seed)

    def end_error(self, clip: Clip) -> float:
        """The larger mean squared error, in 0..1, of the end frames."""
        return max(
            float(np.square(made / 255.0 - given / 255.0).mean())
            for made, given in zip((clip[0], clip[-1]), self.ends, strict=True)
        )

    def plain(self) -> FloatArray:
        """Judge the plain generation; its parameter (T,)."""
        clip = self.generate(self.frames)
        p = self.oracle.parameter(clip)
        self.residual = float(self.oracle.residual(clip).mean())
        self.figures = {
            "baseline": pacing_error(p),
            "largest/mean step": float(np.diff(p).max() * (len(p) - 1)),
            "content residual": self.residual,
            "end error": self.end_error(clip),
        }
        even = np.linspace(0.0, 1.0, self.num_frames)
        self.strips = [np.stack([self.paint(float(q)) for q in even]), clip]
        return p

    def steer(
        self, name: str, p: FloatArray, refinements: int, target: Target = np.asarray
    ) -> None:
        """Judge a schedule and its refinements, starting from the plain clip's parameter."""
        alpha = strengths(self.bands, *SCHEDULES[name.split()[0]])
        positions = self.frames
        for turn in range(refinements + 1):
            tau = time_map(p, target)
            positions = refined(positions, tau, alpha, self.additive)
            clip = self.generate(positions)
            p = self.oracle.parameter(clip)
            self.figures[f"{name} {turn}"] = pacing_error(p, target)
        residual = float(self.oracle.residual(clip).mean())
        self.figures[f"{name} residual ratio"] = residual / max(self.residual, 1e-9)
        self.figures[f"{name} end error"] = self.end_error(clip)
        self.strips.append(clip)


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


def main() -> None:
    """Read the command line, judge, print and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="of weights; else the shipped ones")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--refinements", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=len(HELD_OUT_PAIRS))
    parser.add_argument("--schedules", nargs="*", choices=SCHEDULES, default=["flat", "authors"])
    parser.add_argument("--additive", action="store_true")
    parser.add_argument("--controls", action="store_true", help="a wrong map, and another target")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sampler = TinySampler(given.folder)
    pairs = [
        Pair(sampler, pair.painter(sampler.settings.size, 0, seed), given.frames, given.seed,
             given.additive)
        for pair, seed in HELD_OUT_PAIRS[: given.pairs]
    ]  # fmt: skip
    plain = [pair.plain() for pair in pairs]
    for index, (pair, p) in enumerate(zip(pairs, plain, strict=True)):
        for name in given.schedules:
            pair.steer(name, p, given.refinements)
        if given.controls:
            tau = time_map(plain[index - 1])
            wrong = pair.generate(np.repeat(tau[:, None], pair.bands, 1))
            pair.figures["wrong pair's map"] = pacing_error(pair.oracle.parameter(wrong))
            pair.steer("flat to u^2", p, given.refinements, np.square)
        text = "  ".join(f"{key} {value:.3g}" for key, value in pair.figures.items())
        print(f"{HELD_OUT_PAIRS[index][0].name}: {text}", flush=True)
    print(summary([pair.figures for pair in pairs]))
    if given.sheet is not None:
        strips = [
            cv2.copyMakeBorder(np.hstack(strip), 0, 6 * (strip is pair.strips[-1]), 0, 0, 0)
            for pair in pairs
            for strip in pair.strips
        ]
        sheet = cv2.resize(np.vstack(strips), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(given.sheet), sheet[..., ::-1])


if __name__ == "__main__":
    main()
