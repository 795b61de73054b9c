"""The pictures of clips: a strip along its time axis; films beside each other and their dots."""

import harness
import numpy as np
import pytest

import spf
from spf import figures
from spf.figures import CURVE_HEIGHT, GAP, LARGEST, RED, SIDE, TITLE_HEIGHT, side_by_side
from spf.measurement import measure_clip

RATE = 8.0
TOP = TITLE_HEIGHT + CURVE_HEIGHT
NAME = "efficientnet (ImageNet)"


def level(number):
    return 10 + 2 * number


def counted(shares, times):
    """A measured clip of chosen pacing, whose upper rows show its number and leave its mean."""
    frames = np.zeros((len(shares), 96, 96, 3), np.uint8)
    for number, (image, share) in enumerate(zip(frames, shares, strict=True)):
        image[:24], image[24:48] = level(number), 255 - level(number)
        image[48:, :, 0] = round(255 * share)
    return measure_clip(zip(frames, times, strict=True), harness.Linear())


def drawn(measured, monkeypatch):
    made = []
    monkeypatch.setattr(figures, "png", lambda figure: made.append(figure) or b"")
    figures.plot_measurement(measured, "title", figures.subtitle(measured.curve, NAME))
    return made[0]


@pytest.mark.parametrize("start", [0.0, 7.5])
def test_the_strip_shows_each_frame_over_its_time(start, monkeypatch):
    times = start + np.linspace(0, 1, 100) ** 2 * 9
    curve, strip = drawn(counted(np.linspace(0, 1, 100), times), monkeypatch).axes[:2]
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


def test_the_plot_has_the_curve_its_segments_and_a_card_a_stretch(monkeypatch):
    shares = np.interp(np.arange(60), [0, 30, 34, 59], [0, 0, 1, 1])
    measured = counted(shares, np.arange(60) / 12)
    figure, named = drawn(measured, monkeypatch), measured.named_stretches
    lines, cards = figure.axes[0].get_lines(), figure.axes[2:]
    assert np.array_equal(lines[-1].get_ydata(), measured.curve.progress)
    assert len(lines) == 2 + len(measured.segments)
    text = " ".join(text.get_text() for text in figure.texts)
    linearity = spf.score(measured.curve)["linearity_mae"]
    assert f"embedder {NAME} · linearity_mae {linearity:.4f}" in text
    assert f"noise share {measured.curve.noise_share:.2f}" in text
    assert {part.kind for part in named} == {"dead", "jump"}
    for number, (card, part) in enumerate(zip(cards, named, strict=True), start=1):
        image = np.asarray(card.images[0].get_array())[0, :, 1]
        assert [image[0], image[-1]] == [level(part.start), level(part.stop)]
        kind = {"dead": "dead stretch", "jump": "jump"}[part.kind]
        title = card.get_title("left")
        span = f"{part.start_time:.2f} to {part.stop_time:.2f} s"
        assert title.startswith(f"{number}  {kind}, {span}")
        assert f"change {part.change:.2f}" in title


def fitted(frames, times):
    return spf.fit(frames.reshape(len(frames), -1).astype(float) + 1.0, np.array(times))


def clip(count, power=1.0, rate=RATE):
    frames = np.stack(harness.dissolve(np.linspace(0, 1, count) ** power))
    return frames, fitted(frames, np.arange(count) / rate)


def shown(film, panel=0):
    """What a panel shows of the clip, of 32 pixels, which are 8 times as large there."""
    left = GAP + panel * (SIDE + GAP)
    enlarged = film[TOP : TOP + SIDE, left : left + SIDE]
    small = enlarged[::8, ::8]
    assert np.array_equal(enlarged, small.repeat(8, axis=0).repeat(8, axis=1))
    return small


def test_a_short_clip_waits_and_other_rates_keep_their_time():
    """9 frames at 8 a second, 5 at 8, and 5 at 4, each of which is shown twice."""
    panels = clip(9), clip(5, power=3.0), clip(5, rate=RATE / 2)
    films = list(side_by_side([(*panel, "a") for panel in panels], RATE))
    assert len(films) == 9
    shape = (TITLE_HEIGHT + 256 + CURVE_HEIGHT, 4 * GAP + 3 * SIDE, 3)
    assert {(film.shape, film.dtype.name) for film in films} == {(shape, "uint8")}
    assert all(film.flags.c_contiguous for film in films)
    for tick, film in enumerate(films):
        for panel, frame in enumerate((tick, min(tick, 4), tick // 2)):
            assert np.array_equal(shown(film, panel), panels[panel][0][frame])


def test_uneven_time_stamps_are_obeyed():
    frames, _ = clip(3)
    films = side_by_side([(frames, fitted(frames, [0.0, 0.75, 1.0]), "")], RATE)
    found = [[np.array_equal(shown(film), frame) for frame in frames].index(True) for film in films]
    assert found == [0, 0, 0, 0, 0, 0, 1, 1, 2]


def test_the_dot_runs_along_the_curve():
    frames, curve = clip(9, power=2.0)
    places = []
    for film in side_by_side([(frames, curve, "")], RATE):
        plot = film[TITLE_HEIGHT:TOP, GAP : GAP + SIDE]
        rows, columns = np.nonzero((plot == RED).all(axis=-1))
        assert len(rows) > 20
        places.append((columns.mean(), -rows.mean()))
    u = curve.times / curve.times[-1]
    for seen, wanted in zip(np.transpose(places), (u, curve.progress), strict=True):
        assert np.abs((seen - seen[0]) / (seen[-1] - seen[0]) - wanted).max() < 0.01
    (left, low), (right, high) = places[0], places[-1]
    assert left < 20 < 236 < right
    assert -low > 100 > 20 > -high


def test_other_shapes_and_titles_fit():
    wide = np.zeros((3, 30, 301, 3), np.uint8)
    panels = [(wide, clip(3)[1], "ein sehr langer Titel für einen Clip " * 5), (*clip(3), "b")]
    ((height, width, _),) = {film.shape for film in side_by_side(panels, 24.0)}
    assert height % 2 == width % 2 == 0
    for name in ("before: " + "x" * 60 + ".mp4", "Löwe → Тигр " * 20):
        film = next(iter(side_by_side([(*clip(9), name)], RATE)))
        inked = np.flatnonzero((film[:TITLE_HEIGHT, GAP : GAP + SIDE] < 200).any(axis=(0, 2)))
        assert inked[0] < 5
        assert inked[-1] > SIDE - 5
        assert np.diff(inked).max() >= 8  # between the name and the time


def test_streams_are_taken_frame_by_frame_and_large_frames_reduced():
    taken = []

    def stream():
        for number in range(9):
            taken.append(number)
            yield np.zeros((90, 2 * LARGEST, 3), np.uint8)

    for tick, film in enumerate(side_by_side([(stream(), clip(9)[1], "a")], RATE)):
        assert taken[-1] == tick
        assert film.shape[1] == LARGEST + 2 * GAP
    frames, curve = clip(5)
    for panels, message in (
        ([(stream(), clip(12)[1], "a")], "curve has 12 points, the clip 9 frames"),
        ([], "no clips"),
        ([(frames[:4], curve, "a")], "a: the curve has 5 points"),
        ([(list(frames) * 2, curve, "a")], "5 points, the clip 10 frames"),
        ([(frames.astype(float), curve, "a")], "a: frames must be"),
    ):
        with pytest.raises(ValueError, match=message):
            list(side_by_side(panels, RATE))
