"""Dead ends are cut off: which frames stay, what is copied, and that the sound stays in step."""

import os
import re
from fractions import Fraction

import av
import clips
import harness
import numpy as np
import pytest
import spf_command
from spf_command import PIXELS

from spf.curation.trim import carry_out, plan_trim
from spf.embedders import load_embedder
from spf.errors import ClipError, ConfigError
from spf.measurement import measure_clip
from spf.video import load, write_png
from spf.video.packets import copy_part, copy_span, packets_of

RATE = 25
LEAD, MOVES, TAIL = 30, 40, 25
BURST = 2.0  # seconds


def shares(lead=LEAD, moves=MOVES, tail=TAIL):
    return np.concatenate([np.zeros(lead), np.linspace(0, 1, moves), np.ones(tail)])


def made(path, lead=LEAD, tail=TAIL, **options):
    """A dissolve that stands still at its ends, of 25 frames a second."""
    given = {"crf": "8"} | options.pop("options", {})
    frames = harness.dissolve(shares(lead, tail=tail))
    return clips.encode(path, frames, rate=RATE, options=given, **options)


def with_burst(path, pictures):
    """The pictures with a sound that is silent until `BURST`, when its tone sets in."""
    at = np.arange(round(48_000 * 4.2)) / 48_000
    wave = np.where(at >= BURST, 0.5 * np.sin(2 * np.pi * 1000 * at), 0).astype(np.float32)
    with av.open(str(pictures)) as source, av.open(str(path), "w") as output:
        old = source.streams.video[0]
        video = output.add_stream_from_template(old)
        sound = output.add_stream("aac", rate=48_000, layout="mono")
        for packet in (x for x in source.demux(old) if x.dts is not None):
            packet.stream = video
            output.mux(packet)
        for begin in range(0, len(wave), 1024):
            tone = av.AudioFrame.from_ndarray(wave[None, begin : begin + 1024], "fltp", "mono")
            tone.rate, tone.pts = 48_000, begin
            output.mux(sound.encode(tone))
        output.mux(sound.encode(None))
    return path


def onset(path):
    """When the tone sets in, and when the sound ends; seconds on the clock of the pictures."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        zero = float((video.start_time or 0) * video.time_base)
        loud, end = [], 0.0
        for frame in container.decode(audio=0):
            wave = np.abs(frame.to_ndarray()).max(axis=0)
            end = frame.time + frame.samples / frame.rate - zero
            loud += [frame.time - zero + index / frame.rate for index in np.flatnonzero(wave > 0.2)]
    return min(loud), end


def planned(path, **options):
    return plan_trim(measure_clip(path, load_embedder("pixels")), **options)


def cut(path, out, **options):
    plan = planned(path, **options)
    assert carry_out(plan, out) == []
    return plan


def test_dead_ends_are_found_and_encoded_away(tmp_path):
    path = made(tmp_path / "a.mp4")
    plan = cut(path, tmp_path / "out.mp4")
    assert plan.how.startswith("encoded again")
    # What moves begins with frame 30 and ends with frame 69.
    assert max(abs(plan.first - (LEAD - 1)), abs(plan.last - (LEAD + MOVES))) <= 2
    before, after = load(path), load(tmp_path / "out.mp4")
    shown = before.frames[plan.first : plan.last + 1].astype(int)
    assert np.abs(after.frames - shown).mean() < 2  # levels
    assert np.allclose(after.times, np.arange(len(after.times)) / RATE, atol=1e-4)
    assert planned(tmp_path / "out.mp4") is None
    wide = planned(path, margin=0.2)
    assert (plan.first - wide.first, wide.last - plan.last) == (5, 5)
    assert planned(path, margin=9.0) is None
    for lead, tail in ((LEAD, 0), (0, TAIL)):
        one = planned(made(tmp_path / "one.mp4", lead, tail))
        assert (one.first == 0) == (lead == 0)
        assert (one.last == lead + tail + MOVES - 1) == (tail == 0)


def test_nothing_to_trim_and_nothing_that_can_be(tmp_path):
    path = made(tmp_path / "a.mp4", tail=0, options={"g": "250"})
    with pytest.raises(ClipError, match="no keyframe lies in its dead ends"):
        planned(path, copy=True)
    for margin in (-1.0, np.inf):
        with pytest.raises(ConfigError, match="margin"):
            planned(path, margin=margin)
    assert planned(harness.save(tmp_path / "even.mp4", harness.steady(25))) is None
    with pytest.raises(ClipError, match="no semantic change"):
        planned(harness.save(tmp_path / "still.mp4", harness.still()))
    write_png(tmp_path / "folder", harness.steady(9))
    with pytest.raises(ClipError, match="no frame rate"):
        planned(tmp_path / "folder")


def test_a_variable_rate_is_kept(tmp_path):
    count = LEAD + MOVES + TAIL
    steps = np.random.default_rng(0).integers(2, 6, count) * 900
    stamps = (np.cumsum(steps) - steps[0]).tolist()
    path = made(tmp_path / "a.mp4", stamps=stamps, unit=Fraction(1, 90_000))
    plan = cut(path, tmp_path / "out.mp4")
    before, after = load(path), load(tmp_path / "out.mp4")
    wanted = before.times[plan.first : plan.last + 1] - before.times[plan.first]
    assert np.allclose(after.times, wanted, atol=1e-4)


@pytest.mark.parametrize(("keys", "copied"), [("250", False), ("1", True)])
def test_sound_stays_in_step(keys, copied, tmp_path):
    pictures = made(tmp_path / "a.mp4", options={"g": keys})
    path = with_burst(tmp_path / "sound.mp4", pictures)
    source = onset(path)
    assert source[0] == pytest.approx(BURST, abs=0.003)
    plan = cut(path, tmp_path / "out.mp4")
    assert (plan.span is not None) == copied
    assert plan.start > 0.9
    begins, ends = onset(tmp_path / "out.mp4")
    assert begins == pytest.approx(BURST - plan.start, abs=0.003)
    assert ends == pytest.approx(plan.stop - plan.start, abs=0.05)  # a packet of AAC is 21 ms


def test_copied_packets_show_the_same_frames(tmp_path):
    path = made(tmp_path / "a.mp4", options={"g": "12", "bf": "2", "sc_threshold": "0"})
    exact = planned(path)
    assert exact.span is None
    plan = cut(path, tmp_path / "out.mp4", copy=True)
    assert plan.first % 12 == 0
    assert 0 < plan.first <= exact.first
    assert exact.last <= plan.last < 94
    before, after = load(path), load(tmp_path / "out.mp4")
    assert np.array_equal(after.frames, before.frames[plan.first : plan.last + 1])
    assert np.allclose(after.times, np.arange(len(after.times)) / RATE, atol=1e-4)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("mp4", {"bf": "0"}), ("mkv", {"bf": "2"}), ("mp4", {"bf": "3", "b-pyramid": "normal"})],
)
def test_spans_can_be_decoded_alone(suffix, options, tmp_path):
    path = tmp_path / f"a.{suffix}"
    clips.encode(path, clips.noise(40), options={"crf": "20", "g": "8", **options})
    whole = load(path)
    packets = packets_of(path, 0, whole.times.tolist())
    for first, last in ((0, 39), (0, 17), (8, 39), (9, 21), (23, 24), (39, 39)):
        span = copy_span(packets, first, last)
        assert span.first <= first <= last <= span.last
        assert first - span.first < 8
        assert span.last - last < 4
        copy_part(path, tmp_path / "out.mp4", 0, packets, span, np.inf)
        found = load(tmp_path / "out.mp4")
        assert np.array_equal(found.frames, whole.frames[span.first : span.last + 1])


def test_animations_are_encoded(tmp_path):
    frames = harness.dissolve(shares(20, 12, 0))
    for index, frame in enumerate(frames):
        frame[0, 0] = 100 * (index % 2)  # or Pillow joins equal frames
    path = clips.animate(tmp_path / "a.gif", frames, [80] * 32)
    plan = cut(path, tmp_path / "out.mp4")
    assert "into an MP4" in plan.how
    assert len(load(tmp_path / "out.mp4").frames) == plan.last + 1 - plan.first < 16


TRIM = ("trim", *PIXELS)


def test_trim_says_what_it_does(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = made(tmp_path / "a.mp4")
    before = path.read_bytes()
    out = spf_command.printed(capsys, *TRIM, path, "--dry-run")
    assert re.search(r"^  beginning  dead from 0\.00 to 1\.\d\d s$", out, re.MULTILINE)
    assert re.search(r"^  keeps      frames \d+ to \d+ of 95, 1\.\d\d to 2\.\d\d s$", out, re.M)
    within = spf_command.printed(capsys, *TRIM, path, "--margin", 9)
    assert "nothing to trim: its dead ends lie within the margin" in within
    os.symlink(path, "link.mp4")
    for out in (path, "link.mp4"):
        assert "would replace" in spf_command.refused(capsys, *TRIM, path, "--out", out)
    assert "margin" in spf_command.refused(capsys, *TRIM, path, "--margin", "nan")
    assert "no such file" in spf_command.refused(capsys, *TRIM, "missing.mp4", code=1)
    assert sorted(os.listdir()) == ["a.mp4", "link.mp4"]
    spf_command.printed(capsys, *TRIM, path)
    assert sorted(os.listdir()) == ["a.mp4", "a.mp4.trimmed.mp4", "link.mp4"]
    assert path.read_bytes() == before
    out = spf_command.printed(capsys, *TRIM, "a.mp4.trimmed.mp4", "--out", "again.mp4")
    assert "it neither begins nor ends with a dead stretch" in out
    assert not os.path.exists("again.mp4")
