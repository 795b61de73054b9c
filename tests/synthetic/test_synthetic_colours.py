"""Colours that lie: matched between photographs, drifting with the light, another background."""

from dataclasses import replace

import numpy as np
import pytest
from skimage.exposure import match_histograms

from spf.embedders.histogram import Histogram
from synthetic.backgrounds import EDGE, RADIUS
from synthetic.clips import FIRST_HELD_OUT_SEED, Still, SyntheticClip, content
from synthetic.colours import DRIFTS, RGB, midway, transfer_to
from synthetic.motion import Motion, motion, phase
from synthetic.photographs import HELD_OUT, RING, photograph

SIZE = (48, 64)
CAT, MOTORCYCLE = (photograph(name, SIZE) for name in ("cat", "motorcycle"))
over_pairs = pytest.mark.parametrize("place", range(len(HELD_OUT)))


def stack(clip):
    return np.stack(list(clip.frames()))


# The transfer


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


# Photographs in matched colours


def colour_way(item):
    """Largest Bhattacharyya angle, radians, of the colour histograms along p from those at 0."""
    control = Histogram()
    paint = item.painter((128, 128), seed=FIRST_HELD_OUT_SEED)
    roots = [np.sqrt(control._colour(control.prepare(paint(p)))) for p in np.linspace(0, 1, 9)]
    return max(2 * np.arcsin(np.linalg.norm(root - roots[0]) / 2) for root in roots)


@over_pairs
def test_colours_hardly_change_where_they_are_matched(place):
    own, matched = RING["warp"][place], RING["matched"][place]
    assert (own.first, own.second) == (matched.first, matched.second)
    assert colour_way(matched) < 0.3 * colour_way(own)
    paint = matched.painter((128, 128))
    assert np.abs(paint(0.0).astype(int) - paint(1.0)).mean() > 20


@over_pairs
def test_every_mix_has_the_colours_half_way(place):
    pair = RING["matched"][place]
    ends = (photograph(name, SIZE) for name in (pair.first, pair.second))
    wanted = np.sort(midway(*ends), axis=0)
    paint = pair.painter(SIZE, seed=2)
    for p in (0.0, 0.4, 1.0):
        found = np.sort(paint(p).reshape(-1, 3).astype(float), axis=0)
        assert np.abs(found - wanted).mean() < 3  # equal colours of a photograph stay equal


def test_the_ring_is_closed_and_held_out():
    for pairs in RING.values():
        assert sorted(pair.first for pair in pairs) == sorted(pair.second for pair in pairs)
        assert {pair.first for pair in pairs} == set(HELD_OUT)
        assert all(pair.held_out and content(pair.name) == pair for pair in pairs)


# Drifts


def seen_through(kind, strength, item):
    still = SyntheticClip(Still(content(item)), num_frames=9, size=SIZE, seed=3)
    return still, replace(still, motion=motion(kind, strength))


@pytest.mark.parametrize("kind", [*DRIFTS, "+".join(DRIFTS), "background"])
@pytest.mark.parametrize("item", ["cat-motorcycle-matched", "shape-circle-star"])
def test_without_strength_not_a_bit_changes(kind, item):
    clip = SyntheticClip(content(item), num_frames=4, size=SIZE, seed=3)
    nothing = replace(clip, motion=Motion(tuple(kind.split("+")), 0.0))
    np.testing.assert_array_equal(stack(nothing), stack(clip))


@pytest.mark.parametrize("strength", [0.1, 0.3])
@pytest.mark.parametrize(
    ("kind", "moved"), [("exposure", (1, 1, 1)), ("white_balance", (1, 0, -1))]
)
def test_levels_go_from_one_end_to_the_other(kind, moved, strength):
    """All channels alike, or red against blue."""
    still, clip = seen_through(kind, strength, "moon-tissue-dissolve")
    levels = stack(clip).mean(axis=(1, 2)) / stack(still)[0].mean(axis=(0, 1))
    gone = strength * (2 * phase(clip.motion, clip) - 1)
    wanted = gone if levels[-1, 0] > 1 else -gone
    np.testing.assert_allclose(levels, 1 + np.outer(wanted, moved), atol=0.01)


@pytest.mark.parametrize("strength", [0.1, 0.3])
def test_the_hue_turns_as_a_complex_number_does(strength):
    """With w the third root of 1, R + G w + B w^2 turns by the angle, and R + G + B stays."""
    still, clip = seen_through("hue", strength, "moon-tissue-dissolve")
    roots = np.exp(2j * np.pi * np.arange(3) / 3)
    means, own = stack(clip).mean(axis=(1, 2)), stack(still)[0].mean(axis=(0, 1))
    turned = np.angle((means @ roots) / (own @ roots)) / np.pi
    gone = 2 * phase(clip.motion, clip) - 1
    up = turned[-1] > 0
    np.testing.assert_allclose(turned, strength * (gone if up else -gone), atol=0.02)
    np.testing.assert_allclose(means.mean(axis=1), own.mean(), rtol=0.01)


def test_a_drift_is_smooth_and_knows_no_pacing():
    drifts = motion("+".join(DRIFTS), 0.3)
    clip = SyntheticClip(
        Still(content("moon-tissue-dissolve")), motion=drifts, num_frames=60, size=SIZE, seed=3
    )
    means = stack(clip).mean(axis=(1, 2))
    steps = np.linalg.norm(np.diff(means, axis=0), axis=1)
    assert steps.max() < 4 * steps.mean()
    other = replace(clip, content=content("moon-tissue-dissolve"))
    for pacing in ("linear", "staircase"):
        paced = replace(other, law=replace(other.law, name=pacing))
        np.testing.assert_array_equal(phase(drifts, paced), phase(drifts, clip))


# Another background


def test_a_thing_stays_whole_before_another_background():
    still, clip = seen_through("background", 0.3, "cat-motorcycle-matched")
    frames, own = stack(clip).astype(int), stack(still)[0].astype(int)
    y, x = np.indices(SIZE)
    away = np.hypot(x - SIZE[1] / 2 + 0.5, y - SIZE[0] / 2 + 0.5) / min(SIZE)
    thing = away < RADIUS - EDGE / 2
    assert np.abs(frames - own)[:, thing].max() <= 1
    behind = away > RADIUS + EDGE / 2
    others = [photograph(name, SIZE) for name in HELD_OUT if name not in ("cat", "motorcycle")]
    mixed = [0.4 * own + 0.6 * other for other in others]
    nearest = min(np.abs(frames[-1] - one)[behind].max() for one in mixed)
    assert nearest <= 1
