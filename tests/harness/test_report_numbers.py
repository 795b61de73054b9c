"""The report's sentences: every number is the cell of a table, for every experiment."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import browser
import pytest
from quoting import NUMBER, Report, Said, unquoted

from benchmarks.existing import clips as existing_clips
from benchmarks.harness import reproduce
from benchmarks.harness.reproduction.claims import ABSENT, FAILS, HOLDS, PARTLY, UNCLEAR
from benchmarks.known_pacing import studies
from benchmarks.paper import EXPERIMENTS, Experiment, Part

MINIATURE = ("embedder=histogram", "model.path={weights}")
RENDERED = (
    "embedder=pixels", "benchmark.size=[32,32]", "benchmark.contents=[shape-drop-gear]",
    "benchmark.num_frames=11",
)  # fmt: skip
SMALLER: dict[int, tuple[str, ...]] = {
    1: (*MINIATURE, "benchmark.num_pairs=2"),
    2: (*MINIATURE, "benchmark.retimes=[none,nearest,regenerate]"),
    3: (*RENDERED, "benchmark.laws=[linear,sigmoid_jump]", "benchmark.seeds=[1000]"),
    4: (*RENDERED, "benchmark.laws=[ease_in_out]", "benchmark.embedders=[pixels,histogram]"),
    5: (*MINIATURE,),
    6: (*MINIATURE, "benchmark.num_pairs=1"),
    7: (*MINIATURE, "benchmark.num_pairs=2"),
}
"""Words that make an experiment's parts small; the rest is as in the plan."""


@pytest.fixture(scope="module")
def report_file(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of every experiment's parts that ship, made small."""
    output = tmp_path_factory.mktemp("report")
    small = tuple(dataclasses.replace(x, parts=_parts(x, tiny_weights)) for x in EXPERIMENTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproduce, "EXPERIMENTS", small)
        patch.setattr(existing_clips, "_morphs", lambda: MORPHS[:1])
        patch.setattr(studies, "COLOURS", {key: names[:2] for key, names in COLOURS.items()})
        assert reproduce.reproduce("embedded", output) == 0
    return output / "report" / "index.html"


@pytest.fixture(scope="module")
def report(report_file: Path) -> Report:
    return Report(report_file.read_text())


MORPHS = existing_clips._morphs()
COLOURS = studies.COLOURS


def _parts(item: Experiment, weights: Path) -> tuple[Part, ...]:
    smaller = [word.format(weights=weights) for word in (*SMALLER[item.number], "workers=1")]
    return tuple(
        dataclasses.replace(part, words=_overridden(part.words, smaller), embedded=(), wants=())
        for part in item.parts
        if not part.needs
    )


def _overridden(words: tuple[str, ...], more: list[str]) -> tuple[str, ...]:
    chosen = {word.partition("=")[0]: word for word in (*words, *more)}
    return tuple(chosen.values())


def sentences(report: Report) -> list[Said]:
    claims = [Said("", said.text, report.tables.get(table, [])) for table, said in report.claims]
    return [*claims, *report.findings.values(), *report.paragraphs]


def test_every_number_of_a_sentence_is_in_its_table(report: Report) -> None:
    assert list(report.findings) == [f"experiment-{item.number}" for item in EXPERIMENTS]
    for said in sentences(report):
        assert unquoted(said.text, said.rows) == [], said.chapter
        assert "%" not in said.text


def test_a_changed_number_is_noticed(report: Report) -> None:
    """Of every sentence, each number in turn, by one in its last digit."""
    changed = 0
    for said in sentences(report):
        shown = {number for row in said.rows for cell in row for number in NUMBER.findall(cell)}
        for match in NUMBER.finditer(said.text):
            number = f"{match[0][:-1]}{(int(match[0][-1]) + 1) % 10}"
            if number not in shown:
                text = f"{said.text[: match.start()]}{number}{said.text[match.end() :]}"
                assert unquoted(text, said.rows), text
                changed += 1
    assert changed > 150


def test_every_claim_has_a_verdict(report: Report) -> None:
    assert len(report.verdicts) == len(report.claims) >= 12
    assert set(report.verdicts) <= {HOLDS, PARTLY, FAILS, UNCLEAR, ABSENT}
    for (table, said), verdict in zip(report.claims, report.verdicts, strict=True):
        assert bool(table) == bool(NUMBER.search(said.text)), said.text
        if not table:
            assert verdict == ABSENT


def test_the_first_figure_shows_the_row_of_its_table(report: Report) -> None:
    rows = report.tables["retiming"]
    assert [bar.partition(":")[0] for bar in report.bars][:2] == ["none", "rope (authors_code)"]
    for bar in report.bars:
        strategy, _, text = bar.partition(":")
        wanted = {strategy, *NUMBER.findall(text)}
        plain = {"none": "rope (authors_code)"}.get(
            strategy, strategy
        )  # before: a column of the method's row
        row = next(row for row in rows if row and row[0] == plain)
        assert wanted - {strategy} <= {x for cell in row for x in NUMBER.findall(cell)}, bar
        assert len(wanted) >= 3


def test_films_show_the_values_of_their_pairs(report: Report) -> None:
    """The paper's method stands beside ours in each, with the value that the table of pairs has."""
    pairs = [rows for name, rows in report.tables.items() if name.startswith("retimed_pairs")]
    seen = []
    for film in report.films:
        for pair in film["pairs"]:
            takes = pair["takes"]
            assert film["first"] == ["none", "rope (authors_code)"]
            assert {"none", "rope (authors_code)"} < set(takes)
            for name, take in takes.items():
                cells = [
                    {*row} for rows in pairs for row in rows if {pair["title"], name} <= {*row}
                ]
                assert any(take["value"] in row for row in cells), (pair["title"], name)
            seen.append((pair["title"], tuple(pair["target"])))
    assert len(seen) == len(set(seen)) >= 6, "the curves of a pair stand on the page once"


@pytest.mark.parametrize("number", [1, 7])
def test_the_papers_own_method_stands_beside_ours(report: Report, number: int) -> None:
    said = report.findings[f"experiment-{number}"].text
    assert said.index("the paper's method, rope (authors_code), ") < said.index("our best warp (")
    assert not re.search(r"our best warp [^,]*, rope(_iterative)? \(authors", said)


def test_a_user_reads_the_raw_error_first(report: Report) -> None:
    said = report.findings["experiment-3"]
    assert said.text.index("(raw_error)") < said.text.index("(calibrated_error)")
    raw, calibrated = re.search(r"([\d.]+) and ([\d.]+) with none", said.text).groups()  # type: ignore[union-attr]
    assert any({"none", raw, calibrated} <= {*row} for row in said.rows)
    line = next(said.text for table, said in report.claims if table == "pacing_by_motion")
    assert f"raw_error and calibrated_error by motion: none, {raw} and {calibrated}" in line


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_short_light_and_fits(report_file: Path, width: int) -> None:
    assert report_file.stat().st_size < 10_000_000
    with browser.open_page(report_file, width) as page:
        assert len(page.evaluate("document.body.innerText").split()) <= 6000
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert browser.serious_faults(page) == []
        page.evaluate("document.querySelectorAll('details').forEach(x => { x.open = true; })")
        wide = page.evaluate(
            "[...document.querySelectorAll('.scroll')]"
            ".filter(x => x.scrollWidth > x.clientWidth + 1)"
            ".map(x => x.getAttribute('aria-labelledby'))"
        )
        assert wide == []
        assert page.console_errors == page.requests == []


ROWS = [
    ["rope", "0.194", "0.180", "16 of 16"],
    ["rope (decay=3)", "0.194", "0.0031", "15 of 16"],
]


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("By m: rope, 0.194 to 0.180, better on 16 of 16; rope (decay=3), 0.194 to 0.0031.", 0),
        ("By m: rope, 0.194 to 0.0031.", 1),  # of another row
        ("By m: rope (decay=3), 0.194 to 0.180; rope, 0.180.", 1),
        ("rope: better on 15 of 16.", 1),
        ("By rope 18.0% and 0.003 of rope (decay=3). It is 0.180. It is 0.18.", 2),
        ("Nothing of 81 frames.", 1),
        ("Nothing is said of speed_cv_64.", 0),
    ],
)
def test_numbers_are_looked_up_by_row(text: str, lost: int) -> None:
    assert len(unquoted(text, ROWS)) == lost
