"""`spf.embed` and `spf.measure`: what they read, what they refuse, what they report."""

import harness
import numpy as np
import pytest
from clips import refused

import spf
from spf.errors import ClipError, ConfigError


def test_measure_uses_the_clips_own_times_and_its_settings(tmp_path):
    path = harness.save(tmp_path / "clip.mp4", harness.steady(30, power=2.0), rate=12)
    vectors = spf.embed(path, "pixels")
    np.testing.assert_array_equal(spf.embed(str(path), "pixels"), vectors)
    curve = spf.measure(path, "pixels")
    np.testing.assert_allclose(curve.times, np.arange(30) / 12, atol=1e-6)
    assert (curve.progress[0], curve.progress[-1]) == (0, 1)
    skipped = spf.measure(path, "pixels", sampling=spf.Sampling(stride=2))
    np.testing.assert_allclose(skipped.times, np.arange(0, 30, 2) / 12, atol=1e-6)
    rough = spf.measure(path, "pixels", window=2, monotone="increments")
    same = spf.fit(vectors, times=curve.times, window=2, monotone="increments")
    np.testing.assert_array_equal(rough.progress, same.progress)
    assert not np.array_equal(rough.progress, curve.progress)


BLACK = np.zeros((4, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(("clip", "settings", "error", "message"), [
    *((x, {}, ValueError, "frames") for x in (BLACK.astype(np.float32), BLACK[0], BLACK[..., :2])),
    *((x, {}, ValueError, "frames") for x in (BLACK[:, :, :0], BLACK[:0])),
    (BLACK[:1], {}, ClipError, "1 frame"),
    *((BLACK, {"device": device}, ValueError, "device") for device in ("gpu", None)),
    (BLACK, {"batch_size": 0}, ValueError, "batch_size"),
    (BLACK, {"embedder": "pixel"}, ConfigError, r"'pixel'.*did you mean pixels"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused_in_one_line(clip, settings, error, message):
    measure = spf.embed if len(clip) == 4 else spf.measure
    with pytest.raises(error, match=message) as raised:
        measure(clip, **settings)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_broken_vectors_name_their_frame(value):
    def encode(batch):
        return np.where(batch == 255, value, 1).astype(np.float32)

    clip = np.zeros((9, 8, 8, 3), np.uint8)
    clip[6] = 255
    with refused("frame 6", ClipError):
        spf.measure(clip, embedder=harness.Linear(encode))
