"""What the commands say of themselves, and the rows that they give to programs."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from pathlib import Path

import harness
import pytest
import typer
from boards import generator, lines

import spf
from benchmarks.leaderboard.tables import Board, leaderboard
from benchmarks.leaderboard.terminal import document
from spf.cli import app, main
from spf.commands import analyze, timemap
from spf.curation import verdicts
from spf.measurement import CORRECTED

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_that_parse(name: str, capsys: Capture) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert not [letter for letter in text if letter != "\n" and not letter.isprintable()]
    examples = re.findall(rf"^    spf {name}\b([^>\n]*)", text, re.MULTILINE)
    assert 1 <= len(examples) <= 3
    for example in examples:
        assert COMMANDS[name].make_context(name, shlex.split(example)).command.name == name
    assert all(param.help for param in COMMANDS[name].params)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("spf an", "analyze"), ("spf analyze x --embedder dinov2/l", "dinov2/large")],
)
def test_the_shell_completes(typed: str, offered: str, capsys: Capture, monkeypatch: Patch) -> None:
    variables = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    for name, value in ({"_SPF_COMPLETE": "complete_bash"} | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="0"):
        main([])
    assert capsys.readouterr().out.split() == [offered]


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
    assert sorted(documented("spf.compare/1")) == sorted([*columns, *corrected])


def test_rows_are_the_same_in_each_form(
    tmp_path: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    """Numbers unrounded, as the library has them; cells of CSV are no formulas; nothing is written
    where no place is named."""
    clip = harness.save(tmp_path / "=cmd(1)\x1b[2J.mp4", harness.steady(25, power=3.0))
    monkeypatch.chdir(tmp_path)
    words = [clip.name, "--embedder", "pixels"]
    curve = spf.measure(clip, "pixels")
    assert main(["analyze", *words, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row.items() >= ({"clip": clip.name} | spf.score(curve)).items()
    assert main(["analyze", *words, "--jsonl"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"schema": "spf.analyze/1", **row}
    assert line.isascii()
    assert main(["analyze", *words, "--csv"]) == 0
    (cells,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert list(cells) == list(row)
    assert cells.pop("clip") == "'=cmd(1)\\x1b[2J.mp4"
    assert float(cells["peak_speed"]) == row["peak_speed"]
    assert json.loads(cells["stretches"]) == row["stretches"]
    assert main(["analyze", *words, "--csv", "--json"]) == 2
    assert "give one of them" in harness.check_one_line(capsys.readouterr().err)
    assert main(["timemap", *words, "--frames", "9", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["clip"], found["fps"]) == ("spf.timemap/1", clip.name, 12.0)
    positions = spf.time_map(curve, num_frames=9).tolist()
    assert [row["source_frame"] for row in found["rows"]] == pytest.approx(positions)
    assert list(tmp_path.iterdir()) == [clip]
