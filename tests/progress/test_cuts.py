"""Hard cuts: what counts as one, on scenes of vectors, and against simple detectors on films."""

from __future__ import annotations

import numpy as np
import pytest

import spf
from spf.progress.cuts import CUT_ANGLE, hard_cuts, separation
from spf.progress.distances import banded_angles
from synthetic.clips import SyntheticClip, content
from synthetic.motion import motion

DIMENSIONS = 64


def scene(count: int, seed: int, wobble: float = 0.02) -> np.ndarray:
    """Vectors (count, 64) of one shot: a direction of its own with noise on every frame."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=DIMENSIONS)
    return base / np.linalg.norm(base) + wobble * rng.normal(size=(count, DIMENSIONS)) / 8


def dissolve(count: int, first: int, last: int) -> np.ndarray:
    """The same from one scene to another, over `count` frames in between."""
    share = (np.arange(count) + 1)[:, None] / (count + 1)
    return (1 - share) * scene(count, first) + share * scene(count, last)


def film(*parts: np.ndarray) -> spf.Curve:
    return spf.fit(np.concatenate(parts))


def test_separation_is_the_smallest_angle_across_a_step() -> None:
    """Against the definition, pair by pair, with windows that hold all pairs and that do not."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(9, 5))
    for window in (1, 2, 4, 8, 30):
        angles = banded_angles(z, window)
        wanted = [
            min(
                angles[i - a, a + b]
                for a in range(3)
                for b in range(3)
                if i - a >= 0 and i + 1 + b < 9 and a + b + 1 <= window
            )
            for i in range(8)
        ]
        assert separation(angles) == pytest.approx(wanted)
        assert separation(np.stack([angles, angles])).shape == (2, 8)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_cuts_are_where_shots_meet(power: float) -> None:
    z = np.concatenate([scene(5, 0), scene(4, 1), scene(20, 2)])
    assert spf.fit(z, power=power).cuts == [5, 9]
    assert spf.fit(z[::-1], power=power).cuts == [20, 24]
    black = np.repeat(scene(1, 7), 6, axis=0)
    assert film(scene(20, 0), black, scene(20, 0)).cuts == [20, 26]  # to black and back
    assert film(scene(1, 0), scene(12, 1), scene(1, 2)).cuts == [1, 13]  # shots of one frame


@pytest.mark.parametrize(
    "parts",
    [
        [scene(40, 0)],
        [scene(20, 0), scene(1, 7), scene(20, 0)],
        [scene(20, 0), scene(2, 7), scene(20, 0)],
        [scene(20, 0), dissolve(3, 0, 1), scene(20, 1)],
        [scene(20, 0), dissolve(12, 0, 1), scene(20, 1)],
        [scene(20, 0), dissolve(6, 0, 1).repeat(3, axis=0), scene(20, 1)],
        [scene(40, 0, wobble=1.5)],
        [scene(1, 0), scene(2, 1)],
    ],
    ids=["still", "flash", "two-frame flash", "dissolve", "slow", "held", "flicker", "too short"],
)
def test_others_are_none(parts: list[np.ndarray]) -> None:
    assert film(*parts).cuts == []


def test_no_angle_below_the_embedders_own_is_a_cut() -> None:
    steps = np.zeros(20)
    steps[9] = CUT_ANGLE
    assert hard_cuts(steps) == [10]
    assert hard_cuts(steps, least=0.5) == hard_cuts(0.99 * steps) == []
    frames = np.zeros((20, 8, 8, 3), np.uint8)
    frames[10:, :4] = 80
    curve = spf.measure(frames, "pixels")
    assert curve.cut_angle < curve.separation.max() < CUT_ANGLE
    assert curve.cuts == [10]


# Against simple detectors, on films whose cuts are known

SHOTS = ["shape-drop-gear", "material-jade-copper", "composition-snow-volcano", "brick-cat-warp"]
LENGTH = 8


def rendered(nuisance: str) -> tuple[np.ndarray, list[int]]:
    """Four shots (T, 64, 64, 3) and the frames at which the later three begin."""
    moving = None if nuisance == "flash" else motion(nuisance, "strong")
    shots = [
        SyntheticClip(content(name), motion=moving, num_frames=LENGTH, size=(64, 64))
        for name in SHOTS
    ]
    frames = np.stack([frame for shot in shots for frame in shot.frames()])
    if nuisance == "flash":
        frames[LENGTH // 2 :: LENGTH] = np.minimum(frames[LENGTH // 2 :: LENGTH] // 3 + 170, 255)
    return frames, [LENGTH * number for number in (1, 2, 3)]


def by_pixels(frames: np.ndarray, threshold: float = 27 / 255) -> list[int]:
    """Mean absolute difference over a fixed threshold."""
    steps = np.abs(np.diff(frames.astype(np.float64), axis=0)).mean(axis=(1, 2, 3)) / 255
    return [int(step) + 1 for step in np.flatnonzero(steps > threshold)]


def f1(found: list[int], true: list[int]) -> float:
    return 2 * len(set(found) & set(true)) / (len(found) + len(true))


def test_better_than_a_threshold_on_pixels() -> None:
    ours, simple = [], []
    for nuisance in ("translation", "lighting", "flash"):
        frames, true = rendered(nuisance)
        found = spf.fit(spf.embed(frames, "tiny")).cuts
        assert set(found) <= set(true)  # no false alarm
        ours.append(f1(found, true))
        simple.append(f1(by_pixels(frames), true))
    assert np.mean(ours) > 0.85 > np.mean(simple) + 0.1
