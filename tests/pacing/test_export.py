"""The time map for other programs: the table, and FFmpeg's filter run by FFmpeg itself."""

import csv
import os
import re
import shutil
import subprocess
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import harness
import numpy as np
import pytest

import spf
from spf.cli import main
from spf.pacing.export import TOLERANCE, as_csv, as_filter, ffmpeg_command, ffmpeg_version
from spf.video import load


def filtered(text, count, first=3):
    """Numbers of the frames that FFmpeg shows of a clip at 12 a second, whose first one is late."""
    import av
    from av.filter import Graph

    graph, unit, found = Graph(), Fraction(1, 12000), []
    filters = re.findall(r"(\w+)=('[^']*'|[^,\n]*)", text)
    assert [name for name, _ in filters] == ["tpad", "setpts", "fps", "tpad", "trim"]
    source = f"video_size=16x16:pix_fmt=gray:time_base={unit}:frame_rate=12"
    chain = [graph.add(*one) for one in [("buffer", source), *filters, ("buffersink",)]]
    for before, after in pairwise(chain):
        before.link_to(after)
    graph.configure()
    for index in range(count + 1):
        frame = None
        if index < count:
            image = np.full((16, 16), index, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="gray")
            frame.pts, frame.time_base = (first + index) * 1000, unit
        graph.push(frame)
        while True:
            try:
                found.append(int(graph.pull().to_ndarray()[0, 0]))
            except (av.BlockingIOError, av.EOFError):
                break
    return np.array(found)


def test_timemap_writes_a_table_and_a_filter(tmp_path, capsys):
    clip = harness.save(tmp_path / "clip.mp4", harness.steady(25, power=3.0))
    words = ["timemap", str(clip), "--embedder", "pixels", "--out", str(tmp_path / "map.csv")]
    assert main([*words, "--frames", "50", "--fps", "25"]) == 0
    rows = list(csv.DictReader((tmp_path / "map.csv").read_text().splitlines()))
    assert [row["frame"] for row in rows] == [str(k) for k in range(50)]
    assert float(rows[-1]["time"]) == pytest.approx(49 / 25)
    wanted = spf.time_map(spf.measure(clip, "pixels"), num_frames=50)
    assert np.allclose([float(row["source_frame"]) for row in rows], wanted, atol=1e-6)
    assert np.allclose([float(row["source_time"]) for row in rows], wanted / 12, atol=1e-6)
    assert "ffmpeg -i" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "map.csv", "map.filter.txt"]
    shown = filtered((tmp_path / "map.filter.txt").read_text(), 25)
    assert (len(shown), shown[-1]) == (50, 24)
    assert (np.abs(shown - wanted) <= 1 + np.gradient(wanted)).all()


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs the program ffmpeg")
@pytest.mark.parametrize("folder", ["it's $HOME", "12:30, \\", "-o%d"])
def test_the_printed_ffmpeg_command_can_be_pasted(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    clip = harness.save(tmp_path / folder / "1:a.mp4", harness.slow_ends())
    words = ["--embedder", "pixels", "--frames", "40", "--fps", "29.97"]
    assert main(["timemap", str(clip), *words, "--out", f"./{folder}/map.csv"]) == 0
    (line,) = re.findall("^ +(ffmpeg .*)$", capsys.readouterr().out, re.MULTILINE)
    quiet = {"check": True, "capture_output": True, "stdin": subprocess.DEVNULL}
    subprocess.run(["bash", "-c", line], **quiet)
    made = load(tmp_path / folder / "map.mp4")
    assert len(made.frames) == 40
    assert np.allclose(made.times, np.arange(40) * 1001 / 30000, atol=1e-4)
    assert np.abs(harness.levels(made.frames) - np.linspace(0, 1, 40)).max() < 0.1


def test_options_are_those_of_the_version(tmp_path):
    """libavutil of the releases 4.4, 5.0, 5.1, 6.1, 7.0, 8.0 and of an unknown one."""
    versions = [(56, 70), (57, 17), (57, 28), (58, 29), (59, 8), (60, 8), None]
    lines = [ffmpeg_command(Path("/a"), Path("/c"), Path("/o"), 3, known) for known in versions]
    assert ["-filter_script:v" in line for line in lines] == [True] * 4 + [False] * 3
    assert ["-/filter:v" in line for line in lines] == [False] * 4 + [True] * 3
    assert ["-vsync" in line for line in lines] == [True] * 2 + [False] * 5
    assert ["-fps_mode" in line for line in lines] == [False] * 2 + [True] * 5
    assert ffmpeg_version(str(tmp_path / "missing")) is None


def test_maps_that_stand_still_of_two_frames_and_of_uneven_times():
    for positions in ([0.0, 1.0, 1.0, 1.0, 4.0], [0.0, 1.0]):
        count = len(positions)
        times = np.arange(count) / 12
        shown = filtered(as_filter(times, np.array(positions), times, 12), count)
        assert shown[0] == 0
        assert np.all(np.diff(shown) >= 0)
    text = as_csv(np.array([0.0, 0.5]), np.array([0.0, 1.5]), np.array([0.0, 0.1, 0.9]))
    assert text.splitlines()[1:] == ["0,0.000000,0.000000,0.000000", "1,0.500000,1.500000,0.500000"]


def test_long_maps_are_shallow_and_within_the_tolerance():
    steps = np.random.default_rng(0).uniform(0.1, 2, 20_000).cumsum()
    positions = (steps - steps[0]) * 19_999 / (steps[-1] - steps[0])
    times = np.arange(20_000) / 25
    text = as_filter(times, positions, times, 25)
    assert max(accumulate((x == "(") - (x == ")") for x in text)) < 60
    knots = re.findall(r"([-\d.e]+)\+\(ld\(0\)-([-\d.e]+)\)", text)
    y, x = np.array(knots, float).T  # where each piece of the polyline starts
    off = np.interp(positions[: int(x[-1] * 25)] / 25, x, y) - times[: int(x[-1] * 25)]
    assert np.abs(off).max() <= TOLERANCE / 25 + 1e-6


def test_ffmpeg_shows_the_frames_of_an_uneven_map():
    inner = np.sort(np.random.default_rng(0).uniform(0, 199, 398))
    positions, times = np.array([0.0, *inner, 199.0]), np.arange(400) / 24
    shown = np.array(filtered(as_filter(times, positions, np.arange(200) / 12, 24.0), 200))
    arrival, seen = (
        np.interp(np.arange(200), positions, np.arange(400)),
        np.isin(np.arange(200), shown),
    )
    first = np.array([np.argmax(shown == k) for k in range(200)])
    assert (len(shown), seen[-1]) == (400, True)
    assert np.abs(first - arrival)[seen].max() <= 0.55 + TOLERANCE
