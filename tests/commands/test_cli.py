"""The `spf` command: analyze, compare, doctor."""

from __future__ import annotations

import json
import re
from pathlib import Path

import harness
import numpy as np
import pytest

from spf import __version__
from spf.cli import main
from spf.doctor import report
from spf.embedders import EMBEDDERS
from spf.quality import VBENCH_DIMENSIONS

URL = "https://host//a%20b.mp4?x=1&y"


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
    words: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    line = harness.check_one_line(capsys.readouterr().err)
    assert line.startswith(f"{URL}: ")
    assert "network sources are not opened" in line or "outputs are local files" in line
    assert list(tmp_path.iterdir()) == []


def test_a_local_path_that_looks_like_a_url_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    harness.save(tmp_path / "https:" / "host" / "a.mp4", harness.steady())
    assert main(["analyze", "https://host/a.mp4", "--embedder", "pixels", "--no-plot"]) == 0
    assert "https://host/a.mp4: 12 frames" in capsys.readouterr().out


def test_the_home_folder_is_found_behind_an_equals_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a shell leaves `~` as it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    clip = harness.save(tmp_path / "clip.mp4", harness.steady())
    assert main(["analyze", str(clip), "--embedder", "pixels", "--out=~/plots"]) == 0
    points = tmp_path / "home" / "1e3"
    points.write_text("0,0\n1,1\n")
    words = ["--embedder", "pixels", "--target", "custom:path=~/1e3", "--out=~/made"]
    assert main(["timemap", str(clip), *words]) == 0
    assert {path.name for path in points.parent.iterdir()} == {"plots", "1e3", "made"}
    assert {path.name for path in tmp_path.iterdir()} == {"home", "clip.mp4"}


def test_names_cannot_command_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[2J\x1b]0;title\x07clip\n\r\u202e.mp4"
    good = harness.save(tmp_path / evil, harness.steady())
    (tmp_path / f"empty{evil}").write_bytes(b"")
    names = [str(good), str(tmp_path / f"empty{evil}"), str(tmp_path / f"gone{evil}")]
    assert main(["analyze", *names, "--out", str(tmp_path / "plots")]) == 1
    output, errors = capsys.readouterr()
    for text in (output, errors):
        left = {letter for letter in text if not letter.isprintable()} - {"\n"}
        assert not left
    assert len([line for line in errors.splitlines() if line.strip()]) == 2


@pytest.mark.parametrize(
    ("words", "thing"),
    [
        ("", "Missing command; see spf --help"),
        ("analyse CLIP.mp4", "Did you mean 'analyze'? See spf --help"),
        ("analyze", "Missing argument 'CLIP'; see spf analyze --help"),
        ("analyze CLIP.mp4 --no-plt", "Did you mean --no-plot"),
        ("analyze CLIP.mp4 --embedder pixel", "did you mean pixels?"),
        ("analyze CLIP.mp4 --stride half", "'--stride'"),
        ("analyze CLIP.mp4 --stride 0", "'--stride'"),
        ("analyze CLIP.mp4 --max-frames 0", "'--max-frames'"),
        ("analyze CLIP.mp4 --start -1", "'--start'"),
        ("analyze CLIP.mp4 --start nan", "'--start'"),
        ("analyze CLIP.mp4 --end 0", "end 0 s is not after start 0 s"),
        ("analyze CLIP.mp4 --stream 7", "stream 7"),
        ("analyze CLIP.mp4 --out FILE", "FILE"),
        ("analyze CLIP.mp4 --out FILE/below", "FILE/below"),
        ("compare", "Missing argument 'CLIPS'; see spf compare --help"),
        ("doctor me", "(me); see spf doctor --help"),
    ],
)
def test_wrong_arguments_exit_2_with_a_remedy(
    words: str, thing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("x")
    harness.save(tmp_path / "CLIP.mp4", harness.steady())
    assert main(words.split()) == 2
    assert thing in harness.check_one_line(capsys.readouterr().err)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"spf {__version__}\n"


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    done = harness.command(
        "bash", "-c", f"set -o pipefail; {' '.join(harness.SPF)} doctor | head -1"
    )
    assert done.stdout == "machine\n"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


# compare


def test_compare_is_the_leaderboard(tmp_path: Path) -> None:
    """Whatever the folder is called: the path goes through Hydra's grammar."""
    folder = harness.two_generators(tmp_path / "it's $50, a=b {x} \\ ${y}", 1)
    words = ["compare", str(folder), "--embedder", "pixels", "--out", "o'u$t"]
    done = harness.command(*harness.SPF, *words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = harness.only_run(tmp_path / "o'u$t")
    import pandas as pd

    board = pd.read_csv(made / "leaderboard.csv")
    document = json.loads(done.stdout)  # alone; the table for people is in the error stream
    assert document["schema"] == "spf.compare/1"
    rows = document["rows"]
    assert [row["generator"] for row in rows] == list(board["generator"]) == ["even", "jumpy"]
    assert [row["linearity_mae"] for row in rows] == pytest.approx(
        list(board["linearity_mae"]), rel=1e-5
    )
    table = [line.strip() for line in done.stderr.splitlines()]
    assert re.match(rf"\(1\) +even +{rows[0]['linearity_mae']:.4f}  ", table[-3])
    assert re.match(rf"\(2\) +jumpy +{rows[1]['linearity_mae']:.4f}  ", table[-2])
    plain = harness.run(
        harness.two_generators(tmp_path / "plain", 1), tmp_path / "out", "embedder=pixels"
    )
    expected = (plain.folder.root / "leaderboard.csv").read_text()
    assert (made / "leaderboard.csv").read_text() == expected


def test_compare_passes_the_exit_code_on(tmp_path: Path) -> None:
    words = ["compare", "nowhere", "--embedder", "pixel"]
    done = harness.command(*harness.SPF, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean pixels?" in harness.check_one_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


# doctor


def test_doctor_has_its_sections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path / "vbench"))
    (tmp_path / "hub" / "models--maker--model").mkdir(parents=True)
    (tmp_path / "vbench" / "amt_model").mkdir(parents=True)
    (tmp_path / "vbench" / "amt_model" / "amt-s.pth").write_bytes(b"")
    lines = list(report())
    text = "\n".join(lines)
    for heading in ("machine", "packages", "weights", "VBench dimensions", "W&B"):
        assert heading in lines
    for name in ("cores", "memory", "disk", "GPU"):
        assert re.search(rf"^  {name} +\S", text, re.MULTILINE)
    assert "found    maker/model" in text
    available = dict(re.findall(r"^  (\w+) +(available|not available)", text, re.MULTILINE))
    assert set(available) == set(VBENCH_DIMENSIONS) | set(EMBEDDERS)
    assert available["tiny"] == "available"
    assert available["siglip"] == "not available"
    assert available["motion_smoothness"] == available["temporal_flickering"] == "available"
    assert available["dynamic_degree"] == "not available"
    assert "WANDB_MODE=offline" in text
    for group in harness.CONFIGS.glob("*/*.yaml"):
        assert f"{group.parent.name}=" in lines
        assert re.search(rf"^  {group.stem} +\S.*[Nn]eeds", text, re.MULTILINE)
    assert set(EMBEDDERS) <= set(re.findall(r"\w+", text))
    assert np.all([len(line) < 200 for line in lines])
