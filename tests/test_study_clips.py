"""Clips on the page of a user study: which it can show, how large, and which are comparable."""

from __future__ import annotations

from pathlib import Path

import clips as made
import harness
import numpy as np
import pytest

from benchmarks.user_study.clips import film_of_file, incomparable, resized
from spf.errors import ClipError


def test_clips_that_a_page_cannot_show_are_refused(tmp_path: Path) -> None:
    frames = harness.steady(6)
    stamps = [0, 1, 2, 9, 10, 11]
    uneven = made.encode(tmp_path / "u.mp4", frames, rate=12, stamps=stamps, options={"bf": "0"})
    with pytest.raises(ClipError, match=r"S/u: its frame rate varies.*ffmpeg"):
        film_of_file(uneven, "S/u")
    with pytest.raises(ClipError, match="1 frame"):
        film_of_file(harness.save(tmp_path / "one.mp4", frames[:1]), "S/one")
    with pytest.raises(ClipError, match="longer than 60 s"):
        film_of_file(harness.save(tmp_path / "long.mp4", harness.steady(70), rate=1), "S/long")
    (tmp_path / "images").mkdir()
    made.Image.fromarray(frames[0]).save(tmp_path / "images" / "0.png")
    with pytest.raises(ClipError, match="no rate"):
        film_of_file(tmp_path / "images", "S/images")


def test_sizes_on_the_page() -> None:
    """Tiny clips crisp and enlarged by a whole factor, large ones reduced, others as they are."""
    random = np.random.default_rng(0)
    for height, width, wanted in (
        (32, 32, (320, 320)),
        (160, 90, (320, 180)),
        (480, 832, (370, 640)),
    ):
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        shown = resized(image)
        assert shown.shape == (*wanted, 3)
        if wanted[0] > height:
            factor = wanted[0] // height
            assert np.array_equal(shown[::factor, ::factor], image)
            assert np.array_equal(shown[factor - 1 :: factor, factor - 1 :: factor], image)


def test_comparable_clips_may_differ_in_size_and_rate() -> None:
    def clip(width: int, height: int, frames: int, fps: float) -> dict[str, float]:
        seconds = (frames - 1) / fps
        return {"width": width, "height": height, "duration": seconds, "fps": fps}

    assert incomparable({"a": clip(640, 480, 24, 8), "b": clip(320, 240, 48, 16)}) == ""
    assert "shape" in incomparable({"a": clip(640, 480, 24, 8), "b": clip(640, 360, 24, 8)})
    assert "length" in incomparable({"a": clip(64, 64, 24, 8), "b": clip(64, 64, 27, 8)})
