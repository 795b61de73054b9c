"""Segments -> keyframes -> durations: exact lengths for every total, curve and rule."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from pacings import SETTINGS, Jumper, curve_of, random_progress

from spf.errors import ConfigError
from spf.generators.counts import Counts, counts_of
from spf.generators.tiny.adapter import Tiny
from spf.pacing.keyframes import Plan, make_plan, part_of
from spf.pacing.shots import paced, shared_out
from spf.pacing.targets import EaseIn, Linear, Sine, Target, pinned
from spf.progress import Curve, Segment, segment
from spf.progress.curve import accumulate

RULES = [
    Counts(),
    Counts(1, 5, 33),
    Counts(4, 5, 81),
    Counts(8, 9, 121),
    Counts(1, 17, 17),
    Counts(8, 25, 33),
]
TOTALS = range(9, 201)


def planned(
    curve: Curve, count: int, counts: Counts, target: Target | None = None, cuts: tuple = ()
) -> Plan:
    steady = paced(curve, cuts)
    return make_plan(steady, segment(steady, penalty=1e-4), target or Linear(), counts, count, cuts)


def check(plan: Plan, count: int, length: int, counts: Counts) -> None:
    """What every plan must keep to."""
    assert sum(shot.num_frames for shot in plan.shots) == count
    assert [plan.pieces[0].start, plan.pieces[-1].stop] == [0, length - 1]
    assert [shot.pieces[0].start for shot in plan.shots] == [0, *plan.cuts]
    for shot in plan.shots:
        assert all(one.stop == other.start for one, other in pairwise(shot.pieces))
        positions = shot.positions
        assert positions.shape == (shot.num_frames,)
        assert [positions[0], positions[-1]] == [0, shot.generated - 1]
        assert (np.diff(positions) >= 0).all()
        if shot.exact:
            assert shot.generated == shot.num_frames
        assert np.isclose(sum(piece.ideal for piece in shot.pieces), shot.num_frames - 1)
    for piece in plan.pieces:
        assert piece.start < piece.stop
        assert (piece.frames - 1) % counts.factor == 0
        assert counts.shortest <= piece.frames <= (counts.longest or piece.frames)


@pytest.mark.parametrize("counts", RULES, ids=str)
def test_every_total_comes_out_exactly(counts: Counts) -> None:
    rng = np.random.default_rng([counts.factor, counts.shortest])
    targets = [Linear(), EaseIn(), Sine()]
    curves = {length: curve_of(random_progress(rng, length)) for length in (2, 17, 90)}
    for target, (length, curve) in zip(targets, curves.items(), strict=True):
        segments = segment(curve, penalty=1e-4)
        for count in TOTALS:
            plan = make_plan(curve, segments, target, counts, count)
            check(plan, count, length, counts)


@pytest.mark.parametrize("counts", RULES, ids=str)
def test_every_total_comes_out_exactly_with_kept_cuts(counts: Counts) -> None:
    rng = np.random.default_rng([7, counts.factor, counts.shortest])
    curve = curve_of(random_progress(rng, 60))
    for count in TOTALS[::3]:
        check(planned(curve, count, counts, cuts=(13, 40)), count, 60, counts)


def test_durations_are_proportional_to_the_change_with_its_gap() -> None:
    """A jump between two segments belongs to the one before it."""
    progress = np.concatenate([np.linspace(0, 0.2, 11), np.linspace(0.6, 1.0, 11)])
    curve = curve_of(progress)
    halves = [Segment(0, 11, 0.02, 0.0), Segment(11, 22, 0.04, 0.0)]
    plan = make_plan(curve, halves, Linear(), Counts(), 101)
    assert [piece.change for piece in plan.pieces] == pytest.approx([0.6, 0.4])
    assert [piece.frames for piece in plan.pieces] == [61, 41]
    assert plan.keyframes == [0, 11, 21]
    assert plan.shots[0].exact
    assert plan.notes == ()


def test_a_target_gives_its_own_durations() -> None:
    curve = curve_of(np.linspace(0, 1, 21))
    halves = [Segment(0, 10, 0.05, 0.0), Segment(10, 21, 0.05, 0.0)]
    plan = make_plan(curve, halves, EaseIn(), Counts(), 101)
    assert plan.pieces[0].ideal == pytest.approx(100 * np.sqrt(0.5), abs=1e-3)
    assert [piece.frames for piece in plan.pieces] == [72, 30]


def test_parts_of_a_target_make_it_whole_again() -> None:
    target, spans = Sine(), [(0.0, 0.3), (0.3, 0.8), (0.8, 1.0)]
    for start, stop in spans:
        u = np.linspace(0, 1, 50)
        low, high = target(np.array([start, stop]))
        shown = low + (high - low) * pinned(part_of(target, (start, stop)), u)
        assert shown == pytest.approx(target(start + u * (stop - start)), abs=1e-6)


def test_a_part_in_which_the_target_rests_is_linear() -> None:
    rest = part_of(lambda u: np.where(u < 0.5, 0.0, 2 * u - 1), (0.1, 0.4))
    assert rest(np.array([0.0, 0.5, 1.0])).tolist() == [0.0, 0.5, 1.0]


def test_an_unreachable_total_is_the_next_longer_one_brought_to_length() -> None:
    curve = curve_of(np.linspace(0, 1, 30))
    plan = planned(curve, 10, Counts(4, 5, 81))
    assert plan.shots[0].generated == 13
    assert not plan.shots[0].exact
    assert plan.shots[0].positions == pytest.approx(np.linspace(0, 12, 10))
    assert any("next longer" in note and "4n + 1" in note for note in plan.notes)
    assert planned(curve, 13, Counts(4, 5, 81)).notes == ()


def test_the_time_map_restores_the_ideal_durations() -> None:
    rng = np.random.default_rng(3)
    for count in (50, 99, 200):
        plan = planned(curve_of(random_progress(rng, 80)), count, Counts(8, 9, 33))
        (shot,) = plan.shots
        made = np.cumsum([piece.frames - 1 for piece in shot.pieces])[:-1]
        ideal = np.cumsum([piece.ideal for piece in shot.pieces])[:-1]
        shown = np.interp(made, shot.positions, np.arange(count))
        assert np.abs(shown - ideal).max(initial=0.0) < 1.0


def test_more_segments_than_frames_are_joined_and_it_is_said() -> None:
    curve = curve_of(random_progress(np.random.default_rng(0), 100))
    plan = make_plan(curve, segment(curve, n_segments=40), Linear(), Counts(1, 5, 33), 9)
    assert len(plan.pieces) <= 2
    assert any("too short joined" in note and "5 to 33" in note for note in plan.notes)


def test_no_piece_is_shorter_than_the_generators_shortest_but_alone() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        plan = planned(curve_of(random_progress(rng, 90)), 60, Counts(1, 9, 33))
        if len(plan.pieces) > 1:
            assert min(piece.ideal for piece in plan.pieces) >= 8 - 1e-6


def test_long_segments_are_split_at_source_frames() -> None:
    plan = planned(curve_of(np.linspace(0, 1, 60)), 200, Counts(1, 5, 33))
    assert len(plan.pieces) >= 7
    assert plan.shots[0].exact
    assert any("split" in note for note in plan.notes)


def test_a_jump_without_a_frame_inside_is_stretched_and_it_is_said() -> None:
    curve = curve_of(np.repeat([0.0, 1.0], 20))
    plan = planned(curve, 200, Counts(1, 5, 33))
    assert plan.shots[0].generated < 200
    assert any("stretched" in note for note in plan.notes)


def test_kept_cuts_take_one_step_and_no_share_of_the_time() -> None:
    """Both shots change alike, so they last alike, whatever the cut between them."""
    progress = np.concatenate([np.linspace(0, 0.1, 10), np.linspace(0.9, 1.0, 30)])
    plan = planned(curve_of(progress), 40, Counts(), cuts=(10,))
    assert [shot.num_frames for shot in plan.shots] == [20, 20]
    assert all(9 not in range(piece.start, piece.stop) for piece in plan.pieces)


def test_no_smoothing_carries_a_cut_into_its_shots() -> None:
    fitted = np.repeat([0.0, 1.0], 8) + 0.01 * np.arange(16)
    settings = replace(SETTINGS, monotone="gradient")
    smoothed = accumulate(fitted, "gradient") / accumulate(fitted, "gradient")[-1]
    assert np.diff(smoothed)[6] > 0.2
    curve = replace(curve_of(smoothed), fitted=fitted, settings=settings)
    steady = paced(curve, [8])
    assert np.diff(steady.progress)[7] == 0
    assert steady.progress == pytest.approx(np.r_[np.arange(8), np.arange(7, 15)] / 14)


def test_more_shots_than_frames_are_refused() -> None:
    curve = curve_of(np.linspace(0, 1, 40))
    with pytest.raises(ConfigError, match=r"5 frames cannot hold 3 shots; ask for at least 6"):
        planned(curve, 5, Counts(), cuts=(10, 20))
    check(planned(curve, 6, Counts(), cuts=(10, 20)), 6, 40, Counts())


def test_sharing_out_is_optimal() -> None:
    """Against all ways to share."""
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


def test_plan_for_people() -> None:
    plan = planned(curve_of(np.linspace(0, 1, 30)), 10, Counts(4, 5, 81))
    lines = list(plan.lines(fps=10.0))
    assert lines[0] == "10 frames from 1 segment(s) between 2 keyframes; 13 frames generated"
    source, made = " ".join(lines[1].split()).split(" s ")
    assert source == "source frames 0 to 29 100.0% of the change 0.900"
    assert made == "13 frames generated, brought to 9.0 steps by the time map"
    assert plan.notes[-1].startswith("the next longer clip")


def test_a_plan_tells_what_is_rounded() -> None:
    plan = planned(curve_of([0.0, 0.1, 0.4, 0.4, 0.7, 1.0]), 11, Counts(1, 2, 5))
    assert all(shot.exact for shot in plan.shots)
    for piece, text in zip(plan.pieces, list(plan.lines(fps=2.0))[1:], strict=True):
        assert f"{(piece.frames - 1) / 2:.3f} s" in text
        rounded = f"{piece.ideal:.1f} steps rounded to {piece.frames - 1}"
        assert (rounded in text) == (abs(piece.ideal - piece.frames + 1) >= 0.05)


def test_the_time_map_of_the_source_passes_through_the_keyframes() -> None:
    """Each keyframe stands where the frames before it end; a kept cut takes one step."""
    rng = np.random.default_rng(1)
    for counts in (Counts(), Counts(4, 5, 33)):
        for _ in range(20):
            curve = curve_of(random_progress(rng, 60))
            plan = planned(curve, int(rng.integers(12, 90)), counts, cuts=[25])
            tau = plan.positions
            assert tau.shape == (plan.num_frames,)
            assert (np.diff(tau) >= 0).all()
            assert (tau[0], tau[-1]) == (0, 59)
            first = plan.shots[0].num_frames
            assert tau[first - 1 : first + 1].tolist() == [24, 25]
            begin = 0
            for shot in plan.shots:
                ends = begin + shot.shown
                keyframes = [shot.pieces[0].start, *(piece.stop for piece in shot.pieces)]
                if shot.exact:
                    assert np.diff(ends).tolist() == [piece.frames - 1 for piece in shot.pieces]
                    assert tau[ends.astype(int)].tolist() == keyframes
                begin += shot.num_frames


# What a generator can make


def test_counts_of_the_shipped_generator() -> None:
    assert counts_of(Tiny()) == Counts(1, 5, 33)


def test_counts_are_found_by_asking_the_clock() -> None:
    assert counts_of(Jumper(Counts(4, 5, 81), declares=False)) == Counts(4, 5, 81)
    assert counts_of(Jumper(Counts(1, 5, 33), declares=False)) == Counts(1, 5, 33)
    # One that accepts everything is held to what it makes unasked.
    assert counts_of(Jumper(Counts(8, 2, None), declares=False)) == Counts(8, 9, 25)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"factor": 0}, "factor=0 must be a whole number, at least 1"),
        ({"shortest": 1}, "shortest=1 must be"),
        ({"longest": 2.5}, r"longest=2.5 must be"),
        (
            {"factor": 8, "shortest": 10, "longest": 16},
            r"no number 8n \+ 1 of frames from 10 to 16",
        ),
    ],
)
def test_rules_without_a_number_are_refused(rule: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Counts(**rule)
