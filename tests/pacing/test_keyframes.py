"""Segments become keyframes of exact lengths; no frame mixes two shots, each of which is paced."""

from itertools import pairwise, product

import clips
import harness
import numpy as np
import pytest
from faders import Fader
from pacings import curve_of, random_progress

import spf
from spf.generators.base import Counts, counts_of
from spf.generators.framepack import FramePack
from spf.generators.ltx2 import Ltx2
from spf.generators.tiny.adapter import TinyGenerator
from spf.generators.wan import Wan22
from spf.pacing.keyframes import make_plan
from spf.pacing.resampling import METHODS
from spf.pacing.strategies import FOR_FINISHED
from spf.pacing.targets import EaseIn, Linear, Sine
from spf.pacing.timemap import cuts_shown, paced, shared_out, when_reached
from spf.progress import Segment, segment
from spf.video import load

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


HUES = np.array([(220, 0, 0), (0, 200, 0), (0, 0, 255)], np.float64)


def shots(cuts, count, power=3.0):
    """Pure red, green and blue shots in turn: a frame with two hues at once shows two shots."""
    frames = []
    for number, (start, stop) in enumerate(pairwise([0, *cuts, count])):
        for u in np.linspace(0, 1, stop - start):
            image = np.zeros((32, 64, 3))
            image[:, : 24 + round(12 * u**power)] = HUES[number % 3]
            frames.append(np.rint(image).astype(np.uint8))
    return frames


def hues(frames):
    pixels = frames[:, 4:-4, 4:20].astype(np.float64)  # where every shot has its bar
    return pixels.mean(axis=(1, 2)) / HUES.max(axis=0)


def rest(u):
    return np.interp(u, [0, 1 / 3, 2 / 3, 1], [0, 0.5, 0.5, 1])


@pytest.mark.parametrize(("cuts", "settings"), [
    ([11], {"num_frames": 10, "target": "exponential"}), ([6, 12, 19], {"num_frames": 97}),
    ([1, 12, 23], {"target": "ease-in-out"}), ([12], {"target": rest, "num_frames": 40}),
    ([8, 16], {"fps": 30, "keep": "fastest"}),
])  # fmt: skip
@pytest.mark.parametrize("method", FOR_FINISHED)
def test_no_frame_mixes_two_shots(method, cuts, settings, tmp_path):
    clip = harness.save(tmp_path / "clip.mp4", shots(cuts, 24))
    settings = {"method": method, "embedder": "pixels", "check": None} | settings
    if method == "regenerate":
        settings |= {"generator": Fader(factor=1), "strategy": "none"}
    done = spf.retime(clip, tmp_path / "out.mp4", **settings)
    assert done.plan.cuts == tuple(cuts)
    strong = hues(load(done.out).frames)
    assert (np.sort(strong, axis=1)[:, 1] < 0.1).all()
    shown = strong.argmax(axis=1)
    first = np.flatnonzero(np.diff(shown)) + 1
    assert shown[[0, *first]].tolist() == [number % 3 for number in range(len(cuts) + 1)]
    assert first.tolist() == list(done.plan.cuts_shown)
    (note,) = [note for note in done.notes if "hard cut" in note]
    assert note.startswith(f"{len(cuts)} hard cut(s) at {cuts[0] / 12:.2f}")
    assert "kept" in note


def test_bridged_cuts_are_change_like_any_other(tmp_path):
    clip = harness.save(tmp_path / "clip.mp4", shots([12], 24))
    usual = {"embedder": "pixels", "check": None, "num_frames": 61, "method": "blend"}
    bridged, kept = (
        spf.retime(clip, tmp_path / f"{cuts}.mp4", cuts=cuts, **usual)
        for cuts in ("bridge", "keep")
    )
    strong = hues(load(bridged.out).frames)
    assert (np.sort(strong, axis=1)[:, 1] > 0.2).sum() > 5
    assert bridged.plan.cuts == ()
    assert "1 hard cut(s) at 1.00 s bridged" in " ".join(bridged.notes)
    name = "target_mae_between_cuts"
    assert name not in bridged.after
    assert kept.after[name] < kept.before[name] / 2 < 0.1


def test_the_pacing_of_a_clip_with_cuts_gives_itself_back(tmp_path):
    frames = shots([7, 16], 24, power=1.5)
    crisp = {"crf": "10", "bf": "0"}
    clip = clips.encode(tmp_path / "clip.mp4", frames, rate=12, audio=True, options=crisp)
    curve = spf.measure(clip, "pixels")
    assert curve.cuts == [7, 16]
    done = spf.retime(clip, tmp_path / "out.mp4", curve, embedder="pixels", check=None)
    assert done.plan.preserves_times
    assert not any("sound" in note for note in done.notes)
    assert done.before["target_mae_between_cuts"] == pytest.approx(0, abs=1e-9)


def with_cuts(rng, count, cuts):
    steps = np.diff(random_progress(rng, count))
    steps[np.array(cuts) - 1] = rng.uniform(1, 3, len(cuts))
    return curve_of(np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum())


@pytest.mark.parametrize("target", [Linear(), EaseIn(), rest], ids=["lin", "in", "rest"])
def test_each_shot_is_shown_whole_and_at_the_targets_pace(target):
    """Within half a step of the result where the target has it, all the cuts being steps."""
    rng = np.random.default_rng(4)
    for count, cuts in ((30, (11,)), (40, (1, 20)), (60, (8, 30, 59)), (90, (12, 40, 44, 80))):
        for num_frames in (count // 2, count, 3 * count + 1):
            curve = with_cuts(rng, count, cuts)
            tau = spf.time_map(curve, target, num_frames, cuts)
            assert tau.shape == (num_frames,)
            assert (np.diff(tau) >= 0).all()
            first = cuts_shown(tau, cuts)
            starts, stops = [0, *first], [*(k - 1 for k in first), num_frames - 1]
            assert tau[starts].tolist() == [0, *cuts]
            assert tau[stops].tolist() == [*(cut - 1 for cut in cuts), count - 1]
            when = when_reached(target, paced(curve, cuts).progress)
            free = num_frames - 1 - len(cuts)
            for start, stop, a, b in zip(starts, stops, tau[starts], tau[stops], strict=True):
                wanted = free * (when[int(b)] - when[int(a)])
                least = 0 if a == b else 1
                crowded = sum(free * np.diff(when) < 1) > 0  # short shots take a step from others
                assert abs(stop - start - wanted) < 1 + least + crowded * len(cuts)


def test_a_clip_of_cuts_alone_and_more_shots_than_frames_are_refused(tmp_path):
    clip = harness.save(tmp_path / "clip.mp4", harness.dissolve([0.0] * 12 + [1.0] * 12))
    for method in METHODS:
        with pytest.raises(spf.ClipError, match=r"nothing changes but at its cuts; .*--cuts bri"):
            spf.retime(clip, tmp_path / "out.mp4", method=method, embedder="pixels")
    curve = with_cuts(np.random.default_rng(0), 40, (1, 20))
    with pytest.raises(spf.ConfigError, match="4 frames cannot hold 3 shots; ask for at least 5"):
        spf.time_map(curve, "linear", 4, (1, 20))
    assert spf.time_map(curve, "linear", 5, (1, 20)).tolist() == [0, 1, 19, 20, 39]
