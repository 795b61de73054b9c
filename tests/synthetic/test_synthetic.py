import itertools
from dataclasses import replace

import numpy as np
import pytest
from clips import refused
from rendered import SIZE, difference, stack

from synthetic.clips import Still, SyntheticClip, Zoomed, content
from synthetic.laws import LAWS, law, steepest
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
    assert (start.shape, start.dtype) == ((*SIZE, 3), np.uint8)
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
        assert (bool(shown), bool(hidden), shown & hidden) == (True, True, set())
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
    (Scene("count", "1", "5000").painter, ((64, 64),), "5000 objects do not fit into 64x64"),
    (content, ("shape-circle-starr",), "did you mean shape-circle-star"),
    (PhotographPair, ("cat", "moon", "wrap"), "did you mean warp"),
    (SyntheticClip, (PHOTOGRAPHS, {"num_frames": 1}), "has no pacing"),
    (SyntheticClip, (PHOTOGRAPHS, {"size": (1, 1)}), "too small for a picture"),
    (SyntheticClip, (PHOTOGRAPHS, {"fps": 0.0}), "fps=0.0"),
])  # fmt: skip
def test_bad_input_is_one_clear_line(make, arguments, message):
    *plain, last = arguments
    with refused(message):
        make(*plain, **last) if isinstance(last, dict) else make(*arguments)


U = np.linspace(0.0, 1.0, 1001)
VARIANTS = [
    law("linear"), law("sine"), law("ease_in", power=3.5), law("ease_out", power=3),
    law("ease_in_out", power=2.5), law("sigmoid_jump"),
    law("sigmoid_jump", place=0.15, steepness=12), law("sigmoid_jump", place=0.5, steepness=0.1),
    law("two_jumps"), law("two_jumps", first=0.05, second=0.95, steepness=1000, share=0.1),
    law("plateau", start=0.0, stop=0.4), law("plateau", start=0.7, stop=1.0),
    law("staircase", steps=7, rise=0.6), law("staircase", steps=3, rise=1.0),
    law("partial_jump", place=0.2, share=0.9, width=0.3), law("exponential"),
    law("exponential", temperature=-5), law("exponential", temperature=0),
    law("exponential", temperature=100),
    law("random_monotone", seed=5, pieces=20, concentration=0.3),
]  # fmt: skip


@pytest.mark.parametrize("pacing", VARIANTS, ids=str)
def test_a_law_rises_from_end_to_end_with_its_derivative(pacing):
    progress = pacing.g(U)
    assert progress.dtype == np.float64
    assert (progress[0], progress[-1]) == (0.0, 1.0)
    assert np.all(np.diff(progress) >= -1e-12)
    step = 1e-6
    # Irrational places, so that no difference straddles a knot.
    u = (np.arange(500) + 0.5) / 500 + np.pi * 1e-5
    slope = (pacing.g(u + step) - pacing.g(u - step)) / (2 * step)
    # The truncation error of a difference is step^2 g''' / 6, and g''' at most about k^3.
    np.testing.assert_allclose(pacing.derivative(u), slope, rtol=1e-4, atol=1e-5)


def test_values_by_hand():
    for pacing, u, progress in (
        (law("ease_in"), 0.25, 0.0625), (law("ease_out"), 0.25, 0.4375),
        (law("ease_in_out"), 0.25, 0.125), (law("plateau", start=0.2, stop=0.6), 0.1, 1 / 6),
        (law("staircase", steps=2, rise=0.5), 0.25, 0.25),
        (law("exponential", temperature=np.log(4)), 0.5, 1 / 3),
        (law("sine"), 0.25, 0.25 + 1 / (2 * np.pi)),
        (law("sigmoid_jump", place=0.3, steepness=500), 0.3, 0.5),
    ):  # fmt: skip
        assert pacing.g(u) == pytest.approx(progress, abs=1e-12)
    assert steepest(law("sigmoid_jump", place=0.37)) == pytest.approx(0.37, abs=1e-4)
    assert steepest(law("two_jumps", share=0.3)) == pytest.approx(0.7, abs=1e-4)
    for name in ("linear", "two_jumps", "staircase", "plateau", "sine"):
        assert np.isnan(steepest(law(name)))


@pytest.mark.parametrize(("name", "names", "forward", "backward"), [
    ("sigmoid_jump", ["place"], [0.3], [0.7]),
    ("two_jumps", ["first", "second", "share"], [0.1, 0.6, 0.3], [0.4, 0.9, 0.7]),
    ("plateau", ["start", "stop"], [0.1, 0.6], [0.4, 0.9]),
    ("exponential", ["temperature"], [4], [-4]), ("sine", [], [], []),
])  # fmt: skip
def test_time_reversal(name, names, forward, backward):
    one, other = (law(name, **dict(zip(names, x, strict=True))) for x in (forward, backward))
    np.testing.assert_allclose(1.0 - other.g(1.0 - U), one.g(U), atol=1e-12)


def test_a_law_is_its_name_and_parameters():
    assert {pacing.name for pacing in VARIANTS} == set(LAWS)
    assert law("ease-in-out") == law("ease_in_out")
    one, two = (law("random_monotone", seed=seed).g(U) for seed in (1, 2))
    assert np.abs(one - two).max() > 0.01
    for impossible in ([0.5, 1.2], np.nan):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            law("linear").g(impossible)
