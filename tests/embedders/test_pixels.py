"""What pixels say beside the meaning: bars, black and frozen ends, repeats, stills, flicker."""

import harness
import numpy as np
import pytest

import spf
from spf.embedders import load_embedder
from spf.measurement import measure_clip
from spf.progress.metrics import unranked_reason
from spf.video.pixels import repeated
from synthetic.clips import content


def morph(first=0, last=1, count=48):
    paint = content("astronaut-coffee-warp").painter((96, 128), 0, 0)
    return [paint(float(p)) for p in np.linspace(first, last, count)]


def measured(path, frames, name="tiny"):
    return measure_clip(harness.save(path / "clip.mp4", frames, 24), load_embedder(name))


def boxed(top, bottom, side=0):
    return [np.pad(x, ((top, bottom), (side, side), (0, 0))) for x in morph()]


@pytest.mark.parametrize("bars", [(20, 20, 0), (16, 16, 16)])
def test_bars_are_left_out_and_noted(tmp_path, bars):
    plain = spf.score(measured(tmp_path, morph()).curve)["linearity_mae"]
    found = measured(tmp_path, boxed(*bars))
    assert spf.score(found.curve)["linearity_mae"] == pytest.approx(plain, abs=0.005)
    assert "black bars are left out" in found.embeddings.notes[0]


def test_a_subtitle_in_the_bars_keeps_them(tmp_path):
    frames = boxed(20, 20)
    for frame in frames[30:]:
        frame[6:12, 40:80] = 255
    found = measured(tmp_path, frames)
    assert found.embeddings.notes == []
    assert len(found.curve) == found.thumbnails.seen == 48
    sampling = spf.Sampling(crop_bars=False)
    same = measure_clip(tmp_path / "clip.mp4", load_embedder("tiny"), sampling=sampling)
    np.testing.assert_array_equal(found.embeddings.vectors, same.embeddings.vectors)


@pytest.mark.parametrize(("before", "after", "note"), [
    (12, 0, "black beginning: 0.50 s"), (1, 0, "black beginning"), (0, 24, "frozen end: 1.00 s"),
])  # fmt: skip
def test_black_and_frozen_ends_are_noted(tmp_path, before, after, note):
    frames = morph()
    frames = [np.zeros_like(frames[0])] * before + frames + frames[-1:] * after
    (found,) = measured(tmp_path, frames, "pixels").embeddings.notes
    assert found.startswith(note)


def test_standstills_and_single_repeats_are_no_rhythm():
    changes = np.full(100, 5.0)
    changes[0] = 0
    assert not repeated(changes).any()
    changes[[20, 33, 71]] = 0.1  # dropped frames
    changes[40:60] = 0.0  # a standstill
    assert not repeated(changes).any()
    assert not repeated(np.zeros(1)).any()


@pytest.mark.parametrize(
    "name", ["histogram", "pixels", "tiny", pytest.param("efficientnet", marks=pytest.mark.slow)]
)
def test_slow_real_change_is_still_seen(tmp_path, name):
    found = measured(tmp_path, morph(0.4, 0.5, 60), name)
    assert unranked_reason(found.curve) is None


def test_flicker_grows_with_its_strength():
    u = np.linspace(0, 1.2, 81)
    arc = np.pad(np.stack([np.cos(u), np.sin(u)], axis=1), [(0, 0), (0, 254)])
    noise = np.random.default_rng(3).standard_normal((81, 256)) / 16
    shares = [spf.fit(arc + size * noise).noise_share for size in (0.0, 0.05, 0.2, 0.8)]
    assert shares == sorted(shares)
    assert shares[0] < 0.05 < 0.6 < shares[-1]
