"""Verdicts: limits against values made by hand, their files, and JUnit XML."""

from __future__ import annotations

import csv
import inspect
import json
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from errno import EACCES
from math import isnan, nan
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import harness
import numpy as np
import pytest

import spf
from spf.cli import main
from spf.commands.check import check as check_command
from spf.commands.shared import clips_at
from spf.curation.bounds import LIMITS
from spf.curation.limits import (
    Value,
    Verdict,
    checked_limits,
    findings,
    read_limits,
    values_of,
)
from spf.curation.verdicts import COLUMNS, as_row, check_clips, junit_file
from spf.embedders import load_embedder
from spf.errors import ConfigError
from spf.progress.stretches import Stretch

RATE = 10.0


def curve(shares: list[float], total: float = 2.0) -> spf.Curve:
    """A curve whose steps hold these shares of `total` radians, at 10 frames a second."""
    angle = np.concatenate([[0.0], np.cumsum(shares)]) * total
    z = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    made = spf.fit(z, np.arange(len(angle)) / RATE)
    return replace(made, angle=angle, progress=angle / angle[-1], fitted=angle)


EVEN = curve([0.05] * 20)
NAMED = [
    Stretch("dead", 0, 4, 0.0, 0.4, 0.01, 0.05),
    Stretch("jump", 4, 6, 0.4, 0.6, 0.30, 3.0),
    Stretch("cut", 8, 9, 0.8, 0.9, 0.35, 7.0),
    Stretch("dead", 10, 13, 1.0, 1.3, 0.0, 0.0),
    Stretch("dead", 17, 20, 1.7, 2.0, 0.0, 0.0),
]


def names(curve: spf.Curve, values: Mapping[str, Value], **limits: float) -> list[str]:
    return [found.limit for found in findings(curve, values, limits)]


def test_values_are_those_that_the_limits_name() -> None:
    values = {name: value.number for name, value in values_of(EVEN, NAMED, 0.45, 20).items()}
    assert list(values) == list(LIMITS)
    wanted = {
        "max_stall": 0.45,
        "max_dead": 0.4,
        "max_dead_start": 0.4,
        "max_dead_end": 0.3,
        "max_jump": 0.35,
        "max_cuts": 1.0,
        "max_linearity_mae": 0.0,
        "max_peak_speed": 1.0,
        "min_change": 2.0,
        "min_change_rate": 1.0,
    }
    assert {name: values[name] for name in wanted} == pytest.approx(wanted, abs=1e-9)
    none = {name: value.number for name, value in values_of(EVEN, [], 0.0, 20).items()}
    dead = ("max_dead", "max_dead_start", "max_dead_end", "max_jump", "max_cuts")
    assert [none[name] for name in dead] == [0.0] * 5
    # A dead stretch that ends before the last frame is none at the end.
    assert values_of(EVEN, NAMED[:4], 0.45, 20)["max_dead_end"].number == 0.0


@pytest.mark.parametrize("name", [name for name in LIMITS if name != "max_noise"])
def test_a_value_at_the_limit_passes_and_one_beyond_fails(name: str) -> None:
    values = values_of(EVEN, NAMED, 0.45, 20) | {"max_motion_share": Value(0.4)}
    number = values[name].number
    beyond = number - 1e-6 if name.startswith("max_") else number + 1e-6
    assert names(EVEN, values, **{name: number}) == []
    assert names(EVEN, values, **{name: beyond}) == [name]


def test_a_reason_says_value_limit_and_place() -> None:
    limits = {"max_jump": 0.15, "min_change_rate": 1.5}
    found = findings(EVEN, values_of(EVEN, NAMED, 0.45, 20), limits)
    assert [one.text for one in found] == [
        "max_jump: 0.35 from 0.80 to 0.90 s, above 0.15",
        "min_change_rate: 1 rad/s, below 1.5 rad/s",
    ]
    assert (found[0].value, found[0].threshold) == (0.35, 0.15)


def test_what_has_no_defined_value_never_passes() -> None:
    still = replace(EVEN, is_still=True)
    values = values_of(still, [], nan, 20)
    assert isnan(values["max_stall"].number)
    assert isnan(values["max_jump"].number)
    assert names(still, values) == ["no_semantic_change"]
    assert names(still, values, max_stall=1.0, max_jump=1.0) == ["no_semantic_change"]
    untimed = values_of(EVEN, NAMED, 0.45, 20, timed=False)
    assert names(EVEN, untimed, max_dead=99.0, max_jump=1.0) == ["max_dead"]
    short = curve([0.5, 0.5])
    assert names(short, values_of(short, [], 0.0, 2)) == ["too_few_frames"]
    assert names(EVEN, values | {"max_stall": Value(nan)}, max_stall=1.0) == ["max_stall"]


def test_flicker_fails_unless_a_limit_of_noise_decides() -> None:
    flickering = replace(EVEN, flicker_share=-1.0)
    values = values_of(flickering, [], 0.0, 20)
    assert names(flickering, values) == ["flicker"]
    assert names(flickering, values, max_noise=1.0) == []


# Files of limits


def test_limits_are_read_from_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("max_stall: 0.2\nmin-change-rate: 1\n")
    assert read_limits(tmp_path / "a.yaml") == {"max_stall": 0.2, "min_change_rate": 1.0}


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("max_stal: 0.2", "did you mean max_stall"),
        ("max_stall: much", "max_stall is 'much'; give a number in 0 .. 1"),
        ("max_stall: true", "max_stall is True"),
        ("max_stall: 1.5", "give a number in 0 .. 1"),
        ("max_dead: -1", "a number of at least 0"),
        ("max_dead: .nan", "a number of at least 0"),
        ("max_cuts: .inf", "max_cuts is inf"),
        ("max_dead:", "max_dead is None"),
        ("max_dead: [1]", "max_dead is [1]"),
        ("max_dead: 1\nmax-dead: 2", "max_dead is there twice"),
        ("- max_dead", "write a line for each limit"),
        ("", "it holds None"),
        ("a: b: c", "no valid YAML"),
        ("1: 2", "unknown limit '1'"),
    ],
)
def test_wrong_files_are_one_line(text: str, thing: str, tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_limits(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ")
    assert thing in line
    assert "\n" not in line


# Verdicts

NAMES = (
    "plain.mp4",
    'a<b>&"c".mp4',
    "\x1b[2J\x00\ufffe\n.mp4",
    "latin-\udce9.mp4",
    "Katze ñ 猫.mp4",
)


def test_junit_is_well_formed_and_counts(tmp_path: Path) -> None:
    (found,) = findings(EVEN, values_of(EVEN, NAMED, 0.45, 20), {"max_jump": 0.15})
    path = tmp_path / "junit.xml"
    with junit_file(path) as add:
        for name in NAMES:
            add(Verdict(name, "fail", (found,)))
        add(Verdict("good.mp4", "pass"))
        add(Verdict("bad.mp4", "unreadable", unreadable="unreadable: <no> video; give another"))
    root = ElementTree.parse(path).getroot()
    assert root.attrib == {"tests": "7", "failures": "5", "errors": "1"}
    cases = list(root.iter("testcase"))
    assert [case.get("name") for case in cases] == [
        "plain.mp4", 'a<b>&"c".mp4', r"\x1b[2J\x00\ufffe\n.mp4", r"latin-\xe9.mp4",
        "Katze ñ 猫.mp4", "good.mp4", "bad.mp4",
    ]  # fmt: skip
    failure = cases[0].find("failure")
    assert failure is not None
    assert failure.attrib == {"type": "max_jump", "message": found.text}
    assert len(cases[5]) == 0
    error = cases[6].find("error")
    assert error is not None
    assert error.text == "unreadable: <no> video; give another"


def test_junit_of_many_clips_has_its_totals(tmp_path: Path) -> None:
    with junit_file(tmp_path / "many.xml") as add:
        for number in range(3_000):
            add(Verdict(f"{number}.mp4", "pass"))
    root = ElementTree.parse(tmp_path / "many.xml").getroot()
    assert root.get("tests") == str(len(list(root.iter("testcase")))) == "3000"


def test_an_interrupted_check_leaves_no_junit(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    block = ExitStack()
    block.enter_context(junit_file(path))(Verdict("a.mp4", "pass"))
    assert not path.exists()
    assert not block.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert list(tmp_path.iterdir()) == []


def test_clips_are_checked_one_after_the_other(tmp_path: Path) -> None:
    """An even clip, one that stands still for 20 of its 32 frames, a still one and a broken one."""
    held = np.concatenate([np.zeros(20), np.linspace(0, 1, 12)])
    harness.save(tmp_path / "even.mp4", harness.steady(25))
    harness.save(tmp_path / "held.mp4", harness.dissolve(held))
    harness.save(tmp_path / "still.mp4", harness.still())
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    paths = (str(tmp_path / f"{name}.mp4") for name in ("even", "held", "still", "broken"))
    limits = checked_limits({"max_stall": 0.2, "max-dead-start": 0.5})
    verdicts = check_clips(paths, load_embedder("pixels"), limits)
    first = next(verdicts)
    assert (Path(first.clip).name, first.status, first.reasons) == ("even.mp4", "pass", [])
    held_verdict, still, broken = verdicts
    assert [found.limit for found in held_verdict.findings] == ["max_stall", "max_dead_start"]
    dead = held_verdict.findings[1].value
    assert dead == pytest.approx(19 / 12, abs=2 / 12)
    assert still.reasons == ["no semantic change: its frames show one picture"]
    assert broken.status == "unreadable"
    assert "not a video" in broken.unreadable
    row = as_row(held_verdict, "pixels")
    assert tuple(row) == COLUMNS
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert (row["max_dead_start"], row["embedder"]) == (dead, "pixels")
    assert row["reason"] == "; ".join(held_verdict.reasons)
    assert [found["threshold"] for found in row["findings"]] == [0.2, 0.5]
    assert as_row(still, "pixels")["max_jump"] is None
    assert as_row(broken, "pixels") | {"reason": "", "clip": ""} == {
        **dict.fromkeys(COLUMNS), "clip": "", "verdict": "unreadable", "reason": "",
        "embedder": "pixels", "findings": [],
    }  # fmt: skip


# The command


def check(*words: object) -> int:
    return main(["check", "--embedder", "pixels", "--no-cache", *map(str, words)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An even clip, one that stands still at first, and one that is none."""
    held = np.concatenate([np.zeros(20), np.linspace(0, 1, 12)])
    clips = tmp_path / "clips"
    harness.save(clips / "even.mp4", harness.steady(25))
    harness.save(clips / "held.mp4", harness.dissolve(held))
    (clips / "none.mp4").write_bytes(b"nothing")
    return clips


def test_one_that_fails_is_exit_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(folder / "even.mp4", "--max-stall", 0.2) == 0
    assert re.search(r"^pass +\S+even\.mp4$", capsys.readouterr().out, re.MULTILINE)
    assert check(folder / "even.mp4", folder / "held.mp4", "--max-stall", 0.2) == 1
    out = capsys.readouterr().out
    assert re.search(r"^fail +\S+held\.mp4: max_stall: 0\.\d+, above 0\.2$", out, re.MULTILINE)
    assert out.splitlines()[-1] == "2 clips: 1 pass, 1 fail, 0 unreadable"
    assert check(folder / "none.mp4") == 1
    assert re.search(r"^unreadable \S+none\.mp4: unreadable: ", capsys.readouterr().out, re.M)


@pytest.mark.parametrize("refused", ["stat", "scandir"])
def test_no_clip_is_left_out_where_a_folder_cannot_be_looked_into(
    refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.touch(tmp_path, "a/x.mp4", "m/sub/y.mp4", "z/1.mp4", "z/2.mp4")
    call = getattr(os, refused)

    def refuse(path: str | Path, *more: Any, **named: Any) -> Any:
        if Path(path) == tmp_path / "m" / "sub":
            raise PermissionError(EACCES, "Permission denied", str(path))
        return call(path, *more, **named)

    monkeypatch.setattr(os, refused, refuse)
    wanted = ["a/x.mp4", "m/sub", "z/1.mp4", "z/2.mp4"]
    assert list(clips_at(str(tmp_path))) == [str(tmp_path / name) for name in wanted]
    verdicts = check_clips([str(tmp_path / "m" / "sub")], load_embedder("pixels"), {})
    assert [verdict.status for verdict in verdicts] == ["unreadable"]


def test_options_win_over_the_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "limits.yaml").write_text("max_stall: 0.1\nmax_jump: 0.5\n")
    words = [folder / "held.mp4", "--thresholds", tmp_path / "limits.yaml"]
    assert check(*words) == 1
    assert check(*words, "--max-stall", 0.9) == 0
    assert "limits: max_stall 0.9, max_jump 0.5" in capsys.readouterr().out


def test_rows_and_junit(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    junit = tmp_path / "junit.xml"
    words = [folder, "--max-stall", 0.2, "--junit", junit]
    assert check(*words, "--json") == 1
    found = capsys.readouterr()
    document = json.loads(found.out)
    assert (document["schema"], document["limits"]) == ("spf.check/1", {"max_stall": 0.2})
    rows = document["rows"]
    assert [row["verdict"] for row in rows] == ["pass", "fail", "unreadable"]
    assert "2 clips" not in found.out
    assert check(*words, "--jsonl") == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [{"schema": "spf.check/1", **row} for row in rows] == lines
    assert check(*words, "--csv") == 1
    table = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert tuple(table[0]) == COLUMNS
    assert [row["reason"] for row in table] == [row["reason"] for row in rows]
    assert float(table[1]["max_stall"]) == rows[1]["max_stall"]
    root = ElementTree.parse(junit).getroot()
    assert root.attrib == {"tests": "3", "failures": "1", "errors": "1"}


@pytest.mark.parametrize(
    ("words", "thing"),
    [
        (["--max-stall", "2"], "--max-stall"),
        (["--max-stal", "0.2"], "--max-stall"),
        (["--max-dead", "nan"], "--max-dead"),
        (["--thresholds", "no.yaml"], "no.yaml: cannot be read"),
        (["--json", "--csv"], "give one of them"),
    ],
)
def test_wrong_arguments_exit_2(
    words: list[str], thing: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(folder, *words) == 2
    assert thing in harness.check_one_line(capsys.readouterr().err)


def test_a_report_that_cannot_be_written_is_no_verdict(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junit = folder.parent / "taken"
    junit.mkdir()
    assert check(folder / "even.mp4", "--junit", junit) == 2
    assert harness.check_one_line(capsys.readouterr().err).startswith(f"{junit}: Is a directory")


def test_every_limit_is_an_option() -> None:
    options = inspect.signature(check_command).parameters
    assert [name for name in options if name.startswith(("max_", "min_"))] == [
        name for name in [*LIMITS, "max_frames"] if name in options
    ]
    assert set(LIMITS) <= set(options)
