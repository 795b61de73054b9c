"""Views of frames as a moved camera has them; bars, black and frozen ends, repeats, flicker."""

import harness
import numpy as np
import pytest
from clips import refused

import spf
from spf.embedders import embed_clip, load_embedder
from spf.embedders.pixels import Pixels
from spf.embedders.views import CAMERA, FRAMES, HELD, LIGHT, NUISANCES, Sample, View
from spf.measurement import measure_clip
from spf.progress.metrics import unranked_reason
from synthetic.clips import content


class Counting(Pixels):
    seen = 0

    def encode(self, batch: np.ndarray) -> np.ndarray:
        self.seen += len(batch)
        return super().encode(batch)


def sampled(images):
    sample = Sample()
    for image in images:
        sample.add(image)
    return sample


def plain(count):
    """Frames (count, 4, 4, 3), each of its own colour."""
    colours = np.random.default_rng(0).integers(0, 256, (count, 1, 1, 3), dtype=np.uint8)
    return np.broadcast_to(colours, (count, 4, 4, 3))


def test_views_show_what_a_moved_camera_would():
    image = np.random.default_rng(0).integers(0, 200, (40, 80, 3), dtype=np.uint8)
    assert View().of(image) is image
    right, down = View(right=0.1).of(image), View(down=0.25).of(image)
    np.testing.assert_array_equal(right[:, 8:], image[:, :-8])
    np.testing.assert_array_equal(down[10:], image[:-10])
    np.testing.assert_array_equal(right[:, 7::-1], image[:, 1:9], "the mirror image outside")
    square = image[:, :40]
    np.testing.assert_array_equal(View(turn=90).of(square), np.rot90(square))
    grown = View(zoom=3.0).of(image[:39, :39])
    np.testing.assert_array_equal(grown[1::3, 1::3], image[13:26, 13:26])
    np.testing.assert_array_equal(View(light=1.2).of(image), np.rint(image * 1.2))
    assert View(light=9.0).of(image).max() == 255


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3), (3, 40000)])
def test_no_frame_is_too_small_or_too_long(shape):
    ((_, image),) = sampled([np.full((*shape, 3), 90, np.uint8)]).chosen()
    for view in CAMERA + LIGHT:
        assert view.of(image).shape == image.shape


@pytest.mark.parametrize("length", [1, 2, 8, 9, 10, 17, 18, 40, 299, 3000])
def test_nine_frames_at_even_distances_whatever_the_length(length):
    sample = sampled(np.full((1, 1, 3), index % 256, np.uint8) for index in range(length))
    assert len(sample.images) < 2 * FRAMES
    found = [index for index, _ in sample.chosen()]
    assert [int(image[0, 0, 0]) for _, image in sample.chosen()] == [x % 256 for x in found]
    assert len(found) == min(length, FRAMES)
    assert found[0] == 0
    assert length - 1 - found[-1] <= length / FRAMES
    gaps = np.diff(found)
    assert len(gaps) == 0 or gaps.max() <= 2 * gaps.min()


@pytest.mark.parametrize(("length", "most"), [(300, 1.3), (3000, 1.05)])
def test_what_views_cost_and_that_they_change_no_frame(length, most):
    embedder, shown = Counting(), []
    without = embed_clip(plain(length), embedder)
    assert (embedder.seen, without.differences.size) == (length, 0)
    note = lambda _, time: shown.append(time)  # noqa: E731
    found = embed_clip(plain(length), embedder, nuisance="camera+light", on_frame=note)
    assert embedder.seen - length <= most * length
    assert len(shown) == length
    np.testing.assert_array_equal(found.vectors, without.vectors)
    assert found.differences.shape == (FRAMES, 10, found.vectors.shape[1])


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("nuisance", NUISANCES)
def test_differences_are_those_of_each_view(nuisance, batch_size):
    frames = np.stack(harness.steady(20))
    found = embed_clip(frames, load_embedder("histogram"), batch_size, nuisance=nuisance)
    vectors, views = spf.embed(frames, "histogram"), NUISANCES[nuisance]
    wanted = [
        spf.embed(np.stack([view.of(image) for view in views]), "histogram") - vectors[index]
        for index, image in sampled(frames).chosen()
        if views
    ]
    np.testing.assert_allclose(found.differences.ravel(), np.ravel(wanted), atol=1e-6)


def test_large_frames_are_compared_at_the_size_at_which_they_are_held():
    side, embedder = int(HELD**0.5) + 200, Counting()
    frames = [(np.full((side, side, 3), level, np.uint8), level / 100) for level in (50, 150)]
    found = embed_clip(iter(frames), embedder, nuisance="camera")
    assert embedder.seen == 2 + 2 * (1 + len(CAMERA))
    assert found.differences == pytest.approx(0.0, abs=1e-6), "flat frames look the same"


def test_what_does_not_react_keeps_its_curve_and_unknown_names_are_refused():
    """Flat colours look the same to every camera: the plain curve, bit for bit."""
    curve, usual = (spf.measure(plain(12), "pixels", nuisance=x) for x in ("camera", "none"))
    np.testing.assert_array_equal(curve.progress, usual.progress)
    with refused("'camra'.*did you mean camera"):
        spf.measure("no such clip.mp4", "pixels", nuisance="camra")


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
