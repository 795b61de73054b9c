"""Hard cuts: what counts as one, on scenes of vectors and on films."""

import numpy as np
import pytest

import spf
from spf.progress.cuts import CUT_ANGLE, hard_cuts
from synthetic.clips import SyntheticClip, content
from synthetic.motion import motion


def scene(count, seed, wobble=0.02):
    """Vectors (count, 64) of one shot: a direction of its own with noise on every frame."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=64)
    return base / np.linalg.norm(base) + wobble * rng.normal(size=(count, 64)) / 8


def dissolve(count):
    share = (np.arange(count) + 1)[:, None] / (count + 1)
    return (1 - share) * scene(count, 0) + share * scene(count, 1)


def cuts(*parts):
    return spf.fit(np.concatenate(parts)).cuts


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_cuts_are_where_shots_meet(power):
    z = np.concatenate([scene(5, 0), scene(4, 1), scene(20, 2)])
    assert spf.fit(z, power=power).cuts == [5, 9]
    assert spf.fit(z[::-1], power=power).cuts == [20, 24]
    black = np.repeat(scene(1, 7), 6, axis=0)
    assert cuts(scene(20, 0), black, scene(20, 0)) == [20, 26]  # to black and back
    assert cuts(scene(1, 0), scene(12, 1), scene(1, 2)) == [1, 13]  # shots of one frame


@pytest.mark.parametrize("parts", [
    pytest.param([scene(40, 0)], id="still"),
    pytest.param([scene(20, 0), scene(1, 7), scene(20, 0)], id="flash"),
    pytest.param([scene(20, 0), scene(2, 7), scene(20, 0)], id="flash of two frames"),
    pytest.param([scene(20, 0), dissolve(3), scene(20, 1)], id="dissolve"),
    pytest.param([scene(20, 0), dissolve(12), scene(20, 1)], id="slow"),
    pytest.param([scene(20, 0), dissolve(6).repeat(3, axis=0), scene(20, 1)], id="held"),
    pytest.param([scene(40, 0, wobble=1.5)], id="flicker"),
    pytest.param([scene(1, 0), scene(2, 1)], id="too short"),
])  # fmt: skip
def test_others_are_none(parts):
    assert cuts(*parts) == []


def test_no_angle_below_the_embedders_own_is_a_cut():
    steps = np.zeros(20)
    steps[9] = CUT_ANGLE
    assert hard_cuts(steps) == [10]
    assert hard_cuts(steps, least=0.5) == hard_cuts(0.99 * steps) == []
    frames = np.zeros((20, 8, 8, 3), np.uint8)
    frames[10:, :4] = 80
    curve = spf.measure(frames, "pixels")
    assert curve.cut_angle < curve.separation.max() < CUT_ANGLE
    assert curve.cuts == [10]


SHOTS = ["shape-drop-gear", "material-jade-copper", "composition-snow-volcano", "brick-cat-warp"]


def test_cuts_of_films_are_found_beside_motion_light_and_flashes():
    missed = 0
    for nuisance in ("translation", "lighting", "flash"):
        moving = None if nuisance == "flash" else motion(nuisance, "strong")
        contents = [content(name) for name in SHOTS]
        clips = [SyntheticClip(x, motion=moving, num_frames=8, size=(64, 64)) for x in contents]
        frames = np.stack([frame for clip in clips for frame in clip.frames()])
        if nuisance == "flash":
            frames[4::8] = np.minimum(frames[4::8] // 3 + 170, 255)
        found = spf.fit(spf.embed(frames, "tiny")).cuts
        assert set(found) <= {8, 16, 24}
        missed += 3 - len(found)
    assert missed <= 2
