"""`spf retime` and `spf timemap`."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest

import spf
from spf.cli import main
from spf.pacing.export import TOLERANCE, as_csv, as_filter, thinned
from spf.video import load

FILES = ["{}.json", "{}.mp4", "{}.png", "{}.side-by-side.mp4"]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A dissolve that is slow at first: 25 frames at 12 a second."""
    return harness.save(tmp_path / "clip.mp4", harness.steady(25, power=3.0))


def test_retime_writes_clip_film_plot_and_map(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made" / "here"
    words = ["retime", str(clip), "--embedder", "pixels", "--out", str(out)]
    assert main([*words, "--target", "ease-in-out", "--method", "blend"]) == 0
    stem = "clip.mp4.retimed"
    assert sorted(os.listdir(out)) == sorted(name.format(stem) for name in FILES)
    said = capsys.readouterr().out
    for name in FILES:
        assert str(out / name.format(stem)) in said
    assert re.search(r"target_mae +0\.\d+ +0\.\d+", said)
    assert "nan" not in said
    report = json.loads((out / f"{stem}.json").read_text())
    assert report["method"] == "blend"
    assert report["target"] == "ease_in_out"
    scores = report["scores"]
    assert scores["after"]["target_mae"] < scores["before"]["target_mae"] / 3
    columns = report["time_map"]
    assert {len(values) for values in columns.values()} == {25}
    assert columns["source_time"][-1] == pytest.approx(2.0, abs=0.01)
    assert len(load(out / f"{stem}.mp4").frames) == 25
    film = load(out / f"{stem}.side-by-side.mp4")
    assert len(film.frames) == 25
    assert film.frames.shape[2] > 2 * 256
    assert not list(tmp_path.glob("clip.mp4.*"))


def test_retime_names_its_file(clip: Path, tmp_path: Path) -> None:
    words = ["retime", str(clip), "--embedder", "pixels", "--method", "nearest"]
    assert main([*words, "--out", str(tmp_path / "even.mp4"), "--frames", "9"]) == 0
    names = [name.format("even") for name in FILES]
    assert sorted(os.listdir(tmp_path)) == sorted(["clip.mp4", *names])
    assert len(load(tmp_path / "even.mp4").frames) == 9


@pytest.mark.parametrize("command", ["retime", "timemap"])
def test_like_another_clip(
    command: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A linear clip that is paced like the slow starter becomes it: the map is its curve."""
    even = harness.save(tmp_path / "even.mp4", harness.steady(25))
    words = [command, str(even), "--like", str(clip), "--embedder", "pixels"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    if command == "retime":
        report = json.loads((tmp_path / "out" / "even.mp4.retimed.json").read_text())
        positions = report["time_map"]["source_frame"]
    else:
        rows = table(tmp_path / "out" / "even.mp4.timemap.csv")
        positions = [float(row["source_frame"]) for row in rows]
    wanted = 24 * np.linspace(0, 1, 25) ** 3
    assert np.abs(np.array(positions) - wanted).max() < 1.2
    assert "target like" in capsys.readouterr().out


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_dry_run_tells_and_writes_nothing(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "nowhere"
    words = ["retime", str(clip), "--embedder", "pixels", "--dry-run", "--out", str(out)]
    assert main([*words, "--keep", "fastest"]) == 0
    said = capsys.readouterr().out
    assert "25 frames, 2 s, 12 frames a second" in said
    assert re.search(r"result +\d+ frames", said)
    assert "at most" not in said
    assert os.listdir(tmp_path) == ["clip.mp4"]


@pytest.mark.parametrize(
    ("words", "thing"),
    [
        (["--method", "flo"], "did you mean flow?"),
        (["--method", "rope"], "unknown method"),
        (["--target", "ease-inn"], "did you mean ease_in"),
        (["--target", "exponential:temperature=hot"], "temperature='hot'"),
        (["--target", "custom:path=missing.csv"], "missing.csv: cannot be read"),
        (["--target", "custom"], "needs points or a file"),
        (["--target", "linear", "--like", "x.mp4"], "give one of them"),
        (["--keep", "speed"], "'length', 'fastest'"),
        (["--frames", "1"], "frames=1"),
        (["--fps", "0"], "fps is 0"),
        (["--keep", "fastest", "--frames", "9"], "give it or frames=N"),
        (["--embedder", "pixel"], "did you mean pixels?"),
        (["--out", "clip.mp4"], "would replace the clip"),
        (["--out", "FILE/below"], "FILE/below"),
    ],
    ids=" ".join,
)
def test_wrong_values_exit_2(
    words: list[str],
    thing: str,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(clip.parent)
    Path("FILE").write_text("x")
    usual = [] if "--embedder" in words else ["--embedder", "pixels"]
    assert main(["retime", "clip.mp4", *usual, *words]) == 2
    assert thing in harness.check_one_line(capsys.readouterr().err)
    assert sorted(os.listdir()) == ["FILE", "clip.mp4"]


@pytest.mark.parametrize(
    ("name", "thing"),
    [("missing.mp4", "there is no such file"), ("still.mp4", "no semantic change"),
     ("one.mp4", "1 frame")],
)  # fmt: skip
def test_clips_that_cannot_be_retimed_exit_1(
    name: str, thing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.save(tmp_path / "still.mp4", harness.still())
    harness.save(tmp_path / "one.mp4", harness.still(1))
    for command in ("retime", "timemap"):
        words = [command, str(tmp_path / name), "--embedder", "pixels", "--out", str(tmp_path)]
        assert main(words) == 1
        assert thing in harness.check_one_line(capsys.readouterr().err)
    assert sorted(os.listdir(tmp_path)) == ["one.mp4", "still.mp4"]


def test_names_cannot_command_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = harness.save(tmp_path / "\x1b[2Jclip\n.mp4", harness.steady())
    words = [str(evil), "--embedder", "pixels", "--out", str(tmp_path / "out")]
    assert main(["retime", *words, "--method", "nearest"]) == 0
    assert main(["timemap", *words]) == 0
    left = {letter for letter in capsys.readouterr().out if not letter.isprintable()}
    assert left <= {"\n"}


# The time map for others


def test_timemap_writes_a_table_and_a_filter(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
    assert abs(len(shown) - 50) <= 1
    step = np.gradient(wanted)[: len(shown)]
    assert (np.abs(shown - wanted[: len(shown)]) <= 1 + step).all()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg is not installed")
@pytest.mark.parametrize("folder", ["a b", "it's $HOME", "12:30, \\"])
def test_the_printed_ffmpeg_command_can_be_pasted(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    harness.save(tmp_path / folder / "1:a.mp4", harness.slow_ends())
    words = ["--embedder", "pixels", "--frames", "40", "--out", f"{folder}/map.csv"]
    assert main(["timemap", f"{folder}/1:a.mp4", *words]) == 0
    (line,) = re.findall("^ +(ffmpeg .*)$", capsys.readouterr().out, re.MULTILINE)
    subprocess.run(["bash", "-c", line], check=True, capture_output=True)
    assert abs(len(load("OUT.mp4").frames) - 40) <= 1


def filtered(text: str, count: int, step: Fraction, first: int = 3) -> np.ndarray:
    """Numbers of the frames that FFmpeg shows of a clip, whose first frame comes after a while."""
    import av
    from av.filter import Graph

    graph: Any = Graph()
    unit = Fraction(1, 12000)
    found: list[int] = []
    ((setpts, fps),) = re.findall(r"^setpts=('[^']*'),fps=(\S+)\n$", text)
    chain = [graph.add_buffer(width=16, height=16, format="gray", time_base=unit)]
    chain += [graph.add("setpts", setpts), graph.add("fps", fps), graph.add("buffersink")]
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
    assert abs(len(shown) - 400) <= 1
    # Each frame appears when the map reaches it, within half a frame of the result.
    arrival = np.interp(np.arange(count), positions, np.arange(400))
    first = np.array([np.argmax(shown == k) if k in shown else -1 for k in range(count)])
    seen = first >= 0
    assert np.abs(first - arrival)[seen].max() <= 0.5 + TOLERANCE + 0.05
    # Those that others displace come too soon after them; the last one has no time of its own.
    assert set(np.flatnonzero(~seen)) <= {*np.flatnonzero(np.diff(arrival) < 1.2), count - 1}


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


def test_a_rate_for_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spf.video.write_png(tmp_path / "clip", harness.steady(9, power=2.0))
    words = ["retime", str(tmp_path / "clip"), "--embedder", "pixels", "--out", str(tmp_path / "o")]
    assert main(words) == 2
    assert "--fps" in harness.check_one_line(capsys.readouterr().err)
    assert main([*words, "--fps", "8"]) == 0
    film = load(tmp_path / "o" / "clip.retimed.side-by-side.mp4")
    assert (len(film.frames), film.info.fps) == (9, 8)


def test_a_full_disk_is_one_line_and_keeps_what_is_finished(
    clip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("spf.pacing.outputs.write_atomic", full)
    words = ["retime", str(clip), "--embedder", "pixels", "--out", str(tmp_path / "out.mp4")]
    assert main([*words, "--method", "nearest"]) == 1
    assert "No space left on device" in harness.check_one_line(capsys.readouterr().err)
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "out.mp4"]
    assert len(load(tmp_path / "out.mp4").frames) == 25
