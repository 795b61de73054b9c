"""Hard cuts from angles: what counts as one, and against simple detectors of pixels and colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pacings import curve_of

import spf
from spf.progress.cuts import cuts_of, hard_cuts
from spf.progress.distances import banded_angles
from synthetic.clips import SyntheticClip, content
from synthetic.motion import motion

CALM = 0.02 + 0.01 * np.random.default_rng(0).random(60)


def with_steps(steps: dict[int, float], base: np.ndarray = CALM) -> np.ndarray:
    angles = base.copy()
    for index, angle in steps.items():
        angles[index] = angle
    return angles


def test_single_large_steps_are_cuts() -> None:
    assert hard_cuts(with_steps({20: 0.9, 41: 0.6})) == [21, 42]


@pytest.mark.parametrize(
    "angles",
    [
        CALM,
        with_steps({20: 0.25}),  # pictures of one scene
        with_steps({20: 0.5, 21: 0.6, 22: 0.4}),  # a dissolve
        with_steps({20: 0.8, 21: 0.8}),  # a flash
        np.random.default_rng(1).uniform(0.1, 0.5, 60),  # steady fast motion
        with_steps({20: 0.9}, np.random.default_rng(1).uniform(0.1, 0.5, 60)),
        np.array([1.0]),
        np.array([0.0, 1.0]),
        np.zeros(60),
    ],
    ids=["calm", "small", "dissolve", "flash", "fast", "lost in motion", "one", "two", "still"],
)
def test_others_are_none(angles: np.ndarray) -> None:
    assert hard_cuts(angles) == []


def test_a_cut_out_of_stillness_and_at_either_end() -> None:
    assert hard_cuts(with_steps({0: 1.0, 30: 1.0, 59: 1.0}, np.zeros(60))) == [1, 31, 60]


def test_reversed_time_has_the_same_cuts() -> None:
    angles = with_steps({3: 0.9, 20: 0.5, 21: 0.6, 41: 0.6})
    forward, backward = hard_cuts(angles), hard_cuts(angles[::-1])
    assert [len(angles) + 1 - cut for cut in backward][::-1] == forward == [4, 42]


def test_what_is_not_an_angle_is_refused() -> None:
    for bad in ([0.1, np.nan, 0.1], [0.1, -0.1, 0.1], [[0.1]]):
        with pytest.raises(ValueError, match="angles must be"):
            hard_cuts(bad)


def test_cuts_of_a_curve_undo_its_power() -> None:
    steps = with_steps({20: 0.5})
    fitted = np.concatenate([[0.0], np.cumsum(steps**2)])
    curve = curve_of(fitted / fitted[-1])
    squared = replace(curve, fitted=fitted, settings=replace(curve.settings, power=2.0))
    assert cuts_of(squared) == [21]
    assert cuts_of(replace(curve, fitted=fitted)) == []  # 0.25 rad, taken as they are


# Against simple detectors, on films whose cuts are known

SHOTS = ["shape-drop-gear", "material-jade-copper", "composition-snow-volcano", "brick-cat-warp"]
LENGTH = 12


def film(nuisance: str) -> tuple[np.ndarray, list[int]]:
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


def by_histogram(frames: np.ndarray, threshold: float = 0.3) -> list[int]:
    """Half the L1 distance of colour histograms, 4 bins a channel, over a fixed threshold."""
    bins = (frames // 64).astype(np.int64) @ (16, 4, 1)
    histograms = np.stack([np.bincount(b.ravel(), minlength=64) / b.size for b in bins])
    steps = 0.5 * np.abs(np.diff(histograms, axis=0)).sum(axis=1)
    return [int(step) + 1 for step in np.flatnonzero(steps > threshold)]


def f1(found: list[int], true: list[int]) -> float:
    return 2 * len(set(found) & set(true)) / (len(found) + len(true))


def test_at_least_as_good_as_simple_detectors() -> None:
    scores: dict[str, list[float]] = {"angles": [], "curve": [], "pixels": [], "histogram": []}
    for nuisance in ("translation", "lighting", "flash"):
        frames, true = film(nuisance)
        z = spf.embed(frames)
        found = {"angles": hard_cuts(banded_angles(z, 1)[:-1, 0]), "curve": cuts_of(spf.fit(z))}
        assert all(set(cuts) <= set(true) for cuts in found.values()), found  # no false alarm
        found |= {"pixels": by_pixels(frames), "histogram": by_histogram(frames)}
        for name, cuts in found.items():
            scores[name].append(f1(cuts, true))
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    assert min(means["angles"], means["curve"]) > 0.85, scores
    assert max(means["pixels"], means["histogram"]) < min(means["angles"], means["curve"]), scores
