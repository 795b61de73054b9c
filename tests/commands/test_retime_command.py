"""`spf retime` and `spf timemap`; --method regenerate with a cross-fading generator."""

import csv
import errno
import io
import json
import os
import re
import shlex
from unittest.mock import Mock

import harness
import numpy as np
import pytest
import spf_command
import tqdm
from faders import Fader
from spf_command import PIXELS

from spf.generators import MODELS
from spf.video import load, write_png

FILES = ["{}.json", "{}.mp4", "{}.png", "{}.side-by-side.mp4"]
COUNT = 33


@pytest.fixture
def clip(tmp_path):
    return harness.save(tmp_path / "clip.mp4", harness.steady(25, power=3.0))


def report_of(out, printed, *more):
    """The report of a retimed clip, of which all files are there and named, and no others."""
    names = [name.format(out.stem) for name in (*FILES, *more)]
    assert sorted(path.name for path in out.parent.glob(f"{out.stem}*")) == sorted(names)
    assert all(str(out.parent / name) in printed for name in names)
    count = len(load(out).frames)
    film = load(out.with_suffix(".side-by-side.mp4")).frames
    assert film.shape[2] > 2 * 256
    report = json.loads(out.with_suffix(".json").read_text())
    assert {len(values) for values in report["time_map"].values()} == {count}
    before, after = (report["scores"][x]["target_mae"] for x in ("before", "after"))
    assert after < before / 3
    return report


def test_retime_writes_clip_film_plot_and_map(clip, tmp_path, capsys):
    out = tmp_path / "made" / "here"
    words = ["retime", clip, *PIXELS, "--out", out]
    plan = spf_command.printed(capsys, *words, "--dry-run", "--keep", "fastest")
    assert "25 frames, 2 s, 12 frames a second" in plan
    assert re.search(r"result +\d+ frames", plan)
    assert os.listdir(tmp_path) == ["clip.mp4"]
    words += ["--target", "ease-in-out", "--method", "blend"]
    printed = spf_command.printed(capsys, *words)
    assert re.search(r"target_mae +0\.\d+ +0\.\d+", printed)
    assert "nan" not in printed
    report = report_of(out / "clip.mp4.retimed.mp4", printed)
    assert (report["method"], report["target"]) == ("blend", "ease_in_out")
    assert len(report["time_map"]["source_time"]) == 25
    assert report["time_map"]["source_time"][-1] == pytest.approx(2.0, abs=0.01)
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "made"]


def test_like_another_clip(clip, tmp_path, capsys):
    even = harness.save(tmp_path / "even.mp4", harness.steady(25))
    words = [even, "--like", clip, *PIXELS, "--frames", "13", "--out"]
    paced = tmp_path / "paced.mp4"
    printed = spf_command.printed(capsys, "retime", *words, paced, "--method", "nearest")
    assert "target like" in printed
    spf_command.printed(capsys, "timemap", *words, tmp_path / "map.csv")
    rows = csv.DictReader((tmp_path / "map.csv").read_text().splitlines())
    positions = [float(row["source_frame"]) for row in rows]
    assert np.abs(np.array(positions) - 24 * np.linspace(0, 1, 13) ** 3).max() < 1.2
    report = json.loads((tmp_path / "paced.json").read_text())
    assert report["time_map"]["source_frame"] == pytest.approx(positions, abs=1e-4)
    assert len(load(paced).frames) == 13


def test_clips_that_cannot_be_retimed_exit_1(tmp_path, capsys):
    harness.save(tmp_path / "still.mp4", harness.still())
    harness.save(tmp_path / "one.mp4", harness.still(1))
    reasons = {"missing": "no such file", "still": "no semantic change", "one": "1 frame"}
    for command in ("retime", "timemap"):
        for name, reason in reasons.items():
            words = [command, tmp_path / f"{name}.mp4", *PIXELS, "--out", tmp_path]
            assert reason in spf_command.refused(capsys, *words, code=1)
    assert sorted(os.listdir(tmp_path)) == ["one.mp4", "still.mp4"]


def test_a_rate_for_images(tmp_path, capsys):
    write_png(tmp_path / "clip", harness.steady(9, power=2.0))
    words = ["retime", tmp_path / "clip", *PIXELS, "--out", tmp_path / "o"]
    assert "--fps" in spf_command.refused(capsys, *words)
    spf_command.printed(capsys, *words, "--fps", "8", "--method", "nearest")
    film = load(tmp_path / "o" / "clip.retimed.side-by-side.mp4")
    assert (len(film.frames), film.info.fps) == (9, 8)


def test_a_full_disk_is_one_line_and_keeps_what_is_finished(clip, tmp_path, capsys, monkeypatch):
    full = Mock(side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    monkeypatch.setattr("spf.pacing.outputs.write_atomic", full)
    words = ["retime", clip, *PIXELS, "--out", tmp_path / "out.mp4", "--method", "nearest"]
    assert "No space left on device" in spf_command.refused(capsys, *words, code=1)
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "out.mp4"]
    assert len(load(tmp_path / "out.mp4").frames) == 25


@pytest.fixture
def slow_ends(tmp_path, monkeypatch):
    """A dissolve of 33 frames; `--model tiny` is the fader, at which nothing has been asked yet."""
    monkeypatch.setitem(MODELS, "tiny", "faders.Fader")
    monkeypatch.setattr(Fader, "requests", [])
    return harness.save(tmp_path / "clip.mp4", harness.slow_ends(COUNT))


def regenerate(clip, *more):
    words = ["retime", str(clip), "--method", "regenerate", *PIXELS]
    return [*words, "--out", str(clip.parent / "made"), *more]


def test_each_segment_of_a_regenerated_clip_has_a_bar(slow_ends, tmp_path, capsys, monkeypatch):
    bars, bar = [], tqdm.tqdm
    quiet = {"file": io.StringIO(), "disable": False}
    monkeypatch.setattr("tqdm.tqdm", lambda **more: bars.append(bar(**more | quiet)) or bars[-1])
    settings = ["--cuts", "bridge", "--seed", "3", "--segments", "4", "--prompt", "a cat"]
    words = ["--model", "tiny", "--frames", "41", "--steer", "rope-flat", *settings]
    printed = spf_command.printed(capsys, *regenerate(slow_ends, *words))
    assert "unsteered" in printed
    report = report_of(tmp_path / "made" / "clip.mp4.retimed.mp4", printed, "{}.segments")
    positions, anew = report["time_map"]["source_frame"], report["regeneration"]
    assert (report["method"], anew["model"]) == ("regenerate", "fader")
    assert (len(positions), positions[0], positions[-1]) == (41, 0, COUNT - 1)
    chosen = {"cuts": "bridge", "seed": 3, "n_segments": 4, "prompt": "a cat"}
    assert anew["settings"].items() >= (chosen | {"strategy": "rope-flat"}).items()
    assert [anew["segments"][0]["start"], anew["segments"][-1]["stop"]] == [0, COUNT - 1]
    unsteered = anew["scores_unsteered"]["target_mae"]
    assert unsteered > report["scores"]["after"]["target_mae"]
    ours = [bar for bar in bars if bar.desc.startswith("segment")]
    assert len(ours) >= 4
    names = [f"segment {k + 1} of {len(ours)}" for k in range(len(ours))]
    found = [(bar.desc.removesuffix(": "), bar.unit, bar.n, bar.total) for bar in ours]
    assert found == [(name, "steps", 8, 8) for name in names]
    assert len({bar.desc for bar in bars}) == len(bars)


def test_dry_run_prints_the_segments(slow_ends, tmp_path, capsys):
    words = regenerate(slow_ends, "--model", "tiny", "--dry-run", "--segments", "3", "--frames")
    printed = spf_command.printed(capsys, *words, "39")
    assert "method   regenerate by fader, each segment steered by rope_flat" in printed
    rows = [line.split() for line in printed.splitlines() if "source frames" in line]
    assert [row[2] for row in rows] == ["0", *(row[4] for row in rows[:-1])]
    assert rows[-1][4] == str(COUNT - 1)
    assert sum(float(row[9]) for row in rows) == pytest.approx(38 / 12, abs=0.01)
    assert "steps by the time map" in printed
    assert "note: the next longer clip brought to length by the time map" in printed
    assert "steps rounded to" in spf_command.printed(capsys, *words, "41")
    assert os.listdir(tmp_path) == ["clip.mp4"]
    assert not Fader.requests


@pytest.mark.parametrize(("more", "code", "message"), [
    ("--model folder", 2, "model=folder generates nothing; choose model=tiny"),
    ("--model wan21 --set variant=flf2v", 3, "make weights MODEL=wan21/flf2v"),
    ("--model ltx2 --like missing.mp4", 3, "make weights MODEL=ltx2"),
    ("--model ltx2 --set size=480,x", 2, "--set size='480,x' must be"),
    ("", 2, "needs a generator (--model)"), ("--set longest=9", 2, "--set is for a model"),
    ("TINY --set longest", 2, "write NAME=VALUE"),
    ("TINY --set longst=9", 2, "did you mean longest"),
    ("TINY --command x", 2, "--command is for --model command"),
    ("--model command", 2, "--model command needs --command TEMPLATE"),
    ("--command 'x {first} {output}'", 2, "lacks {last}"),
    ("--command 'nowhere {first} {last} {output}'", 3, "there is no program 'nowhere'"),
    ("TINY --cuts drop", 2, "unknown way with cuts"),
    ("TINY --steer blend", 2, "unknown way to steer 'blend'"),
    ("TINY --segments 0", 2, "--segments 0 must be"),
    ("TINY --method flow", 2, "--model is for --method regenerate"),
    ("--prompt '' --method flow", 2, "--prompt is for --method regenerate"),
])  # fmt: skip
def test_what_cannot_be_done_is_refused(slow_ends, monkeypatch, capsys, more, code, message):
    for place in ("spf.pacing.plan.measure_clip", "spf.measurement.measure_clip"):
        monkeypatch.setattr(place, lambda *_, **__: pytest.fail("work began"))
    monkeypatch.setattr("spf.generators.weights.Repository.find", lambda _: None)
    words = regenerate(slow_ends, *shlex.split(more.replace("TINY", "--model tiny")))
    assert message in spf_command.refused(capsys, *words, code=code)
    assert os.listdir(slow_ends.parent) == ["clip.mp4"]
