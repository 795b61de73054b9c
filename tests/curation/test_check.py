"""Verdicts: limits against values made by hand, their files, and JUnit XML."""

import csv
import inspect
import json
import os
import re
from contextlib import ExitStack
from dataclasses import replace
from errno import EACCES
from math import isnan, nan
from pathlib import Path
from xml.etree import ElementTree

import harness
import numpy as np
import pytest
import spf_command
from clips import refused
from spf_command import PIXELS

import spf
from spf.commands.check import check as check_command
from spf.commands.shared import clips_at
from spf.curation import verdicts
from spf.curation.limits import LIMITS, read_limits
from spf.curation.verdicts import Value, Verdict, findings, values_of
from spf.embedders import load_embedder
from spf.progress.stretches import Stretch


def curve(shares):
    """A curve whose steps hold these shares of 2 radians, at 10 frames a second."""
    angle = np.concatenate([[0.0], np.cumsum(shares)]) * 2.0
    made = spf.fit(np.stack([np.cos(angle), np.sin(angle)], axis=1), np.arange(len(angle)) / 10)
    return replace(made, angle=angle, progress=angle / angle[-1], fitted=angle)


EVEN = curve([0.05] * 20)
NAMED = [
    Stretch("dead", 0, 4, 0.0, 0.4, 0.01, 0.05), Stretch("jump", 4, 6, 0.4, 0.6, 0.30, 3.0),
    Stretch("cut", 8, 9, 0.8, 0.9, 0.35, 7.0), Stretch("dead", 10, 13, 1.0, 1.3, 0.0, 0.0),
    Stretch("dead", 17, 20, 1.7, 2.0, 0.0, 0.0),
]  # fmt: skip
VALUES = values_of(EVEN, NAMED, 0.45, 20)


def names(curve, values, **limits):
    return [found.limit for found in findings(curve, values, limits)]


def test_values_and_options_are_those_that_the_limits_name():
    options = inspect.signature(check_command).parameters
    assert list(VALUES) == list(LIMITS) == [name for name in options if name in LIMITS]
    wanted = {
        "max_stall": 0.45, "max_dead": 0.4, "max_dead_start": 0.4, "max_dead_end": 0.3,
        "max_jump": 0.35, "max_cuts": 1.0, "max_linearity_mae": 0.0, "max_peak_speed": 1.0,
        "min_change": 2.0, "min_change_rate": 1.0,
    }  # fmt: skip
    assert {name: VALUES[name].number for name in wanted} == pytest.approx(wanted, abs=1e-9)
    none = values_of(EVEN, [], 0.0, 20)
    dead = ("max_dead", "max_dead_start", "max_dead_end", "max_jump", "max_cuts")
    assert [none[name].number for name in dead] == [0.0] * 5
    # A dead stretch that ends before the last frame is none at the end.
    assert values_of(EVEN, NAMED[:4], 0.45, 20)["max_dead_end"].number == 0.0
    (jump, rate) = findings(EVEN, VALUES, {"max_jump": 0.15, "min_change_rate": 1.5})
    assert jump.text == "max_jump: 0.35 from 0.80 to 0.90 s, above 0.15"
    assert rate.text == "min_change_rate: 1 rad/s, below 1.5 rad/s"
    assert (jump.value, jump.threshold) == (0.35, 0.15)


@pytest.mark.parametrize("name", [name for name in LIMITS if name != "max_noise"])
def test_a_value_at_the_limit_passes_and_one_beyond_fails(name):
    values = VALUES | {"max_motion_share": Value(0.4)}
    number = values[name].number
    beyond = number - 1e-6 if name.startswith("max_") else number + 1e-6
    assert names(EVEN, values, **{name: number}) == []
    assert names(EVEN, values, **{name: beyond}) == [name]


def test_what_has_no_defined_value_never_passes():
    still = replace(EVEN, is_still=True)
    values = values_of(still, [], nan, 20)
    assert isnan(values["max_stall"].number)
    assert isnan(values["max_jump"].number)
    assert names(still, values, max_stall=1.0, max_jump=1.0) == ["no_semantic_change"]
    untimed = values_of(EVEN, NAMED, 0.45, 20, timed=False)
    assert names(EVEN, untimed, max_dead=99.0, max_jump=1.0) == ["max_dead"]
    short = curve([0.5, 0.5])
    assert names(short, values_of(short, [], 0.0, 2)) == ["too_few_frames"]
    assert names(EVEN, VALUES | {"max_stall": Value(nan)}, max_stall=1.0) == ["max_stall"]
    flickering = replace(EVEN, flicker_share=-1.0)
    assert names(flickering, VALUES) == ["flicker"]
    assert names(flickering, VALUES, max_noise=1.0) == []


@pytest.mark.parametrize(("text", "thing"), [
    ("max_stal: 0.2", "did you mean max_stall"),
    ("max_stall: much", "max_stall='much' must be a number from 0 to 1"),
    ("max_stall: true", "max_stall=True"), ("max_stall: 1.5", "a number from 0 to 1"),
    ("max_dead: -1", "a number, at least 0"), ("max_dead: .nan", "a number, at least 0"),
    ("max_cuts: .inf", "max_cuts=inf"), ("max_dead: [1]", "max_dead=[1]"),
    ("max_dead: 1\nmax-dead: 2", "max_dead is there twice"),
    ("- max_dead", "write a line for each limit"), ("", "it holds None"),
    ("a: b: c", "no valid YAML"),
])  # fmt: skip
def test_wrong_files_are_one_line(text, thing, tmp_path):
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    with refused(f"^{path}: .*{re.escape(thing)}.*$"):
        read_limits(path)


def test_junit_is_well_formed_and_counts(tmp_path):
    escaped = {
        "plain.mp4": "plain.mp4", 'a<b>&"c".mp4': 'a<b>&"c".mp4', "ñ 猫.mp4": "ñ 猫.mp4",
        "\x1b[2J\x00\ufffe\n.mp4": r"\x1b[2J\x00\ufffe\n.mp4", "l-\udce9.mp4": r"l-\xe9.mp4",
    }  # fmt: skip
    (found,) = findings(EVEN, VALUES, {"max_jump": 0.15})
    path, why = tmp_path / "junit.xml", "unreadable: <no> video; give another"
    with verdicts.junit_file(path) as add:
        for name in escaped:
            add(Verdict(name, "fail", (found,)))
        add(Verdict("bad.mp4", "unreadable", unreadable=why))
        for _ in range(3_000):
            add(Verdict("good.mp4", "pass"))
    root = ElementTree.parse(path).getroot()
    assert root.attrib == {"tests": "3006", "failures": "5", "errors": "1"}
    cases = list(root.iter("testcase"))
    assert [case.get("name") for case in cases[:6]] == [*escaped.values(), "bad.mp4"]
    assert len(cases) == 3006
    assert cases[0].find("failure").attrib == {"type": "max_jump", "message": found.text}
    assert (cases[5].find("error").text, len(cases[6])) == (why, 0)


def test_an_interrupted_check_leaves_no_junit(tmp_path):
    block = ExitStack()
    block.enter_context(verdicts.junit_file(tmp_path / "junit.xml"))(Verdict("a.mp4", "pass"))
    assert not (tmp_path / "junit.xml").exists()
    assert not block.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("refused", ["stat", "scandir"])
def test_no_clip_is_left_out_where_a_folder_cannot_be_looked_into(refused, tmp_path, monkeypatch):
    harness.touch(tmp_path, "a/x.mp4", "m/sub/y.mp4", "z/1.mp4", "z/2.mp4")
    call = getattr(os, refused)

    def refuse(path, *more, **named):
        if Path(path) == tmp_path / "m" / "sub":
            raise PermissionError(EACCES, "Permission denied", str(path))
        return call(path, *more, **named)

    monkeypatch.setattr(os, refused, refuse)
    wanted = ["a/x.mp4", "m/sub", "z/1.mp4", "z/2.mp4"]
    assert list(clips_at(str(tmp_path))) == [str(tmp_path / name) for name in wanted]
    paths = iter([str(tmp_path / "m" / "sub"), "next"])
    assert next(verdicts.check_clips(paths, load_embedder("pixels"), {})).status == "unreadable"
    assert next(paths) == "next"  # one clip at a time


CHECK = ("check", *PIXELS)


def test_each_clip_gets_a_line_and_a_row(tmp_path, capsys):
    folder, file, junit = (tmp_path / name for name in ("clips", "limits.yaml", "junit.xml"))
    held = np.concatenate([np.zeros(20), np.linspace(0, 1, 12)])
    harness.save(folder / "even.mp4", harness.steady(25))
    harness.save(folder / "held.mp4", harness.dissolve(held))
    harness.save(folder / "still.mp4", harness.still())
    (folder / "none.mp4").write_bytes(b"nothing")
    file.write_text("max_stall: 0.9\nmax-dead-start: 0.5\n")
    words = [*CHECK, folder, "--thresholds", file]
    out = spf_command.printed(capsys, *CHECK, folder / "even.mp4", "--thresholds", file)
    assert re.search(r"^limits: max_stall 0\.9, max_dead_start 0\.5$", out, re.MULTILINE)
    assert re.search(r"^pass +\S+even\.mp4$", out, re.MULTILINE)
    words += ["--max-stall", 0.2, "--junit", junit]
    out = spf_command.printed(capsys, *words, code=1)
    assert "limits: max_stall 0.2, max_dead_start 0.5" in out
    assert re.search(r"^fail +\S+held\.mp4: max_stall: 0\.\d+, above 0\.2;", out, re.MULTILINE)
    assert re.search(r"^unreadable \S+none\.mp4: unreadable: ", out, re.MULTILINE)
    assert "\n4 clips: 1 pass, 2 fail, 1 unreadable\n" in out
    root = ElementTree.parse(junit).getroot()
    assert root.attrib == {"tests": "4", "failures": "2", "errors": "1"}
    document = json.loads(spf_command.printed(capsys, *words, "--json", code=1))
    rows = document["rows"]
    assert document["schema"] == "spf.check/1"
    assert document["limits"] == {"max_stall": 0.2, "max_dead_start": 0.5}
    _, held, broken, still = rows
    assert [row["verdict"] for row in rows] == ["pass", "fail", "unreadable", "fail"]
    found = {finding["limit"]: finding["threshold"] for finding in held["findings"]}
    assert found == document["limits"]
    assert held["max_dead_start"] == held["findings"][1]["value"]
    assert held["max_dead_start"] == pytest.approx(19 / 12, abs=2 / 12)
    assert "not a video" in broken["reason"]
    about = {name: broken[name] for name in ("clip", "verdict", "reason")}
    nothing = dict.fromkeys(verdicts.COLUMNS) | {"embedder": "pixels", "findings": []}
    assert broken == nothing | about
    assert still["reason"] == "no semantic change: its frames show one image"
    assert still["max_jump"] is None
    lines = spf_command.printed(capsys, *words, "--csv", code=1).splitlines()
    table = list(csv.DictReader(lines))
    assert tuple(table[0]) == verdicts.COLUMNS
    assert [row["reason"] for row in table] == [row["reason"] for row in rows]
    assert float(table[1]["max_stall"]) == held["max_stall"]
