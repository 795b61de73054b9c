"""`spf retime` and `spf timemap`."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
from pathlib import Path

import harness
import numpy as np
import pytest

from spf.cli import main
from spf.video import load, write_png

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch

FILES = ["{}.json", "{}.mp4", "{}.png", "{}.side-by-side.mp4"]
PIXELS = ("--embedder", "pixels")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A dissolve that is slow at first: 25 frames at 12 a second."""
    return harness.save(tmp_path / "clip.mp4", harness.steady(25, power=3.0))


def test_retime_writes_clip_film_plot_and_map(clip: Path, tmp_path: Path, capsys: Capture) -> None:
    out, stem = tmp_path / "made" / "here", "clip.mp4.retimed"
    words = ["retime", str(clip), *PIXELS, "--out", str(out)]
    assert main([*words, "--target", "ease-in-out", "--method", "blend"]) == 0
    names = [name.format(stem) for name in FILES]
    assert sorted(os.listdir(out)) == sorted(names)
    printed = capsys.readouterr().out
    assert all(str(out / name) in printed for name in names)
    assert re.search(r"target_mae +0\.\d+ +0\.\d+", printed)
    assert "nan" not in printed
    report = json.loads((out / f"{stem}.json").read_text())
    assert (report["method"], report["target"]) == ("blend", "ease_in_out")
    scores = report["scores"]
    assert scores["after"]["target_mae"] < scores["before"]["target_mae"] / 3
    assert {len(values) for values in report["time_map"].values()} == {25}
    assert report["time_map"]["source_time"][-1] == pytest.approx(2.0, abs=0.01)
    assert len(load(out / f"{stem}.mp4").frames) == 25
    film = load(out / f"{stem}.side-by-side.mp4").frames
    assert film.shape[0] == 25
    assert film.shape[2] > 2 * 256
    assert not list(tmp_path.glob("clip.mp4.*"))


@pytest.mark.parametrize("command", ["retime", "timemap"])
def test_like_another_clip(command: str, clip: Path, tmp_path: Path, capsys: Capture) -> None:
    """A linear clip that is paced like the slow starter becomes it: the map is its curve."""
    even = harness.save(tmp_path / "even.mp4", harness.steady(25))
    suffix = ".csv" if command == "timemap" else ".mp4"
    out = tmp_path / f"out{suffix}"
    words = [command, str(even), "--like", str(clip), *PIXELS, "--frames", "13"]
    more = [] if command == "timemap" else ["--method", "nearest"]
    assert main([*words, *more, "--out", str(out)]) == 0
    if command == "retime":
        assert sorted(path.name for path in tmp_path.glob("out*")) == sorted(
            name.format("out") for name in FILES
        )
        assert len(load(out).frames) == 13
        positions = json.loads(out.with_suffix(".json").read_text())["time_map"]["source_frame"]
    else:
        rows = csv.DictReader(out.read_text().splitlines())
        positions = [float(row["source_frame"]) for row in rows]
    assert np.abs(np.array(positions) - 24 * np.linspace(0, 1, 13) ** 3).max() < 1.2
    assert "target like" in capsys.readouterr().out


def test_dry_run_prints_the_plan_and_writes_nothing(
    clip: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ["retime", str(clip), *PIXELS, "--dry-run", "--out", str(tmp_path / "nowhere")]
    assert main([*words, "--keep", "fastest"]) == 0
    printed = capsys.readouterr().out
    assert "25 frames, 2 s, 12 frames a second" in printed
    assert re.search(r"result +\d+ frames", printed)
    assert "at most" not in printed
    assert os.listdir(tmp_path) == ["clip.mp4"]


def test_where_embedders_disagree_the_user_is_advised(tmp_path: Path, capsys: Capture) -> None:
    """Of a clip that is shifted first, which a histogram does not see, and then fades."""
    shift = [np.roll(harness.picture(0), k, axis=1) for k in range(13)]
    fade = [np.uint8(shift[-1] * share) for share in np.linspace(1, 0.2, 13)]
    clip = harness.save(tmp_path / "clip.mp4", shift + fade)
    words = ["retime", str(clip), *PIXELS, "--check-embedder", "histogram", "--method", "nearest"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "  disagree: " in printed
    advice = "look at the result there, and trust the embedder that suits what the clip shows"
    assert printed.count(advice) == 1


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
    words: list[str], thing: str, clip: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(clip.parent)
    Path("FILE").write_text("x")
    usual = () if "--embedder" in words else PIXELS
    assert main(["retime", "clip.mp4", *usual, *words]) == 2
    assert thing in harness.check_one_line(capsys.readouterr().err)
    assert sorted(os.listdir()) == ["FILE", "clip.mp4"]


def test_clips_that_cannot_be_retimed_exit_1(tmp_path: Path, capsys: Capture) -> None:
    harness.save(tmp_path / "still.mp4", harness.still())
    harness.save(tmp_path / "one.mp4", harness.still(1))
    reasons = {"missing": "no such file", "still": "no semantic change", "one": "1 frame"}
    for command in ("retime", "timemap"):
        for name, reason in reasons.items():
            clip = str(tmp_path / f"{name}.mp4")
            assert main([command, clip, *PIXELS, "--out", str(tmp_path)]) == 1
            assert reason in harness.check_one_line(capsys.readouterr().err)
    assert sorted(os.listdir(tmp_path)) == ["one.mp4", "still.mp4"]


def test_a_rate_for_images(tmp_path: Path, capsys: Capture) -> None:
    write_png(tmp_path / "clip", harness.steady(9, power=2.0))
    words = ["retime", str(tmp_path / "clip"), *PIXELS, "--out", str(tmp_path / "o")]
    assert main(words) == 2
    assert "--fps" in harness.check_one_line(capsys.readouterr().err)
    assert main([*words, "--fps", "8", "--method", "nearest"]) == 0
    film = load(tmp_path / "o" / "clip.retimed.side-by-side.mp4")
    assert (len(film.frames), film.info.fps) == (9, 8)


def test_a_full_disk_is_one_line_and_keeps_what_is_finished(
    clip: Path, tmp_path: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("spf.pacing.outputs.write_atomic", full)
    words = ["retime", str(clip), *PIXELS, "--out", str(tmp_path / "out.mp4")]
    assert main([*words, "--method", "nearest"]) == 1
    assert "No space left on device" in harness.check_one_line(capsys.readouterr().err)
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "out.mp4"]
    assert len(load(tmp_path / "out.mp4").frames) == 25
