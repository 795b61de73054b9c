"""`make reproduce-paper`: the plan, the profiles, the tables and the report."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import harness
import pandas as pd
import pytest

from benchmarks.__main__ import main
from benchmarks.generated.strategies import FOR_EXISTING, parse_retimes
from benchmarks.harness import reproduce, session
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.report.players import SEGMENTED
from benchmarks.harness.reproduction import planning
from benchmarks.harness.reproduction.planning import as_table, plan
from benchmarks.harness.session import build
from benchmarks.known_pacing import solver_tables
from benchmarks.paper import CLIPS, EXPERIMENTS, Experiment, Part
from spf.errors import UnavailableError
from spf.pacing.strategies import NoRetime
from synthetic.laws import law

LAWS = ("linear", "sigmoid_jump")
CONTENTS = ("brick-cat-warp", "moon-tissue-dissolve")
SMALL = (
    "benchmark=synthetic_pacing", "embedder=histogram", "workers=1", "benchmark.studies=[grid]",
    "benchmark.num_frames=16", "benchmark.size=[32,32]", "benchmark.seeds=[1000]",
    f"benchmark.laws=[{','.join(LAWS)}]", f"benchmark.contents=[{','.join(CONTENTS)}]",
)  # fmt: skip
QUICK = ("benchmark=retime_existing", "benchmark.retimes=[none,nearest]", "embedder=pixels", CLIPS)
OTHER = (*SMALL[:1], "embedder=pixels", *SMALL[2:])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every experiment that ships, made small, and one that is not built."""
    made = tuple(dataclasses.replace(item, parts=_small(item)) for item in EXPERIMENTS)
    made += (Experiment(8, "Another", "Nothing."),)
    monkeypatch.setattr(reproduce, "EXPERIMENTS", made)
    monkeypatch.setattr(solver_tables, "LENGTHS", (1_000,))
    monkeypatch.setattr(solver_tables, "POWER_LENGTHS", (21,))


def _small(item: Experiment) -> tuple[Part, ...]:
    shipped = [part for part in item.parts if not part.needs]
    words = (SMALL, OTHER) if item.number == 3 else (SMALL,)
    return tuple(
        dataclasses.replace(part, words=chosen, embedded=(), wants=())
        for part, chosen in zip(shipped, words, strict=False)
    )


def run(output: Path, *words: str) -> int:
    return main(["reproduce", f"--output={output}", *words])


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


@pytest.mark.parametrize("part", [part for _, part in PARTS], ids=lambda part: part.words)
def test_experiments_compose(part: Part) -> None:
    """Every part's words exist; those that ship are built, as the plan says they are."""
    config = harness.compose(*part.words, *part.embedded)
    assert config.benchmark._target_
    assert (config.benchmark.get("clips") == "FOLDER") == part.footage
    if not part.needs and not part.footage:
        made: Any = build(config)
        assert made.measuring.embedder.name in part.embedder
        assert made.cells()


def test_what_a_part_needs_is_what_it_names() -> None:
    for _, part in PARTS:
        named = {word for word in part.words if re.match("embedder=|model=|quality=", word)}
        own = {"embedder=tiny", "embedder=efficientnet", "embedder=pixels", "embedder=histogram"}
        assert set(part.needs) <= named - own <= {*part.needs, *part.wants}, part.words
        assert all(
            isinstance(planning.missing_requirements(word), str) for word in part.needs + part.wants
        )
        assert bool(part.seconds) != bool(part.gpu_hours)
    ships = [part for _, part in PARTS if not part.needs and not part.footage]
    assert sum(part.seconds for part in ships) <= 750


# Profiles and arguments


def test_unknown_words_exit_2(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for word, said in (
        ("--profile=ful", "'auto', 'embedded', 'full'"),
        ("--profiles=full", "Did you mean --profile"),
        ("fast", "(fast)"),
        ("--profile", "requires an argument"),
    ):
        assert run(tmp_path / "out", word) == 2
        assert said in harness.check_one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_full_names_all_that_is_missing_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine on which nothing was ever downloaded."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert run(tmp_path / "out", "--profile=full") == 3
    output, errors = capsys.readouterr()
    assert output.count("needs embedder=siglip and model=wan22") >= 3  # the plan is shown
    assert output.count("make weights EMBEDDER=siglip") == 1
    line = harness.check_one_line(errors)
    for word in ("siglip", "clip", "dinov2"):
        assert line.count(f"make weights EMBEDDER={word}") == 1
    for word in ("wan22", "ltx2"):
        assert line.count(f"make weights MODEL={word}") == 1
    assert "PROFILE=auto" in line
    assert re.search(r"about 135 GB of weights and \d+ GB of results", line)
    assert re.search(r"a GPU that holds 69 GB", line)
    assert re.search(r"about \d+ GPU hours, and \d+ more for each clip of footage \(assuming", line)
    assert not (tmp_path / "out").exists()


def test_auto_takes_the_weights_that_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves out what does not fit, with the model's own reason, and footage without any."""

    def build_or_not(config: Any) -> None:
        if config.model._target_.endswith("Wan22"):
            raise UnavailableError("wan22 needs 69 GB and 8 are free")

    monkeypatch.setattr(
        planning, "missing_requirements", lambda word: "" if word != "model=ltx2" else "absent"
    )
    monkeypatch.setattr(planning, "build", build_or_not)
    reasons = {one.words: one.reason for one in plan("auto", EXPERIMENTS) if one.part}
    large = {words: reason for words, reason in reasons.items() if "embedder=siglip" in words}
    for words, reason in large.items():
        wanted = ""
        if "model=wan22" in words:
            wanted = "not run: wan22 needs 69 GB and 8 are free"
        if "model=ltx2" in words:
            wanted = "not run: absent"
        if CLIPS in words:
            wanted = "not run: no footage; FOOTAGE=FOLDER" + "; absent" * ("model=ltx2" in words)
        assert reason == wanted
    assert "" in large.values()
    others = {words: reason for words, reason in reasons.items() if words not in large}
    assert {words for words, reason in others.items() if reason} == {
        words for words in others if CLIPS in words
    }


def test_the_papers_models_and_real_clips_lead_the_report(tmp_path: Path) -> None:
    harness.save(tmp_path / "a.mp4", harness.jumping(9))
    planned = plan("embedded", EXPERIMENTS, str(tmp_path))
    found = sorted((x for x in planned if x.experiment.number == 2), key=reproduce._distance)
    generators = [one.part.generator for one in found if one.part]
    assert [text.partition(",")[0] for text in generators] == ["footage"] * 3 + ["rendered clips"]
    assert [text.rpartition(" ")[2] for text in generators[:2]] == ["wan22", "ltx2"]


def test_footage_is_run_where_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own frames alone by the default embedder; and the paper's own method by its models."""
    folder = tmp_path / "my clips"
    for name in ("one", "two"):
        harness.save(folder / f"{name}.mp4", harness.jumping(9))
    monkeypatch.setattr(
        planning, "missing_requirements", lambda word: "" if "ltx2" not in word else "absent"
    )
    asked: list[Any] = []
    monkeypatch.setattr(planning, "build", asked.append)
    named = [one for one in plan("auto", EXPERIMENTS, str(folder)) if CLIPS in one.words]
    assert [one.reason for one in named] == ["", "", "not run: absent"]
    assert [one.benchmark.clips for one in asked if "clips" in one.benchmark] == [str(folder)]
    before = [one for one in plan("auto", EXPERIMENTS) if CLIPS in one.words]
    for one, other in zip(before, named, strict=True):
        assert one.part is not None
        assert other.part is not None
        assert other.part.gpu_hours == 2 * one.part.gpu_hours
        assert other.part.seconds == 2 * one.part.seconds
        assert str(folder) not in planning.as_table([other]).rows[0]["words"]
    config = planning.compose(named[1].words, tmp_path, str(folder))
    labels = parse_retimes(config.benchmark.retimes, NoRetime(), FOR_EXISTING)
    assert SEGMENTED in labels  # the paper's own, and ours beside it
    assert "regenerate" in labels

    two = dataclasses.replace(EXPERIMENTS[1], parts=EXPERIMENTS[1].parts[1:2])
    two = dataclasses.replace(two, parts=(dataclasses.replace(two.parts[0], words=QUICK),))
    monkeypatch.setattr(reproduce, "EXPERIMENTS", (two,))
    assert run(tmp_path / "out", f"--footage={folder}") == 0
    rows = pd.read_csv(tmp_path / "out" / "tables" / "existing_clips-pixels.csv")
    assert set(rows["clip"]) == {"one", "two"}
    assert (rows["status"] == "done").all()
    texts = [path.read_text() for path in (tmp_path / "out" / "tables").iterdir()]
    texts.append((tmp_path / "out" / "report" / "index.html").read_text())
    assert not any("my clips" in text or "not real footage" in text for text in texts)

    capsys.readouterr()
    assert run(tmp_path / "none", f"--footage={tmp_path / 'gone'}") == 2
    assert "there is no such folder" in harness.check_one_line(capsys.readouterr().err)


def test_embedded_takes_what_ships_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "missing_requirements", lambda word: "")  # everything is here
    for one in plan("embedded", EXPERIMENTS):
        if one.part is not None:
            assert bool(one.reason) == bool(one.part.needs or one.part.footage)
            words = " ".join(one.words) if not one.reason else ""
            assert not re.search("siglip|clip|dinov2|wan22|ltx2", words)


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
    assert run(tmp_path / "out", "--profile=embedded") == 0
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
    for folder in (tmp_path / "out" / "runs").iterdir():  # the records behind it
        for record in harness.read_records(folder).to_dict("records"):
            curve = pd.read_csv(folder / str(record["curve"]))
            error = abs(curve["progress"] - law(str(record["law"])).g(curve["u"].to_numpy()))
            assert record["raw_error_max"] == pytest.approx(error.max(), abs=1e-6)
            assert record["raw_error"] == pytest.approx(error.mean(), abs=0.02)
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
        assert run(tmp_path / "out", "--profile=embedded") == 0
    assert files(tmp_path / "out") == before
    assert run(tmp_path / "elsewhere", "--profile=embedded") == 0
    assert files(tmp_path / "elsewhere") == before
    assert {path.name for path in tmp_path.iterdir()} == {"out", "elsewhere"}


def test_files_that_are_no_tables_stay(tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    (tables / "folder.csv").mkdir(parents=True)
    for name in ("gone.csv", "gone.md", "notes.txt", "plot.png"):
        (tables / name).write_text("kept")
    reproduce._write("embedded", [], {}, RunFolder(tmp_path))
    left = {path.name for path in tables.iterdir()}
    assert left == {"folder.csv", "notes.txt", "plot.png", "plan.csv", "plan.md"}


# make


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")
def test_make_help_lists_every_target() -> None:
    text = (harness.ROOT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())  # type: ignore[index]
    wanted = {"setup", "reproduce-paper", "test", "check", "bench", "leaderboard", "clean"}
    assert wanted <= targets
    done = harness.command("make", "help")
    assert done.returncode == 0
    listed = dict(re.findall(r"^  make ([\w-]+) +(\S.*)$", done.stdout, re.MULTILINE))
    assert set(listed) == targets
    assert harness.command("make").stdout == done.stdout  # `make` alone lists them
