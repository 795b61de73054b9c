"""Segments -> keyframes -> durations: exact lengths for every total, curve and rule."""

from itertools import pairwise, product

import numpy as np
import pytest
from pacings import curve_of, random_progress

from spf.generators.counts import Counts, counts_of
from spf.generators.framepack import FramePack
from spf.generators.ltx2 import Ltx2
from spf.generators.tiny.adapter import TinyGenerator
from spf.generators.wan import Wan22
from spf.pacing.keyframes import make_plan
from spf.pacing.targets import EaseIn, Linear, Sine
from spf.pacing.timemap import paced, shared_out
from spf.progress import Segment, segment

RULES = [(1, 2, None), (1, 5, 33), (4, 5, 81), (8, 9, 121), (1, 17, 17), (8, 25, 33)]


def planned(curve, count, counts, target=None, cuts=()):
    steady = paced(curve, cuts)
    return make_plan(steady, segment(steady, penalty=1e-4), target or Linear(), counts, count, cuts)


def check(plan, count, length, counts):
    assert sum(shot.num_frames for shot in plan.shots) == count
    assert [plan.pieces[0].start, plan.pieces[-1].stop] == [0, length - 1]
    assert [shot.pieces[0].start for shot in plan.shots] == [0, *plan.cuts]
    for shot in plan.shots:
        assert all(one.stop == other.start for one, other in pairwise(shot.pieces))
        positions = shot.positions
        assert positions.shape == (shot.num_frames,)
        assert [positions[0], positions[-1]] == [0, shot.generated - 1]
        assert (np.diff(positions) >= 0).all()
        assert not shot.exact or shot.generated == shot.num_frames
        assert np.isclose(sum(piece.ideal for piece in shot.pieces), shot.num_frames - 1)
    for piece in plan.pieces:
        assert piece.start < piece.stop
        assert (piece.frames - 1) % counts.factor == 0
        assert counts.shortest <= piece.frames <= (counts.longest or piece.frames)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_total_comes_out_exactly(rule):
    counts, rng = Counts(*rule), np.random.default_rng(rule[:2])
    for target, length in ((Linear(), 2), (EaseIn(), 17), (Sine(), 90)):
        curve = curve_of(random_progress(rng, length))
        segments = segment(curve, penalty=1e-4)
        for count in range(9, 201, 1 if length == 17 else 3):
            check(make_plan(curve, segments, target, counts, count), count, length, counts)
            if count % 12 == 0 and length == 90:
                check(planned(curve, count, counts, cuts=(13, 40)), count, length, counts)


def test_durations_are_proportional_to_the_change_with_its_gap():
    """A jump between two segments belongs to the one before it."""
    curve = curve_of(np.concatenate([np.linspace(0, 0.2, 11), np.linspace(0.6, 1.0, 11)]))
    halves = [Segment(0, 11, 0.02, 0.0), Segment(11, 22, 0.04, 0.0)]
    plan = make_plan(curve, halves, Linear(), Counts(), 101)
    assert [piece.change for piece in plan.pieces] == pytest.approx([0.6, 0.4])
    assert [piece.frames for piece in plan.pieces] == [61, 41]
    assert (plan.keyframes, plan.shots[0].exact, plan.notes) == ([0, 11, 21], True, ())


def test_what_a_generator_cannot_make_is_brought_to_length_and_noted():
    curve = curve_of(np.linspace(0, 1, 30))
    plan = planned(curve, 10, Counts(4, 5, 81))
    assert (plan.shots[0].generated, plan.shots[0].exact) == (13, False)
    assert plan.shots[0].positions == pytest.approx(np.linspace(0, 12, 10))
    assert any("next longer" in note and "4n + 1" in note for note in plan.notes)
    assert planned(curve, 13, Counts(4, 5, 81)).notes == ()
    # A jump without a frame inside cannot be split.
    plan = planned(curve_of(np.repeat([0.0, 1.0], 20)), 200, Counts(1, 5, 33))
    assert plan.shots[0].generated < 200
    assert any("stretched" in note for note in plan.notes)


def test_counts_of_the_generators():
    assert counts_of(FramePack()) == Counts(36, 37, 145)  # what can be warped
    assert counts_of(TinyGenerator()) == Counts(1, 5, 33)
    assert [counts_of(generator).factor for generator in (Wan22(), Ltx2())] == [4, 8]


def test_sharing_out_is_optimal():
    rng = np.random.default_rng(1)
    for _ in range(60):
        total, least, most = int(rng.integers(3, 14)), int(rng.integers(0, 3)), 6
        wanted = rng.dirichlet(np.ones(3) * rng.choice([0.3, 2.0])) * total
        ways = [way for way in product(range(least, most + 1), repeat=3) if sum(way) == total]
        found = shared_out(wanted, total, least, most)
        if not ways:
            assert set(found) in ({least}, {most})
            continue
        best = min(sum((np.array(way) - wanted) ** 2) for way in ways)
        assert sum(found) == total
        assert sum((np.array(found) - wanted) ** 2) == pytest.approx(best)


@pytest.mark.parametrize("rule", [(1, 2, None), (4, 5, 33)], ids=str)
def test_the_time_map_of_the_source_passes_through_the_keyframes(rule):
    """Each keyframe stands where the frames before it end; a kept cut takes one step."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        curve = curve_of(random_progress(rng, 60))
        plan = planned(curve, int(rng.integers(12, 90)), Counts(*rule), cuts=[25])
        tau = plan.positions
        assert (tau.shape, tau[0], tau[-1]) == ((plan.num_frames,), 0, 59)
        assert (np.diff(tau) >= 0).all()
        first = plan.shots[0].num_frames
        assert tau[first - 1 : first + 1].tolist() == [24, 25]
        begin = 0
        for shot in plan.shots:
            ends = begin + shot.shown
            if shot.exact:
                assert np.diff(ends).tolist() == [piece.frames - 1 for piece in shot.pieces]
                keyframes = [shot.pieces[0].start, *(piece.stop for piece in shot.pieces)]
                assert tau[ends.astype(int)].tolist() == keyframes
            begin += shot.num_frames
