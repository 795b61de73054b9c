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
from omegaconf import OmegaConf

from benchmarks.generated.strategies import parse_retimes
from benchmarks.harness import reproduce, session
from benchmarks.harness.reproduce import as_text, main
from benchmarks.harness.reproduction import planning
from benchmarks.harness.reproduction.planning import as_table, plan
from benchmarks.harness.session import build
from benchmarks.paper import (
    ATTEMPTS,
    EXPERIMENTS,
    MINUTES,
    PHOTOGRAPHS,
    Experiment,
    Part,
)
from spf.errors import UnavailableError
from spf.generators import MODELS
from spf.pacing.strategies import NoRetime
from synthetic.laws import law
from synthetic.photographs import PAIRS as PHOTOGRAPH_PAIRS

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
    """Every experiment that ships, made small, and one that is not built."""
    made = tuple(dataclasses.replace(item, parts=_small(item)) for item in EXPERIMENTS)
    made += (Experiment(8, "Another", "Nothing."),)
    monkeypatch.setattr(reproduce, "EXPERIMENTS", made)


def _small(item: Experiment) -> tuple[Part, ...]:
    shipped = [part for part in item.parts if not part.needs]
    words = (SMALL, OTHER) if item.number == 3 else (SMALL,)
    return tuple(
        dataclasses.replace(part, words=chosen, embedded=(), wants=())
        for part, chosen in zip(shipped, words, strict=False)
    )


def run(output: Path, *words: str) -> int:
    return main([f"output={output}", *words])


# The plan


PARTS = [(item, part) for item in EXPERIMENTS for part in item.parts]


def test_the_plan_names_every_experiment_of_the_paper() -> None:
    rows = as_table(plan("embedded", EXPERIMENTS)).rows
    assert list(dict.fromkeys(row["experiment"] for row in rows)) == [1, 2, 3, 4, 5, 6, 7]
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
    other = Experiment(9, "Other", "claim", reason="too large for this machine")
    rows = as_table(plan("auto", [other])).rows
    assert [(row["experiment"], row["reason"]) for row in rows] == [
        (9, "not run: too large for this machine")
    ]


def test_the_plan_is_legible_in_a_terminal() -> None:
    planned = plan("embedded", EXPERIMENTS)
    lines = as_text(as_table(planned)).splitlines()
    assert len(lines) == 1 + len(planned)
    title = lines[0].index("title")
    assert all(line[title - 2 : title] == "  " for line in lines)


@pytest.mark.parametrize(("item", "part"), PARTS, ids=lambda value: getattr(value, "words", ""))
def test_experiments_compose(item: Experiment, part: Part) -> None:
    """Every part's words exist; those that ship are built, as the plan says they are."""
    config = harness.compose(*part.words, *part.embedded)
    assert config.benchmark._target_
    if not part.needs:
        made: Any = build(config)
        assert made.measuring.embedder.name in part.embedder
        assert made.cells()


def test_what_a_part_needs_is_what_it_names() -> None:
    for _, part in PARTS:
        named = {word for word in part.words if re.match("embedder=|model=|quality=", word)}
        own = {"embedder=tiny", "embedder=pixels", "embedder=histogram", "model=tiny"}
        assert set(part.needs) <= named - own <= {*part.needs, *part.wants}, part.words
        assert all(isinstance(planning.lacking(word), str) for word in part.needs + part.wants)
        assert bool(part.seconds) != bool(part.gpu_hours)


def test_all_that_ships_stays_within_twelve_minutes() -> None:
    assert sum(part.seconds for _, part in PARTS if not part.needs) <= 720


def test_estimates_of_large_models_count_their_clips() -> None:
    pairs = {(pair.first, pair.second) for pair in PHOTOGRAPH_PAIRS}
    assert len(pairs) == PHOTOGRAPHS
    asked = OmegaConf.to_container(harness.compose().benchmark.retimes)
    known = parse_retimes(asked, NoRetime())  # type: ignore[arg-type]
    most = sum(getattr(strategy, "iterations", 0) for strategy in known.values())
    assert ATTEMPTS <= 1 + most <= 2 * ATTEMPTS
    assert set(MINUTES) < set(MODELS)


# Profiles and arguments


@pytest.mark.parametrize("word", ["profile=ful", "profiles=full", "fast", "profile", "output"])
def test_unknown_words_exit_2(
    small: None, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "out", word) == 2
    error = harness.check_one_line(capsys.readouterr().err)
    assert word.partition("=")[2] or word in error
    assert not (tmp_path / "out").exists()


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which nothing was ever downloaded."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_full_names_all_that_is_missing_before_any_work(
    no_weights: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "out", "profile=full") == 3
    output, errors = capsys.readouterr()
    assert output.count("make weights EMBEDDER=siglip") >= 3  # the plan is shown
    line = harness.check_one_line(errors)
    for word in ("siglip", "clip", "dinov2"):
        assert line.count(f"make weights EMBEDDER={word}") == 1
    for word in ("wan22", "ltx2"):
        assert line.count(f"make weights MODEL={word}") == 1
    assert "PROFILE=auto" in line
    assert re.search(r"about 135 GB of weights and \d+ GB of results", line)
    assert re.search(r"a GPU that holds 69 GB", line)
    assert re.search(r"about \d+ GPU hours \(assuming", line)
    assert not (tmp_path / "out").exists()


def test_auto_takes_the_weights_that_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves out what does not fit, with the model's own reason."""

    def build_or_not(config: Any) -> None:
        if config.model._target_.endswith("Wan22"):
            raise UnavailableError("wan22 needs 69 GB and 8 are free")

    monkeypatch.setattr(planning, "lacking", lambda word: "" if word != "model=ltx2" else "absent")
    monkeypatch.setattr(planning, "build", build_or_not)
    reasons = {one.words: one.reason for one in plan("auto", EXPERIMENTS) if one.part}
    large = {words: reason for words, reason in reasons.items() if "embedder=siglip" in words}
    for words, reason in large.items():
        wanted = ""
        if "model=wan22" in words:
            wanted = "not run: wan22 needs 69 GB and 8 are free"
        if "model=ltx2" in words:
            wanted = "not run: absent"
        assert reason == wanted
    assert "" in large.values()
    assert not any(reason for words, reason in reasons.items() if words not in large)


def test_embedded_takes_what_ships_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "lacking", lambda word: "")  # everything is here
    for one in plan("embedded", EXPERIMENTS):
        if one.part is not None:
            assert bool(one.reason) == bool(one.part.needs)
            words = " ".join(one.words) if not one.reason else ""
            assert not re.search("siglip|clip|dinov2|wan22|ltx2", words)


def test_full_runs_where_everything_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "lacking", lambda word: "")
    monkeypatch.setattr(planning, "build", lambda config: None)
    built = [item for item in EXPERIMENTS if item.parts]
    planned = plan("full", built)
    assert not any(one.reason for one in planned)
    planning.require_everything(planned)
    with pytest.raises(UnavailableError, match="experiments 9 are not built yet"):
        planning.require_everything(plan("full", [*built, Experiment(9, "x", "y")]))


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
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
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
    lacking = 1  # the one that is not built
    plans = pd.read_csv(tmp_path / "out" / "tables" / "plan.csv")
    assert (plans["status"] == "not run").sum() == lacking
    assert plans["reason"].dropna().str.startswith("not run: ").sum() == lacking

    page = harness.Page(report.read_text())
    text = " ".join(page.text)
    assert text.count("Not run: not built yet") == lacking
    for name in embedders.values():
        assert f"With {name}" in text
    assert all(str(image["src"]).startswith("data:image/webp") for image in page.all("img"))
    assert len(page.all("img")) >= 1

    with monkeypatch.context() as patch:
        patch.setattr(session, "run", lambda *_: pytest.fail("it was made again"))
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
    from benchmarks.harness import measuring

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
