"""Nuisance motion: its size, its schedule, and that it leaves the content's parameter alone."""

import itertools
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest

from spf.errors import ConfigError
from synthetic.clips import Still, SyntheticClip, content
from synthetic.laws import law
from synthetic.motion import CAMERA, KINDS, SCHEDULED, STRENGTHS, compressed, motion, phase
from synthetic.photographs import PhotographPair

SIZE = (48, 64)
SCENE = content("shape-circle-star")
TEXTURE = PhotographPair("gravel", "grass")
COLOURFUL = PhotographPair("coffee", "rocket")
over_kinds = pytest.mark.parametrize("kind", KINDS)
over_strengths = pytest.mark.parametrize("strength", STRENGTHS)


def stack(clip):
    return np.stack(list(clip.frames()))


def clip_with(kinds, strength="moderate", schedule="own", **more):
    options = {"content": SCENE, "num_frames": 6, "size": SIZE, "seed": 3, **more}
    return SyntheticClip(motion=motion(kinds, strength, schedule), **options)


RIM = ((1, 1), (1, 1), (0, 0))


@dataclass(frozen=True)
class Witness:
    """Content that notes which parameters it was asked for, on a canvas with a black rim."""

    asked: list = field(default_factory=list)
    layered: bool = False
    name = "witness"
    held_out = False

    def identity(self):
        return {}

    def painter(self, size, margin=0, seed=0):
        def paint(p):
            self.asked.append(p)
            return np.pad(np.full((*np.add(size, 2 * margin - 2), 3), 200, np.uint8), RIM)

        return paint

    def layers(self, size, margin=0, seed=0):
        def both(p):
            back = self.painter(size, margin)(p).astype(np.float32)
            return back, np.zeros((*back.shape[:2], 4), np.float32)

        return both if self.layered else None


@over_kinds
def test_motion_is_deterministic_and_comes_from_the_seed(kind):
    clip = clip_with(kind)
    frames = stack(clip)
    assert frames.shape == (6, *SIZE, 3)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(stack(clip), frames)
    still = replace(clip, motion=None)
    assert (stack(still) != frames).any()
    assert clip.identity() != still.identity()
    if kind != "compression":
        held = replace(clip, content=Still(COLOURFUL))
        assert (stack(held) != stack(replace(held, seed=4))).any()


@over_kinds
@pytest.mark.parametrize("schedule", ["own", "adversarial"])
def test_motion_does_not_alter_the_parameter(kind, schedule):
    if schedule == "adversarial" and kind not in SCHEDULED:
        return
    witness = Witness()
    clip = clip_with(kind, "strong", schedule, content=witness, law=law("ease_in"))
    stack(clip)
    np.testing.assert_array_equal(witness.asked, clip.truth())
    np.testing.assert_array_equal(clip.truth(), replace(clip, motion=None).truth())


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("layered", [False, True])
@pytest.mark.parametrize("kinds", [*CAMERA, "+".join(CAMERA)])
def test_camera_never_sees_the_canvas_edge(kinds, layered, seed):
    clip = clip_with(kinds, "strong", content=Witness(layered=layered), seed=seed, num_frames=40)
    assert stack(clip).min() == 200


@over_strengths
def test_translation_measured_in_the_pictures(strength):
    clip = clip_with(
        "translation", strength, content=Still(TEXTURE, 0.0), num_frames=7, size=(128, 128)
    )
    frames = [frame.mean(axis=2) for frame in clip.frames()]
    window = cv2.createHanningWindow((128, 128), cv2.CV_64F)
    steps = [cv2.phaseCorrelate(one, other, window)[0] for one, other in itertools.pairwise(frames)]
    path = np.hypot(*np.array(steps).T).sum() / 128
    assert path == pytest.approx(STRENGTHS[strength], rel=0.1)


def test_own_schedule_does_not_know_the_law():
    clips = [clip_with("translation", law=law(name)) for name in ("linear", "staircase")]
    paths = [phase(clip.motion, clip) for clip in clips]
    np.testing.assert_array_equal(paths[0], paths[1])
    assert paths[0][0] == 0.0
    assert paths[0][-1] == pytest.approx(1.0)
    assert np.all(np.diff(paths[0]) > 0)


def test_adversarial_schedule_moves_only_where_the_meaning_stands_still():
    plateau = law("plateau", start=0.2, stop=0.5)
    clip = clip_with("translation", schedule="adversarial", law=plateau, num_frames=101)
    path = phase(clip.motion, clip)
    np.testing.assert_allclose(path[:20], 0.0, atol=1e-3)
    np.testing.assert_allclose(path[51:], 1.0, atol=1e-3)
    assert path[35] == pytest.approx(0.5, abs=0.01)
    jump = replace(clip, law=law("sigmoid_jump", place=0.7, steepness=200))
    steps = np.diff(phase(jump.motion, jump))
    assert np.corrcoef(steps, np.diff(jump.truth()))[0, 1] < -0.5
    assert steps[70] < 1e-3 * steps.max()


@over_strengths
def test_noise_has_the_stated_deviation(strength):
    clip = clip_with("noise", strength, content=Still(content("material-wood-steel")))
    noise = stack(clip).astype(float) - stack(replace(clip, motion=None))
    assert noise.std() == pytest.approx(51 * STRENGTHS[strength], rel=0.05)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


@over_strengths
def test_lighting_dims_to_the_stated_exposure(strength):
    clip = clip_with("lighting", strength, content=Still(SCENE))
    levels = (
        stack(clip)[..., 1].mean(axis=(1, 2)) / stack(replace(clip, motion=None))[0, ..., 1].mean()
    )
    assert levels.max() == pytest.approx(1.0, abs=0.01)
    assert levels.min() == pytest.approx(1 - 2 * STRENGTHS[strength], abs=0.02)


def test_distractor_is_always_in_full_view_and_elsewhere_nothing_changes():
    clip = clip_with("distractor", "strong", content=Still(SCENE), size=(64, 64), num_frames=12)
    changed = (stack(clip) != stack(replace(clip, motion=None))).any(axis=3)
    area = changed.sum(axis=(1, 2)) / 64**2
    assert area.min() >= 0.9 * np.pi * 0.15**2
    assert area.max() < 4 * np.pi * 0.15**2


def test_compression_repeats_to_the_byte_whatever_memory_held_before():
    frames = list(SyntheticClip(content("arrangement-scatter-pyramid"), num_frames=5).frames())
    generator = np.random.default_rng(0)
    results = set()
    for _ in range(8):
        # Garbage of all sizes, freed where the encoder's buffers will be.
        garbage = [generator.bytes(int(size)) for size in generator.integers(1000, 100_000, 20)]
        del garbage
        results.add(np.stack(list(compressed(frames, 41, 16.0))).tobytes())
    assert len(results) == 1


@over_kinds
def test_two_frames_of_an_odd_size(kind):
    assert stack(clip_with(kind, "strong", size=(17, 33), num_frames=2)).shape == (2, 17, 33, 3)


def test_kinds_act_together_whatever_their_order():
    one, other = motion("noise+translation"), motion("translation+noise")
    assert one is not None
    assert one == other
    assert one.name == "translation+noise-moderate"
    assert motion("none") is None
    assert stack(clip_with("+".join(KINDS))).shape == (6, *SIZE, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("translatoin",), "did you mean translation"),
        (("zoom+spin",), "unknown kind of motion 'spin'"),
        (("none+zoom",), "none goes with no other kind"),
        (("zoom", float("nan")), "strength=nan is impossible"),
        (("zoom", 0.1, "adversary"), "did you mean adversarial"),
        (("zoom+noise", 0.1, "adversarial"), "noise never stops"),
    ],
)
def test_bad_words_are_one_clear_line(words, message):
    with pytest.raises(ConfigError, match=message) as caught:
        motion(*words)
    assert "\n" not in str(caught.value)
