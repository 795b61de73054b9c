import itertools
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
from rendered import SIZE, stack

from synthetic.clips import Still, SyntheticClip, content
from synthetic.drawing import Content
from synthetic.laws import law
from synthetic.motion import CAMERA, KINDS, SCHEDULED, STRENGTHS, compressed, motion, phase
from synthetic.photographs import PhotographPair

SCENE = content("shape-circle-star")
over_strengths = pytest.mark.parametrize(("word", "strength"), STRENGTHS.items())


def clip_with(kinds, strength="moderate", schedule="own", **more):
    options = {"content": SCENE, "num_frames": 6, "size": SIZE, "seed": 3, **more}
    return SyntheticClip(motion=motion(kinds, strength, schedule), **options)


@dataclass(frozen=True)
class Witness(Content):
    """Content that notes which parameters it was asked for, on a canvas with a black rim."""

    asked: list = field(default_factory=list)
    layered: bool = False
    name = "witness"
    held_out = False

    def painter(self, size, margin=0, seed=0):
        inner = np.full((*np.add(size, 2 * margin - 2), 3), 200, np.uint8)
        return lambda p: self.asked.append(p) or np.pad(inner, ((1, 1), (1, 1), (0, 0)))

    def layers(self, size, margin=0, seed=0):
        paint = self.painter(size, margin)
        front = np.zeros((*np.add(size, 2 * margin), 4), np.float32)
        return (lambda p: (paint(p).astype(np.float32), front)) if self.layered else None


@pytest.mark.parametrize("kind", KINDS)
def test_motion_is_deterministic_and_comes_from_the_seed(kind):
    clip = clip_with(kind, "strong", size=(17, 33), num_frames=3)  # of an odd size
    frames, still = stack(clip), replace(clip, motion=None)
    assert (frames.shape, frames.dtype) == ((3, 17, 33, 3), np.uint8)
    np.testing.assert_array_equal(stack(clip), frames)
    assert (stack(still) != frames).any()
    assert clip.identity() != still.identity()
    if kind != "compression":
        held = replace(clip, content=Still(PhotographPair("coffee", "rocket")))
        assert (stack(held) != stack(replace(held, seed=4))).any()


@pytest.mark.parametrize("kinds", [*KINDS, "+".join(CAMERA)])
def test_motion_leaves_the_parameter_alone_and_never_sees_the_canvas_edge(kinds):
    moves = set(kinds.split("+")) <= set(SCHEDULED)
    for schedule in ("own", "adversarial") if moves else ("own",):
        for layered, seed in itertools.product((False, True), range(2)):
            witness = Witness(layered=layered)
            more = {"content": witness, "law": law("ease_in"), "seed": seed, "num_frames": 20}
            clip = clip_with(kinds, "strong", schedule, **more)
            frames = stack(clip)
            np.testing.assert_array_equal(witness.asked, clip.truth())
            np.testing.assert_array_equal(clip.truth(), replace(clip, motion=None).truth())
            if set(kinds.split("+")) <= set(CAMERA):
                assert frames.min() == 200


@over_strengths
def test_translation_measured_in_the_pictures(word, strength):
    held = Still(PhotographPair("gravel", "grass"), 0.0)
    clip = clip_with("translation", word, content=held, num_frames=7, size=(128, 128))
    frames = [frame.mean(axis=2) for frame in clip.frames()]
    window = cv2.createHanningWindow((128, 128), cv2.CV_64F)
    steps = [cv2.phaseCorrelate(one, other, window)[0] for one, other in itertools.pairwise(frames)]
    path = np.hypot(*np.array(steps).T).sum() / 128
    assert path == pytest.approx(strength, rel=0.1)


def test_schedules_know_no_law_or_move_only_where_the_meaning_stands_still():
    clips = [clip_with("translation", law=law(name)) for name in ("linear", "staircase")]
    own, other = (phase(clip.motion, clip) for clip in clips)
    np.testing.assert_array_equal(own, other)
    assert (own[0], own[-1]) == (0.0, pytest.approx(1.0))
    assert np.all(np.diff(own) > 0)
    plateau = law("plateau", start=0.2, stop=0.5)
    clip = clip_with("translation", schedule="adversarial", law=plateau, num_frames=101)
    path = phase(clip.motion, clip)
    np.testing.assert_allclose(path[[0, 10, 19, 51, 80]], [0, 0, 0, 1, 1], atol=1e-3)
    assert path[35] == pytest.approx(0.5, abs=0.01)
    jump = replace(clip, law=law("sigmoid_jump", place=0.7, steepness=200))
    steps = np.diff(phase(jump.motion, jump))
    assert np.corrcoef(steps, np.diff(jump.truth()))[0, 1] < -0.5
    assert steps[70] < 1e-3 * steps.max()


@over_strengths
def test_noise_and_lighting_have_the_stated_size(word, strength):
    clip = clip_with("noise", word, content=Still(content("material-wood-steel")))
    noise = stack(clip).astype(float) - stack(replace(clip, motion=None))
    assert noise.std() == pytest.approx(51 * strength, rel=0.05)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05
    clip = clip_with("lighting", word, content=Still(SCENE))
    own = stack(replace(clip, motion=None))[0, ..., 1].mean()
    levels = stack(clip)[..., 1].mean(axis=(1, 2)) / own
    assert levels.max() == pytest.approx(1.0, abs=0.01)
    assert levels.min() == pytest.approx(1 - 2 * strength, abs=0.02)


def test_distractor_is_always_in_full_view_and_elsewhere_nothing_changes():
    clip = clip_with("distractor", "strong", content=Still(SCENE), size=(64, 64), num_frames=12)
    changed = (stack(clip) != stack(replace(clip, motion=None))).any(axis=3)
    area = changed.sum(axis=(1, 2)) / 64**2
    assert area.min() >= 0.9 * np.pi * 0.15**2
    assert area.max() < 4 * np.pi * 0.15**2


def test_compression_repeats_to_the_byte_whatever_memory_held_before():
    frames = stack(clip_with("none", content=content("arrangement-scatter-pyramid")))
    generator = np.random.default_rng(0)
    results = set()
    for _ in range(8):
        # Garbage of all sizes, freed where the encoder's buffers will be.
        garbage = [generator.bytes(int(size)) for size in generator.integers(1000, 100_000, 20)]
        del garbage
        results.add(np.stack(list(compressed(frames, 41, 16.0))).tobytes())
    assert len(results) == 1


def test_kinds_act_together_whatever_their_order():
    one, other = motion("noise+translation"), motion("translation+noise")
    assert one == other
    assert one.name == "translation+noise-moderate"
    assert motion("none") is None
    assert stack(clip_with("+".join(KINDS))).shape == (6, *SIZE, 3)
