from dataclasses import replace

import numpy as np
import pytest
from rendered import SIZE, difference, stack
from scipy.stats import spearmanr
from skimage.exposure import match_histograms

from spf.embedders.histogram import Histogram
from synthetic.clips import COLOUR_KEEPING, FIRST_HELD_OUT_SEED, Still, SyntheticClip, content
from synthetic.colours import DRIFTS, RGB, midway, transfer_to
from synthetic.motion import EDGE, RADIUS, Motion, motion, phase
from synthetic.photographs import HELD_OUT, PAIRS, RING, PhotographPair, photograph, recoloured

CAT, MOTORCYCLE = (photograph(name, SIZE) for name in ("cat", "motorcycle"))


def colour_change(paint, count):
    """Largest Bhattacharyya angle, radians, of the colour histograms along p from those at 0."""
    control = Histogram()
    pictures = [paint(p) for p in np.linspace(0, 1, count)]
    roots = [np.sqrt(control._colour(control.prepare(picture))) for picture in pictures]
    return max(2 * np.arcsin(np.linalg.norm(root - roots[0]) / 2) for root in roots)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_ends_of_a_morph_are_the_photographs(pair):
    first, middle, last = map(pair.painter(SIZE, seed=3), (0.0, 0.5, 1.0))
    ends = photograph(pair.first, SIZE), photograph(pair.second, SIZE)
    np.testing.assert_array_equal(first, ends[0])
    expected = recoloured(ends[1], ends[0]) if pair.morph == "patches" else ends[1]
    np.testing.assert_array_equal(last, expected)
    assert min(difference(middle, first), difference(middle, last)) > 1


def test_recoloured_picture_has_the_other_s_colours_and_its_own_content():
    made = recoloured(MOTORCYCLE, CAT)
    palettes = [
        np.sort(picture.reshape(-1, 3).astype(int) @ (65536, 256, 1)) for picture in (made, CAT)
    ]
    np.testing.assert_array_equal(*palettes)
    tones, wanted = (picture.sum(axis=2, dtype=int).ravel() for picture in (made, MOTORCYCLE))
    assert spearmanr(tones, wanted).statistic > 0.98
    # A picture in its own colours is itself, up to the order of equal tones.
    np.testing.assert_array_equal(recoloured(MOTORCYCLE, MOTORCYCLE), MOTORCYCLE)


def test_patches_go_over_pixel_by_pixel_and_evenly():
    pair = PhotographPair("cat", "motorcycle", "patches")
    first, middle, later, last = map(pair.painter(SIZE, seed=2), (0.0, 0.5, 0.7, 1.0))
    gone = (middle == last).all(axis=2)
    assert gone.mean() == pytest.approx(0.5, abs=0.05)
    assert ((middle == first).all(axis=2) | gone).mean() > 0.95
    assert (later == last).all(axis=2)[gone].mean() == 1.0
    assert difference(middle, pair.painter(SIZE, seed=3)(0.5)) > 1


@pytest.mark.parametrize("name", COLOUR_KEEPING)
def test_colour_keeping_contents_keep_their_colours_and_change(name):
    paint = content(name).painter((128, 128), seed=FIRST_HELD_OUT_SEED)
    assert colour_change(paint, 5) < 0.1
    assert difference(paint(0.0), paint(1.0)) > 5


@pytest.mark.parametrize(("picture", "wanted"), [(CAT, MOTORCYCLE), (MOTORCYCLE, CAT)])
def test_the_transfer_along_one_axis_is_scikit_image_s(picture, wanted):
    made = transfer_to(wanted.reshape(-1, 3), passes=(RGB,))(picture)
    expected = match_histograms(picture.astype(float), wanted.astype(float), channel_axis=-1)
    np.testing.assert_allclose(made, expected, atol=1e-3)


def test_the_whole_transfer_sees_what_one_axis_at_a_time_cannot():
    """Channels of one distribution, red and green alike in one picture, apart in another."""
    random = np.random.default_rng(0)
    together = np.array([[0, 280, 0], [280, 0, 0], [0, 0, 0]])
    alike, apart = (
        random.multivariate_normal([128] * 3, 400 * np.eye(3) + sign * together, (64, 64))
        for sign in (1, -1)
    )
    one, whole = (
        transfer_to(apart.reshape(-1, 3), *passes)(alike)[..., :2].reshape(-1, 2)
        for passes in ([(RGB,)], [])
    )
    assert np.corrcoef(one.T)[0, 1] == pytest.approx(0.7, abs=0.05)
    assert np.corrcoef(whole.T)[0, 1] < 0.3


@pytest.mark.parametrize("place", range(len(HELD_OUT)))
def test_colours_hardly_change_where_they_are_matched(place):
    own, matched = RING["warp"][place], RING["matched"][place]
    assert (own.first, own.second) == (matched.first, matched.second)
    assert all(pair.held_out and content(pair.name) == pair for pair in (own, matched))
    paints = [pair.painter((128, 128), seed=FIRST_HELD_OUT_SEED) for pair in (own, matched)]
    changes = [colour_change(paint, 5) for paint in paints]
    assert changes[1] < 0.3 * changes[0]
    assert difference(paints[1](0.0), paints[1](1.0)) > 20
    # Every mix has the colours half way.
    wanted = np.sort(midway(*(photograph(name, SIZE) for name in (own.first, own.second))), axis=0)
    paint = matched.painter(SIZE, seed=2)
    for p in (0.0, 0.4, 1.0):
        found = np.sort(paint(p).reshape(-1, 3).astype(float), axis=0)
        assert np.abs(found - wanted).mean() < 3  # equal colours of a photograph stay equal


def seen_through(kind, strength, item="moon-tissue-dissolve"):
    """A still picture, the frames of it under a drift, and how far the drift has gone (-1 to 1)."""
    still = SyntheticClip(Still(content(item)), num_frames=9, size=SIZE, seed=3)
    clip = replace(still, motion=motion(kind, strength))
    return stack(still)[0], stack(clip), 2 * phase(clip.motion, clip) - 1


@pytest.mark.parametrize("kind", [*DRIFTS, "+".join(DRIFTS), "background"])
def test_without_strength_not_a_bit_changes(kind):
    for item in ("cat-motorcycle-matched", "shape-circle-star"):
        clip = SyntheticClip(content(item), num_frames=3, size=SIZE, seed=3)
        nothing = replace(clip, motion=Motion(tuple(kind.split("+")), 0.0))
        np.testing.assert_array_equal(stack(nothing), stack(clip))


@pytest.mark.parametrize("strength", [0.1, 0.3])
def test_drifts_go_from_one_end_to_the_other(strength):
    """All channels alike, or red against blue; or the hue turns, as a complex number does."""
    for kind, moved in (("exposure", (1, 1, 1)), ("white_balance", (1, 0, -1))):
        own, frames, gone = seen_through(kind, strength)
        levels = frames.mean(axis=(1, 2)) / own.mean(axis=(0, 1))
        wanted = strength * gone * (1 if levels[-1, 0] > 1 else -1)
        np.testing.assert_allclose(levels, 1 + np.outer(wanted, moved), atol=0.01)
    # With w the third root of 1, R + G w + B w^2 turns by the angle, and R + G + B stays.
    own, frames, gone = seen_through("hue", strength)
    roots = np.exp(2j * np.pi * np.arange(3) / 3)
    means, mean = frames.mean(axis=(1, 2)), own.mean(axis=(0, 1))
    turned = np.angle((means @ roots) / (mean @ roots)) / np.pi
    np.testing.assert_allclose(turned, strength * gone * np.sign(turned[-1]), atol=0.02)
    np.testing.assert_allclose(means.mean(axis=1), own.mean(), rtol=0.01)


def test_a_thing_stays_whole_before_another_background():
    own, frames, _ = seen_through("background", 0.3, "cat-motorcycle-matched")
    own, frames = own.astype(int), frames.astype(int)
    y, x = np.indices(SIZE)
    away = np.hypot(x - SIZE[1] / 2 + 0.5, y - SIZE[0] / 2 + 0.5) / min(SIZE)
    assert np.abs(frames - own)[:, away < RADIUS - EDGE / 2].max() <= 1
    others = [photograph(name, SIZE) for name in HELD_OUT if name not in ("cat", "motorcycle")]
    behind = away > RADIUS + EDGE / 2
    apart = [np.abs(frames[-1] - 0.4 * own - 0.6 * other)[behind].max() for other in others]
    assert min(apart) <= 1
