"""Clips shown at other times: what is exact, what is streamed, what follows the motion."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import cv2
import harness
import numpy as np
import pytest
from pacings import on_circle

import spf
from spf.pacing.resampling import METHODS, resampled
from synthetic.clips import CONTENTS, SyntheticClip, content
from synthetic.laws import law
from synthetic.motion import motion
from synthetic.oracle import RenderOracle

SIZES = [(1, 1), (2, 3), (17, 40)]


def noise(count: int, height: int = 17, width: int = 40, seed: int = 0) -> np.ndarray:
    """Coarse random frames (T, H, W, 3) that move to the right, with fine noise on them."""
    random = np.random.default_rng(seed)
    whole = cv2.GaussianBlur(
        random.uniform(0, 255, (height + 8, width + 8 + 2 * count, 3)).astype(np.float32), (0, 0), 2
    )
    whole = cv2.normalize(whole, whole, 0, 250, cv2.NORM_MINMAX)
    frames = [whole[8:, 2 * k : 2 * k + width][:height] for k in range(count)]
    return np.stack([np.rint(x + random.uniform(0, 5, x.shape)).astype(np.uint8) for x in frames])


def a_map(count: int, num_frames: int = 25, seed: int = 0) -> np.ndarray:
    """Positions with ends, whole ones, exact middles, repetitions and leaps."""
    random = np.random.default_rng(seed)
    inner = random.uniform(0, count - 1, num_frames - 6)
    middles = [1.5, (count - 1) / 2, count - 1.5]
    return np.sort([0.0, *inner, *middles, 1.0, count - 1.0])


def scene(shift: float, size: int = 96) -> np.ndarray:
    """A textured square that has moved by `shift` pixels in front of a textured ground."""
    random = np.random.default_rng(7)
    ground, square = (
        cv2.GaussianBlur(random.uniform(0, 255, (size, size, 3)).astype(np.float32), (0, 0), sigma)
        for sigma in (8.0, 2.0)
    )
    ground, square = (cv2.normalize(x, x, 0, 255, cv2.NORM_MINMAX) for x in (ground, square))
    place = np.array([[1, 0, 24 + shift], [0, 1, 30 + 0.5 * shift]], np.float32)
    side = 36
    cover = cv2.warpAffine(np.ones((side, side), np.float32), place, (size, size))[..., None]
    moved = cv2.warpAffine(square[:side, :side], place, (size, size))
    return np.rint(ground * (1 - cover) + moved * cover).astype(np.uint8)


def error(made: np.ndarray, true: np.ndarray) -> float:
    return float(np.square(made.astype(np.float64) - true).mean())


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_the_identity_gives_the_frames_back(method: str, size: tuple[int, int]) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (5, *size, 3), dtype=np.uint8)
    assert np.array_equal(np.stack(list(resampled(frames, np.arange(5.0), method))), frames)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [6, 7])
def test_time_reversal_is_exact(method: str, size: tuple[int, int], count: int) -> None:
    """Exact middles too, and the middle of the whole clip, which the reversal leaves in place."""
    frames, positions = noise(count, *size), a_map(count)
    made = np.stack(list(resampled(frames, positions, method)))
    back = np.stack(list(resampled(frames[::-1], (count - 1 - positions)[::-1], method)))
    assert np.array_equal(back[::-1], made)


def test_threads_change_nothing() -> None:
    frames, positions = noise(4, 60, 80), a_map(4)
    wanted = np.stack(list(resampled(frames, positions, "flow")))
    before = cv2.getNumThreads()
    try:
        for threads in (1, 2, 5):
            cv2.setNumThreads(threads)
            assert np.array_equal(np.stack(list(resampled(frames, positions, "flow"))), wanted)
    finally:
        cv2.setNumThreads(before)


def test_nearest_is_the_nearest_and_blend_the_weighted_mean() -> None:
    frames, positions = noise(6), a_map(6)
    for image, place in zip(resampled(frames, positions, "nearest"), positions, strict=True):
        near = [k for k in range(6) if abs(k - place) <= 0.5]
        assert any(np.array_equal(image, frames[k]) for k in near)
    for image, place in zip(resampled(frames, positions, "blend"), positions, strict=True):
        low = min(int(place), 4)
        mean = frames[low] * (low + 1 - place) + frames[low + 1] * (place - low)
        assert np.abs(image - mean).max() <= 0.51


def test_flow_follows_what_moves() -> None:
    """Against true renders in between: a cross-fade shows both places."""
    frames = [scene(0), scene(8)]
    for share in (0.25, 0.5, 0.75):
        true = scene(8 * share)
        (flow,) = resampled(frames, [share], "flow")
        (blend,) = resampled(frames, [share], "blend")
        assert 4 * error(flow, true) < error(blend, true)


class Counting:
    """Frames that tell how many were taken and how many are still held."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.taken = 0
        self.most = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        held: list[np.ndarray] = []
        for index in range(self.count):
            self.taken += 1
            image = np.full((16, 16, 3), index % 251, np.uint8)
            held = [*(x for x in held if sys.getrefcount(x) > 3), image]
            self.most = max(self.most, len(held))
            yield image


@pytest.mark.parametrize("method", METHODS)
def test_frames_are_taken_as_they_are_needed_and_few_are_held(method: str) -> None:
    clip = Counting(200)
    for number, _ in enumerate(resampled(clip, np.linspace(0, 199, 60), method)):
        assert clip.taken <= 199 / 59 * number + 2
    assert clip.most <= 4
    clip = Counting(50)
    assert len(list(resampled(clip, [0.0, 3.5, 7.0], method))) == 3
    assert clip.taken == 8  # none after the last position


@pytest.mark.parametrize(
    ("positions", "words"),
    [
        ([0.0, 2.0, 1.0], "must not fall"),
        ([-0.5, 1.0], "below 0"),
        ([0.0, float("nan")], "finite"),
        ([[0.0, 1.0]], "positions must be"),
    ],
)
def test_bad_positions_are_refused_at_once(positions: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        resampled(noise(3), positions, "blend")


@pytest.mark.parametrize("method", METHODS)
def test_a_position_past_the_end_is_told(method: str) -> None:
    made = resampled(noise(3), [0.0, 2.0, 2.5], method)
    assert len([next(made), next(made)]) == 2
    with pytest.raises(ValueError, match="the clip has 3 frames"):
        next(made)


HELD_OUT = [name for name, item in CONTENTS.items() if item.held_out]
JUMPS = ("sigmoid_jump", "two_jumps")
LARGEST_STEP = 0.15


def true_error(p: np.ndarray) -> float:
    """Mean distance of the renderer's parameter (N,) from even pacing."""
    scaled = (p - p[0]) / (p[-1] - p[0])
    return float(np.abs(scaled - np.linspace(0, 1, len(p))).mean())


def rendered(name: str, pacing: str, kind: str, size: int) -> tuple[SyntheticClip, np.ndarray]:
    """A held-out clip of 81 frames, no step of which is larger than `LARGEST_STEP`."""
    clip = SyntheticClip(content(name), law(pacing), motion(kind), size=(size, size), seed=1000)
    assert clip.held_out
    assert np.diff(clip.truth()).max() <= LARGEST_STEP
    return clip, np.stack(list(clip.frames()))


@pytest.mark.parametrize("method", METHODS)
def test_pacing_that_is_measured_well_becomes_even(method: str) -> None:
    """By the renderer's parameter, read off the pixels of the result."""
    ratios = []
    for name in HELD_OUT[::4]:
        oracle = RenderOracle(content(name).painter((48, 48), seed=1000))
        for pacing in JUMPS:
            clip, frames = rendered(name, pacing, "none", 48)
            tau = spf.time_map(spf.fit(on_circle(clip.truth()), clip.times, monotone="increments"))
            made = np.stack(list(resampled(frames, tau, method)))
            before, after = (true_error(oracle.parameter(x)) for x in (frames, made))
            ratios.append(before / after)
    assert np.median(ratios) >= 3


def test_frames_are_not_kept(tmp_path: Path) -> None:
    """60 frames of 1.2 MB pass through every stage."""

    def work(count: int) -> None:
        clip = tmp_path / f"{count}.mp4"
        levels = (np.full((640, 640, 3), 255 * k // count, np.uint8) for k in range(count))
        spf.video.write_mp4(clip, levels, 25)
        given = {"embedder": harness.Linear(), "cache": False, "check": "pixels"}
        spf.retime(clip, tmp_path / "out.mp4", method="blend", **given)

    work(5)  # imports
    tracemalloc.start()
    try:
        work(60)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 30e6
