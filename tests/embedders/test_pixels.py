"""What pixels say beside the meaning: bars, black and frozen ends, repeats, stills, flicker."""

from __future__ import annotations

from pathlib import Path

import harness
import numpy as np
import pytest

import spf
from spf.embedders import load_embedder
from spf.measurement import Measurement, measure_clip
from spf.progress.metrics import FLICKER, NO_CHANGE, unranked_reason
from spf.video.pixels import Bars, repeated
from synthetic.clips import content

EMBEDDERS = ["histogram", "pixels", "tiny", pytest.param("efficientnet", marks=pytest.mark.slow)]


def morph(places: np.ndarray, size: tuple[int, int] = (96, 128)) -> list[np.ndarray]:
    paint = content("astronaut-coffee-warp").painter(size, 0, 0)
    return [paint(float(p)) for p in places]


def even(count: int = 48) -> list[np.ndarray]:
    return morph(np.linspace(0, 1, count))


def measured(
    path: Path, frames: list[np.ndarray], rate: int = 24, name: str = "tiny"
) -> Measurement:
    return measure_clip(harness.save(path / "clip.mp4", frames, rate), load_embedder(name))


def boxed(frames: list[np.ndarray], top: int, bottom: int, side: int = 0) -> list[np.ndarray]:
    return [np.pad(x, ((top, bottom), (side, side), (0, 0))) for x in frames]


# Black bars


@pytest.mark.parametrize("bars", [(20, 20, 0), (16, 16, 16)])
def test_bars_are_left_out_and_noted(tmp_path: Path, bars: tuple[int, int, int]) -> None:
    (tmp_path / "a").mkdir()
    plain = spf.score(measured(tmp_path / "a", even()).curve)["linearity_mae"]
    found = measured(tmp_path, boxed(even(), *bars))
    assert spf.score(found.curve)["linearity_mae"] == pytest.approx(plain, abs=0.005)
    assert "black bars are left out" in found.embeddings.notes[0]


def test_cropping_is_exact() -> None:
    bars, picture = Bars(), np.full((60, 80, 3), 90, np.uint8)
    frame = np.pad(picture, ((10, 10), (0, 0), (0, 0)))
    assert bars.crop(np.zeros_like(frame)).shape == frame.shape  # black says nothing yet
    np.testing.assert_array_equal(bars.crop(frame), picture)


def test_a_subtitle_in_the_bars_keeps_them(tmp_path: Path) -> None:
    frames = boxed(even(), 20, 20)
    for frame in frames[30:]:
        frame[6:12, 40:80] = 255
    found = measured(tmp_path, frames)
    assert found.embeddings.notes == []
    assert len(found.curve) == found.thumbnails.seen == 48
    sampling = spf.Sampling(crop_bars=False)
    same = measure_clip(tmp_path / "clip.mp4", load_embedder("tiny"), sampling=sampling)
    np.testing.assert_array_equal(found.embeddings.vectors, same.embeddings.vectors)


# Beginnings, ends and repeats


def test_black_and_frozen_ends_are_noted(tmp_path: Path) -> None:
    black = [np.zeros((96, 128, 3), np.uint8)] * 12
    notes = measured(tmp_path, [*black, *even()]).embeddings.notes
    assert notes == ["black beginning: 0.50 s"]
    (note,) = measured(tmp_path, [*black[:1], *even()]).embeddings.notes
    assert note.startswith("black beginning")
    frames = even()
    notes = measured(tmp_path, [*frames, *frames[-1:] * 24]).embeddings.notes
    assert notes == ["frozen end: 1.00 s"]


def test_standstills_and_single_repeats_are_no_rhythm() -> None:
    changes = np.full(100, 5.0)
    changes[0] = 0
    assert not repeated(changes).any()
    changes[[20, 33, 71]] = 0.1  # dropped frames
    changes[40:60] = 0.0  # a standstill
    assert not repeated(changes).any()
    assert not repeated(np.zeros(1)).any()


# Stills and flicker


@pytest.mark.parametrize("name", EMBEDDERS)
def test_slow_real_change_is_still_seen(tmp_path: Path, name: str) -> None:
    found = measured(tmp_path, morph(np.linspace(0.4, 0.5, 60)), name=name)
    assert unranked_reason(found.curve) is None


@pytest.mark.parametrize("hold", [1, 2, 3])
def test_a_strobe_flickers(hold: int) -> None:
    one, other = np.eye(64)[[0, 1]]
    z = np.array([one if (k // hold) % 2 else other for k in range(60)])
    assert unranked_reason(spf.fit(z)) == FLICKER


def test_flicker_grows_with_its_strength_and_even_change_has_none() -> None:
    """A path through an arc with white noise of a known size about it."""
    random = np.random.default_rng(3)
    u = np.linspace(0, 1.2, 81)
    arc = np.zeros((81, 256))
    arc[:, 0], arc[:, 1] = np.cos(u), np.sin(u)
    noise = random.standard_normal((81, 256)) / 16
    shares = [spf.fit(arc + size * noise).noise_share for size in (0.0, 0.05, 0.2, 0.8)]
    assert shares == sorted(shares)
    assert shares[0] < 0.05
    assert shares[-1] > 0.6
    loud = spf.fit(arc + 0.8 * noise)
    assert unranked_reason(loud) in (FLICKER, NO_CHANGE)
    assert np.isfinite(spf.score(loud)["noise_share"])
