import json
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import browser
import pytest
from quoting import NUMBER, unquoted

from benchmarks.existing import clips as existing_clips
from benchmarks.harness import reproduce
from benchmarks.harness.report.players import METHOD
from benchmarks.harness.reproduction.claims import ABSENT, FAILS, HOLDS, PARTLY, UNCLEAR
from benchmarks.known_pacing import solver_tables, studies
from benchmarks.paper import EXPERIMENTS, Experiment

pytestmark = pytest.mark.slow


@dataclass
class Said:
    chapter: str
    text: str = ""
    rows: list[list[str]] = field(default_factory=list)

    def add(self, text):
        self.text = f"{self.text} {text}".strip()


class Report(HTMLParser):
    """What a report says: `claims` with the table that each links to, `bars` of the first figure,
    `findings` of a chapter with its rows, `paragraphs` with those of their section; `tables` by
    their ids, and the data of its films."""

    def __init__(self, page):
        super().__init__()
        self.claims, self.verdicts, self.bars, self.paragraphs, self.films = [], [], [], [], []
        self.findings, self.tables = {}, {}
        self._chapter, self._text, self._first = "", "", False
        self._part, self._table, self._taken = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        name, kind = known.get("id") or "", known.get("class") or ""
        if tag == "h2":
            self._chapter = name if name.startswith("experiment-") else ""
            self._part = []
        if tag == "h3" or (tag == "h4" and not name and not self._first):
            self._part = []  # a run, or a section of it; the table before the first is the first's
        self._first = (tag == "details" and kind == "part") or (self._first and tag != "h4")
        if tag in ("h3", "h4", "h5") and name:
            self._table = self.tables[name] = []
        if tag == "li" and "data-table" in known:
            self.claims.append((str(known["data-table"]), Said("")))
        if tag == "span" and kind.startswith("verdict") and self.claims:
            self._take(tag, self.verdicts.append)
        elif tag == "p" and kind == "figures-line":
            self._take(tag, self.claims[-1][1].add)
        elif tag == "p" and kind == "finding" and self._chapter:
            self._take(tag, self.findings.setdefault(self._chapter, Said(self._chapter)).add)
        elif tag == "p" and self._chapter and not known:
            self.paragraphs.append(Said(self._chapter, rows=self._part))
            self._take(tag, self.paragraphs[-1].add)
        elif tag == "div" and "data-strategy" in known:
            self.bars.append(f"{known['data-strategy']}:")
        elif tag == "dd" and self.bars and not self._chapter and not self.findings:
            self._take(tag, self._add_bar)
        elif tag == "script" and known.get("type") == "application/json":
            self._take(tag, lambda text: self.films.append(json.loads(text)))
        elif tag == "tr":
            row = []
            self._table.append(row)
            self._part.append(row)
            if self._chapter:
                self.findings[self._chapter].rows.append(row)
        elif tag == "td":
            self._take(tag, self._table[-1].append)

    def _add_bar(self, text):
        self.bars[-1] += f" {text}"

    def _take(self, tag, to):
        self._taken.append((tag, to))
        self._text = ""

    def handle_endtag(self, tag):
        if self._taken and tag == self._taken[-1][0]:
            self._taken.pop()[1](" ".join(self._text.split()))

    def handle_data(self, data):
        if self._taken:
            self._text += data


MINIATURE = ("embedder=histogram", "model.path={weights}")
GENERATED = (*MINIATURE, "benchmark.steps=2")
RENDERED = (
    "embedder=pixels", "benchmark.size=[32,32]", "benchmark.contents=[shape-drop-gear]",
    "benchmark.num_frames=11",
)  # fmt: skip
WARPS = "benchmark.retimes=[none,rope,{{name:rope,preset:ours}}"
SMALLER: dict[int, tuple[str, ...]] = {
    1: (*GENERATED, "benchmark.num_pairs=2", f"{WARPS},rope_iterative,nearest]"),
    2: (*MINIATURE, "benchmark.retimes=[none,nearest,regenerate]"),
    3: (*RENDERED, "benchmark.laws=[linear,sigmoid_jump]", "benchmark.seeds=[1000]"),
    4: (*RENDERED, "benchmark.laws=[ease_in_out]", "benchmark.embedders=[pixels,histogram]"),
    5: (*GENERATED, f"{WARPS}]"),
    6: (*MINIATURE, "benchmark.num_pairs=1"),
    7: (*GENERATED, "benchmark.num_pairs=1", f"{WARPS}]"),
}
"""Options that make an experiment's parts small; the rest is as in the plan."""


def _smaller(item: Experiment, weights: Path) -> Experiment:
    more = [word.format(weights=weights) for word in (*SMALLER[item.number], "workers=1")]
    parts = []
    for part in item.parts:
        words = {word.partition("=")[0]: word for word in (*part.options, *more)}
        if not part.needs:
            parts.append(replace(part, options=tuple(words.values()), embedded=(), wants=()))
    return replace(item, parts=tuple(parts))


@pytest.fixture(scope="module")
def report_file(tiny_weights, tmp_path_factory):
    output = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        small = tuple(_smaller(item, tiny_weights) for item in EXPERIMENTS)
        patch.setattr(reproduce, "EXPERIMENTS", small)
        morphs = existing_clips._morphs()[:1]
        patch.setattr(existing_clips, "_morphs", lambda: morphs)
        colours = {key: names[:2] for key, names in studies.COLOURS.items()}
        patch.setattr(studies, "COLOURS", colours)
        patch.setattr(solver_tables, "LENGTHS", (1_000,))
        patch.setattr(solver_tables, "POWER_LENGTHS", (21,))
        assert reproduce.reproduce("embedded", output) == 0
    return output / "report" / "index.html"


@pytest.fixture(scope="module")
def report(report_file):
    return Report(report_file.read_text())


def test_every_number_of_a_sentence_is_in_its_table(report):
    assert list(report.findings) == [f"experiment-{item.number}" for item in EXPERIMENTS]
    claims = [Said("", said.text, report.tables.get(table, [])) for table, said in report.claims]
    changed = 0
    for said in (*claims, *report.findings.values(), *report.paragraphs):
        assert unquoted(said.text, said.rows) == [], said.chapter
        assert "%" not in said.text
        shown = {number for row in said.rows for cell in row for number in NUMBER.findall(cell)}
        for match in NUMBER.finditer(said.text):
            number = f"{match[0][:-1]}{(int(match[0][-1]) + 1) % 10}"
            if number not in shown:
                text = f"{said.text[: match.start()]}{number}{said.text[match.end() :]}"
                assert unquoted(text, said.rows), text
                changed += 1
    assert changed > 100


def test_every_claim_has_a_verdict(report):
    assert len(report.verdicts) == len(report.claims) >= 12
    assert set(report.verdicts) <= {HOLDS, PARTLY, FAILS, UNCLEAR, ABSENT}
    for (table, said), verdict in zip(report.claims, report.verdicts, strict=True):
        assert bool(table) == bool(NUMBER.search(said.text)), said.text
        assert table or verdict == ABSENT


def test_the_first_figure_shows_the_rows_of_its_table(report):
    rows = report.tables["retiming"]
    assert [bar.partition(":")[0] for bar in report.bars][:2] == ["none", METHOD]
    for bar in report.bars:
        strategy, _, text = bar.partition(":")
        plain = METHOD if strategy == "none" else strategy  # before: a column of the method's row
        row = next(row for row in rows if row and row[0] == plain)
        numbers = NUMBER.findall(text)
        assert set(numbers) <= {x for cell in row for x in NUMBER.findall(cell)}, bar
        assert len(set(numbers)) >= 2


def test_films_show_the_values_of_their_pairs(report):
    pairs = [rows for name, rows in report.tables.items() if name.startswith("retimed_pairs")]
    seen = []
    for film in report.films:
        for pair in film["pairs"]:
            takes = pair["takes"]
            assert film["first"] == ["none", METHOD]
            assert {"none", METHOD} < set(takes)
            for name, take in takes.items():
                wanted = {pair["title"], name, take["value"]}
                assert any(wanted <= {*row} for rows in pairs for row in rows), wanted
            seen.append((pair["title"], tuple(pair["target"])))
    assert len(seen) == len(set(seen)) >= 3, "the curves of a pair stand on the page once"


def test_the_papers_own_method_and_the_raw_error_stand_first(report):
    for number in (1, 7):
        said = report.findings[f"experiment-{number}"].text
        assert said.index(f"the paper's method, {METHOD}, ") < said.index("our best warp (")
        assert not re.search(r"our best warp [^,]*, rope(_iterative)? \(authors", said)
    known = report.findings["experiment-3"]
    assert known.text.index("(raw_error)") < known.text.index("(calibrated_error)")
    raw, calibrated = re.search(r"([\d.]+) and ([\d.]+) with none", known.text).groups()
    assert any({"none", raw, calibrated} <= {*row} for row in known.rows)
    line = next(said.text for table, said in report.claims if table == "pacing_by_motion")
    assert f"raw_error and calibrated_error by motion: none, {raw} and {calibrated}" in line


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_short_light_and_fits(report_file, width):
    assert report_file.stat().st_size < 10_000_000
    with browser.open_page(report_file, width) as page:
        assert len(page.evaluate("document.body.innerText").split()) <= 6000
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert browser.serious_faults(page) == []
        page.evaluate("document.querySelectorAll('details').forEach(x => { x.open = true; })")
        assert browser.wide_tables(page) == []
        assert page.console_errors == page.requests == []
