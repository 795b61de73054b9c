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

import spf
from spf.cli import main
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
