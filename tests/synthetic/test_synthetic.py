"""Synthetic clips: determinism, exact end frames, content apart from motion, bad input."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from spf.embedders.histogram import Histogram
from spf.errors import ConfigError
from synthetic.clips import (
    COLOUR_KEEPING,
    FIRST_HELD_OUT_SEED,
    Still,
    SyntheticClip,
    Zoomed,
    content,
)
from synthetic.laws import law
from synthetic.photographs import PAIRS, PhotographPair, photograph, recoloured, render

SIZE = (48, 64)
PHOTOGRAPHS = PhotographPair("astronaut", "coffee", "warp")


def stack(clip):
    return np.stack(list(clip.frames()))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_ends_of_a_morph_are_the_photographs(pair):
    first, middle, last = render(pair, [0.0, 0.5, 1.0], SIZE, seed=3)
    ends = photograph(pair.first, SIZE), photograph(pair.second, SIZE)
    np.testing.assert_array_equal(first, ends[0])
    expected = recoloured(ends[1], ends[0]) if pair.morph == "patches" else ends[1]
    np.testing.assert_array_equal(last, expected)
    assert np.abs(middle.astype(int) - first).mean() > 1
    assert np.abs(middle.astype(int) - last).mean() > 1


def test_recoloured_picture_has_the_other_s_colours_and_its_own_content():
    image, colours = photograph("motorcycle", SIZE), photograph("cat", SIZE)
    made = recoloured(image, colours)

    def palette(picture):
        return np.sort(picture.reshape(-1, 3).astype(int) @ (65536, 256, 1))

    np.testing.assert_array_equal(palette(made), palette(colours))
    tones, wanted = (picture.sum(axis=2, dtype=int).ravel() for picture in (made, image))
    assert spearmanr(tones, wanted).statistic > 0.98
    # A picture in its own colours is itself, up to the order of equal tones.
    np.testing.assert_array_equal(recoloured(image, image), image)


def test_patches_go_over_pixel_by_pixel_and_evenly():
    pair = PhotographPair("cat", "motorcycle", "patches")
    first, middle, later, last = render(pair, [0.0, 0.5, 0.7, 1.0], SIZE, seed=2)
    gone = (middle == last).all(axis=2)
    assert gone.mean() == pytest.approx(0.5, abs=0.05)
    assert ((middle == first).all(axis=2) | gone).mean() > 0.95
    assert (later == last).all(axis=2)[gone].mean() == 1.0
    other = next(render(pair, [0.5], SIZE, seed=3))
    assert np.abs(middle.astype(int) - other).mean() > 1


def colour_change(item):
    """Largest Bhattacharyya angle, radians, of the colour histograms along p from those at 0."""
    control = Histogram()
    paint = item.painter((128, 128), seed=FIRST_HELD_OUT_SEED)
    roots = [
        np.sqrt(control._colour(control.prepare(paint(p)))) for p in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    return max(2 * np.arcsin(np.linalg.norm(root - roots[0]) / 2) for root in roots)


@pytest.mark.parametrize("name", COLOUR_KEEPING)
def test_colour_keeping_contents_keep_their_colours_and_change(name):
    assert colour_change(content(name)) < 0.1
    paint = content(name).painter((128, 128), seed=FIRST_HELD_OUT_SEED)
    assert np.abs(paint(0.0).astype(int) - paint(1.0)).mean() > 5


def test_held_out_photographs_are_in_no_other_pair():
    shown = {name for pair in PAIRS if not pair.held_out for name in (pair.first, pair.second)}
    hidden = {name for pair in PAIRS if pair.held_out for name in (pair.first, pair.second)}
    assert shown
    assert hidden
    assert not shown & hidden


def test_truth_is_the_law_at_the_frames_times():
    clip = SyntheticClip(PHOTOGRAPHS, law("ease_in"), num_frames=5, fps=2.0)
    np.testing.assert_allclose(clip.times, [0.0, 0.5, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(clip.truth(), [0.0, 1 / 16, 1 / 4, 9 / 16, 1.0])


def test_variable_frame_rate_keeps_length_and_law():
    clip = SyntheticClip(PHOTOGRAPHS, law("ease_in"), num_frames=50, timing="variable", seed=2)
    steps = np.diff(clip.times)
    assert clip.times[-1] == pytest.approx(49 / 16)
    assert steps.min() > 0
    assert steps.max() / steps.min() > 1.5
    assert clip.shares[0] == 0.0
    assert clip.shares[-1] == 1.0
    np.testing.assert_allclose(clip.truth(), (clip.times / clip.times[-1]) ** 2)


def test_frames_show_the_truth():
    clip = SyntheticClip(PHOTOGRAPHS, law("sigmoid_jump"), num_frames=9, size=SIZE, seed=4)
    expected = np.stack(list(render(PHOTOGRAPHS, clip.truth(), SIZE, seed=4)))
    np.testing.assert_array_equal(stack(clip), expected)


def test_a_held_clip_shows_one_picture_and_its_truth_is_zero():
    clip = SyntheticClip(Still(PHOTOGRAPHS, 0.25), law("ease_in"), num_frames=4, size=SIZE)
    frames = stack(clip)
    np.testing.assert_array_equal(frames, np.broadcast_to(frames[0], frames.shape))
    np.testing.assert_array_equal(frames[0], next(render(PHOTOGRAPHS, [0.25], SIZE)))
    np.testing.assert_array_equal(clip.truth(), np.zeros(4))


def test_a_zoom_ends_at_the_middle_of_its_picture():
    clip = SyntheticClip(Zoomed(PHOTOGRAPHS, 0.0), law("ease_in"), num_frames=4, size=SIZE)
    first, *_, last = stack(clip).astype(int)
    large = photograph("astronaut", (4 * SIZE[0], 4 * SIZE[1])).astype(int)
    whole = large.reshape(SIZE[0], 4, SIZE[1], 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(first, whole, atol=1)
    middle = large[72:120, 96:160]  # of 192 x 256
    assert np.abs(last - middle).mean() < 0.25 * np.abs(last - first).mean()
    np.testing.assert_array_equal(clip.truth(), law("ease_in").g(clip.shares))


def test_identity_tells_clips_apart():
    clip = SyntheticClip(PHOTOGRAPHS)
    others = [
        replace(clip, content=PhotographPair("astronaut", "coffee")),
        replace(clip, content=Still(PHOTOGRAPHS)),
        replace(clip, content=Zoomed(PHOTOGRAPHS)),
        replace(clip, law=law("sine")),
        replace(clip, num_frames=80),
        replace(clip, size=(64, 128)),
        replace(clip, seed=1),
        replace(clip, fps=8.0),
        replace(clip, timing="variable"),
    ]
    assert clip.identity() == SyntheticClip(PHOTOGRAPHS).identity()
    assert all(other.identity() != clip.identity() for other in others)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SyntheticClip(PHOTOGRAPHS, num_frames=1), "has no pacing"),
        (lambda: SyntheticClip(PHOTOGRAPHS, size=(1, 1)), "too small for a picture"),
        (lambda: SyntheticClip(PHOTOGRAPHS, fps=0.0), "fps=0.0"),
        (lambda: SyntheticClip(PHOTOGRAPHS, timing="varying"), "did you mean variable"),
        (lambda: PhotographPair("astronaut", "cofee"), "did you mean coffee"),
        (lambda: PhotographPair("cat", "moon", "wrap"), "did you mean warp"),
    ],
)
def test_bad_input_is_one_clear_line(make, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
