"""`make reproduce-paper`: the plan, the profiles, the tables and the report."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import harness
import pandas as pd
import pytest

from benchmarks import reproduce
from benchmarks.paper import EXPERIMENTS, Experiment
from benchmarks.reproduce import as_text, main, plan
from benchmarks.session import build
from synthetic.laws import law

LAWS = ("linear", "sigmoid_jump")
CONTENTS = ("brick-cat-warp", "moon-tissue-dissolve")
SMALL = (
    "benchmark=synthetic_pacing",
    "embedder=histogram",
    "workers=1",
    "benchmark.studies=[grid]",
    "benchmark.num_frames=16",
    "benchmark.size=[32,32]",
    "benchmark.seeds=[1000]",
    f"benchmark.laws=[{','.join(LAWS)}]",
    f"benchmark.contents=[{','.join(CONTENTS)}]",
)
OTHER = (*SMALL[:1], "embedder=pixels", *SMALL[2:])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every experiment that is built, made small."""
    made = tuple(
        dataclasses.replace(item, runs=(SMALL, OTHER) if item.number == 3 else (SMALL,))
        if item.runs
        else item
        for item in EXPERIMENTS
    )
    monkeypatch.setattr(reproduce, "EXPERIMENTS", made)


def run(output: Path, *words: str) -> int:
    return main([f"output={output}", *words])


# The plan


def test_the_plan_names_every_experiment_of_the_paper() -> None:
    rows = plan().rows
    assert [row["experiment"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    for row in rows:
        assert row["title"]
        if row["status"] == "run":
            assert row["embedder"]
            assert row["generator"]
            assert re.fullmatch(r"\d+ s, \d+ MB", row["estimate"])
            assert row["reason"] == ""
        else:
            assert row["status"] == "not run"
            assert row["reason"].startswith("not run: ")
    assert {row["status"] for row in rows} == {"run", "not run"}


def test_the_plan_takes_other_experiments() -> None:
    rows = plan((Experiment(9, "Other", reason="too large for this machine"),)).rows
    assert [(row["experiment"], row["reason"]) for row in rows] == [
        (9, "not run: too large for this machine")
    ]


def test_the_plan_is_legible_in_a_terminal() -> None:
    lines = as_text(plan()).splitlines()
    assert len(lines) == 8
    title = lines[0].index("title")
    assert all(line[title - 2 : title] == "  " for line in lines)


RUNS = [(item, words) for item in EXPERIMENTS for words in item.runs]


@pytest.mark.parametrize(("item", "words"), RUNS, ids=str)
def test_experiments_compose(item: Experiment, words: tuple[str, ...]) -> None:
    made: Any = build(harness.compose(*words))
    assert made.measuring.embedder.name in item.embedder  # as the plan says
    assert made.cells()


# Profiles and arguments


@pytest.mark.parametrize("word", ["profile=ful", "profiles=full", "fast", "profile", "output"])
def test_unknown_words_exit_2(
    small: None, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "out", word) == 2
    error = harness.check_one_line(capsys.readouterr().err)
    assert word.partition("=")[2] or word in error
    assert not (tmp_path / "out").exists()


def test_full_exits_3_before_any_work(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "out", "profile=full") == 3
    output, errors = capsys.readouterr()
    assert "not run: not built yet" in output  # the plan is shown
    assert "PROFILE=auto" in harness.check_one_line(errors)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_told_before_any_work(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert run(tmp_path / "out") == 3
    assert "make room" in harness.check_one_line(capsys.readouterr().err)


# What it writes


def files(output: Path) -> dict[str, bytes]:
    """Tables and report."""
    found = [*(output / "tables").iterdir(), *(output / "report").iterdir()]
    return {path.name: path.read_bytes() for path in found}


def test_it_writes_tables_and_a_report(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "out", "profile=embedded") == 0
    output = capsys.readouterr().out
    report = tmp_path / "out" / "report" / "index.html"
    assert output.splitlines()[-1] == str(report)
    assert output.index("profile embedded") < output.index("done in")
    before = files(tmp_path / "out")
    assert {"index.html", "plan.csv", "plan.md"} < set(before)
    embedders = {"histogram": "histogram (control)", "pixels": "pixels (control)"}
    for word, name in embedders.items():
        assert f"synthetic_pacing-{word}.md" in before
        table = pd.read_csv(tmp_path / "out" / "tables" / f"synthetic_pacing-{word}.csv")
        assert set(table["embedder"]) == {name}
        plain = table[table["motion"] == "none"]
        assert list(plain["law"]) == list(LAWS)
        assert (plain["clips"] == len(CONTENTS)).all()
        even, jump = plain.to_dict("records")
        assert even["true_linearity_mae"] == pytest.approx(0.0, abs=1e-6)
        assert 0.1 < jump["true_linearity_mae"] < 0.25
        assert jump["linearity_mae"] > even["linearity_mae"] + 0.05  # the jump is seen
        assert (plain["raw_error"] < 0.25).all()
    lacking = sum(not item.runs for item in EXPERIMENTS)
    (plans,) = [pd.read_csv(tmp_path / "out" / "tables" / "plan.csv")]
    assert (plans["status"] == "run").sum() == sum(bool(item.runs) for item in EXPERIMENTS)
    assert plans["reason"].dropna().str.startswith("not run: ").sum() == lacking

    page = harness.Page(report.read_text())
    text = " ".join(page.text)
    assert text.count("not run: not built yet") == lacking
    for name in embedders.values():
        assert f"With {name}" in text
    assert all(str(image["src"]).startswith("data:image/png") for image in page.all("img"))
    assert len(page.all("img")) >= 1

    assert run(tmp_path / "out", "profile=embedded") == 0
    assert files(tmp_path / "out") == before
    assert run(tmp_path / "elsewhere", "profile=embedded") == 0
    assert files(tmp_path / "elsewhere") == before
    assert {path.name for path in tmp_path.iterdir()} == {"out", "elsewhere"}


def test_the_records_behind_it(small: None, tmp_path: Path) -> None:
    assert run(tmp_path / "o u't ${x}") == 0
    for folder in (tmp_path / "o u't ${x}" / "runs").iterdir():
        records = harness.read_records(folder)
        assert set(records["law"]) == set(LAWS)
        assert set(records["content"]) == set(CONTENTS)
        for record in records.to_dict("records"):
            curve = pd.read_csv(folder / str(record["curve"]))
            truth = law(str(record["law"])).g(curve["u"].to_numpy())
            error = abs(curve["progress"] - truth)
            assert record["raw_error_max"] == pytest.approx(error.max(), abs=1e-6)
            assert record["raw_error"] == pytest.approx(error.mean(), abs=0.02)


def test_an_interruption_exits_130(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import measuring

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(measuring, "measure_clip", stop)
        assert run(tmp_path / "out") == 130
    assert "interrupted" in capsys.readouterr().err
    assert run(tmp_path / "out") == 0


# make


def make(*words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("make") is None:
        pytest.skip("make is not here")
    return harness.command("make", *words)


def test_make_help_lists_every_target() -> None:
    text = (harness.ROOT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())  # type: ignore[index]
    wanted = {"setup", "reproduce-paper", "test", "check", "bench", "leaderboard", "clean"}
    assert wanted <= targets
    done = make("help")
    assert done.returncode == 0
    listed = dict(re.findall(r"^  make ([\w-]+) +(\S.*)$", done.stdout, re.MULTILINE))
    assert set(listed) == targets
    assert make().stdout == done.stdout  # `make` alone lists them


def test_make_setup_does_nothing_when_up_to_date() -> None:
    stamp = harness.ROOT / ".venv" / "installed"
    needed = [harness.ROOT / name for name in ("requirements.lock", "pyproject.toml")]
    if not stamp.exists() or any(p.stat().st_mtime > stamp.stat().st_mtime for p in needed):
        pytest.skip("this environment was not made by make setup from these files")
    done = make("-n", "setup")
    assert done.returncode == 0
    assert "install" not in done.stdout
    assert "Nothing to be done" in done.stdout or done.stdout == ""


def test_make_leaderboard_asks_for_clips() -> None:
    done = make("-n", "leaderboard")
    assert done.returncode == 0
    assert 'test -n "$CLIPS" || ' in done.stdout or 'test -n "" || ' in done.stdout
    assert "exit 2" in done.stdout
