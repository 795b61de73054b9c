"""Stretches for editors: timecode against the standard's numbers, files against their readers."""

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction

import harness
import numpy as np
import pytest
import spf_command
from spf_command import PIXELS

from spf.curation import editors
from spf.curation.editors import EditedClip, EditedPart, parts_of, timecode
from spf.errors import ClipError
from spf.progress.stretches import Stretch

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
