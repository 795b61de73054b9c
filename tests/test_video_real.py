"""Reading real clips, where SPF_TEST_CLIPS names a folder of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from spf.errors import ClipError
from spf.video import (
    Reader,
    Sampling,
    load,
)

# Real clips


@pytest.fixture(scope="module")
def real() -> Path:
    folder = os.environ.get("SPF_TEST_CLIPS")
    if not folder:
        pytest.skip("SPF_TEST_CLIPS names no folder of real clips")
    return Path(folder)


@pytest.mark.parametrize(
    ("name", "count", "size", "fps", "lost"),
    [
        ("lion_tiger/ddim.mp4", 129, (256, 256), 30, 0),
        ("morph/lion_to_tiger_diffmorpher.mp4", 50, (512, 512), 10, 0),
        ("morph/runner_to_cheetah_tvg.gif", 16, (512, 320), 15 / 1.88, 0),
        ("clouds_to_fields/seine.gif", 16, (512, 512), 15 / 1.88, 0),
        ("ice_melting/latte.gif", 16, (512, 512), 100 / 13, 0),
        ("real/people_one_by_one_1394f.mp4", 1394, (768, 432), 10, 0),
        ("real/nasa_two_video_streams.mp4", 390, (480, 270), 30000 / 1001, 0),
        ("robust/av1.mkv", 125, (640, 360), 25, 0),
        ("robust/h265_10frames.mp4", 10, (128, 128), 10, 0),
        ("robust/rotated90_3f.mov", 3, (320, 568), 30, 0),
        ("robust/statue_16f_mpeg4_chrono.mp4", 16, (512, 512), 10, 0),
        ("robust/corrupted.mp4", 49, (1280, 720), 10, 1),
    ],
)
def test_real_clip(real, name, count, size, fps, lost):
    with Reader(real / name) as reader:
        times = np.array([time for _, time in reader])
    assert (reader.decoded, reader.lost, len(times)) == (count, lost, count)
    assert (reader.info.width, reader.info.height) == size
    assert reader.info.fps == pytest.approx(fps)
    assert np.all(np.diff(times) > 0)
    assert bool(reader.notes) == bool(lost)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("robust/empty.mp4", "empty"), ("robust/truncated_60pct.mp4", r"index \(moov\) is missing")],
)
def test_real_unusable_clip(real, name, reason):
    with pytest.raises(ClipError, match=reason):
        load(real / name)


def test_real_second_stream(real):
    clip = load(real / "real/nasa_two_video_streams.mp4", Sampling(stream=0))
    assert clip.frames.shape == (325, 180, 320, 3)
