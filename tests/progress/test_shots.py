"""Hard cuts when clips are retimed: no frame mixes two shots, and each shot is paced by itself."""

from itertools import pairwise

import clips
import harness
import numpy as np
import pytest
from faders import Fader
from pacings import curve_of, random_progress

import spf
from spf.pacing.resampling import METHODS
from spf.pacing.strategies import FOR_FINISHED
from spf.pacing.targets import EaseIn, Linear
from spf.pacing.timemap import cuts_shown, paced, when_reached
from spf.video import load

HUES = np.array([(220, 0, 0), (0, 200, 0), (0, 0, 255)], np.float64)


def shots(cuts, count, power=3.0):
    """Frames of pure red, green and blue shots in turn, in each of which a bar grows, slowly at
    first: a frame with two hues at once shows two shots."""
    frames = []
    for number, (start, stop) in enumerate(pairwise([0, *cuts, count])):
        for u in np.linspace(0, 1, stop - start):
            image = np.zeros((32, 64, 3))
            image[:, : 24 + round(12 * u**power)] = HUES[number % 3]
            frames.append(np.rint(image).astype(np.uint8))
    return frames


def hues(frames):
    """How strong each hue is (T, 3), 0 .. 1, at its strongest pixel."""
    pixels = frames[:, 4:-4, 4:20].astype(np.float64)  # where every shot has its bar
    return pixels.mean(axis=(1, 2)) / HUES.max(axis=0)


def rest(u):
    """A target that rests half-way, for a third of the time."""
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
    """As its own target, cuts and all: the identity map, so that the sound stays."""
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
    """A curve of random pacing with a large step at each cut."""
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
