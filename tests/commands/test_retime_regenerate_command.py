"""`spf retime --method regenerate`: a clip generated anew by the command."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import harness
import pytest
from faders import Fader

import spf
from spf.cli import main
from spf.generators import MODELS
from spf.video import load

FILES = ["{}.json", "{}.mp4", "{}.png", "{}.segments", "{}.side-by-side.mp4"]
COUNT = 33


@pytest.fixture(autouse=True)
def _fader(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--model tiny` is the fader, at which nothing has been asked yet."""
    monkeypatch.setitem(MODELS, "tiny", "faders.Fader")
    monkeypatch.setattr(Fader, "requests", [])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A dissolve of 33 frames at 12 a second, slow at both ends."""
    return harness.save(tmp_path / "clip.mp4", harness.slow_ends(COUNT))


def words(clip: Path, *more: str) -> list[str]:
    given = ["retime", str(clip), "--method", "regenerate", "--model", "tiny"]
    return [*given, "--embedder", "pixels", "--out", str(clip.parent / "made"), *more]


def test_the_command_writes_what_the_other_methods_write(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--cuts", "bridge", "--seed", "3", "--segments", "4", "--prompt", "a cat"]
    assert main(words(clip, "--frames", "41", "--steer", "rope-flat", *settings)) == 0
    out, stem = tmp_path / "made", "clip.mp4.retimed"
    assert sorted(os.listdir(out)) == sorted(name.format(stem) for name in FILES)
    said = capsys.readouterr().out
    for name in FILES:
        assert str(out / name.format(stem)) in said
    assert "unsteered" in said
    assert len(load(out / f"{stem}.mp4").frames) == 41
    assert load(out / f"{stem}.side-by-side.mp4").frames.shape[2] > 2 * 256
    report = json.loads((out / f"{stem}.json").read_text())
    assert report["method"] == "regenerate"
    assert report["scores"]["after"]["target_mae"] < report["scores"]["before"]["target_mae"] / 3
    columns = report["time_map"]
    assert {len(values) for values in columns.values()} == {41}
    assert (columns["source_frame"][0], columns["source_frame"][-1]) == (0, COUNT - 1)
    anew = report["regeneration"]
    assert anew["model"] == "fader"
    given = {"cuts": "bridge", "seed": 3, "n_segments": 4, "prompt": "a cat"}
    assert anew["settings"].items() >= (given | {"strategy": "rope-flat"}).items()
    assert [anew["segments"][0]["start"], anew["segments"][-1]["stop"]] == [0, COUNT - 1]
    assert anew["scores_unsteered"]["target_mae"] > report["scores"]["after"]["target_mae"]


def test_dry_run_tells_the_segments_and_writes_nothing(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(clip, "--dry-run", "--frames", "39", "--segments", "3")) == 0
    said = capsys.readouterr().out
    assert "method   regenerate by fader, each segment steered by rope_flat" in said
    rows = [line.split() for line in said.splitlines() if "source frames" in line]
    assert [row[2] for row in rows] == ["0", *(row[4] for row in rows[:-1])]
    assert rows[-1][4] == str(COUNT - 1)
    assert sum(float(row[9]) for row in rows) == pytest.approx(38 / 12, abs=0.01)
    assert "steps by the time map" in said
    assert "note: the next longer clip brought to length by the time map" in said
    assert main(words(clip, "--dry-run", "--frames", "41", "--segments", "3")) == 0
    assert "steps rounded to" in capsys.readouterr().out
    assert os.listdir(tmp_path) == ["clip.mp4"]
    assert not Fader.requests


def test_a_second_start_resumes_after_the_finished_segments(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole.mp4"
    spf.retime(clip, whole, method="regenerate", generator=Fader(), embedder="pixels")
    count = len(Fader.requests)
    monkeypatch.setattr(Fader, "fail_at", count + 5)
    assert main(words(clip)) == 130
    out = tmp_path / "made"
    assert os.listdir(out) == ["clip.mp4.retimed.segments"]
    kept = list((out / "clip.mp4.retimed.segments").iterdir())
    assert len(kept) == 4
    assert main(words(clip)) == 0
    assert len(Fader.requests) == count + 5 + count - 4
    assert (out / "clip.mp4.retimed.mp4").read_bytes() == whole.read_bytes()


def test_a_bar_for_each_segment(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[Any] = []

    class FakeBar:
        def __init__(self, total: int | None, unit: str, desc: str, **_: Any) -> None:
            self.total, self.unit, self.desc, self.n = total, unit, desc, 0
            bars.append(self)

        def update(self, more: int) -> None:
            self.n += more

        def close(self) -> None: ...

    monkeypatch.setattr("tqdm.tqdm", FakeBar)
    assert main(words(clip, "--segments", "4", "--frames", "41")) == 0
    ours = [bar for bar in bars if bar.desc.startswith("segment")]
    assert len(ours) >= 4
    assert [bar.desc for bar in ours] == [
        f"segment {k + 1} of {len(ours)}" for k in range(len(ours))
    ]
    assert all((bar.unit, bar.n, bar.total) == ("steps", 16, 16) for bar in ours)
    assert len({bar.desc for bar in bars}) == len(bars)


SCRIPT = """
import sys
import numpy as np
from PIL import Image
first, last, frames, output, prompt = sys.argv[1:]
import os
os.mkdir(output)
a, b = (np.asarray(Image.open(path)).astype(float) for path in (first, last))
for k in range(int(frames)):
    image = a + k / (int(frames) - 1) * (b - a)
    Image.fromarray(np.rint(image).astype(np.uint8)).save(f"{output}/{k:04d}.png")
open(sys.argv[0] + ".log", "a").write(prompt + chr(10))
"""


def test_a_program_of_ones_own(clip: Path, tmp_path: Path) -> None:
    script = tmp_path / "make.py"
    script.write_text(SCRIPT)
    template = f"{sys.executable} {script} {{first}} {{last}} {{frames}} {{output}} {{prompt}}"
    given = ["retime", str(clip), "--method", "regenerate", "--command", template]
    given += ["--set", "suffix=", "--set", "model.longest=17", "--embedder", "pixels"]
    given += ["--segments", "3", "--prompt", "a, b = c", "--out", str(tmp_path / "even.mp4")]
    assert main(given) == 0
    assert (
        harness.uneven(load(tmp_path / "even.mp4").frames) < harness.uneven(load(clip).frames) / 2
    )
    assert set((tmp_path / "make.py.log").read_text().splitlines()) == {"a, b = c"}


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--model", "folder"], 2, "model=folder generates nothing; choose model=tiny"),
        (["--model", "wan"], 2, "did you mean wan22"),
        (["--model", "wan22"], 3, "make weights MODEL=wan22"),
        (["--model", "wan21", "--set", "variant=flf2v"], 3, "make weights MODEL=wan21/flf2v"),
        (["--model", "ltx2", "--like", "missing.mp4"], 3, "make weights MODEL=ltx2"),
        (["--model", "ltx2", "--set", "dtype=int4"], 2, "unknown dtype 'int4'"),
        (["--model", "ltx2", "--set", "size=9"], 2, "size=9 must be [height, width]"),
        (["--model", "ltx2", "--set", "size=480,x"], 2, "--set size='480,x' must be"),
        ([], 2, "needs a generator (--model)"),
        (["--set", "longest=9"], 2, "--set is for a model"),
        (["--model", "tiny", "--set", "longest"], 2, "write NAME=VALUE"),
        (["--model", "tiny", "--set", "longst=9"], 2, "did you mean longest"),
        (["--model", "tiny", "--set", "longest=3"], 2, "there is no number 4n + 1"),
        (["--model", "tiny", "--command", "x"], 2, "--command is for --model command"),
        (["--model", "command"], 2, "--model command needs --command TEMPLATE"),
        (["--command", "x {first} {output}"], 2, "lacks {last}"),
        (["--command", "nowhere {first} {last} {output}"], 3, "there is no program 'nowhere'"),
        (["--model", "tiny", "--cuts", "drop"], 2, "unknown way with cuts"),
        (["--model", "tiny", "--steer", "blend"], 2, "unknown way to steer 'blend'"),
        (["--model", "tiny", "--segments", "0"], 2, "--segments 0 must be"),
        (["--model", "tiny", "--seed", "-1"], 2, "--seed -1 must be"),
        (["--model", "tiny", "--method", "flow"], 2, "--model is for --method regenerate"),
        (["--prompt", "", "--method", "flow"], 2, "--prompt is for --method regenerate"),
    ],
)
def test_what_cannot_be_done_is_one_line_before_any_work(
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    said: str,
) -> None:
    def work(*_: Any, **__: Any) -> None:
        pytest.fail("work began")

    monkeypatch.setattr("spf.pacing.retime.measure_clip", work)
    monkeypatch.setattr("spf.measurement.measure_clip", work)
    monkeypatch.setattr("spf.generators.weights.cached_folder", lambda _: None)
    given = ["retime", str(clip), "--method", "regenerate", "--embedder", "pixels"]
    assert main([*given, "--out", str(tmp_path / "made"), *more]) == code
    line = harness.check_one_line(capsys.readouterr().err)
    assert any(words in line for words in said.split("|"))
    assert os.listdir(tmp_path) == ["clip.mp4"]
