"""Stretches for editors against their readers; dead ends that are cut off, and sound in step."""

import csv
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction

import av
import clips
import harness
import numpy as np
import pytest
import spf_command
from spf_command import PIXELS

from spf.curation import editors
from spf.curation.editors import EditedClip, EditedPart, parts_of, timecode
from spf.curation.trim import carry_out, plan_trim
from spf.embedders import load_embedder
from spf.errors import ClipError, ConfigError
from spf.measurement import measure_clip
from spf.progress.stretches import Stretch
from spf.video import load, write_png
from spf.video.packets import copy_part, copy_span, packets_of

NTSC = Fraction(30_000, 1001)
NAMED = (
    Stretch("dead", 0, 50, 0.0, 2.0, 0.01, 0.05), Stretch("jump", 60, 75, 2.4, 3.0, 0.4, 6.0),
    Stretch("cut", 89, 90, 3.56, 3.6, 0.2, 20.0), Stretch("dead", 100, 124, 4.0, 4.96, 0.0, 0.0),
)  # fmt: skip


def edited(rate=25, name="clip.mp4", scale=1.0):
    """The stretches above in a clip of 5 s, all times `scale` times as long."""
    times = [{"start_time": scale * x.start_time, "stop_time": scale * x.stop_time} for x in NAMED]
    named = [replace(x, **more) for x, more in zip(NAMED, times, strict=True)]
    parts = parts_of(named, scale * 4.96, scale * 5.0)
    return EditedClip(name, Fraction(rate), scale * 5.0, named, parts)


def test_parts_cover_the_clip():
    """A cut within a jump divides it."""
    assert [(part.start, part.stop, part.title) for part in edited().parts] == [
        (0.0, 2.0, "dead stretch (1% of the change)"),
        (2.0, 2.4, "steady"),
        (2.4, 3.0, "jump (40% of the change)"),
        (3.0, 3.6, "steady"),
        (3.6, 4.0, "steady, after a hard cut"),
        (4.0, 5.0, "dead stretch (0% of the change)"),
    ]
    jump, cut = Stretch("jump", 1, 9, 1.0, 9.0, 0.9, 2.0), Stretch("cut", 4, 5, 4.0, 5.0, 0.5, 5.0)
    title = "jump (90% of the change)"
    divided = [(1.0, title), (5.0, f"{title}, after a hard cut"), (9.0, "steady")]
    found = [(part.start, part.title) for part in parts_of([jump, cut], 19.0, 20.0)]
    assert found == [(0.0, "steady"), *divided]


def numbered(stamp, base):
    """Frame of a timecode, by counting the numbers that drop frame leaves out."""
    hours, minutes, seconds, frames = (int(x) for x in re.split("[:;]", stamp))
    total = hours * 60 + minutes
    left_out = (base // 15) * (total - total // 10) if ";" in stamp else 0
    return (total * 60 + seconds) * base + frames - left_out


def test_timecode():
    """SMPTE ST 12-1: ;00 and ;01 of each minute are left out, but for each tenth minute."""
    for frame, rate, wanted in (
        (25 * 3600 + 26, 25, "01:00:01:01"), (24 * 61, Fraction(24_000, 1001), "00:01:01:00"),
        (48 * 61 + 47, 48, "00:01:01:47"), (1799, NTSC, "00:00:59;29"), (1800, NTSC, "00:01:00;02"),
        (17_981, NTSC, "00:09:59;29"), (17_982, NTSC, "00:10:00;00"), (19_782, NTSC, "00:11:00;02"),
        (107_892, NTSC, "01:00:00;00"), (3600, 2 * NTSC, "00:01:00;04"), (1800, 30, "00:01:00:00"),
    ):  # fmt: skip
        assert timecode(frame, Fraction(rate)) == wanted
    for exact in (Fraction(24), Fraction(24_000, 1001), NTSC, 2 * NTSC):
        frames = np.random.default_rng(0).integers(0, 24 * 3600 * round(exact) - 400_000, 500)
        stamps = [timecode(int(frame), exact) for frame in frames]
        assert [numbered(stamp, round(exact)) for stamp in stamps] == frames.tolist()


@pytest.mark.parametrize("rate", [Fraction(25), NTSC, Fraction(24_000, 1001), Fraction(16)])
def test_edl_events_join_without_gaps(rate):
    text = editors.as_edl(edited(rate, name="My holiday (2).mp4", scale=100.0))
    title, mode, _, *lines = text.splitlines()
    assert title == "TITLE: My holiday (2).mp4"
    assert mode == ("FCM: DROP FRAME" if rate == NTSC else "FCM: NON-DROP FRAME")
    events = [line.split() for line in lines if line[0] != "*"]
    heads = [[f"{k:03d}", "MY_HOLID", "V", "C"] for k in range(1, 7)]
    assert [event[:4] for event in events] == heads
    frames = [[numbered(stamp, round(rate)) for stamp in event[4:]] for event in events]
    starts, stops, records, ends = np.transpose(frames).tolist()
    assert starts == [0, *stops[:-1]]
    assert stops[-1] == round(500 * rate)
    assert records == [x + records[0] for x in starts]
    assert ends == [x + records[0] for x in stops]
    assert events[0][6] == ("01:00:00;00" if rate == NTSC else "01:00:00:00")
    assert lines.count("* FROM CLIP NAME: My holiday (2).mp4") == 6
    assert f"* COMMENT: {rate} frames a second" in lines


def test_reels_long_lists_and_rows():
    reels = {"clip.mp4": "CLIP", "a b-c.mov": "A_B_C", "Überlänge.mp4": "BERL_NGE"}
    reels |= {"猫.mp4": "AX", "...mp4": "AX", "abcdefgh_x.mp4": "ABCDEFGH"}
    assert {name: editors.reel_name(name) for name in reels} == reels
    many = [EditedPart(float(k), k + 1.0, "steady") for k in range(1000)]
    with pytest.raises(ClipError, match="an EDL holds 999"):
        editors.as_edl(replace(edited(), parts=many))
    rows = list(csv.DictReader(editors.as_csv(edited()).splitlines()))
    assert [row["kind"] for row in rows] == ["dead", "jump", "cut", "dead"]
    assert [float(rows[1][name]) for name in list(rows[1])[1:]] == [60, 75, 2.4, 3.0, 0.6, 0.4, 6.0]


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="needs the program ffprobe")
def test_ffmpeg_reads_the_chapters(tmp_path):
    clip, path = tmp_path / "a.mp4", tmp_path / "chapters.ffmeta"
    harness.save(clip, harness.steady(60))
    odd = EditedPart(1.0, 5.0, r"a=b; #c \d")
    for parts in (edited().parts, [EditedPart(0.0, 1.0, "x"), odd]):
        path.write_text(editors.as_ffmetadata(replace(edited(), parts=parts)))
        out = tmp_path / f"{len(parts)}.mp4"
        words = ["ffmpeg", "-v", "error", "-i", clip, "-i", path, "-map_chapters", "1"]
        subprocess.run([*words, "-c", "copy", out], check=True, stdin=subprocess.DEVNULL)
        for file in (path, out):
            show = ["ffprobe", "-v", "error", "-show_chapters", "-of", "json", file]
            found = json.loads(subprocess.run(show, capture_output=True, check=True).stdout)
            times = ("start_time", "end_time")
            read = [(*(float(x[k]) for k in times), x["tags"]["title"]) for x in found["chapters"]]
            assert read == [(part.start, part.stop, part.title) for part in parts]


def test_youtube_gets_chapters_that_it_takes():
    assert editors.as_youtube(edited(scale=20.0)).splitlines() == [
        "0:00 dead stretch (1% of the change)",
        "0:40 jump (40% of the change)",  # from 0:48
        "1:00 steady",
        "1:12 steady, after a hard cut; dead stretch (0% of the change)",  # from 1:20
    ]
    lines = editors.as_youtube(edited(scale=1000.0)).splitlines()
    assert lines[0].startswith("0:00:00 ")
    assert lines[-1].startswith("1:06:40 ")
    for scale in (1.0, 5.9):
        with pytest.raises(ClipError, match=r"YouTube takes 3 chapters of 10 s or more, and it"):
            editors.as_youtube(edited(scale=scale))


def test_analyze_exports_one_clip(tmp_path, capsys):
    clip = harness.save(tmp_path / "clip.mp4", harness.jumping(25))
    words = ["analyze", clip, *PIXELS, "--no-plot", "--export"]
    (tmp_path / "folder.edl").mkdir()
    assert f"export: {tmp_path}/a.EDL" in spf_command.printed(capsys, *words, tmp_path / "a.EDL")
    lines = (tmp_path / "a.EDL").read_text().splitlines()
    assert lines[:2] == ["TITLE: clip.mp4", "FCM: NON-DROP FRAME"]
    assert "* COMMENT: 12 frames a second" in lines
    events = [line.split() for line in lines if line[:1].isdigit()]
    assert (events[0][4], events[-1][5]) == ("00:00:00:00", "00:00:02:01")  # 25 frames at 12
    still = harness.save(tmp_path / "still.mp4", harness.still())
    spf_command.printed(capsys, "analyze", still, *words[2:], tmp_path / "b.ffmeta")
    assert "title=no semantic change" in (tmp_path / "b.ffmeta").read_text()
    for name, message in (("a.txt", "it lasts 2.1 s"), ("folder.edl", "cannot be written")):
        (row,) = spf_command.rows(capsys, *words, tmp_path / name, code=1)
        assert row["status"] == "done"
        assert message in spf_command.refused(capsys, *words, tmp_path / name, code=1)
    assert not (tmp_path / "a.txt").exists()


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
