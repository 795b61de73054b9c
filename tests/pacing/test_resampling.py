"""Clips shown at other times: what is exact, what is streamed, what follows the motion."""

import tracemalloc

import cv2
import harness
import numpy as np
import pytest

import spf
from spf.pacing.resampling import METHODS, resampled
from synthetic.clips import SyntheticClip, content
from synthetic.laws import law
from synthetic.oracle import RenderOracle


def made(frames, positions, method):
    return np.stack(list(resampled(frames, positions, method)))


def texture(random, size, sigma, top):
    image = cv2.GaussianBlur(random.uniform(0, 255, size).astype(np.float32), (0, 0), sigma)
    return cv2.normalize(image, image, 0, top, cv2.NORM_MINMAX)


def noise(count, height=17, width=40):
    """Coarse random frames (T, H, W, 3) that move to the right, with fine noise on them."""
    random = np.random.default_rng(0)
    whole = texture(random, (height + 8, width + 8 + 2 * count, 3), 2, 250)
    frames = [whole[8:, 2 * k : 2 * k + width][:height] for k in range(count)]
    return np.stack([np.rint(x + random.uniform(0, 5, x.shape)).astype(np.uint8) for x in frames])


def a_map(count):
    inner = np.random.default_rng(0).uniform(0, count - 1, 19)
    return np.sort([0.0, *inner, 1.5, (count - 1) / 2, count - 1.5, 1.0, count - 1.0])


def scene(shift, size=96, side=36):
    """A textured square that has moved by `shift` pixels in front of a textured ground."""
    random = np.random.default_rng(7)
    ground, square = (texture(random, (size, size, 3), sigma, 255) for sigma in (8.0, 2.0))
    place = np.array([[1, 0, 24 + shift], [0, 1, 30 + 0.5 * shift]], np.float32)
    cover = cv2.warpAffine(np.ones((side, side), np.float32), place, (size, size))[..., None]
    moved = cv2.warpAffine(square[:side, :side], place, (size, size))
    return np.rint(ground * (1 - cover) + moved * cover).astype(np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 40)], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_the_identity_and_time_reversal_are_exact(method, size):
    for count in (6, 7):
        frames, positions = noise(count, *size), a_map(count)
        assert np.array_equal(made(frames, np.arange(float(count)), method), frames)
        back = made(frames[::-1], (count - 1 - positions)[::-1], method)
        assert np.array_equal(back[::-1], made(frames, positions, method))


def test_threads_change_nothing():
    frames, positions = noise(4, 60, 80), a_map(4)
    before, found = cv2.getNumThreads(), []
    try:
        for threads in (1, 5):
            cv2.setNumThreads(threads)
            found.append(made(frames, positions, "flow"))
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(*found)


@pytest.mark.parametrize("method", METHODS)
def test_bad_positions_are_refused_at_once_and_one_past_the_end_when_it_is_reached(method):
    rows = ([0.0, 2.0, 1.0], [-0.5, 1.0], [0.0, np.nan], [[0.0, 1.0]])
    for positions, words in zip(rows, ("not fall", "below 0", "finite", "must be"), strict=True):
        with pytest.raises(ValueError, match=words):
            resampled(noise(3), positions, method)
    made = resampled(iter(noise(3)), [0.0, 2.0, 2.5], method)
    assert len([next(made), next(made)]) == 2
    with pytest.raises(ValueError, match="the clip has 3 frames"):
        next(made)


def test_nearest_is_the_nearest_and_blend_the_weighted_mean():
    frames, positions = noise(6), a_map(6)
    nearest, blend = (made(frames, positions, method) for method in ("nearest", "blend"))
    for place, image, mixed in zip(positions, nearest, blend, strict=True):
        near = [k for k in range(6) if abs(k - place) <= 0.5]
        assert any(np.array_equal(image, frames[k]) for k in near)
        low = min(int(place), 4)
        mean = frames[low] * (low + 1 - place) + frames[low + 1] * (place - low)
        assert np.abs(mixed - mean).max() <= 0.51


def test_flow_follows_what_moves():
    frames, shares = [scene(0), scene(8)], [0.25, 0.5, 0.75]
    true = np.stack([scene(8 * share) for share in shares]).astype(float)
    flow, blend = (made(frames, shares, x) - true for x in ("flow", "blend"))
    assert (4 * np.square(flow).mean((1, 2, 3)) < np.square(blend).mean((1, 2, 3))).all()


def test_frames_are_not_held(tmp_path):
    def work(count):
        clip = tmp_path / f"{count}.mp4"
        levels = (np.full((640, 640, 3), 255 * k // count, np.uint8) for k in range(count))
        spf.video.write_mp4(clip, levels, 25)
        measures = {"embedder": harness.Linear(), "cache": False, "check": "pixels"}
        spf.retime(clip, tmp_path / "out.mp4", method="blend", **measures)

    work(5)  # imports
    tracemalloc.start()
    try:
        work(40)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 30e6


@pytest.mark.parametrize("method", METHODS)
def test_pacing_that_is_measured_well_becomes_even(method):
    """By the renderer's own parameter, which no embedder sees."""
    jump = law("sigmoid_jump")
    clip = SyntheticClip(content("material-jade-copper"), jump, size=(48, 48), seed=1000)
    frames, angle = np.stack(list(clip.frames())), 1.2 * clip.truth()
    vectors = np.stack([np.cos(angle), np.sin(angle)], 1)
    curve = spf.fit(vectors, clip.times, monotone="increments")
    oracle = RenderOracle(clip.content.painter((48, 48), seed=1000))
    before, after = (
        np.abs((q - q[0]) / (q[-1] - q[0]) - np.linspace(0, 1, len(q))).mean()
        for q in map(oracle.parameter, (frames, made(frames, spf.time_map(curve), method)))
    )
    assert before > 2 * after
