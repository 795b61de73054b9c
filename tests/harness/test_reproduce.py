import csv
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
from benchmarks.harness.report.players import SEGMENTED
from benchmarks.harness.reproduction import planning
from benchmarks.harness.reproduction.planning import as_table, plan
from benchmarks.harness.verify import compare
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
    assert earlier.exists()
    page = (tmp_path / "report" / "experiments-2.html").read_text()
    assert all("not among the experiments that were chosen" in x for x in (page, rows.reason[3]))


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
    assert re.search(r"about 135 GB of weights and \d+ GB of results.* GPU that holds 69 GB", line)
    assert re.search(r"about \d+ GPU hours, and \d+ more for each clip.*PROFILE=auto", line)

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
    known = {
        CLIPS: "not run: no footage; FOOTAGE=FOLDER", "model=ltx2": "not run: absent",
        "model=wan22": "not run: wan22 needs 69 GB and 8 are free",
    }  # fmt: skip
    for words, reason in reasons.items():
        wanted = next((text for word, text in known.items() if word in words), "")
        assert reason == wanted + "; absent" * (CLIPS in words and "model=ltx2" in words)
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
    assert not any(str(folder) in row["options"] for row in as_table(named).rows)
    config = planning.compose(named[1].options, tmp_path, str(folder))
    labels = parse_retimes(config.benchmark.retimes, NoRetime(), FOR_EXISTING)
    assert {SEGMENTED, "regenerate"} <= set(labels)  # the paper's own, and ours beside it
    second = [one for one in planned if one.experiment.number == 2]
    generators = [x.part.generator for x in sorted(second, key=reproduce._distance) if x.part]
    assert [text.partition(",")[0] for text in generators] == ["footage"] * 3 + ["rendered clips"]

    quick = replace(EXPERIMENTS[1].parts[1], options=QUICK)
    two = replace(EXPERIMENTS[1], parts=(quick,))
    monkeypatch.setattr(reproduce, "EXPERIMENTS", (two,))
    assert run(tmp_path / "out", f"--footage={folder}") == 0
    rows = pd.read_csv(tmp_path / "out" / "tables" / "existing_clips-pixels.csv")
    assert set(zip(rows["clip"], rows["status"], strict=True)) == {("one", "done"), ("two", "done")}
    texts = [data.decode() for data in files(tmp_path / "out").values()]
    assert not any("my clips" in text or "not real footage" in text for text in texts)


# What it writes


def files(output: Path) -> dict[str, bytes]:
    found = [*(output / "tables").iterdir(), *(output / "report").iterdir()]
    return {path.name: path.read_bytes() for path in found}


def test_it_writes_tables_and_a_report(tmp_path, capsys, monkeypatch):
    small(monkeypatch)
    assert run(tmp_path / "out", "--profile=embedded") == 0
    report = tmp_path / "out" / "report" / "index.html"
    assert capsys.readouterr().out.splitlines()[-1] == str(report)
    before = files(tmp_path / "out")
    page = harness.Page(report.read_text())
    text = " ".join(page.text)
    for word in ("histogram", "pixels"):
        table = pd.read_csv(tmp_path / "out" / "tables" / f"synthetic_pacing-{word}.csv")
        assert set(table["embedder"]) == {f"{word} (control)"}
        assert f"With {word} (control)" in text
    plans = pd.read_csv(tmp_path / "out" / "tables" / "plan.csv")
    assert list(plans.loc[plans["status"] == "not run", "reason"]) == [
        "not run: no footage; FOOTAGE=FOLDER"
    ]
    assert text.count("Not run: no footage; FOOTAGE=FOLDER") == 1
    assert page.all("img")

    tables = tmp_path / "out" / "tables"
    harness.touch(tables, "gone.csv", "gone.md", "notes.txt", "folder.csv/stays")
    with monkeypatch.context() as patch:
        patch.setattr(session, "run", lambda *_: pytest.fail("it was made again"))
        assert run(tmp_path / "out", "--profile=embedded") == 0
    assert (tables / "notes.txt").exists()
    assert (tables / "folder.csv" / "stays").exists()
    (tables / "notes.txt").unlink()
    shutil.rmtree(tables / "folder.csv")
    assert files(tmp_path / "out") == before
    assert run(tmp_path / "elsewhere", "--profile=embedded") == 0
    assert files(tmp_path / "elsewhere") == before


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")
def test_make_help_lists_every_target():
    text = (harness.ROOT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())
    assert {"setup", "reproduce-paper", "test", "check", "bench", "leaderboard", "clean"} <= targets
    done = harness.command("make", "help")
    assert set(re.findall(r"^  make ([\w-]+) +\S", done.stdout, re.MULTILINE)) == targets
    assert harness.command("make").stdout == done.stdout  # `make` alone lists them


COLUMNS = [
    "embedder", "motion", "law", "linearity_mae", "calibrated_95", "better", "status", "note",
]  # fmt: skip
ROWS = [
    ["tiny", "none", "linear", "0.123456", "0.1 .. 0.2", "3 of 4", "done", "a, b"],
    ["tiny", "none", "ease_in", "0.2", "", "4 of 4", "done", ""],
    ["siglip", "", "", "", "", "", "not_run", "weights absent"],
]


def write(folder: Path, rows: list[list[str]], columns: list[str] = COLUMNS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "pacing.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return folder


def altered(row: int, column: str, value: str) -> list[list[str]]:
    rows = [list(one) for one in ROWS]
    rows[row][COLUMNS.index(column)] = value
    return rows


ALLOWED = [  # small changes, and rows that the reference could not run
    (0, "note", "a, b"), (0, "linearity_mae", "0.1282"), (0, "calibrated_95", "0.105 .. 0.2"),
    (0, "better", "2 of 4"), (2, "note", "other"), (2, "status", "done"),
    (2, "linearity_mae", "0.5"),
]  # fmt: skip
DIFFERENT = [
    (0, "linearity_mae", "0.13"), (0, "linearity_mae", "0.11"), (0, "linearity_mae", ""),
    (0, "linearity_mae", "nan"), (0, "status", "failed"), (0, "calibrated_95", "0.1 .. 0.25"),
    (0, "calibrated_95", ""), (0, "better", "1 of 4"), (1, "calibrated_95", "0.1 .. 0.2"),
    (1, "note", "x"), (0, "better", "3 von 4"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "column", "value"), [*ALLOWED, *DIFFERENT])
def test_what_differs_is_named(tmp_path, row, column, value):
    more = ["clip", "none", "linear", "0.3", "", "", "done", ""]  # of other weights
    fresh = write(tmp_path / "fresh", [*altered(row, column, value), more][::-1])
    found = compare(write(tmp_path / "reference", ROWS), fresh)
    assert len(found) == ((row, column, value) in DIFFERENT)
    for one in found:
        before = ROWS[row][COLUMNS.index(column)]
        assert (one.column, one.reference, one.value) == (column, before, value)
        for part in ("pacing", f"law={ROWS[row][2]}", column, before or "empty", value or "empty"):
            assert part in str(one)


def test_rows_columns_and_tables_that_are_gone(tmp_path):
    reference = write(tmp_path / "reference", ROWS)
    (row,) = compare(reference, write(tmp_path / "a", ROWS[1:]))
    assert ("law=linear" in row.row, row.value) == (True, "gone")
    shorter = write(tmp_path / "b", [x[:-1] for x in ROWS], COLUMNS[:-1])
    (column,) = compare(reference, shorter)
    assert (column.column, column.value) == ("note", "gone")
    (column,) = compare(shorter, reference)
    assert (column.column, column.reference) == ("note", "gone")
    write(tmp_path / "d", ROWS).joinpath("pacing.csv").rename(tmp_path / "d" / "other.csv")
    (table,) = compare(reference, tmp_path / "d")
    assert (table.table, table.value) == ("pacing", "gone")
    nameless = [write(tmp_path / x, [["0.1"], [x], ["0.3"]], ["linearity_mae"]) for x in ("1", "2")]
    (found,) = compare(*nameless)
    assert found.row == "row #2"


def test_the_command(tmp_path, capsys):
    results, reference = tmp_path / "results", tmp_path / "reference"
    fresh = write(results / "tables", ROWS) / "pacing.csv"
    (results / "tables" / "plan.csv").write_text("experiment\n1\n")
    words = ["verify", f"--output={results}", f"--reference={reference}"]
    assert main(words) == 2  # there is no reference yet
    assert "make reference-results" in harness.check_one_line(capsys.readouterr().err)
    assert main([*words, "--write"]) == 0
    assert [path.name for path in reference.iterdir()] == ["pacing.csv"]  # the plan is no result
    assert main(words) == 0
    write(results / "tables", altered(0, "linearity_mae", "0.9"))
    assert main(words) == 1
    assert "1 difference" in capsys.readouterr().out

    for more in ([], ["--write"]):
        assert main([*words, f"--output={tmp_path / 'none'}", *more]) == 2
        assert "make reproduce-paper" in harness.check_one_line(capsys.readouterr().err)
    (reference / "old.csv").write_text("a\n1\n")
    assert main([*words, "--write"]) == 0  # which replaces what was there
    assert [path.name for path in reference.iterdir()] == ["pacing.csv"]
    before = fresh.read_bytes()
    write(results / "tables", ROWS)
    for name in ("notes.txt", "folder.csv/stored"):  # what holds other things is left alone
        other = harness.touch(reference, name) / name
        assert main([*words, "--write"]) == 2
        assert name.partition("/")[0] in harness.check_one_line(capsys.readouterr().err)
        assert other.read_text() == "x"
        assert (reference / "pacing.csv").read_bytes() == before != fresh.read_bytes()
        other.rename(tmp_path / "aside")
