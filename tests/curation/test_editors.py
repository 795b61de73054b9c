"""Stretches for editors: timecode against the standard's numbers, files against their readers."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import harness
import numpy as np
import pytest

from spf.cli import main
from spf.curation.editors import (
    EditedClip,
    EditedPart,
    as_csv,
    as_edl,
    as_ffmetadata,
    as_youtube,
    export_stretches,
    format_of,
    parts_of,
    reel_name,
    timecode,
)
from spf.embedders import load_embedder
from spf.errors import ClipError, ConfigError
from spf.measurement import measure_clip
from spf.progress.stretches import Stretch

NTSC = Fraction(30_000, 1001)
NAMED = (
    Stretch("dead", 0, 50, 0.0, 2.0, 0.01, 0.05),
    Stretch("jump", 60, 75, 2.4, 3.0, 0.4, 6.0),
    Stretch("cut", 89, 90, 3.56, 3.6, 0.2, 20.0),
    Stretch("dead", 100, 124, 4.0, 4.96, 0.0, 0.0),
)


def film(rate: Fraction | int = 25, name: str = "clip.mp4", scale: float = 1.0) -> EditedClip:
    """The stretches above in a clip of 5 s, all times `scale` times as long."""
    named = [
        replace(x, start_time=scale * x.start_time, stop_time=scale * x.stop_time) for x in NAMED
    ]
    parts = parts_of(named, scale * 4.96, scale * 5.0)
    return EditedClip(name, Fraction(rate), scale * 5.0, named, parts)


def test_parts_cover_the_clip() -> None:
    assert [(part.start, part.stop, part.title) for part in film().parts] == [
        (0.0, 2.0, "dead stretch (1% of the change)"),
        (2.0, 2.4, "steady"),
        (2.4, 3.0, "jump (40% of the change)"),
        (3.0, 3.6, "steady"),
        (3.6, 4.0, "steady, after a hard cut"),
        (4.0, 5.0, "dead stretch (0% of the change)"),
    ]


def test_a_cut_within_a_jump_divides_it() -> None:
    jump, cut = Stretch("jump", 1, 9, 1.0, 9.0, 0.9, 2.0), Stretch("cut", 4, 5, 4.0, 5.0, 0.5, 5.0)
    titles = [(part.start, part.title) for part in parts_of([jump, cut], 19.0, 20.0)]
    title = "jump (90% of the change)"
    assert titles == [(0.0, "steady"), (1.0, title), (5.0, f"{title}, after a hard cut"),
                      (9.0, "steady")]  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "rate", "wanted"),
    [
        (0, 25, "00:00:00:00"),
        (24, 25, "00:00:00:24"),
        (25 * 3600 + 26, 25, "01:00:01:01"),
        (24 * 61, Fraction(24_000, 1001), "00:01:01:00"),
        (48 * 61 + 47, 48, "00:01:01:47"),
        # SMPTE ST 12-1: ;00 and ;01 of each minute are left out, but for each tenth minute.
        (1799, NTSC, "00:00:59;29"),
        (1800, NTSC, "00:01:00;02"),
        (3597, NTSC, "00:01:59;29"),
        (3598, NTSC, "00:02:00;02"),
        (17_981, NTSC, "00:09:59;29"),
        (17_982, NTSC, "00:10:00;00"),
        (19_781, NTSC, "00:10:59;29"),
        (19_782, NTSC, "00:11:00;02"),
        (107_892, NTSC, "01:00:00;00"),
        (3600, 2 * NTSC, "00:01:00;04"),
        (215_784, 2 * NTSC, "01:00:00;00"),
        (1800, 30, "00:01:00:00"),
    ],
)
def test_timecode(frame: int, rate: Fraction | int, wanted: str) -> None:
    assert timecode(frame, Fraction(rate)) == wanted


def numbered(stamp: str, base: int) -> int:
    """Frame of a timecode, by counting the numbers that drop frame leaves out."""
    hours, minutes, seconds, frames = (int(x) for x in re.split("[:;]", stamp))
    total = hours * 60 + minutes
    left_out = (base // 15) * (total - total // 10) if ";" in stamp else 0
    return (total * 60 + seconds) * base + frames - left_out


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(24_000, 1001), NTSC, 2 * NTSC])
def test_timecode_and_frames_go_both_ways(rate: Fraction) -> None:
    frames = np.random.default_rng(0).integers(0, 24 * 3600 * round(rate) - 400_000, 500)
    stamps = [timecode(int(frame), rate) for frame in frames]
    assert [numbered(stamp, round(rate)) for stamp in stamps] == frames.tolist()


@pytest.mark.parametrize("rate", [Fraction(25), NTSC, Fraction(24_000, 1001), Fraction(16)])
def test_edl_events_join_without_gaps(rate: Fraction) -> None:
    text = as_edl(film(rate, name="My holiday (2).mp4", scale=100.0))
    title, mode, _, *lines = text.splitlines()
    assert title == "TITLE: My holiday (2).mp4"
    assert mode == ("FCM: DROP FRAME" if rate == NTSC else "FCM: NON-DROP FRAME")
    events = [line.split() for line in lines if line[0] != "*"]
    assert [event[:4] for event in events] == [
        [f"{k:03d}", "MY_HOLID", "V", "C"] for k in range(1, 7)
    ]
    frames = [[numbered(stamp, round(rate)) for stamp in event[4:]] for event in events]
    starts, stops, records, ends = zip(*frames, strict=True)
    assert starts == (0, *stops[:-1])
    assert stops[-1] == round(500 * rate)
    assert records == tuple(x + records[0] for x in starts)
    assert ends == tuple(x + records[0] for x in stops)
    assert events[0][6] == ("01:00:00;00" if rate == NTSC else "01:00:00:00")
    assert lines.count("* FROM CLIP NAME: My holiday (2).mp4") == 6
    assert f"* COMMENT: {rate} frames a second" in lines


def test_reels_and_long_lists() -> None:
    names = ["clip.mp4", "a b-c.mov", "Überlänge.mp4", "猫.mp4", "...mp4", "abcdefgh_x.mp4"]
    assert [reel_name(name) for name in names] == [
        "CLIP", "A_B_C", "BERL_NGE", "AX", "AX", "ABCDEFGH",
    ]  # fmt: skip
    many = [EditedPart(float(k), k + 1.0, "steady") for k in range(1000)]
    with pytest.raises(ClipError, match="an EDL holds 999"):
        as_edl(replace(film(), parts=many))


def test_csv_has_a_row_a_stretch() -> None:
    rows = list(csv.DictReader(as_csv(film()).splitlines()))
    assert [row["kind"] for row in rows] == ["dead", "jump", "cut", "dead"]
    assert [float(rows[1][name]) for name in list(rows[1])[1:]] == [60, 75, 2.4, 3.0, 0.6, 0.4, 6.0]


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="needs the program ffprobe")
def test_ffmpeg_reads_the_chapters(tmp_path: Path) -> None:
    """Read by ffprobe, and carried into an MP4 by ffmpeg."""
    odd = EditedPart(1.0, 5.0, r"a=b; #c \d")
    for parts in (film().parts, (EditedPart(0.0, 1.0, "x"), odd)):
        path = tmp_path / "chapters.ffmeta"
        path.write_text(as_ffmetadata(replace(film(), parts=parts)))
        show = ["-v", "error", "-show_chapters", "-of", "json"]
        found = subprocess.run(["ffprobe", *show, path], capture_output=True, check=True).stdout
        chapters = json.loads(found)["chapters"]
        wanted = [(part.start, part.stop, part.title) for part in parts]
        read = [
            (float(x["start_time"]), float(x["end_time"]), x["tags"]["title"]) for x in chapters
        ]
        assert read == wanted
    clip, out = harness.save(tmp_path / "a.mp4", harness.steady(60)), tmp_path / "out.mp4"
    words = ["ffmpeg", "-v", "error", "-i", clip, "-i", path, "-map_chapters", "1", "-c", "copy"]
    subprocess.run([*words, out], check=True, stdin=subprocess.DEVNULL)
    found = subprocess.run(["ffprobe", *show, out], capture_output=True, check=True).stdout
    assert [x["tags"]["title"] for x in json.loads(found)["chapters"]] == ["x", odd.title]


def test_youtube_gets_chapters_that_it_takes() -> None:
    assert as_youtube(film(scale=20.0)).splitlines() == [
        "0:00 dead stretch (1% of the change)",
        "0:40 jump (40% of the change)",  # from 0:48
        "1:00 steady",
        "1:12 steady, after a hard cut; dead stretch (0% of the change)",  # from 1:20
    ]
    lines = as_youtube(film(scale=1000.0)).splitlines()
    assert lines[0].startswith("0:00:00 ")
    assert lines[-1].startswith("1:06:40 ")
    for scale in (1.0, 5.9):
        with pytest.raises(ClipError, match=r"YouTube takes 3 chapters of 10 s or more, and it"):
            as_youtube(film(scale=scale))


def test_formats_go_by_suffix() -> None:
    forms = [format_of(Path(name)) for name in ("a.csv", "a.EDL", "a.ffmeta", "a.txt")]
    assert forms == [as_csv, as_edl, as_ffmetadata, as_youtube]
    with pytest.raises(ConfigError, match=r"choose \.csv, \.edl, \.ffmeta, \.txt"):
        format_of(Path("a.xyz"))


def test_a_measured_clip_is_exported(tmp_path: Path) -> None:
    held = np.concatenate([np.zeros(20), np.linspace(0, 1, 12)])
    clip = harness.save(tmp_path / "held.mp4", harness.dissolve(held))
    measured = measure_clip(clip, load_embedder("pixels"))
    export_stretches(measured, tmp_path / "a.edl")
    lines = (tmp_path / "a.edl").read_text().splitlines()
    assert "* COMMENT: 12 frames a second" in lines
    assert lines[3].split()[4] == "00:00:00:00"
    events = [line for line in lines if line[:1].isdigit()]
    assert events[-1].split()[5] == "00:00:02:08"  # 32 frames at 12
    still = measure_clip(
        harness.save(tmp_path / "still.mp4", harness.still()), load_embedder("pixels")
    )
    export_stretches(still, tmp_path / "b.ffmeta")
    assert "title=no semantic change" in (tmp_path / "b.ffmeta").read_text()
    with pytest.raises(ClipError, match=r"it lasts 2\.7 s"):
        export_stretches(measured, tmp_path / "c.txt")
    assert not (tmp_path / "c.txt").exists()


def test_analyze_exports_one_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = harness.save(tmp_path / "clip.mp4", harness.jumping(25))
    words = ["analyze", str(clip), "--embedder", "pixels", "--no-cache", "--no-plot", "--export"]
    assert main([*words, str(tmp_path / "a.edl")]) == 0
    assert f"export: {tmp_path / 'a.edl'}" in capsys.readouterr().out
    assert (tmp_path / "a.edl").read_text().startswith("TITLE: clip.mp4\nFCM: NON-DROP FRAME\n")
    assert main([*words, str(tmp_path / "a.txt")]) == 1
    assert "YouTube takes 3 chapters" in harness.check_one_line(capsys.readouterr().err)
    assert main([*words, str(tmp_path / "a.txt"), "--json"]) == 1
    assert [row["status"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["done"]
    assert main([*words, str(tmp_path / "a.xyz")]) == 2
    assert "choose .csv" in harness.check_one_line(capsys.readouterr().err)
    for sampled in (["--stride", "2"], ["--start", "1"], ["--end", "1"], ["--max-frames", "9"]):
        assert main([*words, str(tmp_path / "b.edl"), *sampled]) == 2
        assert "whole clips" in harness.check_one_line(capsys.readouterr().err)
    assert not (tmp_path / "b.edl").exists()
    capsys.readouterr()
    (tmp_path / "folder.edl").mkdir()
    assert main([*words, str(tmp_path / "folder.edl"), "--json"]) == 1
    found = capsys.readouterr()
    assert [row["status"] for row in json.loads(found.out)["rows"]] == ["done"]
    assert f"{tmp_path / 'folder.edl'}: cannot be written" in found.err
    assert main([*words, str(tmp_path / "a.edl"), str(clip)]) == 2
    assert "one clip" in harness.check_one_line(capsys.readouterr().err)
