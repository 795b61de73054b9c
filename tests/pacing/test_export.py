"""The time map for other programs: the table, and FFmpeg's filter run by FFmpeg itself."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import clips
import harness
import numpy as np
import pytest

import spf
from spf.cli import main
from spf.pacing.export import (
    TOLERANCE,
    as_csv,
    as_filter,
    ffmpeg_command,
    ffmpeg_version,
    thinned,
)
from spf.video import load

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg is not installed")


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_timemap_writes_a_table_and_a_filter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = harness.save(tmp_path / "clip.mp4", harness.steady(25, power=3.0))
    words = ["timemap", str(clip), "--embedder", "pixels", "--out", str(tmp_path / "map.csv")]
    assert main([*words, "--frames", "50", "--fps", "25"]) == 0
    rows = table(tmp_path / "map.csv")
    assert [row["frame"] for row in rows] == [str(k) for k in range(50)]
    assert float(rows[-1]["time"]) == pytest.approx(49 / 25)
    curve = spf.measure(clip, "pixels")
    wanted = spf.time_map(curve, num_frames=50)
    assert np.allclose([float(row["source_frame"]) for row in rows], wanted, atol=1e-6)
    assert np.allclose([float(row["source_time"]) for row in rows], wanted / 12, atol=1e-6)
    assert "ffmpeg -i" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "map.csv", "map.filter.txt"]
    shown = filtered((tmp_path / "map.filter.txt").read_text(), 25, Fraction(1, 12))
    assert len(shown) == 50
    assert shown[-1] == 24
    assert (np.abs(shown - wanted) <= 1 + np.gradient(wanted)).all()


@needs_ffmpeg
@pytest.mark.parametrize("folder", ["a b", "it's $HOME", "12:30, \\", "-o%d"])
def test_the_printed_ffmpeg_command_can_be_pasted(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    clip = harness.save(tmp_path / folder / "1:a.mp4", harness.slow_ends())
    words = ["--embedder", "pixels", "--frames", "40", "--fps", "29.97"]
    assert main(["timemap", str(clip), *words, "--out", f"./{folder}/map.csv"]) == 0
    (line,) = re.findall("^ +(ffmpeg .*)$", capsys.readouterr().out, re.MULTILINE)
    subprocess.run(["bash", "-c", line], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    made = load(tmp_path / folder / "map.mp4")
    assert len(made.frames) == 40
    assert np.allclose(made.times, np.arange(40) * 1001 / 30000, atol=1e-4)
    assert np.abs(harness.levels(made.frames) - np.linspace(0, 1, 40)).max() < 0.1


@needs_ffmpeg
def test_ffmpeg_runs_a_long_map_of_a_clip_of_variable_rate(tmp_path: Path) -> None:
    """A graph of more than 128 KiB, which no argument holds; frame k of the clip is grey k."""
    random = np.random.default_rng(0)
    stamps = np.cumsum(random.integers(20, 200, 40) * 90).tolist()
    unit = Fraction(1, 90_000)
    clip = clips.encode(
        tmp_path / "a.mp4", clips.grey(40), stamps=stamps, unit=unit, options={"crf": "1"}
    )
    positions = np.concatenate([[0.0], np.sort(random.uniform(0, 39, 5_998)), [39.0]])
    chain, out = tmp_path / "chain.txt", tmp_path / "out.mp4"
    times = np.arange(6_000) / 60
    chain.write_text(as_filter(times, positions, (np.array(stamps) - stamps[0]) / 90_000, 60.0))
    assert chain.stat().st_size > 2**17
    line = ffmpeg_command(clip, chain, out, 6_000, ffmpeg_version())
    subprocess.run(["bash", "-c", line], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    shown = np.array([clips.number(frame) for frame in load(out).frames])
    assert len(shown) == 6_000
    assert set(shown) == set(range(40))
    assert np.abs(shown - np.floor(positions))[1:-1].max() <= 1


def test_options_are_those_of_the_version() -> None:
    """libavutil of the releases 4.4, 5.0, 5.1, 6.1, 7.0, 8.0 and of an unknown one."""
    versions = [(56, 70), (57, 17), (57, 28), (58, 29), (59, 8), (60, 8), None]
    lines = [ffmpeg_command(Path("/a"), Path("/c"), Path("/o"), 3, known) for known in versions]
    assert ["-filter_script:v" in line for line in lines] == [True] * 4 + [False] * 3
    assert ["-/filter:v" in line for line in lines] == [False] * 4 + [True] * 3
    assert ["-vsync" in line for line in lines] == [True] * 2 + [False] * 5
    assert ["-fps_mode" in line for line in lines] == [False] * 2 + [True] * 5


def test_no_ffmpeg_is_no_version(tmp_path: Path) -> None:
    assert ffmpeg_version(str(tmp_path / "missing")) is None


def filtered(text: str, count: int, step: Fraction, first: int = 3) -> np.ndarray:
    """Numbers of the frames that FFmpeg shows of a clip, whose first frame comes after a while."""
    import av
    from av.filter import Graph

    graph: Any = Graph()
    unit = Fraction(1, 12000)
    found: list[int] = []
    filters = re.findall(r"(\w+)=('[^']*'|[^,\n]*)", text)
    assert [name for name, _ in filters] == ["tpad", "setpts", "fps", "tpad", "trim"]
    source = f"video_size=16x16:pix_fmt=gray:time_base={unit}:frame_rate={1 / step}"
    chain = [graph.add("buffer", source)]
    chain += [graph.add(*filter) for filter in [*filters, ("buffersink",)]]
    for before, after in pairwise(chain):
        before.link_to(after)
    graph.configure()

    def pull() -> None:
        while True:
            try:
                found.append(int(graph.pull().to_ndarray()[0, 0]))
            except (av.BlockingIOError, av.EOFError):
                return

    for index in range(count):
        frame: Any = av.VideoFrame.from_ndarray(np.full((16, 16), index, np.uint8), format="gray")
        frame.pts, frame.time_base = int((first + index * step) / unit), unit
        graph.push(frame)
        pull()
    graph.push(None)
    pull()
    return np.array(found)


@pytest.mark.parametrize("seed", range(3))
def test_ffmpeg_shows_the_frames_of_the_map(seed: int) -> None:
    """Uneven maps, a clip longer than 100 pieces: FFmpeg refuses deeper nesting."""
    random = np.random.default_rng(seed)
    count, fps = 200, 24.0
    inner = np.sort(random.uniform(0, count - 1, 398))
    positions = np.concatenate([[0.0], inner, [count - 1.0]])
    times, source = np.arange(400) / fps, np.arange(count) / 12
    text = as_filter(times, positions, source, fps)
    assert text.count("if(lt(") > 100
    shown = filtered(text, count, Fraction(1, 12))
    assert len(shown) == 400
    # Each frame appears when the map reaches it, within half a frame of the result.
    arrival = np.interp(np.arange(count), positions, np.arange(400))
    first = np.array([np.argmax(shown == k) if k in shown else -1 for k in range(count)])
    seen = first >= 0
    assert np.abs(first - arrival)[seen].max() <= 0.5 + TOLERANCE + 0.05
    # Those that others displace come too soon after them.
    assert set(np.flatnonzero(~seen)) <= set(np.flatnonzero(np.diff(arrival) < 1.2))
    assert seen[-1]


def test_the_filter_of_maps_that_stand_still() -> None:
    positions = np.array([0.0, 1.0, 1.0, 1.0, 4.0])
    shown = filtered(
        as_filter(np.arange(5) / 12, positions, np.arange(5) / 12, 12), 5, Fraction(1, 12)
    )
    assert shown[0] == 0
    assert np.all(np.diff(shown) >= 0)
    two = as_filter(np.arange(2) / 12, np.array([0.0, 1.0]), np.arange(2) / 12, 12)
    assert filtered(two, 2, Fraction(1, 12))[0] == 0


def test_a_polyline_is_thinned_within_its_tolerance() -> None:
    x = np.linspace(0, 1, 500)
    y = x**3 + 0.01 * np.sin(40 * x)
    for tolerance in (1e-2, 1e-3, 1e-5):
        kept = thinned(x, y, tolerance)
        assert kept[0] == 0
        assert kept[-1] == 499
        assert np.abs(np.interp(x, x[kept], y[kept]) - y).max() <= tolerance
    assert len(thinned(x, 2 * x + 1, 1e-9)) == 2
    assert len(thinned(x, y, 1e-2)) < len(thinned(x, y, 1e-4)) < 500


def test_the_table_knows_uneven_times() -> None:
    text = as_csv(np.array([0.0, 0.5]), np.array([0.0, 1.5]), np.array([0.0, 0.1, 0.9]))
    assert text.splitlines()[1:] == ["0,0.000000,0.000000,0.000000", "1,0.500000,1.500000,0.500000"]


def test_long_maps_are_shallow() -> None:
    random = np.random.default_rng(0)
    steps = random.uniform(0.1, 2, 20_000).cumsum()
    positions = (steps - steps[0]) * 19_999 / (steps[-1] - steps[0])
    text = as_filter(np.arange(20_000) / 25, positions, np.arange(20_000) / 25, 25)
    depth = deepest = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        deepest = max(deepest, depth)
    assert deepest < 60
