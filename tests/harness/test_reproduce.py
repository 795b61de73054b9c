import re
import shutil
from dataclasses import replace
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
from benchmarks.known_pacing import solver_tables
from benchmarks.paper import CLIPS, EXPERIMENTS, TOWERS, Experiment
from spf.errors import UnavailableError
from spf.pacing.strategies import NoRetime

SMALL = (
    "benchmark=synthetic_pacing", "embedder=histogram", "workers=1", "benchmark.studies=[grid]",
    "benchmark.num_frames=16", "benchmark.size=[32,32]", "benchmark.seeds=[1000]",
    "benchmark.laws=[linear,sigmoid_jump]", "benchmark.contents=[brick-cat-warp]",
)  # fmt: skip
QUICK = ("benchmark=retime_existing", "benchmark.retimes=[none,nearest]", "embedder=pixels", CLIPS)
OTHER = (*SMALL[:1], "embedder=pixels", *SMALL[2:])
PARTS = [part for item in EXPERIMENTS for part in item.parts]
SHIPPED = [part for part in PARTS if not part.needs and not part.footage]


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    part = replace(SHIPPED[0], embedded=(), wants=())
    parts = tuple(replace(part, options=words) for words in (SMALL, OTHER))
    two, three = (replace(EXPERIMENTS[k], parts=parts[:k]) for k in (1, 2))
    real = Experiment(8, "Another", "None.", (replace(part, footage=True),))
    monkeypatch.setattr(reproduce, "EXPERIMENTS", (two, three, real))
    monkeypatch.setattr(solver_tables, "LENGTHS", (1_000,))
    monkeypatch.setattr(solver_tables, "POWER_LENGTHS", (21,))


def run(output: Path, *words: str) -> int:
    return main(["reproduce", f"--output={output}", *words])


# The plan


def test_the_plan_names_every_experiment_of_the_paper(monkeypatch):
    monkeypatch.setattr(planning, "missing_requirements", lambda word: "")
    planned = plan("embedded", EXPERIMENTS)
    rows = as_table(planned).rows
    assert list(dict.fromkeys(row["experiment"] for row in rows)) == [1, 2, 3, 4, 5, 6, 7]
    for one, row in zip(planned, rows, strict=True):
        ships = one.part in SHIPPED
        assert row["status"] == ("run" if ships else "not run")
        assert row["reason"] == "" if ships else row["reason"].startswith("not run: ")
        if ships:
            assert all(row[name] for name in ("title", "embedder", "generator"))
            assert re.fullmatch(r"\d+ s, \d+ MB", row["estimate"])
            assert not re.search("siglip|clip|dinov2|wan22|ltx2", " ".join(one.options))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.options)
def test_experiments_compose(part):
    config = harness.compose(*part.options, *part.embedded)
    assert (config.benchmark.get("clips") == "FOLDER") == part.footage
    named = {option for option in part.options if re.match("(model|quality)=", option)}
    assert named <= {*part.needs, *part.wants} <= {*part.options, *TOWERS}
    assert bool(part.seconds) != bool(part.gpu_hours)
    if part in SHIPPED:
        made: Any = session.build(config)
        assert made.measuring.embedder.name in part.embedder
        assert made.cells()


def test_chosen_experiments_run_alone(tmp_path, monkeypatch):
    small(monkeypatch)
    earlier = tmp_path / "tables" / "earlier.csv"
    earlier.parent.mkdir()
    earlier.write_text("a\n1\n")
    assert run(tmp_path, "--experiment=2") == 0
    rows = pd.read_csv(tmp_path / "tables" / "plan_2.csv").set_index("experiment")
    assert rows["status"].to_dict() == {2: "run", 3: "not run", 8: "not run"}
    assert rows.loc[3, "reason"] == "not run: not among the experiments that were chosen"
    assert earlier.exists()
    page = harness.Page((tmp_path / "report" / "experiments-2.html").read_text())
    assert "not among the experiments that were chosen" in " ".join(page.text)


# Profiles and arguments


def test_unknown_arguments_exit_2(tmp_path, capsys):
    for word, message in {
        "--profile=ful": "'auto', 'embedded', 'full'",
        "--profiles=full": "Did you mean --profile",
        "fast": "(fast)",
        "--footage=gone": "there is no such folder",
        "--experiment=8": "there are 1, 2, 3, 4, 5, 6, 7",
    }.items():
        assert run(tmp_path / "out", word) == 2
        assert message in harness.check_one_line(capsys.readouterr().err)
        assert not (tmp_path / "out").exists()


def test_full_names_all_that_is_missing_before_any_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert run(tmp_path / "out", "--profile=full") == 3
    output, errors = capsys.readouterr()
    assert output.count("needs embedder=siglip and model=wan22") >= 3  # the plan is shown
    assert output.count("make weights EMBEDDER=siglip") == 1
    line = harness.check_one_line(errors)
    words = ("EMBEDDER=siglip", "EMBEDDER=clip", "EMBEDDER=dinov2", "MODEL=wan22", "MODEL=ltx2")
    assert [line.count(f"make weights {word}") for word in words] == [1] * 5
    assert "PROFILE=auto" in line
    assert re.search(r"about 135 GB of weights and \d+ GB of results.* GPU that holds 69 GB", line)
    assert re.search(r"about \d+ GPU hours, and \d+ more for each clip of footage \(assuming", line)

    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert run(tmp_path / "out") == 3
    assert "make room" in harness.check_one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def all_but_ltx2(monkeypatch):
    absent = {"model=ltx2": "absent"}
    monkeypatch.setattr(planning, "missing_requirements", lambda word: absent.get(word, ""))


def test_auto_takes_the_weights_that_are_here(all_but_ltx2, monkeypatch):
    def build_or_not(config: Any) -> None:
        if config.model._target_.endswith("Wan22"):
            raise UnavailableError("wan22 needs 69 GB and 8 are free")

    monkeypatch.setattr(planning, "build", build_or_not)
    reasons = {one.options: one.reason for one in plan("auto", EXPERIMENTS) if one.part}
    for words, reason in reasons.items():
        wanted = ""
        if "model=wan22" in words:
            wanted = "not run: wan22 needs 69 GB and 8 are free"
        if "model=ltx2" in words:
            wanted = "not run: absent"
        if CLIPS in words:
            wanted = "not run: no footage; FOOTAGE=FOLDER" + "; absent" * ("model=ltx2" in words)
        assert reason == wanted
    assert [words for words, reason in reasons.items() if "embedder=siglip" in words and not reason]


def test_footage_is_run_where_it_is_named(all_but_ltx2, tmp_path, monkeypatch):
    folder = tmp_path / "my clips"
    for name in ("one", "two"):
        harness.save(folder / f"{name}.mp4", harness.jumping(9))
    asked: list[Any] = []
    monkeypatch.setattr(planning, "build", asked.append)
    planned = plan("auto", EXPERIMENTS, str(folder))
    named = [one for one in planned if CLIPS in one.options]
    assert [one.reason for one in named] == ["", "", "not run: absent"]
    assert [one.benchmark.clips for one in asked if "clips" in one.benchmark] == [str(folder)]
    before = [one for one in plan("auto", EXPERIMENTS) if CLIPS in one.options]
    for one, other in zip(before, named, strict=True):
        first, second = one.part, other.part
        assert (second.gpu_hours, second.seconds) == (2 * first.gpu_hours, 2 * first.seconds)
        assert str(folder) not in as_table([other]).rows[0]["options"]
    config = planning.compose(named[1].options, tmp_path, str(folder))
    labels = parse_retimes(config.benchmark.retimes, NoRetime(), FOR_EXISTING)
    assert {SEGMENTED, "regenerate"} <= set(labels)  # the paper's own, and ours beside it
    second = [one for one in planned if one.experiment.number == 2]
    generators = [x.part.generator for x in sorted(second, key=reproduce._distance) if x.part]
    assert [text.partition(",")[0] for text in generators] == ["footage"] * 3 + ["rendered clips"]
    assert [text.rpartition(" ")[2] for text in generators[:2]] == ["wan22", "ltx2"]

    quick = replace(EXPERIMENTS[1].parts[1], options=QUICK)
    two = replace(EXPERIMENTS[1], parts=(quick,))
    monkeypatch.setattr(reproduce, "EXPERIMENTS", (two,))
    assert run(tmp_path / "out", f"--footage={folder}") == 0
    rows = pd.read_csv(tmp_path / "out" / "tables" / "existing_clips-pixels.csv")
    assert set(rows["clip"]) == {"one", "two"}
    assert (rows["status"] == "done").all()
    texts = [data.decode() for data in files(tmp_path / "out").values()]
    assert not any("my clips" in text or "not real footage" in text for text in texts)


# What it writes


def files(output: Path) -> dict[str, bytes]:
    found = [*(output / "tables").iterdir(), *(output / "report").iterdir()]
    return {path.name: path.read_bytes() for path in found}


def test_it_writes_tables_and_a_report(tmp_path, capsys, monkeypatch):
    small(monkeypatch)
    assert run(tmp_path / "out", "--profile=embedded") == 0
    output = capsys.readouterr().out
    report = tmp_path / "out" / "report" / "index.html"
    assert output.startswith("profile embedded")
    assert output.splitlines()[-1] == str(report)
    before = files(tmp_path / "out")
    assert {"index.html", "plan.csv", "plan.md"} < set(before)
    page = harness.Page(report.read_text())
    text = " ".join(page.text)
    for word in ("histogram", "pixels"):
        assert f"synthetic_pacing-{word}.md" in before
        table = pd.read_csv(tmp_path / "out" / "tables" / f"synthetic_pacing-{word}.csv")
        assert set(table["embedder"]) == {f"{word} (control)"}
        assert f"With {word} (control)" in text
    plans = pd.read_csv(tmp_path / "out" / "tables" / "plan.csv")
    assert list(plans.loc[plans["status"] == "not run", "reason"]) == [
        "not run: no footage; FOOTAGE=FOLDER"
    ]
    assert text.count("Not run: no footage; FOOTAGE=FOLDER") == 1
    assert page.all("img")

    with monkeypatch.context() as patch:
        patch.setattr(session, "run", lambda *_: pytest.fail("it was made again"))
        assert run(tmp_path / "out", "--profile=embedded") == 0
    assert files(tmp_path / "out") == before
    assert run(tmp_path / "elsewhere", "--profile=embedded") == 0
    assert files(tmp_path / "elsewhere") == before


def test_files_that_are_no_tables_stay(tmp_path):
    harness.touch(tmp_path / "tables", "gone.csv", "gone.md", "notes.txt", "plot.png")
    (tmp_path / "tables" / "folder.csv").mkdir()
    reproduce._write("embedded", [], {}, RunFolder(tmp_path))
    left = {path.name for path in (tmp_path / "tables").iterdir()}
    assert left == {"folder.csv", "notes.txt", "plot.png", "plan.csv", "plan.md"}


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")
def test_make_help_lists_every_target():
    text = (harness.ROOT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())
    assert {"setup", "reproduce-paper", "test", "check", "bench", "leaderboard", "clean"} <= targets
    done = harness.command("make", "help")
    assert set(re.findall(r"^  make ([\w-]+) +\S", done.stdout, re.MULTILINE)) == targets
    assert harness.command("make").stdout == done.stdout  # `make` alone lists them
