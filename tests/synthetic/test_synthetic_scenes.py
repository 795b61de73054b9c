"""Procedural scenes: determinism, exact margins, held-out words, and bad input."""

import itertools

import numpy as np
import pytest

from spf.errors import ConfigError
from synthetic.clips import content
from synthetic.scenes import KINDS, SCENES, Scene
from synthetic.shapes import HELD_OUT_SHAPES, SHAPES, contour, morph

SIZE = (48, 64)
over_scenes = pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)


def difference(one, other):
    return np.abs(one.astype(int) - other).mean()


@over_scenes
def test_scene_is_deterministic_and_changes_with_p_and_seed(scene):
    paint = scene.painter(SIZE, seed=1)
    start, middle, end = paint(0.0), paint(0.5), paint(1.0)
    assert start.shape == (*SIZE, 3)
    assert start.dtype == np.uint8
    assert min(difference(start, middle), difference(middle, end), difference(start, end)) > 0.3
    again = scene.painter(SIZE, seed=1)
    np.testing.assert_array_equal(again(0.5), middle)
    np.testing.assert_array_equal(paint(0.5), middle)
    assert difference(scene.painter(SIZE, seed=2)(0.5), middle) > 1


@over_scenes
def test_frame_does_not_depend_on_the_margin(scene):
    frame = scene.painter(SIZE, 0, seed=3)(0.4)
    canvas = scene.painter(SIZE, 11, seed=3)(0.4)
    assert canvas.shape == (SIZE[0] + 22, SIZE[1] + 22, 3)
    np.testing.assert_array_equal(canvas[11:-11, 11:-11], frame)


@over_scenes
def test_small_steps_of_p_are_small_steps_of_the_picture(scene):
    paint = scene.painter(SIZE, seed=4)
    pictures = [paint(p) for p in np.linspace(0.0, 1.0, 41)]
    steps = np.array([difference(*pair) for pair in itertools.pairwise(pictures)])
    # None but objects that appear one by one may jump, and these only by one object's edge.
    assert steps.max() < 8 * steps.mean()


def test_held_out_words_are_in_no_other_scene():
    shown, hidden = (
        {
            (scene.kind, word)
            for scene in SCENES
            if scene.held_out == flag
            for word in (scene.first, scene.second)
        }
        for flag in (False, True)
    )
    assert not shown & hidden
    assert {kind for kind, _ in shown} == {kind for kind, _ in hidden} == set(KINDS)
    assert not {word for kind, word in shown if kind == "shape"} & set(HELD_OUT_SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_contours_have_the_area_of_the_unit_circle(name):
    x, y = contour(name).T
    area = 0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)
    assert area == pytest.approx(np.pi)
    np.testing.assert_allclose(morph("circle", name, 1.0), contour(name), atol=1e-9)
    np.testing.assert_allclose(morph(name, "circle", 0.0), contour(name), atol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Scene("shpe", "circle", "star"), "did you mean shape"),
        (lambda: Scene("shape", "circle", "stare"), "did you mean star"),
        (lambda: Scene("count", "0", "9"), "no number of objects"),
        (lambda: Scene("arrangement", "ring", "grid", objects=0), "objects=0"),
        (
            lambda: Scene("count", "1", "5000").painter((128, 128)),
            "5000 objects do not fit into 128x128 pixels; use fewer",
        ),
        (lambda: content("shape-circle-starr"), "did you mean shape-circle-star"),
    ],
)
def test_bad_input_is_one_clear_line(make, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
