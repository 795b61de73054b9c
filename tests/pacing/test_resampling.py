"""Clips shown at other times: by the methods here, and by FFmpeg itself."""

import csv
import os
import re
import shutil
import subprocess
import tracemalloc
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import av
import cv2
import harness
import numpy as np
import pytest
from av.filter import Graph

import spf
from spf.cli import main
from spf.pacing.export import TOLERANCE, as_csv, as_filter, ffmpeg_command, ffmpeg_version
from spf.pacing.resampling import METHODS, resampled
from spf.video import load
from synthetic.clips import SyntheticClip, content
from synthetic.laws import law
from synthetic.oracle import RenderOracle


def made(frames, positions, method):
    return np.stack(list(resampled(frames, positions, method)))


def texture(random, size, sigma, top):
    image = cv2.GaussianBlur(random.uniform(0, 255, size).astype(np.float32), (0, 0), sigma)
    return cv2.normalize(image, image, 0, top, cv2.NORM_MINMAX)


def noise(count, height=17, width=40):
    """Coarse random frames (T, H, W, 3) that move to the right, with fine noise on them."""
    random = np.random.default_rng(0)
    whole = texture(random, (height + 8, width + 8 + 2 * count, 3), 2, 250)
    frames = [whole[8:, 2 * k : 2 * k + width][:height] for k in range(count)]
    return np.stack([np.rint(x + random.uniform(0, 5, x.shape)).astype(np.uint8) for x in frames])


def a_map(count):
    inner = np.random.default_rng(0).uniform(0, count - 1, 19)
    return np.sort([0.0, *inner, 1.5, (count - 1) / 2, count - 1.5, 1.0, count - 1.0])


def scene(shift, size=96, side=36):
    """A textured square that has moved by `shift` pixels in front of a textured ground."""
    random = np.random.default_rng(7)
    ground, square = (texture(random, (size, size, 3), sigma, 255) for sigma in (8.0, 2.0))
    place = np.array([[1, 0, 24 + shift], [0, 1, 30 + 0.5 * shift]], np.float32)
    cover = cv2.warpAffine(np.ones((side, side), np.float32), place, (size, size))[..., None]
    moved = cv2.warpAffine(square[:side, :side], place, (size, size))
    return np.rint(ground * (1 - cover) + moved * cover).astype(np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 40)], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_the_identity_and_time_reversal_are_exact(method, size):
    for count in (6, 7):
        frames, positions = noise(count, *size), a_map(count)
        assert np.array_equal(made(frames, np.arange(float(count)), method), frames)
        back = made(frames[::-1], (count - 1 - positions)[::-1], method)
        assert np.array_equal(back[::-1], made(frames, positions, method))


def test_threads_change_nothing():
    frames, positions = noise(4, 60, 80), a_map(4)
    before, found = cv2.getNumThreads(), []
    try:
        for threads in (1, 5):
            cv2.setNumThreads(threads)
            found.append(made(frames, positions, "flow"))
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(*found)


@pytest.mark.parametrize("method", METHODS)
def test_bad_positions_are_refused_at_once_and_one_past_the_end_when_it_is_reached(method):
    rows = ([0.0, 2.0, 1.0], [-0.5, 1.0], [0.0, np.nan], [[0.0, 1.0]])
    for positions, words in zip(rows, ("not fall", "below 0", "finite", "must be"), strict=True):
        with pytest.raises(ValueError, match=words):
            resampled(noise(3), positions, method)
    made = resampled(iter(noise(3)), [0.0, 2.0, 2.5], method)
    assert len([next(made), next(made)]) == 2
    with pytest.raises(ValueError, match="the clip has 3 frames"):
        next(made)


def test_nearest_is_the_nearest_and_blend_the_weighted_mean():
    frames, positions = noise(6), a_map(6)
    nearest, blend = (made(frames, positions, method) for method in ("nearest", "blend"))
    for place, image, mixed in zip(positions, nearest, blend, strict=True):
        near = [k for k in range(6) if abs(k - place) <= 0.5]
        assert any(np.array_equal(image, frames[k]) for k in near)
        low = min(int(place), 4)
        mean = frames[low] * (low + 1 - place) + frames[low + 1] * (place - low)
        assert np.abs(mixed - mean).max() <= 0.51


def test_flow_follows_what_moves():
    frames, shares = [scene(0), scene(8)], [0.25, 0.5, 0.75]
    true = np.stack([scene(8 * share) for share in shares]).astype(float)
    flow, blend = (made(frames, shares, x) - true for x in ("flow", "blend"))
    assert (4 * np.square(flow).mean((1, 2, 3)) < np.square(blend).mean((1, 2, 3))).all()


def test_frames_are_not_held(tmp_path):
    def work(count):
        clip = tmp_path / f"{count}.mp4"
        levels = (np.full((640, 640, 3), 255 * k // count, np.uint8) for k in range(count))
        spf.video.write_mp4(clip, levels, 25)
        measures = {"embedder": harness.Linear(), "cache": False, "check": "pixels"}
        spf.retime(clip, tmp_path / "out.mp4", method="blend", **measures)

    work(5)  # imports
    tracemalloc.start()
    try:
        work(40)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 30e6


@pytest.mark.parametrize("method", METHODS)
def test_pacing_that_is_measured_well_becomes_even(method):
    """By the renderer's own parameter, which no embedder sees."""
    jump = law("sigmoid_jump")
    clip = SyntheticClip(content("material-jade-copper"), jump, size=(48, 48), seed=1000)
    frames, angle = np.stack(list(clip.frames())), 1.2 * clip.truth()
    vectors = np.stack([np.cos(angle), np.sin(angle)], 1)
    curve = spf.fit(vectors, clip.times, monotone="increments")
    oracle = RenderOracle(clip.content.painter((48, 48), seed=1000))
    before, after = (
        np.abs((q - q[0]) / (q[-1] - q[0]) - np.linspace(0, 1, len(q))).mean()
        for q in map(oracle.parameter, (frames, made(frames, spf.time_map(curve), method)))
    )
    assert before > 2 * after


def filtered(text, count, first=3):
    """Numbers of the frames that FFmpeg shows of a clip at 12 a second, whose first one is late."""
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
