import io
from dataclasses import replace

import browser
import harness
import pandas as pd
import pytest
from PIL import Image
from reports import FRAMES, HOSTILE, bright, player, write_report

from benchmarks.harness.cells import Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.records import decimals, digits
from benchmarks.harness.report import players
from benchmarks.harness.report.players import AUTHORS, METHOD, is_ours
from benchmarks.harness.report.reproduction_page import FIGURES, with_paper
from benchmarks.harness.report.tables import SHOWN, shown_columns
from benchmarks.harness.reproduction.planning import NOT_RUN

# Clicks each heading of the last table twice, and reads its column before and after each.
SORT = """(() => {
  const table = [...document.querySelectorAll("table")].at(-1);
  const heads = [...table.tHead.rows[0].cells];
  const column = index => [...table.tBodies[0].rows].map(row => row.cells[index].innerText.trim());
  return Object.fromEntries(heads.map((head, index) => {
    const orders = [column(index)];
    for (const click of [1, 2]) {
      head.querySelector("button").click();
      orders.push(column(index), head.getAttribute("aria-sort"));
    }
    return [head.querySelector("button").innerText.replace(/[▲▼]/, "").trim(), orders];
  }));
})()"""
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"


def test_a_runs_page_sorts_its_columns_and_asks_for_nothing(tmp_path):
    clips = {
        "b": {"p10": harness.steady(12, 0), "p9": harness.steady(100, 1)},
        "a": {"p10": harness.jumping(24, 2), "p9": harness.still()},
        "<i>c<∕i>": {"p10": harness.jumping(9, 3)},
    }
    folder = harness.layout(tmp_path / "clips", clips)
    (folder / "b" / "empty.mp4").write_bytes(b"")
    run = harness.run(folder, tmp_path / "out", "embedder=pixels")
    with browser.open_page(run.folder.root / "index.html") as page:
        sizes = page.evaluate("[...document.images].map(image => image.src.length)")
        assert len([size for size in sizes if size > 1000]) == len(sizes) == 5 + 2
        for width in (1280, 390):
            page.resize(width, 800)
            assert page.evaluate(OVERFLOW) <= 0
        columns = page.evaluate(SORT)
        assert page.console_errors == page.requests == []
    for name in ("frames", "linearity mae ↓", "total change", "duration"):
        before, up, word_up, down, word_down = columns[name]
        assert (word_up, word_down) == ("ascending", "descending")
        numbers = sorted(float(text) for text in before if text)
        gaps = [""] * (len(before) - len(numbers))
        assert gaps
        assert [float(text) if text else "" for text in up] == numbers + gaps
        assert [float(text) if text else "" for text in down] == numbers[::-1] + gaps
    before, up, _, down, _ = columns["status"]
    assert up == down[::-1] == sorted(before)
    assert len(set(before)) > 1
    assert [word for word in columns["generator"][1] if word in "ab"] == list("aabbb")


# The report


@pytest.fixture(scope="module")
def report_file(tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def loaded(report_file):
    with browser.open_page(report_file) as page:
        yield page


@pytest.fixture
def report(loaded):
    yield loaded
    loaded.resize(1280, 900)
    loaded.emulate()
    loaded.evaluate("document.querySelectorAll('details').forEach(x => { x.open = false; })")


def test_the_report_asks_for_nothing_and_complains_of_nothing(report, report_file):
    report.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert report.console_errors == report.requests == []
    tags = [attributes for _, attributes in harness.Page(report_file.read_text()).tags]
    names = ("src", "href", "action", "srcset", "poster")
    links = {str(tag[name]) for tag in tags for name in names if tag.get(name)}
    within = {link for link in links if link.startswith(("data:", "#"))}
    assert links - within == {"https://arxiv.org/abs/2604.22554"}
    places = {f"#{tag['id']}" for tag in tags if "id" in tag}
    assert {link for link in within if link.startswith("#")} <= places


def test_hostile_names_are_text(report):
    assert report.evaluate("document.title") == "Semantic Progress Function: reproduction"
    assert report.evaluate("document.querySelectorAll('script:not([type])').length") == 1
    assert report.evaluate("document.querySelectorAll('[onerror], b b').length") == 0
    assert "bold" not in report.locator("b").all_inner_texts()
    text = " ".join(report.evaluate("document.body.textContent").split())
    for name in HOSTILE:
        assert " ".join(name.split())[:30] in text


def test_it_opens_with_the_claim_and_says_what_was_not_run(report):
    text = report.inner_text(".lead")
    assert text.startswith("Warped clips are paced more evenly than plain generation holds")
    verdicts = report.locator(".claims .verdict").all_inner_texts()
    assert verdicts == ["holds", "does not hold", "not measured", "not measured"]
    text = report.evaluate("document.body.textContent")
    assert "Not run: too large." in text
    assert text.count("linearity_mae: how uneven.") == 1  # an explanation is given once
    assert report.evaluate("document.querySelectorAll('.figures img').length") == FIGURES


def test_folded_parts_open_by_a_link_and_for_print_and_the_contents_are_a_menu(report):
    opened = "[...document.querySelectorAll('details')].map(part => part.open)"
    assert set(report.evaluate(opened)) == {False}
    report.evaluate("location.hash = '#numbers'")
    report.until("document.querySelector('#numbers').closest('details').open")
    report.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert set(report.evaluate(opened)) == {True}
    report.evaluate("location.hash = ''")
    places = "document.querySelector('#places').checkVisibility()"
    assert report.evaluate(places)
    report.resize(390, 800)
    assert not report.evaluate(places)
    report.click("nav .menu")
    assert report.evaluate(places)
    report.click("#places a[href='#missing']")
    assert not report.evaluate(places)


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1280, True)])
def test_it_fits_its_window_and_axe_finds_no_serious_fault(report, width, dark):
    report.resize(width, 800)
    report.emulate(dark)
    assert report.evaluate(OVERFLOW) <= 0
    background = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0] < 64"
    assert report.evaluate(background) == dark
    assert browser.serious_faults(report) == []
    report.evaluate("document.querySelectorAll('details').forEach(x => { x.open = true; })")
    assert browser.wide_tables(report) == []


def test_a_switch_shows_the_columns_that_a_table_leaves_out(report):
    heads = """[...document.querySelectorAll("#retiming ~ .scroll th")]
        .filter(x => x.checkVisibility()).map(x => x.innerText.split("\\n")[0])"""
    few = report.evaluate(heads)
    assert few[0] == "strategy"
    report.check(".table:has(#retiming) .switch input")
    every = report.evaluate(heads)
    assert every[: len(few)] == few
    assert len(every) > len(few) + 2
    report.uncheck(".table:has(#retiming) .switch input")


# The player


def level(page: browser.Page, tile: int) -> int:
    shot = Image.open(io.BytesIO(page.locator(".tile").nth(tile).screenshot())).convert("L")
    return shot.getpixel((shot.width // 2, shot.height // 2))


def test_the_pointer_shows_its_frame(report):
    grey = bright()[:, 0, 0, 0].astype(int)
    plot = report.locator(".player .plot").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    for share in (0.0, 0.77, 1.0):
        report.mouse.move(box["x"] + 2 + share * (box["width"] - 3), box["y"] + 20)
        frame = round(share * (FRAMES - 1))
        assert report.inner_text(".player .readout").startswith(f"frame {frame + 1} of {FRAMES}, ")
        assert abs(level(report, 0) - grey[frame]) < 5
        assert abs(level(report, 1) - grey[FRAMES - 1 - frame]) < 5


def test_a_pair_plays_stops_and_follows_the_arrow_keys(report):
    now = "document.querySelector('.player .plot').getAttribute('aria-valuenow')"
    report.focus(".player .plot")
    before = int(report.evaluate(now))
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight"):
        report.press(key)
    before = max(1, before - 2) + 1
    assert int(report.evaluate(now)) == before
    report.click(".player .play")
    report.until(f"{now} !== '{before}'")
    report.click(".player .play")
    assert report.inner_text(".player .play") == "Play"
    stopped = report.evaluate(now)
    report.wait_for_timeout(300)
    assert report.evaluate(now) == stopped


def test_other_pairs_are_chosen_and_films_play_in_sight(report):
    report.select_option(".player .pair", label="other")
    assert report.get_by_alt_text("Film of other, rope (authors_code)").count() == 1
    assert report.locator(".value b").all_inner_texts() == ["0.2", "0.1", "0.0"]
    film = "document.querySelector('video')"
    report.evaluate(f"{film}.closest('details').open = true, {film}.scrollIntoView()")
    report.until(f"!{film}.paused && {film}.currentTime > 0 && {film}.videoWidth === 32")


@pytest.mark.parametrize(("values", "texts"), [
    ([0.123456, 0.04, None, float("nan")], ["0.123", "0.040", "", ""]),
    ([12.3456, 0.031], ["12.3", "0.031"]),  # not 0.0
    ([1234.567, 0.5], ["1235", "0.5"]), ([0.05, 0.1, 0.3], ["0.05", "0.10", "0.30"]),
    ([3.0, 7, "word", True, -0.5], ["3", "7", "word", "True", "-0.5"]),
    ([float("inf"), 0.0], ["", "0"]), ([], []),
])  # fmt: skip
def test_pages_print_three_digits(values, texts):
    table = Table.of_rows("t", "t", ["x"], [{"x": value} for value in values])
    assert [digits(value, decimals(table)["x"]) for value in values] == texts


def test_the_papers_column_knows_the_authors_settings_alone():
    names = [*AUTHORS, "flow (decay=1)", "rope_flat", "rope", "rope (authors_code, decay=1)"]
    table = Table.of_rows("retiming", "t", ["strategy"], [{"strategy": name} for name in names])
    known = with_paper(table)
    assert known.columns == ["strategy", "paper"]
    assert [row["strategy"] for row in known.rows if row["paper"]] == names[: len(AUTHORS) + 1]
    assert not any(map(is_ours, names[: len(AUTHORS) + 1]))
    unknown = with_paper(replace(table, name="other"))
    assert {row["paper"] for row in unknown.rows} == {""}
    assert "paper" in shown_columns(unknown)
    assert table.columns == ["strategy"]


def test_a_player_without_its_frames_is_left_out(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write("curve.csv", "u,time,before,progress,target\n0,0,0,0,0\n1,1,1,1,1\n")
    record = {
        "status": "done", "embedder": "e", "clip": "c", "seed": 0, "retime": "rope",
        "target": "linear", "target_mae": 0.1, "curve": "curve.csv", "file": "gone.npz",
        "before_file": "gone.npz",
    }  # fmt: skip
    assert players.make_player([record], folder, {}) is None
    made = player()  # a take that one pair lacks leaves its place empty
    fewer = {name: take for name, take in made.pairs[0].takes.items() if name != METHOD}
    made.pairs[0] = replace(made.pairs[0], takes=fewer)
    assert made.shown == ["none", METHOD, HOSTILE[1]]
    assert made.data()["first"] == player().data()["first"] == ["none", METHOD]


def test_columns_that_are_named_exist():
    """In the committed tables, which hold every column of the runs that ship."""
    for name, columns in SHOWN.items():
        known = set(NOT_RUN) if name == "not_run" else set()  # of the page alone
        for file in (harness.ROOT / "results" / "reference").glob(f"{name}*.csv"):
            if max((x for x in SHOWN if file.stem.startswith(x)), key=len) == name:
                known |= set(pd.read_csv(file, nrows=0).columns)
        assert known
        assert set(columns) <= known, name
