"""The `spf` command: help, arguments, paths, rows for programs, compare, doctor."""

import csv
import json
import re
import shlex
import sys

import harness
import pandas as pd
import pytest
import spf_command
import typer
from boards import generator, lines
from spf_command import PIXELS

import spf
from benchmarks.leaderboard.comparison import Board
from benchmarks.leaderboard.tables import document, leaderboard
from scripts import quickstart
from spf.cli import app, main
from spf.commands import analyze, timemap
from spf.commands.doctor import report
from spf.curation import verdicts
from spf.embedders import EMBEDDERS
from spf.measurement import CORRECTED
from spf.quality import VBENCH_DIMENSIONS

COMMANDS = typer.main.get_command(app).commands
URL = "https://host//a%20b.mp4?x=1&y"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_that_parse(name, capsys):
    text = spf_command.printed(capsys, name, "--help")
    assert not [letter for letter in text if letter != "\n" and not letter.isprintable()]
    examples = re.findall(rf"^    spf {name}\b([^>\n]*)", text, re.MULTILINE)
    assert 1 <= len(examples) <= 3
    for example in examples:
        assert COMMANDS[name].make_context(name, shlex.split(example)).command.name == name
    assert all(param.help for param in COMMANDS[name].params)


def test_the_shell_completes(capsys, monkeypatch):
    monkeypatch.setenv("_SPF_COMPLETE", "complete_bash")
    for typed, offered in (("an", "analyze"), ("analyze x --embedder dinov2/l", "dinov2/large")):
        monkeypatch.setenv("COMP_WORDS", f"spf {typed}")
        monkeypatch.setenv("COMP_CWORD", str(len(typed.split())))
        with pytest.raises(SystemExit, match="0"):
            main([])
        assert capsys.readouterr().out.split() == [offered]


def test_urls_are_echoed_and_not_opened(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = ("analyze URL", "retime URL", "timemap clip.mp4 --like URL")
    outputs = ("corpus clips URL", "analyze clip.mp4 --out URL", "retime clip.mp4 --out=URL")
    for words in (*inputs, "corpus URL out", *outputs):
        code = 1 if words in inputs else 2
        line = spf_command.refused(capsys, *words.replace("URL", URL).split(), code=code)
        assert line.startswith(f"{URL}: ")
        why = "outputs are local files" if words in outputs else "network sources are not opened"
        assert why in line
        assert list(tmp_path.iterdir()) == []


def test_paths_are_taken_as_a_shell_would(tmp_path, capsys, monkeypatch):
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


def test_names_cannot_command_the_terminal(tmp_path, capsys):
    good = str(
        harness.save(tmp_path / "\x1b[2J\x1b]0;title\x07clip\n\r\u202e.mp4", harness.steady())
    )
    more = [*PIXELS, "--out", str(tmp_path / "out")]
    for words in (["analyze", good], ["retime", good, "--method", "nearest"], ["timemap", good]):
        assert main([*words, *more]) == 0
    left = set("".join(capsys.readouterr())) - {"\n"}
    assert all(letter.isprintable() for letter in left)


REFUSED = {
    "": {
        "": "Missing command; see spf --help", "compare": "'CLIPS'; see spf compare --help",
        "analyse CLIP.mp4": "Did you mean 'analyze'? See spf --help",
        "analyze": "Missing argument 'CLIP'; see spf analyze --help",
        "doctor me": "(me); see spf doctor --help",
        "timemap .": "this folder holds clips; name one: spf timemap ./CLIP.mp4",
        "trim FOLDER": "spf trim FOLDER/below/a.mp4, or each: for clip in FOLDER/below/*.mp4",
        "retime .": "./CLIP.mp4, or each: for clip in ./*.mp4; do spf retime",
        "trim CLIP.mp4 --out b/a.mkv": "b/a.mkv: the result is no .mkv file; give a folder, or",
        "timemap CLIP.mp4 --out a.MP4": "ends in .csv",
    },
    "analyze CLIP.mp4": {
        "--no-plt": "Did you mean --no-plot", "--embedder pixel": "did you mean pixels?",
        "--stride 0": "'--stride'", "--max-frames 0": "'--max-frames'", "--start nan": "'--start'",
        "--end 0": "end 0 s is not after start 0 s", "--stream 7": "stream 7",
        "--out FILE": "FILE", "--out FILE/below": "FILE/below", "--csv --json": "give one of them",
        "--export a.xyz": "choose .csv, .edl, .ffmeta, .txt", "CLIP.mp4 --export b.edl": "one clip",
        "--export b.edl --stride 2": "whole clips", "--export b.edl --end 1": "whole clips",
    },
    "retime CLIP.mp4 --embedder pixels": {
        "--method flo": "did you mean flow?", "--method rope": "unknown method",
        "--target ease-inn": "did you mean ease_in", "--target custom": "needs points or a file",
        "--target exponential:temperature=hot": "temperature='hot'", "--frames 1": "frames=1",
        "--target custom:path=missing.csv": "missing.csv: cannot be read", "--fps 0": "fps=0",
        "--target linear --like x.mp4": "give one of them", "--keep speed": "'length', 'fastest'",
        "--keep fastest --frames 9": "give it or frames=N", "--out FILE/below": "FILE/below",
        "--out ./CLIP.mp4": "would replace the clip", "--out a.avi": "ends in .mp4",
        "--target ease_in:power=0": "power=0", "--target ease_in:pover=2": "did you mean power",
        "--target ease_in:2": "SETTING=VALUE", "--fps nan": "fps=nan",
    },
    "check . --embedder pixels": {
        "--max-stall 2": "--max-stall", "--max-stal 0.2": "--max-stall",
        "--max-dead nan": "--max-dead", "--json --csv": "give one of them",
        "--thresholds no.yaml": "no.yaml: cannot be read",
        "--junit FOLDER": "FOLDER: Is a directory",  # a report is a part of the verdict
    },
}  # fmt: skip
CASES = [(f"{head} {x}", thing) for head, rows in REFUSED.items() for x, thing in rows.items()]


@pytest.mark.parametrize(("words", "thing"), CASES)
def test_wrong_arguments_exit_2_with_a_remedy(words, thing, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(harness.touch(tmp_path, "FILE", "FOLDER/below/a.mp4"))
    harness.save(tmp_path / "CLIP.mp4", harness.steady())
    assert thing in spf_command.refused(capsys, *words.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["CLIP.mp4", "FILE", "FOLDER"]


def documented(schema):
    text = (harness.ROOT / "docs" / "reference" / "commands.md").read_text()
    table = text.partition(f"### {schema}\n")[2].partition("\n### ")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def test_the_schemas_are_documented():
    corrected = list(CORRECTED)  # there with --nuisance alone
    assert documented("spf.analyze/1") == [*analyze.columns(), *corrected]
    assert documented("spf.check/1") == list(verdicts.COLUMNS)
    assert documented("spf.timemap/1") == list(timemap.COLUMNS)
    records = [*generator("a", 7), *generator("b", 7, 0.1)]
    board = Board.of(records)
    (row, _) = document(board, leaderboard(board), lines(records))["rows"]
    columns = [name for name in row if not name.endswith(("_low", "_high"))]
    assert sorted(documented("spf.compare/2")) == sorted([*columns, *corrected])


def test_rows_are_the_same_in_each_form(tmp_path, capsys, monkeypatch):
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


def test_version_a_reader_that_goes_away_and_the_exit_code_of_compare(tmp_path, capsys):
    assert spf_command.printed(capsys, "--version") == f"spf {spf.__version__}\n"
    done = harness.command("bash", "-c", f"{' '.join(harness.SPF)} doctor | head -1")
    assert done.stdout == "machine\n"
    assert not re.search("Traceback|BrokenPipe", done.stderr)
    done = harness.command(*harness.SPF, "compare", "nowhere", *PIXELS, cwd=tmp_path)
    assert done.returncode == 2
    assert "nowhere" in harness.check_one_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_compare_is_the_leaderboard(tmp_path, capfd, monkeypatch):
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


def test_doctor_has_its_sections(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path / "vbench"))
    (tmp_path / "hub" / "models--maker--model").mkdir(parents=True)
    harness.touch(tmp_path / "vbench", "amt_model/amt-s.pth")
    lines = list(report())
    text = "\n".join(lines)
    assert {"machine", "packages", "weights", "VBench dimensions", "W&B"} <= set(lines)
    assert "found    maker/model" in text
    available = dict(re.findall(r"^  (\w+) +(available|not available)", text, re.MULTILINE))
    assert set(available) == set(VBENCH_DIMENSIONS) | set(EMBEDDERS)
    for name in ("tiny", "motion_smoothness", "temporal_flickering"):
        assert available[name] == "available"
    assert available["siglip"] == available["dynamic_degree"] == "not available"
    assert "WANDB_MODE=offline" in text
    for group in harness.CONFIGS.glob("*/*.yaml"):
        assert f"{group.parent.name}=" in lines
        assert re.search(rf"^  {group.stem} +\S.*[Nn]eeds", text, re.MULTILINE)


PAGE = """\
# Title

```console
$ echo one; echo two >&2
{}
$ exit 3
$ echo "$PWD/clip.mp4 out/runs/a-b-0123abcd" $COLUMNS; ls clips/*
{}```

```
$ echo this is no console
```
"""
OLD = PAGE.format("old", "")
MADE = PAGE.format("one\ntwo", "clip.mp4 out/runs/a-b-HASH 100\npair.mp4\n")


def test_what_commands_print_replaces_what_the_page_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(quickstart, "render", lambda root: harness.touch(root, "clips/a/pair.mp4"))
    page = tmp_path / "page.md"
    page.write_text(OLD)
    assert quickstart.main([str(page), "--check"]) == 1
    assert "\n-old\n" in capsys.readouterr().out
    assert page.read_text() == OLD
    assert quickstart.main([str(page)]) == 0
    assert page.read_text() == MADE
    assert quickstart.main([str(page), "--check"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_the_quickstart_shows_what_its_commands_print():
    done = harness.command(sys.executable, quickstart.__file__, "--check", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
