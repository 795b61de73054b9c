"""The `spf` command: help, arguments, paths, rows for programs, compare, doctor."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path

import harness
import pandas as pd
import pytest
import spf_command
import typer
from boards import generator, lines
from spf_command import PIXELS, Capture

import spf
from benchmarks.leaderboard.tables import Board, leaderboard
from benchmarks.leaderboard.terminal import document
from spf.cli import app, main
from spf.commands import analyze, timemap
from spf.curation import verdicts
from spf.doctor import report
from spf.embedders import EMBEDDERS
from spf.measurement import CORRECTED
from spf.quality import VBENCH_DIMENSIONS

Patch = pytest.MonkeyPatch
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
URL = "https://host//a%20b.mp4?x=1&y"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_that_parse(name: str, capsys: Capture) -> None:
    text = spf_command.printed(capsys, name, "--help")
    assert not [letter for letter in text if letter != "\n" and not letter.isprintable()]
    examples = re.findall(rf"^    spf {name}\b([^>\n]*)", text, re.MULTILINE)
    assert 1 <= len(examples) <= 3
    for example in examples:
        assert COMMANDS[name].make_context(name, shlex.split(example)).command.name == name
    assert all(param.help for param in COMMANDS[name].params)


def test_the_shell_completes(capsys: Capture, monkeypatch: Patch) -> None:
    monkeypatch.setenv("_SPF_COMPLETE", "complete_bash")
    for typed, offered in (
        ("spf an", "analyze"),
        ("spf analyze x --embedder dinov2/l", "dinov2/large"),
    ):
        monkeypatch.setenv("COMP_WORDS", typed)
        monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
        with pytest.raises(SystemExit, match="0"):
            main([])
        assert capsys.readouterr().out.split() == [offered]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (f"analyze {URL}", 1),
        (f"retime {URL}", 1),
        (f"timemap clip.mp4 --like {URL}", 1),
        (f"corpus {URL} out", 2),
        (f"corpus clips {URL}", 2),
        (f"analyze clip.mp4 --out {URL}", 2),
        (f"retime clip.mp4 --out={URL}", 2),
    ],
)
def test_urls_are_echoed_and_not_opened(
    words: str, code: int, tmp_path: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = spf_command.refused(capsys, *words.split(), code=code)
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
    card = spf_command.printed(capsys, "analyze", "https://host/a.mp4", *PIXELS, "--out=~/plots")
    assert "https://host/a.mp4: 12 frames" in card
    points = tmp_path / "home" / "1e3"
    points.write_text("0,0\n1,1\n")
    words = ["timemap", "https:/host/a.mp4", *PIXELS, "--target", "custom:path=~/1e3"]
    spf_command.printed(capsys, *words, "--out=~/made")
    assert {path.name for path in points.parent.iterdir()} == {"plots", "1e3", "made"}
    assert {path.name for path in tmp_path.iterdir()} == {"home", "https:"}


def test_names_cannot_command_the_terminal(tmp_path: Path, capsys: Capture) -> None:
    evil = "\x1b[2J\x1b]0;title\x07clip\n\r\u202e.mp4"
    good = str(harness.save(tmp_path / evil, harness.steady()))
    (tmp_path / f"empty{evil}").write_bytes(b"")
    names = [good, str(tmp_path / f"empty{evil}"), str(tmp_path / f"gone{evil}")]
    more = [*PIXELS, "--out", str(tmp_path / "out")]
    assert main(["analyze", *names, *more]) == 1
    output, errors = capsys.readouterr()
    assert len([line for line in errors.splitlines() if line.strip()]) == 2
    assert main(["retime", good, *more, "--method", "nearest"]) == 0
    assert main(["timemap", good, *more]) == 0
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
        ("analyze CLIP.mp4 --csv --json", "give one of them"),
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
    monkeypatch.chdir(harness.touch(tmp_path, "FILE", "FOLDER/below/a.mp4"))
    harness.save(tmp_path / "CLIP.mp4", harness.steady())
    assert thing in spf_command.refused(capsys, *words.split())


def documented(schema: str) -> list[str]:
    """The columns of a schema, as docs/reference/commands.md lists them."""
    text = (harness.ROOT / "docs" / "reference" / "commands.md").read_text()
    table = text.partition(f"### {schema}\n")[2].partition("\n### ")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def test_the_schemas_are_documented() -> None:
    corrected = list(CORRECTED)  # there with --nuisance alone
    assert documented("spf.analyze/1") == [*analyze.columns(), *corrected]
    assert documented("spf.check/1") == list(verdicts.COLUMNS)
    assert documented("spf.timemap/1") == list(timemap.COLUMNS)
    records = [*generator("a", 7), *generator("b", 7, 0.1)]
    board = Board.of(records)
    (row, _) = document(board, leaderboard(board), lines(records))["rows"]
    columns = [name for name in row if not name.endswith(("_low", "_high"))]
    assert sorted(documented("spf.compare/2")) == sorted([*columns, *corrected])


def test_rows_are_the_same_in_each_form(
    tmp_path: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    """Numbers unrounded, as the library has them; cells of CSV are no formulas; nothing is written
    where no place is named."""
    clip = harness.save(tmp_path / "=cmd(1)\x1b[2J.mp4", harness.steady(25, power=3.0))
    monkeypatch.chdir(tmp_path)
    curve, words = spf.measure(clip, "pixels"), ("analyze", clip.name, *PIXELS)
    (row,) = spf_command.rows(capsys, *words)
    assert row.items() >= ({"clip": clip.name} | spf.score(curve)).items()
    line = spf_command.printed(capsys, *words, "--jsonl")
    assert json.loads(line) == {"schema": "spf.analyze/1", **row}
    assert line.isascii()
    (cells,) = csv.DictReader(spf_command.printed(capsys, *words, "--csv").splitlines())
    assert list(cells) == list(row)
    assert cells["clip"] == "'=cmd(1)\\x1b[2J.mp4"
    assert float(cells["peak_speed"]) == row["peak_speed"]
    assert json.loads(cells["stretches"]) == row["stretches"]
    words = ("timemap", clip.name, *PIXELS, "--frames", "9", "--json")
    found = json.loads(spf_command.printed(capsys, *words))
    assert (found["schema"], found["clip"], found["fps"]) == ("spf.timemap/1", clip.name, 12.0)
    positions = spf.time_map(curve, num_frames=9).tolist()
    assert [row["source_frame"] for row in found["rows"]] == pytest.approx(positions)
    assert list(tmp_path.iterdir()) == [clip]


def test_version_and_a_reader_that_goes_away(capsys: Capture) -> None:
    assert spf_command.printed(capsys, "--version") == f"spf {spf.__version__}\n"
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
    assert document["schema"] == "spf.compare/2"
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
    assert max(map(len, lines)) < 200
