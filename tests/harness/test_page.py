import io
import re

import browser
import harness
import pytest
from PIL import Image
from reports import FRAMES, HOSTILE, bright, write_report

from benchmarks.harness.report.reproduction_page import FIGURES

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
        for width in (1280, 390):
            page.resize(width, 800)
            assert page.evaluate(OVERFLOW) <= 0
        columns = page.evaluate(SORT)
        assert page.console_errors == page.requests == []
    assert len(sizes) == 5 + 2
    assert min(sizes) > 1000
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
    bold = report.evaluate("[...document.querySelectorAll('b')].map(x => x.innerText)")
    assert "bold" not in bold
    text = " ".join(report.evaluate("document.body.textContent").split())
    for name in HOSTILE:
        assert " ".join(name.split())[:30] in text


def test_it_opens_with_the_claim_and_says_what_was_not_run(report):
    text = report.evaluate("document.querySelector('.lead').innerText")
    assert text.startswith("Warped clips are paced more evenly than plain generation holds")
    verdicts = report.evaluate("[...document.querySelectorAll('.claims li')].map(x => x.innerText)")
    wanted = ["holds", "does not hold", "not measured", "not measured"]
    assert all(line.startswith(x) for line, x in zip(verdicts, wanted, strict=True)), verdicts
    text = report.evaluate("document.body.innerText")
    assert "Not run: too large." in text
    assert "Nothing was measured" not in text
    assert "wan22\ttoo large" in report.evaluate("document.querySelector('#missing').innerText")
    text = report.evaluate("document.body.textContent")
    assert text.count("linearity_mae: how uneven.") == 1  # an explanation is given once
    assert report.evaluate("document.querySelectorAll('.figures img').length") == FIGURES
    assert "which has 2 more images and films" in text


def test_folded_parts_open_by_a_link_and_for_print(report):
    state = "document.querySelector('#numbers').closest('details').open"
    opened = "[...document.querySelectorAll('details')].map(part => part.open)"
    assert set(report.evaluate(opened)) == {False}
    report.evaluate("location.hash = '#numbers'")
    report.until(state)
    report.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert set(report.evaluate(opened)) == {True}
    report.evaluate("location.hash = ''")


def test_the_contents_are_a_menu_on_a_phone(report):
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
    back = report.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", back)[0]) < 64) == dark
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
    for share in (0.0, 0.77, 1.0):
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        report.mouse.move(box["x"] + 2 + share * (box["width"] - 3), box["y"] + 20)
        frame = round(share * (FRAMES - 1))
        shown = report.evaluate("document.querySelector('.player .readout').innerText")
        assert shown.startswith(f"frame {frame + 1} of {FRAMES}, ")
        assert abs(level(report, 0) - grey[frame]) < 5
        assert abs(level(report, 1) - grey[FRAMES - 1 - frame]) < 5


def test_a_pair_plays_stops_and_follows_the_arrow_keys(report):
    now = "document.querySelector('.player .plot').getAttribute('aria-valuenow')"
    report.evaluate("document.querySelector('.player .plot').focus()")
    before = int(report.evaluate(now))
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight"):
        report.press(key)
    assert int(report.evaluate(now)) == max(1, before - 2) + 1
    report.evaluate("document.querySelector('.player').scrollIntoView({block: 'center'})")
    before = report.evaluate(now)
    report.click(".player .play")
    report.until(f"{now} !== '{before}'")
    report.click(".player .play")
    assert report.evaluate("document.querySelector('.player .play').innerText") == "Play"
    stopped = report.evaluate(now)
    report.wait_for_timeout(300)
    assert report.evaluate(now) == stopped


def test_other_pairs_are_chosen_and_films_play_in_sight(report):
    report.select_option(".player .pair", label="other")
    alternatives = "[...document.querySelectorAll('.player img')].map(image => image.alt)"
    assert "Film of other, rope (authors_code)" in report.evaluate(alternatives)
    values = report.evaluate("[...document.querySelectorAll('.value b')].map(x => x.innerText)")
    assert values == ["0.2", "0.1", "0.0"]
    assert report.evaluate(
        """(async () => { const film = document.querySelector("video");
        film.closest("details").open = true;
        film.scrollIntoView({block: "center"});
        for (let tries = 0; tries < 100 && (film.paused || film.currentTime === 0); tries++)
          await new Promise(done => setTimeout(done, 50));
        return !film.paused && film.currentTime > 0 && film.videoWidth === 32; })()"""
    )
