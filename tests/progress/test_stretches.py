"""Stretches follow the local speed of a curve: on paths whose speed is known at each step."""

from __future__ import annotations

import numpy as np
import pytest

import spf
from spf.progress.stretches import named_stretches

RATE = 25.0


def path(*parts: tuple[float, float], noise: float = 0.0, dimensions: int = 512) -> spf.Curve:
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


def spans(found: list[spf.Stretch]) -> list[tuple[str, float, float]]:
    return [(part.kind, part.start_time, part.stop_time) for part in found]


STEADY, DEAD, JUMP = 0.4, 0.0, 6.0
MIDDLE = ((3.0, STEADY), (2.0, DEAD), (3.0, STEADY), (0.4, JUMP), (3.0, STEADY))


def test_what_happens_is_named_where_it_happens() -> None:
    found = spans(named_stretches(path((3.0, STEADY), *MIDDLE)))
    assert [kind for kind, *_ in found] == ["dead", "jump"]
    for (_, start, stop), (wanted, until) in zip(found, [(6.0, 8.0), (11.0, 11.4)], strict=True):
        assert start == pytest.approx(wanted, abs=0.13)
        assert stop == pytest.approx(until, abs=0.13)


@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize(("before", "after"), [(3.0, 0.0), (0.0, 4.0), (8.0, 8.0)])
def test_names_do_not_depend_on_the_rest_of_the_clip(
    before: float, after: float, noise: float
) -> None:
    """The same middle in clips that are cut elsewhere: the same stretches, to a frame or two."""
    plain = spans(named_stretches(path(*MIDDLE, noise=noise)))
    longer = path((before, STEADY), *MIDDLE, (after, STEADY), noise=noise)
    moved = [
        (kind, start - before, stop - before)
        for kind, start, stop in spans(named_stretches(longer))
    ]
    assert [kind for kind, *_ in moved] == [kind for kind, *_ in plain] == ["dead", "jump"]
    for one, other in zip(plain, moved, strict=True):
        assert one[1:] == pytest.approx(other[1:], abs=2.5 / RATE)


@pytest.mark.parametrize("seed", range(2))
def test_dead_stretches_last_the_stall_fraction(seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = [
        (s, v) for s, v in zip(random.uniform(0.2, 2, 12), random.exponential(0.5, 12), strict=True)
    ]
    curve = path(*((s, v * (v > 0.2)) for s, v in parts), noise=0.02 * (seed % 2))
    parts_found = spf.stretches(curve)
    dead = sum(part.seconds for part in parts_found if part.kind == "dead")
    share = spf.score(curve)["stall_fraction"]
    assert dead / (curve.times[-1] - curve.times[0]) == pytest.approx(share, abs=1e-12)
    assert sum(part.change for part in parts_found) == pytest.approx(1.0)
    assert [part.start for part in parts_found[1:]] == [part.stop for part in parts_found[:-1]]


def test_a_small_move_does_not_end_a_standstill() -> None:
    curve = path((3.0, STEADY), (2.0, DEAD), (0.2, STEADY), (2.0, DEAD), (6.0, STEADY))
    ((kind, start, stop),) = spans(named_stretches(curve))
    assert kind == "dead"
    assert stop - start == pytest.approx(4.2, abs=0.2)
    assert sum(part.kind == "dead" for part in spf.stretches(curve)) == 2


def test_time_reversal_mirrors_the_names() -> None:
    forward = path(*MIDDLE)
    backward = path(*MIDDLE[::-1])
    end = forward.times[-1]
    mirrored = [
        (kind, end - stop, end - start) for kind, start, stop in spans(named_stretches(backward))
    ]
    for one, other in zip(spans(named_stretches(forward)), mirrored[::-1], strict=True):
        assert one[0] == other[0]
        assert one[1:] == pytest.approx(other[1:], abs=1.5 / RATE)


def test_nothing_is_named_where_nothing_changes() -> None:
    assert spf.stretches(path((2.0, 0.0))) == named_stretches(path((2.0, 0.0))) == []
