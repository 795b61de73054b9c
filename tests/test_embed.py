"""`spf.embed` and `spf.measure`: what they read, what they refuse, what they tell."""

from __future__ import annotations

from typing import Any

import harness
import numpy as np
import pytest

import spf
from spf.embedders import embed_clip, load_embedder
from spf.errors import ClipError, ConfigError
from spf.measurement import measure_clip


def frames(count: int) -> np.ndarray:
    """A dissolve (count, H, W, 3): no two frames are alike."""
    return np.stack(harness.steady(count))


def test_embed_reads_a_path_as_it_does_frames(tmp_path: Any) -> None:
    path = harness.save(tmp_path / "clip.mp4", harness.steady())
    from_text = spf.embed(str(path), embedder="pixels")
    np.testing.assert_array_equal(from_text, spf.embed(path, embedder="pixels"))
    assert from_text.shape == (12, 3 * 16**2 + 1)


def test_measure_uses_the_clips_own_times(tmp_path: Any) -> None:
    path = harness.save(tmp_path / "clip.mp4", harness.steady(), rate=12)
    curve = spf.measure(path)
    np.testing.assert_allclose(curve.times, np.arange(12) / 12, atol=1e-6)
    assert curve.progress[0] == 0
    assert curve.progress[-1] == 1
    skipped = spf.measure(path, sampling=spf.Sampling(stride=2))
    np.testing.assert_allclose(skipped.times, np.arange(0, 12, 2) / 12, atol=1e-6)


def test_measure_passes_its_settings_to_the_fit() -> None:
    clip = np.stack(harness.steady(30, power=2.0))
    rough = spf.measure(clip, window=2, monotone="increments")
    vectors = spf.embed(clip)
    np.testing.assert_array_equal(
        rough.progress, spf.fit(vectors, window=2, monotone="increments").progress
    )
    assert not np.array_equal(rough.progress, spf.measure(clip).progress)


@pytest.mark.parametrize(
    "clip",
    [
        np.zeros((4, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((4, 8, 8), np.uint8),
        np.zeros((4, 8, 8, 4), np.uint8),
        np.zeros((4, 3, 8, 8), np.uint8),
        np.zeros((4, 8, 0, 3), np.uint8),
    ],
    ids=lambda clip: f"{clip.shape}-{clip.dtype}",
)
def test_other_arrays_are_refused(clip: np.ndarray) -> None:
    with pytest.raises(ValueError, match="frames") as error:
        spf.embed(clip)
    assert "\n" not in str(error.value)


def test_no_frames_are_refused() -> None:
    with pytest.raises((ClipError, ValueError), match="frame"):
        spf.embed(np.zeros((0, 8, 8, 3), np.uint8))


def test_one_frame_can_be_embedded_but_not_measured() -> None:
    one = np.zeros((1, 8, 8, 3), np.uint8)
    assert len(spf.embed(one)) == 1
    with pytest.raises(ClipError, match="1 frame"):
        spf.measure(one)


@pytest.mark.parametrize("device", ["gpu", "", "cuda:0:1", None])
def test_unknown_devices_are_refused(device: Any) -> None:
    with pytest.raises(ValueError, match="device"):
        spf.embed(frames(2), device=device)


@pytest.mark.parametrize("size", [0, -1])
def test_empty_batches_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        spf.embed(frames(2), batch_size=size)
    with pytest.raises(ValueError, match="batch_size"):
        measure_clip(frames(2), load_embedder("pixels"), batch_size=size)


def test_unknown_words_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'pixel'.*did you mean pixels"):
        spf.embed(frames(2), embedder="pixel")


def test_unknown_settings_are_a_config_error() -> None:
    """As the docstring of `load_embedder` promises."""
    with pytest.raises(ConfigError, match="no_such_setting"):
        load_embedder("pixels", no_such_setting=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_broken_vectors_name_their_frame(value: float) -> None:
    def encode(batch: np.ndarray) -> np.ndarray:
        vectors = np.ones((len(batch), 3), np.float32)
        vectors[batch[:, 0] == 255] = value
        return vectors

    clip = np.zeros((9, 8, 8, 3), np.uint8)
    clip[6] = 255
    with pytest.raises(ClipError, match="frame 6"):
        spf.measure(clip, embedder=harness.Linear(encode))


def test_an_object_serves_as_an_embedder() -> None:
    counting = harness.Linear()
    assert spf.embed(frames(9), embedder=counting).shape == (9, 4)
    assert counting.encoded == 9


def test_watch_sees_every_frame_in_order() -> None:
    seen = []
    clip = frames(9)
    embed_clip(
        zip(clip, np.arange(9) / 5, strict=True),
        load_embedder("pixels"),
        batch_size=4,
        watch=lambda image, time: seen.append((int(image.mean()), time)),
    )
    assert seen == [(int(image.mean()), index / 5) for index, image in enumerate(clip)]
