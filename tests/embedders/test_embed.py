"""`spf.embed` and `spf.measure`: what they read, what they refuse, what they tell."""

from __future__ import annotations

from typing import Any

import harness
import numpy as np
import pytest

import spf
from spf.embedders import embed_clip, load_embedder
from spf.errors import ClipError, ConfigError


def frames(count: int) -> np.ndarray:
    """A dissolve (count, H, W, 3): no two frames are alike."""
    return np.stack(harness.steady(count))


def test_measure_uses_the_clips_own_times(tmp_path: Any) -> None:
    path = harness.save(tmp_path / "clip.mp4", harness.steady(), rate=12)
    np.testing.assert_array_equal(spf.embed(str(path), "pixels"), spf.embed(path, "pixels"))
    curve = spf.measure(path, "pixels")
    np.testing.assert_allclose(curve.times, np.arange(12) / 12, atol=1e-6)
    assert curve.progress[0] == 0
    assert curve.progress[-1] == 1
    skipped = spf.measure(path, "pixels", sampling=spf.Sampling(stride=2))
    np.testing.assert_allclose(skipped.times, np.arange(0, 12, 2) / 12, atol=1e-6)


def test_measure_passes_its_settings_to_the_fit() -> None:
    clip = np.stack(harness.steady(30, power=2.0))
    rough = spf.measure(clip, "pixels", window=2, monotone="increments")
    vectors = spf.embed(clip, "pixels")
    np.testing.assert_array_equal(
        rough.progress, spf.fit(vectors, window=2, monotone="increments").progress
    )
    assert not np.array_equal(rough.progress, spf.measure(clip, "pixels").progress)


BLACK = np.zeros((4, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("clip", "settings", "error", "said"),
    [
        (BLACK.astype(np.float32), {}, ValueError, "frames"),
        (BLACK[0], {}, ValueError, "frames"),
        (BLACK[..., :2], {}, ValueError, "frames"),
        (BLACK[:, :, :0], {}, ValueError, "frames"),
        (BLACK[:0], {}, (ClipError, ValueError), "frame"),
        (BLACK[:1], {}, ClipError, "1 frame"),
        (BLACK, {"device": "gpu"}, ValueError, "device"),
        (BLACK, {"device": None}, ValueError, "device"),
        (BLACK, {"batch_size": 0}, ValueError, "batch_size"),
        (BLACK, {"embedder": "pixel"}, ConfigError, r"'pixel'.*did you mean pixels"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(
    clip: np.ndarray, settings: dict[str, Any], error: Any, said: str
) -> None:
    measure = spf.embed if len(clip) == 4 else spf.measure
    with pytest.raises(error, match=said) as raised:
        measure(clip, **settings)
    assert "\n" not in str(raised.value)
    assert len(spf.embed(BLACK[:1])) == 1  # one frame can be embedded
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


def test_watch_sees_every_frame_in_order() -> None:
    seen = []
    clip = frames(9)
    embed_clip(
        zip(clip, np.arange(9) / 5, strict=True),
        load_embedder("pixels"),
        batch_size=4,
        on_frame=lambda image, time: seen.append((int(image.mean()), time)),
    )
    assert seen == [(int(image.mean()), index / 5) for index, image in enumerate(clip)]
