import re
from dataclasses import replace
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


READ = r"""(() => {
  const text = x => x.textContent.replace(/\s+/g, " ").trim();
  const every = (place, selector) => [...place.querySelectorAll(selector)];
  const texts = (place, selector) => every(place, selector).map(text).join(" ");
  const rows = place => every(place, "tr").map(row => every(row, "td").map(text));
  const paragraphs = [];
  for (const run of every(document, "details.part")) {
    const key = run.previousElementSibling; // its table is the first section's
    let section = key.className === "table" ? rows(key) : [], first = true;
    for (const part of run.children) {
      if (part.tagName === "H4" && !first) section = [];
      first = first && part.tagName !== "H4";
      if (part.tagName === "P" && !part.attributes.length) paragraphs.push([text(part), section]);
      section.push(...rows(part));
    }
  }
  return {
    paragraphs, verdicts: every(document, "#claim .verdict").map(text),
    claims: every(document, "[data-table]").map(x => [x.dataset.table, texts(x, ".figures-line")]),
    bars: every(document, ".bars div").map(x => [x.dataset.strategy, texts(x, "dd")]),
    findings: every(document, ".chapter").map(x => [texts(x, ".finding"), rows(x)]),
    tables: Object.fromEntries(every(document, ".table").map(x =>
      [x.querySelector("h3, h4, h5").id, rows(x)])),
    films: every(document, "script[type]").map(x => JSON.parse(x.textContent)),
  };
})()"""
"""What a report says: paragraphs with the rows of their section, claims with their table, findings
of a chapter with its rows, the bars of the first figure."""
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
    with browser.open_page(report_file) as page:
        return page.evaluate(READ)


def test_every_number_of_a_sentence_is_in_its_table(report):
    assert len(report["findings"]) == len(EXPERIMENTS)
    claims = [(text, report["tables"].get(table, [])) for table, text in report["claims"]]
    changed = 0
    for said, rows in (*claims, *report["findings"], *report["paragraphs"]):
        assert unquoted(said, rows) == []
        assert "%" not in said
        shown = {number for row in rows for cell in row for number in NUMBER.findall(cell)}
        for match in NUMBER.finditer(said):
            number = f"{match[0][:-1]}{(int(match[0][-1]) + 1) % 10}"
            if number not in shown:
                text = f"{said[: match.start()]}{number}{said[match.end() :]}"
                assert unquoted(text, rows), text
                changed += 1
    assert changed > 100


def test_every_claim_has_a_verdict(report):
    assert len(report["claims"]) >= 12
    assert set(report["verdicts"]) <= {HOLDS, PARTLY, FAILS, UNCLEAR, ABSENT}
    for (table, said), verdict in zip(report["claims"], report["verdicts"], strict=True):
        assert bool(table) == bool(NUMBER.search(said)), said
        assert table or verdict == ABSENT


def test_the_first_figure_shows_the_rows_of_its_table(report):
    assert [strategy for strategy, _ in report["bars"][:2]] == ["none", METHOD]
    for strategy, text in report["bars"]:
        plain = METHOD if strategy == "none" else strategy  # before: a column of the method's row
        row = next(row for row in report["tables"]["retiming"] if row and row[0] == plain)
        numbers = set(NUMBER.findall(text))
        assert numbers <= {x for cell in row for x in NUMBER.findall(cell)}, text
        assert len(numbers) >= 2


def test_films_show_the_values_of_their_pairs(report):
    tables = report["tables"].items()
    shown = [row for name, rows in tables if name.startswith("retimed_pairs") for row in rows]
    seen = []
    for film in report["films"]:
        assert film["first"] == ["none", METHOD]
        for pair in film["pairs"]:
            assert {"none", METHOD} < set(pair["takes"])
            for name, take in pair["takes"].items():
                wanted = {pair["title"], name, take["value"]}
                assert any(wanted <= {*row} for row in shown), wanted
            seen.append((pair["title"], tuple(pair["target"])))
    assert len(seen) == len(set(seen)) >= 3, "the curves of a pair stand on the page once"


def test_the_papers_own_method_and_the_raw_error_stand_first(report):
    findings = report["findings"]
    for said, _ in (findings[0], findings[6]):
        assert said.index(f"the paper's method, {METHOD}, ") < said.index("our best warp (")
        assert not re.search(r"our best warp [^,]*, rope(_iterative)? \(authors", said)
    known, rows = findings[2]
    assert known.index("(raw_error)") < known.index("(calibrated_error)")
    raw, calibrated = re.search(r"([\d.]+) and ([\d.]+) with none", known).groups()
    assert any({"none", raw, calibrated} <= {*row} for row in rows)
    line = next(said for table, said in report["claims"] if table == "pacing_by_motion")
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
