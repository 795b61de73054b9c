"""Clips beside each other: sizes, lengths, enlargement, and where the dot is."""

from __future__ import annotations

import harness
import numpy as np
import pytest

import spf
from spf.progress import Curve
from spf.sidebyside import (
    CURVE_HEIGHT,
    GAP,
    LARGEST,
    RED,
    SIDE,
    TITLE_HEIGHT,
    side_by_side,
)

RATE = 8.0


def clip(count: int, size: int = 32, power: float = 1.0) -> tuple[np.ndarray, Curve]:
    """A dissolve and its curve."""
    frames = np.stack(harness.dissolve(np.linspace(0, 1, count) ** power, size=size))
    times = np.arange(count) / RATE
    return frames, spf.fit(frames.reshape(count, -1).astype(np.float64) + 1.0, times)


def dots(frame: np.ndarray, panel: int, width: int = SIDE) -> tuple[float, float]:
    """Centre (x, y) of the red dot of a panel, in the panel's plot."""
    left = GAP + panel * (width + GAP)
    plot = frame[-CURVE_HEIGHT:, left : left + width]
    rows, columns = np.nonzero((plot == RED).all(axis=-1))
    assert len(rows) > 20
    return float(columns.mean()), float(rows.mean())


def test_as_many_frames_as_the_longest_clip_has() -> None:
    frames = list(side_by_side([(*clip(9), "a"), (*clip(5), "b")], RATE))
    assert len(frames) == 9
    assert {frame.shape for frame in frames} == {(TITLE_HEIGHT + 256 + CURVE_HEIGHT, 560, 3)}
    assert all(frame.dtype == np.uint8 and frame.flags.c_contiguous for frame in frames)


def test_small_frames_are_enlarged_by_a_whole_factor_and_a_short_clip_waits() -> None:
    long, short = clip(7), clip(4, power=3.0)
    shown = list(side_by_side([(*long, "a"), (*short, "b")], RATE))
    for index, frame in enumerate(shown):
        for panel, (frames, _) in enumerate((long, short)):
            left = GAP + panel * (SIDE + GAP)
            seen = frame[TITLE_HEIGHT : TITLE_HEIGHT + SIDE, left : left + SIDE]
            wanted = frames[min(index, len(frames) - 1)]
            assert np.array_equal(seen, wanted.repeat(8, axis=0).repeat(8, axis=1))


def test_the_dot_runs_along_the_curve() -> None:
    frames, curve = clip(9, power=2.0)
    places = np.array([dots(f, 0) for f in side_by_side([(frames, curve, "")], RATE)])
    u = curve.times / curve.times[-1]
    for seen, wanted in ((places[:, 0], u), (-places[:, 1], curve.progress)):
        scaled = (seen - seen[0]) / (seen[-1] - seen[0])
        assert np.abs(scaled - wanted).max() < 0.01
    assert places[0, 0] < 20 < 236 < places[-1, 0]
    assert places[0, 1] > 100 > 20 > places[-1, 1]


def test_other_shapes_and_titles_fit() -> None:
    wide = np.zeros((3, 30, 301, 3), np.uint8)
    panels = [(wide, clip(3)[1], "ein sehr langer Titel für einen Clip " * 5), (*clip(3), "b")]
    shapes = {frame.shape for frame in side_by_side(panels, 24.0)}
    assert len(shapes) == 1
    height, width, _ = shapes.pop()
    assert height % 2 == width % 2 == 0


def test_what_does_not_belong_together_is_refused() -> None:
    frames, curve = clip(5)
    for clips, words in (
        ([], "no clips"),
        ([(frames[:4], curve, "a")], "a: the curve has 5 points"),
        ([(frames.astype(float), curve, "a")], "a: frames must be"),
    ):
        with pytest.raises(ValueError, match=words):
            list(side_by_side(clips, RATE))  # type: ignore[arg-type]


def test_clips_of_other_rates_keep_their_time() -> None:
    """8 frames a second beside 4: each of the slow clip's frames is shown twice."""
    frames, _ = clip(5)
    slow = spf.fit(frames.reshape(5, -1).astype(np.float64) + 1.0, np.arange(5) / (RATE / 2))
    shown = list(side_by_side([(*clip(9), "a"), (frames, slow, "b")], RATE))
    assert len(shown) == 9
    left = 2 * GAP + SIDE
    for tick, frame in enumerate(shown):
        seen = frame[TITLE_HEIGHT : TITLE_HEIGHT + SIDE, left : left + SIDE]
        assert np.array_equal(seen[::8, ::8], frames[tick // 2])


def test_uneven_time_stamps_are_obeyed() -> None:
    frames, _ = clip(3)
    uneven = spf.fit(frames.reshape(3, -1).astype(np.float64) + 1.0, np.array([0.0, 0.75, 1.0]))
    shown = [
        frame[TITLE_HEIGHT : TITLE_HEIGHT + SIDE, GAP : GAP + SIDE]
        for frame in side_by_side([(frames, uneven, "")], RATE)
    ]
    found = [
        next(k for k in range(3) if np.array_equal(seen[::8, ::8], frames[k])) for seen in shown
    ]
    assert found == [0, 0, 0, 0, 0, 0, 1, 1, 2]


def test_streams_are_taken_frame_by_frame_and_large_frames_reduced() -> None:
    taken = 0

    def stream():
        nonlocal taken
        for _ in range(9):
            taken += 1
            yield np.zeros((90, 2 * LARGEST, 3), np.uint8)

    films = side_by_side([(stream(), clip(9)[1], "a")], RATE)
    for tick, frame in enumerate(films):
        assert taken == tick + 1
        assert frame.shape[1] == LARGEST + 2 * GAP
    with pytest.raises(ValueError, match="curve has 12 points, the clip 9 frames"):
        list(side_by_side([(stream(), clip(12)[1], "a")], RATE))
