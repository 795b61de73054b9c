"""The `spf` command: arguments, paths, compare, doctor."""

from __future__ import annotations

import json
import re
from pathlib import Path

import harness
import pandas as pd
import pytest

import spf
from spf.cli import main
from spf.doctor import report
from spf.embedders import EMBEDDERS
from spf.quality import VBENCH_DIMENSIONS

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch

URL = "https://host//a%20b.mp4?x=1&y"
PIXELS = ("--embedder", "pixels")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["analyze", URL], 1),
        (["timemap", URL], 1),
        (["retime", URL], 1),
        (["timemap", "clip.mp4", "--like", URL], 1),
        (["corpus", URL, "out"], 2),
        (["corpus", "clips", URL], 2),
        (["analyze", "clip.mp4", "--out", URL], 2),
        (["retime", "clip.mp4", f"--out={URL}"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_urls_are_echoed_and_not_opened(
    words: list[str], code: int, tmp_path: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    line = harness.check_one_line(capsys.readouterr().err)
    assert line.startswith(f"{URL}: ")
    assert "network sources are not opened" in line or "outputs are local files" in line
    assert list(tmp_path.iterdir()) == []


def test_paths_are_taken_as_a_shell_would(
    tmp_path: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    """One that looks like a URL, and `~` behind an equals sign, which a shell leaves as it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    harness.save(tmp_path / "https:" / "host" / "a.mp4", harness.steady())
    assert main(["analyze", "https://host/a.mp4", *PIXELS, "--out=~/plots"]) == 0
    assert "https://host/a.mp4: 12 frames" in capsys.readouterr().out
    points = tmp_path / "home" / "1e3"
    points.write_text("0,0\n1,1\n")
    target = ["--target", "custom:path=~/1e3", "--out=~/made"]
    assert main(["timemap", "https:/host/a.mp4", *PIXELS, *target]) == 0
    assert {path.name for path in points.parent.iterdir()} == {"plots", "1e3", "made"}
    assert {path.name for path in tmp_path.iterdir()} == {"home", "https:"}


def test_names_cannot_command_the_terminal(tmp_path: Path, capsys: Capture) -> None:
    evil = "\x1b[2J\x1b]0;title\x07clip\n\r\u202e.mp4"
    good = str(harness.save(tmp_path / evil, harness.steady()))
    (tmp_path / f"empty{evil}").write_bytes(b"")
    names = [good, str(tmp_path / f"empty{evil}"), str(tmp_path / f"gone{evil}")]
    out = ["--out", str(tmp_path / "out")]
    assert main(["analyze", *names, *PIXELS, *out]) == 1
    output, errors = capsys.readouterr()
    assert len([line for line in errors.splitlines() if line.strip()]) == 2
    assert main(["retime", good, *PIXELS, *out, "--method", "nearest"]) == 0
    assert main(["timemap", good, *PIXELS, *out]) == 0
    left = set(output + errors + "".join(capsys.readouterr())) - {"\n"}
    assert all(letter.isprintable() for letter in left)


@pytest.mark.parametrize(
    ("words", "thing"),
    [
        ("", "Missing command; see spf --help"),
        ("analyse CLIP.mp4", "Did you mean 'analyze'? See spf --help"),
        ("analyze", "Missing argument 'CLIP'; see spf analyze --help"),
        ("analyze CLIP.mp4 --no-plt", "Did you mean --no-plot"),
        ("analyze CLIP.mp4 --embedder pixel", "did you mean pixels?"),
        ("analyze CLIP.mp4 --stride 0", "'--stride'"),
        ("analyze CLIP.mp4 --max-frames 0", "'--max-frames'"),
        ("analyze CLIP.mp4 --start nan", "'--start'"),
        ("analyze CLIP.mp4 --end 0", "end 0 s is not after start 0 s"),
        ("analyze CLIP.mp4 --stream 7", "stream 7"),
        ("analyze CLIP.mp4 --out FILE", "FILE"),
        ("analyze CLIP.mp4 --out FILE/below", "FILE/below"),
        ("retime .", "./CLIP.mp4, or each: for clip in ./*.mp4; do spf retime"),
        ("timemap .", "this folder holds clips; name one: spf timemap ./CLIP.mp4"),
        ("trim FOLDER", "spf trim FOLDER/below/a.mp4, or each: for clip in FOLDER/below/*.mp4"),
        ("compare", "Missing argument 'CLIPS'; see spf compare --help"),
        ("doctor me", "(me); see spf doctor --help"),
    ],
)
def test_wrong_arguments_exit_2_with_a_remedy(
    words: str, thing: str, tmp_path: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    harness.touch(tmp_path, "FILE", "FOLDER/below/a.mp4")
    harness.save(tmp_path / "CLIP.mp4", harness.steady())
    assert main(words.split()) == 2
    assert thing in harness.check_one_line(capsys.readouterr().err)


def test_version_and_a_reader_that_goes_away(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"spf {spf.__version__}\n"
    doctor = f"set -o pipefail; {' '.join(harness.SPF)} doctor | head -1"
    done = harness.command("bash", "-c", doctor)
    assert done.stdout == "machine\n"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_compare_is_the_leaderboard(tmp_path: Path, capfd: Capture, monkeypatch: Patch) -> None:
    """Whatever the folder is called: the path goes through Hydra's grammar."""
    monkeypatch.chdir(tmp_path)
    folder = harness.two_generators(tmp_path / "it's $50, a=b {x} \\ ${y}", 1)
    assert main(["compare", str(folder), *PIXELS, "--out", "o'u$t", "--json"]) == 0
    printed, errors = capfd.readouterr()
    document = json.loads(printed)  # alone; the table for people is in the error stream
    assert document["schema"] == "spf.compare/1"
    even, jumpy = document["rows"]
    board = pd.read_csv(harness.only_run(tmp_path / "o'u$t") / "leaderboard.csv")
    assert list(board["generator"]) == [even["generator"], jumpy["generator"]] == ["even", "jumpy"]
    for row in (even, jumpy):
        curve = spf.measure(folder / row["generator"] / "pair0.mp4", "pixels")
        assert row["linearity_mae"] == pytest.approx(spf.score(curve)["linearity_mae"], rel=1e-5)
    table = [line.strip() for line in errors.splitlines()]
    assert re.match(rf"\(1\) +even +{even['linearity_mae']:.4f}  ", table[-3])
    assert re.match(rf"\(2\) +jumpy +{jumpy['linearity_mae']:.4f}  ", table[-2])


def test_compare_passes_the_exit_code_on(tmp_path: Path) -> None:
    """Of run.py, which takes the command's place."""
    done = harness.command(*harness.SPF, "compare", "nowhere", *PIXELS, cwd=tmp_path)
    assert done.returncode == 2
    assert "nowhere" in harness.check_one_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_doctor_has_its_sections(monkeypatch: Patch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path / "vbench"))
    (tmp_path / "hub" / "models--maker--model").mkdir(parents=True)
    harness.touch(tmp_path / "vbench", "amt_model/amt-s.pth")
    lines = list(report())
    text = "\n".join(lines)
    assert {"machine", "packages", "weights", "VBench dimensions", "W&B"} <= set(lines)
    for name in ("cores", "memory", "disk", "GPU"):
        assert re.search(rf"^  {name} +\S", text, re.MULTILINE)
    assert "found    maker/model" in text
    assert "WANDB_MODE=offline" in text
    usable = dict(re.findall(r"^  (\w+) +(usable|not usable)", text, re.MULTILINE))
    assert set(usable) == set(VBENCH_DIMENSIONS) | set(EMBEDDERS)
    for name in ("tiny", "motion_smoothness", "temporal_flickering"):
        assert usable[name] == "usable"
    assert usable["siglip"] == usable["dynamic_degree"] == "not usable"
    for group in harness.CONFIGS.glob("*/*.yaml"):
        assert f"{group.parent.name}=" in lines
        assert re.search(rf"^  {group.stem} +\S.*[Nn]eeds", text, re.MULTILINE)
    assert max(map(len, lines)) < 200
