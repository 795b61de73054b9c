"""The pictures of clips: a strip along its time axis; films beside each other and their dots."""

from __future__ import annotations

from collections.abc import Iterable

import harness
import numpy as np
import pytest
from matplotlib.figure import Figure

import spf
from spf import figures
from spf.figures import CURVE_HEIGHT, GAP, LARGEST, RED, SIDE, TITLE_HEIGHT, side_by_side
from spf.measurement import Measurement, measure_clip
from spf.progress import Curve

RATE = 8.0
TOP = TITLE_HEIGHT + CURVE_HEIGHT


# One clip's plot

NAME = "efficientnet (ImageNet)"


def level(number: int) -> int:
    """The grey of a frame of `counted`; it tells the frame's number."""
    return 10 + 2 * number


def counted(shares: Iterable[float], times: Iterable[float]) -> Measurement:
    """A measured clip whose pacing is chosen. The upper rows of a frame tell its number, and the
    next ones make up for it: `harness.Linear` sees the mean of all."""
    frames = []
    for number, share in enumerate(shares):
        image = np.zeros((96, 96, 3), np.uint8)
        image[:24], image[24:48] = level(number), 255 - level(number)
        image[48:, :, 0] = round(255 * share)
        frames.append(image)
    return measure_clip(zip(frames, times, strict=True), harness.Linear())


def drawn(measured: Measurement, monkeypatch: pytest.MonkeyPatch) -> Figure:
    """The plot before it becomes a picture."""
    kept: list[Figure] = []
    monkeypatch.setattr(figures, "png", lambda figure: kept.append(figure) or b"")
    figures.plot_measurement(measured, "title", figures.subtitle(measured.curve, NAME))
    return kept[0]


@pytest.mark.parametrize("start", [0.0, 7.5])
def test_the_strip_shows_each_frame_over_its_time(
    start: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip that is slow first, and shown at uneven times."""
    times = start + np.linspace(0, 1, 100) ** 2 * 9
    figure = drawn(counted(np.linspace(0, 1, 100), times), monkeypatch)
    curve, strip = figure.axes[:2]
    ends = times[0], times[-1]
    assert curve.get_xlim() == strip.get_xlim() == ends
    for side in ("x0", "x1"):  # on paper too
        assert getattr(curve.get_position(), side) == getattr(strip.get_position(), side)
    assert len(strip.images) > 5
    edges = [ends[0]]
    for image in strip.images:
        left, right, _, _ = image.get_extent()
        frame = (int(np.asarray(image.get_array())[0, 0, 1]) - 10) // 2
        gaps = np.diff(times[max(0, frame - 1) : frame + 2]).max()
        assert abs(times[frame] - (left + right) / 2) <= gaps / 2
        assert edges[-1] <= left < right <= ends[1]
        edges.append(right)
    assert ends[1] - edges[-1] < 0.05 * (ends[1] - ends[0])


def test_frames_at_a_jump_and_at_a_standstill(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = np.interp(np.arange(60), [0, 30, 34, 59], [0, 0, 1, 1])
    measured = counted(shares, np.arange(60) / 12)
    figure = drawn(measured, monkeypatch)
    named = measured.named_stretches
    assert {part.kind for part in named} == {"dead", "jump"}
    cards = figure.axes[2:]
    assert len(cards) == len(named)
    for number, (card, part) in enumerate(zip(cards, named, strict=True), start=1):
        image = np.asarray(card.images[0].get_array())[0, :, 1]
        assert [image[0], image[-1]] == [level(part.start), level(part.stop)]
        kind = {"dead": "dead stretch", "jump": "jump"}[part.kind]
        said = card.get_title("left")
        assert said.startswith(f"{number}  {kind}, {part.start_time:.2f} to {part.stop_time:.2f} s")
        assert f"change {part.change:.2f}" in said


def test_the_curve_lies_above_its_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = np.interp(np.arange(60), [0, 30, 34, 59], [0, 0.2, 0.8, 1])
    measured = counted(shares, np.arange(60) / 12)
    figure = drawn(measured, monkeypatch)
    lines = figure.axes[0].get_lines()
    assert np.array_equal(lines[-1].get_ydata(), measured.curve.progress)
    assert len(lines) == 2 + len(measured.segments)
    said = " ".join(text.get_text() for text in figure.texts)
    assert (
        f"embedder {NAME} · linearity_mae {spf.score(measured.curve)['linearity_mae']:.4f}" in said
    )
    assert f"noise share {measured.curve.noise_share:.2f}" in said


# Films beside each other


def clip(count: int, size: int = 32, power: float = 1.0) -> tuple[np.ndarray, Curve]:
    """A dissolve and its curve."""
    frames = np.stack(harness.dissolve(np.linspace(0, 1, count) ** power, size=size))
    times = np.arange(count) / RATE
    return frames, spf.fit(frames.reshape(count, -1).astype(np.float64) + 1.0, times)


def dots(frame: np.ndarray, panel: int, width: int = SIDE) -> tuple[float, float]:
    """Centre (x, y) of the red dot of a panel, in the panel's plot."""
    left = GAP + panel * (width + GAP)
    plot = frame[TITLE_HEIGHT:TOP, left : left + width]
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
            seen = frame[TOP : TOP + SIDE, left : left + SIDE]
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


def test_a_long_title_keeps_both_ends_and_the_time_its_place() -> None:
    room = 150
    for name in ("short.mp4", "x" * 200, "Löwe → Тигр " * 20, "", "\n"):
        label = figures._fitting(name, room)
        assert label.shape[1] <= room
    ends = "before: " + "x" * 60 + ".mp4"
    shown = figures._shortened(ends, 20)
    assert len(shown) == 20
    assert (shown[:8], shown[-4:]) == ("before: ", ".mp4")
    frame = next(iter(side_by_side([(*clip(9), ends)], RATE)))
    row = (frame[:TITLE_HEIGHT, GAP : GAP + SIDE] < 200).any(axis=(0, 2))
    inked = np.flatnonzero(row)
    assert inked[0] < 5
    assert inked[-1] > SIDE - 5
    assert np.diff(inked).max() >= 8  # between the name and the time


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
        seen = frame[TOP : TOP + SIDE, left : left + SIDE]
        assert np.array_equal(seen[::8, ::8], frames[tick // 2])


def test_uneven_time_stamps_are_obeyed() -> None:
    frames, _ = clip(3)
    uneven = spf.fit(frames.reshape(3, -1).astype(np.float64) + 1.0, np.array([0.0, 0.75, 1.0]))
    shown = [
        frame[TOP : TOP + SIDE, GAP : GAP + SIDE]
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
