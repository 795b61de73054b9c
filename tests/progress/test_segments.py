"""Segments against brute force; stretches and hard cuts where speed and shots are known."""

from itertools import pairwise

import numpy as np
import oracles
import pytest

import spf
from spf.progress.cuts import CUT_ANGLE, hard_cuts
from spf.progress.stretches import named_stretches
from synthetic.clips import SyntheticClip, content
from synthetic.motion import motion


def walk_curve(length, seed, timing="even"):
    random = np.random.default_rng(seed)
    speed = np.exp(1.5 * np.cumsum(random.standard_normal(length - 1)) / np.sqrt(length))
    positions = np.concatenate([[0.0], np.cumsum(speed * random.random(length - 1))])
    stamps = np.cumsum(random.random(length) + 0.05)
    times = {"even": None, "uneven": stamps, "far": 86_400 + np.arange(length) / 25}[timing]
    return spf.fit(oracles.great_circle(positions / positions[-1] * 1.4, seed=seed), times=times)


def check(curve, segments, min_length=2):
    """The squared residuals of disjoint least-squares lines that cover 0..T, none too short."""
    assert (segments[0].start, segments[-1].stop) == (0, len(curve.progress))
    assert all(left.stop == right.start for left, right in pairwise(segments))
    total = 0.0
    for piece in segments:
        assert piece.stop - piece.start >= min_length
        x, y = (a[piece.start : piece.stop] for a in (curve.times, curve.progress))
        slope, intercept, _ = oracles.line(x - x[0], y)
        fitted = piece.slope * x + piece.intercept
        assert fitted == pytest.approx(slope * (x - x[0]) + intercept, abs=1e-7)
        total += float(((y - fitted) ** 2).sum())
    return total


@pytest.mark.parametrize(
    "choice",
    [
        {"penalty": 1e-6}, {"penalty": 2e-3}, {"penalty": 10.0}, {"n_segments": 1},
        {"n_segments": 5}, {"penalty": 1e-4, "min_length": 7},
        {"n_segments": 2, "min_length": 20}, {"n_segments": 22},  # as many as fit
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize(("length", "timing"), [(45, "even"), (52, "uneven"), (45, "far")])
def test_the_optimum_is_that_of_brute_force(length, timing, choice):
    """Far: time stamps of a day's recording, in seconds; prefix sums must not cancel."""
    curve = walk_curve(length, len(choice), timing)
    segments = spf.segment(curve, **choice)
    x = curve.times - curve.times[0]
    stops, cost = oracles.brute_segmentation(x, curve.progress, **choice)
    found = check(curve, segments, choice.get("min_length", 2))
    assert found + choice.get("penalty", 0.0) * len(segments) == pytest.approx(cost, abs=1e-9)
    assert len(segments) == len(stops)


def test_a_straight_curve_is_one_segment():
    curve = spf.fit(oracles.great_circle(np.linspace(0, 1.4, 81)), times=np.arange(81) / 25)
    (piece,) = spf.segment(curve)
    assert (piece.start, piece.stop) == (0, 81)
    assert piece.slope == pytest.approx(25 / 80, rel=1e-3)  # progress per second
    assert piece.intercept == pytest.approx(0, abs=1e-3)


def test_frame_repetition_with_the_mean_scale():
    corners = ([0, 0.25, 0.4, 1], [0, 0.05, 0.9, 1])
    positions = 1.4 * np.interp(np.linspace(0, 1, 80), *corners)
    starts = []
    for times in (1, 2):
        z = oracles.great_circle(np.repeat(positions, times))
        curve = spf.fit(z, ridge=0.0, monotone="increments")
        found = spf.segment(curve, penalty=1e-3, scale="mean")
        starts.append(np.array([piece.start for piece in found]))
    assert len(starts[0]) == len(starts[1]) > 1
    np.testing.assert_allclose(starts[1], 2 * starts[0], atol=4)


def test_time_reversal():
    z = oracles.great_circle(np.sort(np.random.default_rng(7).random(50)) * 1.4)
    forward, backward = (spf.segment(spf.fit(rows), n_segments=4) for rows in (z, z[::-1]))
    assert [x.start for x in forward] == [50 - x.stop for x in backward[::-1]]


@pytest.mark.parametrize(("settings", "name"), [
    ({"n_segments": 11}, "n_segments"), ({"n_segments": 3, "min_length": 7}, "n_segments"),
    ({"n_segments": 0}, "n_segments"), ({"penalty": float("nan")}, "penalty"),
    ({"scale": "median"}, "scale"), ({"min_length": 21}, "min_length"),
], ids=str)  # fmt: skip
def test_wrong_settings_are_named(settings, name):
    with pytest.raises(ValueError, match=name):
        spf.segment(walk_curve(20, 0), **settings)


RATE = 25.0
STEADY, DEAD, JUMP = 0.4, 0.0, 6.0
MIDDLE = ((3.0, STEADY), (2.0, DEAD), (3.0, STEADY), (0.4, JUMP), (3.0, STEADY))


def path(*parts, noise=0.0, dimensions=512):
    """A clip that turns through orthogonal planes at given speeds: (seconds, radians a second)."""
    steps = np.concatenate([np.full(round(s * RATE), speed / RATE) for s, speed in parts])
    angle = np.concatenate([[0.0], np.cumsum(steps)])
    z = np.zeros((len(angle), dimensions))
    # A quarter turn in each plane: near frames are as far apart as the path between them.
    plane = np.minimum((angle // (np.pi / 2)).astype(int), dimensions - 2)
    rest = angle - plane * np.pi / 2
    z[np.arange(len(z)), plane], z[np.arange(len(z)), plane + 1] = np.cos(rest), np.sin(rest)
    z += noise * np.random.default_rng(0).standard_normal(z.shape) / np.sqrt(2 * dimensions)
    return spf.fit(z, np.arange(len(z)) / RATE)


def spans(curve):
    found = named_stretches(curve)
    return [part.kind for part in found], np.array([(x.start_time, x.stop_time) for x in found])


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_what_happens_is_named_where_it_happens(noise):
    for before, after in ((0.0, 0.0), (3.0, 0.0), (0.0, 4.0), (8.0, 8.0)):
        parts = ((before, STEADY), *MIDDLE, (after, STEADY))
        kinds, times = spans(path(*parts, noise=noise))
        assert kinds == ["dead", "jump"]
        wanted = before + np.array([(3.0, 5.0), (8.0, 8.4)])
        assert times == pytest.approx(wanted, abs=0.13)
        curve = path(*parts[::-1], noise=noise)
        kinds, times = spans(curve)
        assert kinds == ["jump", "dead"]
        assert curve.times[-1] - times[::-1, ::-1] == pytest.approx(wanted, abs=0.13)


@pytest.mark.parametrize("seed", range(2))
def test_dead_stretches_last_the_stall_fraction(seed):
    random = np.random.default_rng(seed)
    parts = zip(random.uniform(0.2, 2, 12), random.exponential(0.5, 12), strict=True)
    curve = path(*((s, v * (v > 0.2)) for s, v in parts), noise=0.02 * seed)
    found = spf.stretches(curve)
    dead = sum(part.seconds for part in found if part.kind == "dead")
    share = spf.score(curve)["stall_fraction"]
    assert dead / (curve.times[-1] - curve.times[0]) == pytest.approx(share, abs=1e-12)
    assert sum(part.change for part in found) == pytest.approx(1.0)
    assert [part.start for part in found[1:]] == [part.stop for part in found[:-1]]


def test_a_small_move_does_not_end_a_standstill():
    curve = path((3.0, STEADY), (2.0, DEAD), (0.2, STEADY), (2.0, DEAD), (6.0, STEADY))
    kinds, times = spans(curve)
    assert kinds == ["dead"]
    assert np.diff(times) == pytest.approx(4.2, abs=0.2)
    assert sum(part.kind == "dead" for part in spf.stretches(curve)) == 2
    assert spf.stretches(path((2.0, 0.0))) == named_stretches(path((2.0, 0.0))) == []


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
