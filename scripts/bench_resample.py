"""Retiming of existing clips: frames a second of each way to show a clip at other times.

The clip is a textured ground with noise, which moves by a few pixels from frame to frame at
768 x 432. The map is twice as dense as the clip, or half as dense, so that flow is computed for
every second frame of the result, or for each. Decoding and encoding are not counted.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from bench_tools import Row, Sizes, in_turns

ROOT = Path(__file__).resolve().parent.parent
HEIGHT, WIDTH = 432, 768
BARS = {"nearest": None, "blend": 30.0, "flow": 8.0}


def resampling(sizes: Sizes) -> dict[str, float]:
    """Frames a second of the result, by method and map."""
    sys.path.insert(0, str(ROOT))
    from spf.pacing.resampling import resampled

    count = 4 if sizes.repeats < 5 else 24
    frames = _moving(count)
    maps = {
        "slow": np.linspace(0, count - 1, 2 * count),
        "fast": np.arange(0.3, count - 1, 2.0),
    }
    found = {}
    for name, positions in maps.items():

        def shown(method: str, positions: np.ndarray = positions) -> None:
            for _ in resampled(frames, positions, method):
                pass

        shown("flow")
        calls = [(lambda method=method: shown(method), 1) for method in BARS]
        taken = in_turns(sizes.repeats, *calls)
        found |= {
            f"{method}_{name}": len(positions) / seconds
            for method, seconds in zip(BARS, taken, strict=True)
        }
    return found


def _moving(count: int) -> np.ndarray:
    """(T, 432, 768, 3) uint8."""
    import cv2

    random = np.random.default_rng(0)
    size = HEIGHT + 2 * count, WIDTH + 4 * count, 3
    ground = cv2.GaussianBlur(random.uniform(0, 255, size).astype(np.float32), (0, 0), 4)
    ground = cv2.normalize(ground, ground, 10, 245, cv2.NORM_MINMAX)
    moved = [ground[2 * k : 2 * k + HEIGHT, 4 * k : 4 * k + WIDTH] for k in range(count)]
    return np.stack([(x + random.uniform(-5, 5, x.shape)).astype(np.uint8) for x in moved])


def table_rows(sizes: Sizes, found: dict[str, dict[str, float]]) -> list[Row]:
    """The lines of the table."""
    rates = found["resampling"]
    rows = []
    for method, bar in BARS.items():
        slow, fast = rates[f"{method}_slow"], rates[f"{method}_fast"]
        rows.append(
            Row(
                f"resampling by {method}, {WIDTH} x {HEIGHT}",
                "frames a second of a result half as fast, and twice as fast",
                f"{slow:.0f}, {fast:.0f}",
                "-" if bar is None else f"at least {bar:.0f}",
                None if bar is None else min(slow, fast) >= bar,
            )
        )
    return rows


WORKLOADS = (resampling,)
