import json
import os
from pathlib import Path
from typing import Any

import harness
import pandas as pd
import pytest
from rows import SETTINGS, board, failed, row, stored

from benchmarks.__main__ import main
from benchmarks.harness import session
from benchmarks.harness.records import SCHEMA
from benchmarks.leaderboard.comparison import SHOWN
from benchmarks.leaderboard.inputs import (
    COMMUNITY,
    Input,
    check_agreement,
    checked,
    merge,
    problems,
    read_inputs,
)
from spf import METRICS
from spf.errors import ConfigError
from spf.progress.metrics import NO_CHANGE

NAN = float("nan")
SHAPE = [name for name in SHOWN if METRICS[name].direction != "none"]


pytestmark = pytest.mark.usefixtures("no_plots")


def merged(*folders: Path) -> list[dict[str, Any]]:
    return merge(read_inputs([str(folder) for folder in folders]))


def ranked(output: Path, *inputs: Path) -> session.Run:
    words = f"inputs=[{','.join(map(str, inputs))}]"  # it may be written without its group
    config = harness.compose("benchmark=leaderboard", words, f"output={output}")
    return session.run(config, quiet=True)


def test_records_come_back_as_they_were_written(tmp_path):
    rows = [*board("a", 3), failed("a", "p3")]
    rows[1] |= dict.fromkeys(SHAPE, NAN) | {"reason": NO_CHANGE}
    found = merged(stored(tmp_path / "run", rows))
    for old, new in zip(rows, found, strict=True):
        known = {name: x for name, x in old.items() if x is not None and x == x}
        assert new | known | {"input": "run", "curve": None, "plot": None} == new


def test_a_leaderboard_of_two_machines(tmp_path):
    first = stored(tmp_path / "one", board("even", 8))
    second = stored(tmp_path / "two", [*board("jumpy", 8, 0.1), failed("ill", "p0")])
    run = ranked(tmp_path / "out", first, second)
    assert run.code == 0  # the failure is another run's
    root = run.folder.root
    table = pd.read_csv(root / "leaderboard.csv").set_index("generator")
    assert list(table.loc[["even", "jumpy"], "rank"]) == [1, 2]
    assert (table.loc["ill", "failed"], table.loc["ill", "can_be_ranked"]) == (1, 0)
    assert not (root / "pairs").exists()  # curves lie elsewhere and are not followed
    again = ranked(tmp_path / "again", root)  # a merged run can be merged again
    assert again.folder.read("leaderboard.csv") == run.folder.read("leaderboard.csv")


def test_the_order_of_inputs_does_not_matter(tmp_path):
    folders = [stored(tmp_path / name, board(name, 6)) for name in ("c", "a", "b")]
    folders.append(stored(tmp_path / "d", board("a", 6)))  # a again, the same
    more = [row(seed=1), row(retime="rope"), row(embedder="oracle")]
    folders.append(stored(tmp_path / "e", more))
    expected = merged(*folders)
    assert len(expected) == 20  # seeds and retimings are clips of their own, the oracle is none
    assert merged(*folders[::-1]) == merged(*folders[2:], *folders[:2]) == expected


def test_own_clips_beside_those_of_another_machine(tmp_path):
    clips = harness.two_generators(tmp_path / "clips")
    other = harness.layout(tmp_path / "other", {"third": {"pair0": harness.steady(power=3.0)}})
    theirs = f"benchmark.inputs=[{harness.run(other, tmp_path / 'theirs').folder.root}]"
    file = tmp_path / "categories.yaml"
    file.write_text("pair0: animals\npair1: plants\n")
    run = harness.run(clips, tmp_path / "out", theirs, f"benchmark.categories={file}")
    table = pd.read_csv(run.folder.root / "leaderboard_categories.csv")
    assert list(table["category"]) == ["animals"] * 2 + ["plants"] * 2
    assert sorted({record["model"] for record in run.results.records}) == ["even", "jumpy", "third"]
    assert len(list((run.folder.root / "plots").rglob("*.png"))) == 4
    with pytest.raises(ConfigError, match=r"settings\.fit\.window differs: 7 in .*30|30 in .* 7"):
        harness.run(clips, tmp_path / "out", theirs, "fit.window=7")
    with pytest.raises(ConfigError, match=r"even/pair0 is in model\.path and in an input"):
        harness.run(clips, tmp_path / "out", f"benchmark.inputs=[{run.folder.root}]")


FIT = {"fit": {"sigma": 9.5, "window": 30}}
DIFFERENT = {
    "schema": ({"schema": SCHEMA + 1}, str(SCHEMA + 1)),
    "embedder": ({"embedder": "siglip"}, "siglip"),
    "weights_hash": ({"weights_hash": "f" * 64}, "f" * 64),
    "settings.fit.sigma": ({"settings": json.dumps(SETTINGS | FIT)}, "9.5"),
    "settings.embedder.size": ({"settings": json.dumps(SETTINGS | {"embedder": {}})}, "64"),
}


@pytest.mark.parametrize("field", DIFFERENT)
def test_what_was_measured_otherwise_is_refused(field):
    more, value = DIFFERENT[field]
    inputs = [Input("left", board("a", 2)), Input("right", board("b", 2, **more))]
    for pair in (inputs, inputs[::-1]):
        with pytest.raises(ConfigError) as error:
            check_agreement(pair)
        text = harness.check_one_line(str(error.value))
        assert all(part in text for part in (f"{field} differs: ", "left", "right", value))
    check_agreement([inputs[0], Input("failures", [failed("c", "p0")])])  # they measured nothing


def test_a_clip_that_two_inputs_measured_must_be_the_same(tmp_path):
    first = stored(tmp_path / "one", board("a", 3))
    rows = board("a", 3)
    rows[2]["speed_cv_64"] += 1e-9  # other hardware
    assert len(merged(first, stored(tmp_path / "two", rows))) == 3
    rows[2]["speed_cv_64"] += 0.01
    with pytest.raises(ConfigError, match=r"a/p2, seed 0: speed_cv_64 differs: 1.0 in .*1\.01"):
        merged(first, stored(tmp_path / "two", rows))
    with pytest.raises(ConfigError, match=r"status differs: 'done' in .*'failed' in"):
        merged(first, stored(tmp_path / "three", [failed("a", "p1")]))


def test_other_things_are_refused_in_a_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.parquet").write_text("no table")
    whole = pd.DataFrame(board("a", 2))
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "other.parquet")
    whole.assign(clip=[1, 2]).to_parquet(tmp_path / "typed.parquet")
    whole.assign(reason=[["a"], ["b"]]).to_parquet(tmp_path / "nested.parquet")
    stored(tmp_path / "run", [*board("a", 2), row("a", "p9", 0.7)])
    for name, message in {
        "nothing": "there are no records here",
        "empty": "there are no records here",
        "text.parquet": "cannot be read as records",
        "other.parquet": "there is no column",
        "typed.parquet": "column clip holds",
        "nested.parquet": "column reason holds",
        "run": r"linearity_mae is outside 0 \.\. 0\.5 in 1 row",
    }.items():
        with pytest.raises(ConfigError, match=message) as error:
            read_inputs([str(tmp_path / name)])
        assert name in harness.check_one_line(str(error.value))
    with pytest.raises(ConfigError, match="must be a list"):
        read_inputs("results")
    with pytest.raises(ConfigError, match="model=folder"):
        session.build(harness.compose("benchmark=leaderboard", "model=tiny"))
    clips = harness.touch(tmp_path / "clips", "a/p.mp4")
    for content in ("- a list", "pair0: 3", "{"):
        (tmp_path / "categories.yaml").write_text(content)
        with pytest.raises(ConfigError, match="categories"):
            harness.run(clips, tmp_path / "o", f"benchmark.categories={tmp_path}/categories.yaml")


PROBLEMS = {
    "frames is not 2 or more": {"frames": 1},
    "settings is no JSON": {"settings": "{"},
    "versions is no JSON": {"versions": "[" * 10_000},
    "total_change is outside": {"total_change": float("inf")},
    "vbench_imaging_quality is outside": {"vbench_imaging_quality": 50.0},
    "stall_fraction is not finite": {"stall_fraction": NAN},
    "total_change is not finite": dict.fromkeys(SHOWN, NAN) | {"reason": NO_CHANGE},
}


def test_every_problem_is_found_and_named():
    for start, values in PROBLEMS.items():
        found = list(problems([row("a", "p0"), row("a", "p1") | values]))
        assert [line for line in found if line.startswith(start)]
        assert all("in 1 row(s), first row 2" in line for line in found)


def test_records_that_are_older_than_a_metric_can_be_compared(tmp_path):
    old = pd.DataFrame([*board("a", 7), *board("b", 7)]).drop(columns="linearity_max")
    run = ranked(tmp_path / "out", stored(tmp_path / "old", old.to_dict("records")))
    assert run.code == 0
    table = pd.read_csv(run.folder.root / "leaderboard.csv")
    assert table["linearity_max"].isna().all()
    assert table["linearity_mae"].notna().all()
    assert table["rank"].notna().all()
    older = old.drop(columns="linearity_mae").to_dict("records")
    with pytest.raises(ConfigError, match="linearity_mae is not finite"):
        read_inputs([str(stored(tmp_path / "older", older))])


NASTY = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "../../../../tmp/evil"]
NASTY += ["/etc/passwd", "=HYPERLINK(0)", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1"]
NASTY += ["new\nline\x1b[31m\x07", "right\u202eleft", "pi|pe `tick`"]


def test_hostile_records_are_harmless(tmp_path):
    columns = ("reason", "notes", "source", "cell", "commit")
    paths = {"curve": "../../../../etc/passwd", "plot": "/etc/passwd"}
    rows = [
        row(name, clip, 0.1, category=NASTY[0], **dict.fromkeys(columns, name), **paths)
        for name in NASTY
        for clip in NASTY[:7]
    ]
    folder, output = stored(tmp_path / "in" / "run", rows), tmp_path / "out"
    before = sorted(tmp_path.rglob("*"))
    run = ranked(output, folder)
    assert run.code == 0
    assert sorted(p for p in tmp_path.rglob("*") if "out" not in p.parts) == before
    root = run.folder.root
    assert all(path.resolve().is_relative_to(output) for path in root.rglob("*"))
    page = harness.Page(text := (root / "index.html").read_text(encoding="utf-8"))
    assert len(page.all("script")) == 1  # its own
    assert "root:" not in text
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    for file in root.glob("*.csv"):
        for cell in pd.read_csv(file, dtype=str, keep_default_na=False).to_numpy().flat:
            assert cell.isprintable()
            assert not cell.startswith(("=", "@", "\t")), file
            if cell.startswith(("+", "-")):
                float(cell)  # a number, or this raises
    assert all(r["model"].isprintable() for r in run.results.records)


def test_pacing_against_quality(tmp_path):
    rows = [
        line | {"vbench_motion_smoothness": 0.9 + 0.01 * (k == 2), "vbench_dynamic_degree": 1.0}
        for shift, name in ((0, "a"), (0.05, "b"))
        for k, line in enumerate(board(name, 7, shift))
    ]
    rows[0]["vbench_imaging_quality"] = 0.7  # of one clip alone; a dynamic degree is no quality
    run = ranked(tmp_path / "out", stored(tmp_path / "run", rows))
    plots = [path.name for path in (run.folder.root / "pareto").iterdir()]
    assert plots == ["group1-motion_smoothness.png"]


def validated(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    code = main(["validate", str(folder)])
    lines = capsys.readouterr().out.splitlines()
    assert code == int(lines != ["no problems"])
    return lines


def test_what_is_committed_and_other_good_results_pass(tmp_path, capsys):
    assert list(checked(COMMUNITY)) == []
    for name, rows in {
        "one": [*board("a", 3), failed("a", "p9")],
        "two": board("b", 3, embedder="siglip"),  # another board, not this one's
        "board/tiny": board("a", 3),  # a collection, by embedders
    }.items():
        (stored(tmp_path / name, rows) / "records.csv").unlink()  # for people: stays at home
    for name in ("README.md", "two/README.md", "board/tiny/leaderboard_metrics.csv"):
        (tmp_path / name).write_text("hello")
    assert validated(tmp_path, capsys) == ["no problems"]
    assert "there is no such folder" in validated(tmp_path / "none", capsys)[0]


def test_every_problem_has_its_line(tmp_path, capsys):
    for name, rows in {
        "b-range": [row(error=0.7), row(clip="p1", speed_cv_64=-1.0)],
        "d-mixed": [row(), row(clip="p1", weights_hash="f" * 64)],
        "e-schema": board("a", 2, schema=99), "g-origin": board("a", 2, commit=""),
        "f name": board("a", 2), "l-board/tiny": board("a", 2),
        "l-board/dirty": board("a", 2, dirty=True),
    }.items():  # fmt: skip
        (stored(tmp_path / name, rows) / "records.csv").unlink()
    for name in ("a-empty", "h-damaged", "i-more", "l-board/tiny/more", "m-empty/within"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("h-damaged/records.parquet", "i-more/run.sh", "k.txt", "l-board/leaderboard.html"):
        (tmp_path / name).write_text("text")
    (tmp_path / "l-board" / "README.md").write_text("x" * 1_000_001)
    for name in ("j-link", "l-board/link", "a-empty/records.parquet"):
        os.symlink("/etc/passwd", tmp_path / name)
    expected = [
        "a-empty: records.parquet does not belong here",
        "a-empty: there is no records.parquet",
        "b-range: linearity_mae is outside 0 .. 0.5 in 1 row(s), first row 1",
        "b-range: speed_cv_64 is outside",
        "d-mixed: weights_hash differs",
        "e-schema: schema is not",
        "f name: name it by",
        "g-origin: commit is missing in 2 row(s)",
        "h-damaged: it cannot be read as records",
        "i-more: run.sh does not belong here",
        "i-more: there is no records.parquet",
        "j-link: this is a link",
        "k.txt: this file does not belong here",
        "l-board: README.md is larger than 1,000,000 bytes",
        "l-board: dirty: dirty",
        "l-board: leaderboard.html does not belong here",
        "l-board: link does not belong here",
        "l-board: tiny: more does not belong here",
        "m-empty: within: there is no records.parquet",
    ]
    for line, start in zip(validated(tmp_path, capsys), expected, strict=True):
        assert line.startswith(start)
