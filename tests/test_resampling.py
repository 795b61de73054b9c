"""Clips shown at other times: what is exact, what is streamed, what follows the motion."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import cv2
import harness
import numpy as np
import pytest

from spf.errors import ConfigError
from spf.pacing import motion, resampling
from spf.pacing.resampling import METHODS, is_identity, resampled
from spf.pacing.strategies import (
    RESAMPLINGS,
    RETIMES,
    NoRetime,
    Resampling,
    Rope,
    make_method,
    make_strategy,
)

SIZES = [(1, 1), (2, 3), (7, 5), (16, 16), (17, 40), (48, 64)]


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


# What is exact


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_the_identity_gives_the_frames_back(method: str, size: tuple[int, int]) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (5, *size, 3), dtype=np.uint8)
    assert np.array_equal(np.stack(list(resampled(frames, np.arange(5.0), method))), frames)


@pytest.mark.parametrize("method", METHODS)
def test_whole_positions_give_the_frames_themselves(method: str) -> None:
    frames = list(noise(6))
    made = list(resampled(frames, [0, 2, 2, 5], method))
    assert [id(image) for image in made] == [id(frames[k]) for k in (0, 2, 2, 5)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [6, 7])
def test_time_reversal_is_exact(method: str, size: tuple[int, int], count: int) -> None:
    """Exact middles too, and the middle of the whole clip, which the reversal leaves in place."""
    frames, positions = noise(count, *size), a_map(count)
    made = np.stack(list(resampled(frames, positions, method)))
    back = np.stack(list(resampled(frames[::-1], (count - 1 - positions)[::-1], method)))
    assert np.array_equal(back[::-1], made)


@pytest.mark.parametrize("method", METHODS)
def test_the_rounding_of_positions_decides_nothing(method: str) -> None:
    frames, positions = noise(6), a_map(6)
    near = np.clip(positions * (1 + 1e-12), 0, 5)
    assert np.array_equal(
        np.stack(list(resampled(frames, near, method))),
        np.stack(list(resampled(frames, positions, method))),
    )


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing(threads: int) -> None:
    frames, positions = noise(4, 60, 80), a_map(4)
    wanted = np.stack(list(resampled(frames, positions, "flow")))
    before = cv2.getNumThreads()
    try:
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


def test_equal_frames_stay_as_they_are() -> None:
    frames = np.repeat(noise(1), 4, axis=0)
    for method in METHODS:
        for image in resampled(frames, a_map(4), method):
            assert np.abs(image.astype(int) - frames[0]).max() <= 1


# Motion


def test_flow_follows_what_moves() -> None:
    """Against true renders in between: a cross-fade shows both places."""
    frames = [scene(0), scene(8)]
    for share in (0.25, 0.5, 0.75):
        true = scene(8 * share)
        (flow,) = resampled(frames, [share], "flow")
        (blend,) = resampled(frames, [share], "blend")
        assert 4 * error(flow, true) < error(blend, true)


def test_flow_tells_direction() -> None:
    """A quarter of the way is not three quarters of it."""
    (early,) = resampled([scene(0), scene(8)], [0.25], "flow")
    assert error(early, scene(2)) < error(early, scene(6)) / 4


def test_motion_between_frames_is_told_from_both_sides() -> None:
    first, second = scene(0), scene(8)
    there, back = motion.between(first, second), motion.between(second, first).reversed()
    for name in ("there", "back", "found_there", "found_back"):
        assert np.array_equal(getattr(there, name), getattr(back, name))
    inside = there.there[44:56, 38:50]
    assert np.abs(np.median(inside, axis=(0, 1)) - (8, 4)).max() < 1.5


def test_what_is_covered_is_not_found() -> None:
    """The strip that the square will cover cannot be found again; the square itself can."""
    found = motion.between(scene(0), scene(6)).found_there
    assert found.min() >= 0
    assert found.max() <= 1
    assert found[44:56, 36:50].mean() > 0.7
    assert found[44:60, 61:66].mean() < 0.5


def test_what_only_one_frame_shows_is_taken_from_it() -> None:
    """Without motion, the weights alone decide."""
    still = np.zeros((8, 8, 2), np.float32)
    everywhere, nowhere = np.ones((8, 8), np.float32), np.zeros((8, 8), np.float32)
    black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 200, np.uint8)

    def mixed(found_there: np.ndarray, found_back: np.ndarray) -> float:
        found = motion.Motion(still, still, found_there, found_back)
        return float(found.compensated(black, white, 0.5).mean())

    assert mixed(everywhere, everywhere) == pytest.approx(100, abs=1)
    assert mixed(everywhere, nowhere) > 140  # the second frame's own: seen there alone
    assert mixed(nowhere, everywhere) < 60


# Streams


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


@pytest.mark.parametrize("method", METHODS)
def test_frames_after_the_last_position_are_not_taken(method: str) -> None:
    clip = Counting(50)
    assert len(list(resampled(clip, [0.0, 3.5, 7.0], method))) == 3
    assert clip.taken == 8


def test_flow_is_computed_once_for_two_frames_and_only_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = []

    def counted(first: np.ndarray, second: np.ndarray) -> motion.Motion:
        pairs.append((int(first[0, 0, 0]), int(second[0, 0, 0])))
        return motion.between(first, second)

    monkeypatch.setattr(resampling, "between", counted)
    frames = [np.full((20, 20, 3), 10 * k, np.uint8) for k in range(8)]
    list(resampled(frames, [0, 1.1, 1.5, 1.9, 2, 3, 5.2, 5.3, 7], "flow"))
    assert pairs == [(10, 20), (50, 60)]


def test_no_thread_stays() -> None:
    frames = resampled(noise(4), [0.5, 1.5, 2.5], "flow")
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert not [x for x in threading.enumerate() if x.name.startswith("ThreadPool")]


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


def test_identity_maps_are_known() -> None:
    assert is_identity(np.arange(5) + 1e-9, 5)
    assert not is_identity(np.arange(5) + 1e-3, 5)
    assert not is_identity(np.arange(5.0), 6)
    assert not is_identity([0.0, 1.0, 1.0, 3.0], 4)


# Words


def test_words_of_the_methods() -> None:
    assert tuple(RESAMPLINGS) == METHODS == ("nearest", "blend", "flow")
    assert {word: RETIMES[word] for word in METHODS} == RESAMPLINGS
    for word in METHODS:
        made = make_method(word)
        assert (made.name, isinstance(made, Resampling)) == (word, True)
        assert make_method(made) is made
    assert not isinstance(Rope(), Resampling)
    assert not isinstance(NoRetime(), Resampling)


def test_a_generators_clock_cannot_be_resampled() -> None:
    for given in ("flow", RESAMPLINGS["flow"]()):
        with pytest.raises(ConfigError, match="flow resamples a finished clip; choose") as error:
            make_strategy(given)
        harness.check_one_line(str(error.value))


@pytest.mark.parametrize("word", ["flou", "rope"])
def test_unknown_methods(word: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown method '{word}'"):
        make_method(word)
    with pytest.raises(ConfigError, match=f"unknown method '{word}'"):
        resampled(noise(2), [0.5], word)
