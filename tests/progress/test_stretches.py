"""Stretches follow the local speed of a curve: on paths whose speed is known at each step."""

import numpy as np
import pytest

import spf
from spf.progress.stretches import named_stretches

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
    """Kinds, and (start, stop) of each."""
    found = named_stretches(curve)
    return [part.kind for part in found], np.array([(x.start_time, x.stop_time) for x in found])


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_what_happens_is_named_where_it_happens(noise):
    """Wherever the clip is cut, and mirrored where time runs backwards."""
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
