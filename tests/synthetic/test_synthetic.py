import itertools
from dataclasses import replace

import numpy as np
import pytest
from clips import refused
from rendered import SIZE, difference, stack

from synthetic.clips import Still, SyntheticClip, Zoomed, content
from synthetic.laws import law
from synthetic.motion import motion
from synthetic.photographs import PAIRS, PhotographPair, photograph
from synthetic.scenes import KINDS, SCENES, Scene
from synthetic.shapes import HELD_OUT_SHAPES, SHAPES, contour, morph


def words(items, held_out, kind=""):
    chosen = [x for x in items if x.held_out == held_out and getattr(x, "kind", kind) == kind]
    return {name for item in chosen for name in (item.first, item.second)}


PHOTOGRAPHS = PhotographPair("astronaut", "coffee", "warp")
CLIP = SyntheticClip(PHOTOGRAPHS, law("ease_in"), num_frames=4, size=SIZE)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_scene_is_deterministic_and_changes_with_p_and_seed(scene):
    paint = scene.painter(SIZE, seed=1)
    pictures = [paint(p) for p in np.linspace(0.0, 1.0, 33)]
    start, middle, end = pictures[::16]
    assert start.shape == (*SIZE, 3)
    assert start.dtype == np.uint8
    assert min(difference(start, middle), difference(middle, end), difference(start, end)) > 0.3
    np.testing.assert_array_equal(paint(0.5), middle)
    # None but objects that appear one by one may jump, and these only by one object's edge.
    steps = [difference(*pair) for pair in itertools.pairwise(pictures)]
    assert max(steps) < 8 * np.mean(steps)
    canvas = scene.painter(SIZE, 11, seed=1)(0.5)
    assert canvas.shape == (SIZE[0] + 22, SIZE[1] + 22, 3)
    np.testing.assert_array_equal(canvas[11:-11, 11:-11], middle)
    assert difference(scene.painter(SIZE, seed=2)(0.5), middle) > 1


def test_what_is_held_out_is_shown_nowhere_else():
    for items, *kind in (*((SCENES, kind) for kind in KINDS), (PAIRS,)):
        shown, hidden = (words(items, held_out, *kind) for held_out in (False, True))
        assert shown
        assert hidden
        assert not shown & hidden
    assert not words(SCENES, False, "shape") & set(HELD_OUT_SHAPES)


def test_contours_have_the_area_of_the_unit_circle():
    for name in SHAPES:
        x, y = contour(name).T
        area = 0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)
        assert area == pytest.approx(np.pi)
        np.testing.assert_allclose(morph(name, "circle", 0.0), contour(name), atol=1e-9)


def test_truth_is_the_law_at_the_frames_times():
    clip = replace(CLIP, num_frames=5, fps=2.0)
    np.testing.assert_allclose(clip.times, [0.0, 0.5, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(clip.truth(), [0.0, 1 / 16, 1 / 4, 9 / 16, 1.0])
    expected = np.stack([PHOTOGRAPHS.painter(SIZE)(p) for p in clip.truth()])
    np.testing.assert_array_equal(stack(clip), expected)
    clip = replace(CLIP, num_frames=50, timing="variable", seed=2)
    steps = np.diff(clip.times)
    assert clip.times[-1] == pytest.approx(49 / 16)
    assert 0 < 1.5 * steps.min() < steps.max()
    assert (clip.shares[0], clip.shares[-1]) == (0.0, 1.0)
    np.testing.assert_allclose(clip.truth(), (clip.times / clip.times[-1]) ** 2)


def test_a_held_clip_shows_one_picture_and_a_zoom_ends_at_its_middle():
    clip = replace(CLIP, content=Still(PHOTOGRAPHS, 0.25))
    picture = PHOTOGRAPHS.painter(SIZE)(0.25)
    np.testing.assert_array_equal(stack(clip), np.broadcast_to(picture, (4, *picture.shape)))
    np.testing.assert_array_equal(clip.truth(), np.zeros(4))
    clip = replace(CLIP, content=Zoomed(PHOTOGRAPHS, 0.0))
    first, *_, last = stack(clip).astype(int)
    large = photograph("astronaut", (4 * SIZE[0], 4 * SIZE[1])).astype(int)
    whole = large.reshape(SIZE[0], 4, SIZE[1], 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(first, whole, atol=1)
    assert difference(last, large[72:120, 96:160]) < 0.25 * difference(last, first)  # of 192 x 256
    np.testing.assert_array_equal(clip.truth(), CLIP.truth())


def test_identity_tells_clips_apart():
    changes = [
        {"content": PhotographPair("astronaut", "coffee")}, {"content": Still(PHOTOGRAPHS)},
        {"content": Zoomed(PHOTOGRAPHS)}, {"law": law("sine")}, {"num_frames": 80},
        {"size": (64, 128)}, {"seed": 1}, {"fps": 8.0}, {"timing": "variable"}, {"exposure": 0.8},
    ]  # fmt: skip
    assert replace(CLIP).identity() == CLIP.identity()
    assert all(replace(CLIP, **change).identity() != CLIP.identity() for change in changes)


@pytest.mark.parametrize(("make", "arguments", "message"), [
    (law, ("easein",), "did you mean ease_in"),
    (law, ("linear", {"power": 2}), "unknown parameter of law linear 'power'; known: none"),
    (law, ("sigmoid_jump", {"place": 0.0}), r"place=0.0 .* it must be a number in \(0, 1\)"),
    (law, ("sigmoid_jump", {"steepness": "steep"}), "steepness=steep"),
    (law, ("two_jumps", {"first": 0.8, "second": 0.2}), "must come before"),
    (law, ("plateau", {"start": 0.0, "stop": 1.0}), "leave time"),
    (law, ("partial_jump", {"width": 1.0}), "does not fit about place"),
    (law, ("staircase", {"steps": 2.5}), "an integer"),
    (motion, ("zoom+spin",), "unknown kind of motion 'spin'"),
    (motion, ("none+zoom",), "none goes with no other kind"),
    (motion, ("zoom", {"strength": float("nan")}), "strength=nan is impossible"),
    (motion, ("zoom+noise", {"schedule": "adversarial"}), "noise never stops"),
    (Scene, ("shape", "circle", "stare"), "did you mean star"),
    (Scene, ("count", "0", "9"), "no number of objects"),
    (Scene, ("arrangement", "ring", "grid", {"objects": 0}), "objects=0"),
    (Scene("count", "1", "5000").painter, ((64, 64),), "5000 objects do not fit into 64x64"),
    (content, ("shape-circle-starr",), "did you mean shape-circle-star"),
    (PhotographPair, ("cat", "moon", "wrap"), "did you mean warp"),
    (SyntheticClip, (PHOTOGRAPHS, {"num_frames": 1}), "has no pacing"),
    (SyntheticClip, (PHOTOGRAPHS, {"size": (1, 1)}), "too small for a picture"),
    (SyntheticClip, (PHOTOGRAPHS, {"fps": 0.0}), "fps=0.0"),
    (SyntheticClip, (PHOTOGRAPHS, {"exposure": 0.0}), "exposure=0.0"),
])  # fmt: skip
def test_bad_input_is_one_clear_line(make, arguments, message):
    *plain, last = arguments
    with refused(message):
        make(*plain, **last) if isinstance(last, dict) else make(*arguments)
