"""Existing clips get another pacing: what that is good for, and what memory it takes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import harness
import numpy as np
import pytest
from pacings import on_circle

import spf
from spf.pacing.resampling import METHODS, resampled
from synthetic.clips import CONTENTS, SyntheticClip, content
from synthetic.laws import law
from synthetic.motion import motion
from synthetic.oracle import RenderOracle

HELD_OUT = [name for name, item in CONTENTS.items() if item.held_out]
JUMPS = ("sigmoid_jump", "two_jumps")
LARGEST_STEP = 0.15


def true_error(p: np.ndarray) -> float:
    """Mean distance of the renderer's parameter (N,) from even pacing."""
    scaled = (p - p[0]) / (p[-1] - p[0])
    return float(np.abs(scaled - np.linspace(0, 1, len(p))).mean())


def rendered(name: str, pacing: str, kind: str, size: int) -> tuple[SyntheticClip, np.ndarray]:
    """A held-out clip of 81 frames, no step of which is larger than `LARGEST_STEP`."""
    clip = SyntheticClip(content(name), law(pacing), motion(kind), size=(size, size), seed=1000)
    assert clip.held_out
    assert np.diff(clip.truth()).max() <= LARGEST_STEP
    return clip, np.stack(list(clip.frames()))


@pytest.mark.parametrize("method", METHODS)
def test_pacing_that_is_measured_well_becomes_even(method: str) -> None:
    """By the renderer's parameter, read off the pixels of the result."""
    ratios = []
    for name in HELD_OUT[::4]:
        oracle = RenderOracle(content(name).painter((48, 48), seed=1000))
        for pacing in JUMPS:
            clip, frames = rendered(name, pacing, "none", 48)
            tau = spf.time_map(spf.fit(on_circle(clip.truth()), clip.times, monotone="increments"))
            made = np.stack(list(resampled(frames, tau, method)))
            before, after = (true_error(oracle.parameter(x)) for x in (frames, made))
            ratios.append(before / after)
    assert np.median(ratios) >= 3


def test_frames_are_not_kept(tmp_path: Path) -> None:
    """100 frames of 300 kB pass through every stage."""
    clip = tmp_path / "clip.mp4"
    spf.video.write_mp4(clip, (np.full((320, 320, 3), k, np.uint8) for k in range(100)), 25)
    embedder = harness.Linear()
    given = {"method": "blend", "embedder": embedder, "cache": False, "check": "pixels"}
    spf.retime(clip, tmp_path / "out.mp4", **given)
    tracemalloc.start()
    try:
        spf.retime(clip, tmp_path / "out.mp4", **given)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 15e6
