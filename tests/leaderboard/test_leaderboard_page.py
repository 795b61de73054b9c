import io
import json
from typing import Any

import boards
import harness
import numpy as np
import pandas as pd
import pytest
from browser import Page, open_page, serious_faults
from PIL import Image

from benchmarks.harness.folder import RunFolder
from benchmarks.harness.quality import SCORED_BY
from benchmarks.leaderboard.cells import ACROSS, FILM_BYTES, film, filmed_frames
from benchmarks.leaderboard.comparison import Board
from benchmarks.leaderboard.figures import pareto_front
from benchmarks.leaderboard.page import FILMS, PAGE, render_leaderboard
from benchmarks.leaderboard.tables import leaderboard
from spf.thumbnails import Thumbnails

DIMENSION = "vbench_image_quality"
HOSTILE = '<img src=x onerror="document.title=1">'
RATE, LONG, SHORT = 12, 19, 13
PAIRS = [f"pair{number}" for number in range(6)]
LIST = """[...document.querySelectorAll("#list tbody tr[data-generator]")].map(row =>
  [row.dataset.generator, row.cells[0].textContent, row.querySelector(".mean").textContent])"""
LOADED = "panels.every(one => !one.image || one.image.complete)"


def frames_of(generator: str, seed: int) -> list[np.ndarray]:
    late = np.interp(np.arange(SHORT), [0, 7, SHORT - 1], [0, 0.25, 1])
    return harness.steady(LONG, seed) if generator == "even" else harness.dissolve(late, seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, no_plots):
    root = tmp_path_factory.mktemp("board")
    names = ("even", "late")
    made = {name: {p: frames_of(name, k) for k, p in enumerate(PAIRS)} for name in names}
    clips = harness.layout(root / "clips", made | {HOSTILE: {"pair0": harness.jumping()}})
    (clips / "late" / "broken.mp4").write_bytes(b"")
    file = root / "categories.yaml"
    file.write_text("".join(f"{pair}: {'ab'[k % 2]}\n" for k, pair in enumerate(PAIRS)))
    return harness.run(clips, root / "out", f"benchmark.categories={file}").folder.root


@pytest.fixture(scope="module")
def opened(folder):
    with open_page(folder / PAGE) as page:
        yield page


@pytest.fixture
def page(opened):
    opened.evaluate("pause(), location.hash = '#fresh', document.activeElement.blur()")
    opened.evaluate("new Promise(done => setTimeout(done, 20))")
    opened.until(LOADED)
    return opened


def every(page: Page, selector: str, what: str) -> list[Any]:
    return page.evaluate(f'[...document.querySelectorAll("{selector}")].map(x => x.{what})')


def panels(page: Page) -> list[str]:
    return every(page, ".panel", "dataset.generator")


def frames(page: Page) -> list[int]:
    return [int(frame) for frame in every(page, ".panel", "dataset.frame")]


def choose(page: Page, **choices: str) -> None:
    for name, value in choices.items():
        page.select_option(f"#{name}", value)
    page.until(LOADED)


def shown_frame(page: Page, panel: int, images: list[np.ndarray]) -> int:
    shot = Image.open(io.BytesIO(page.locator(".panel canvas").nth(panel).screenshot()))
    seen = np.asarray(shot.convert("RGB").resize((32, 32), Image.Resampling.BOX), float)
    middles = np.s_[4::8, 4::8]  # of the picture's fields: away from blurred edges
    return int(np.argmin([((frame[middles] - seen[middles]) ** 2).mean() for frame in images]))


def test_it_asks_for_the_films_it_shows_and_names_are_text(page, folder):
    with open_page(folder / PAGE, fragment="#pair=pair1") as other:
        other.until(LOADED)
        films = {f"films/{name}/pair1.webp" for name in ("even", "late")}
        assert {url.partition(f"{folder.name}/")[2] for url in other.requests} == {PAGE, *films}
        assert other.console_errors == []
    assert panels(page) == ["even", "late", HOSTILE]
    assert page.title().startswith("Leaderboard: 3 generators, 7 pairs")
    assert page.evaluate("document.querySelectorAll('img, [onerror]').length") == 0
    assert HOSTILE in page.inner_text("#stage")
    choose(page, pair="broken")
    assert page.inner_text(".panel .missing").startswith("failed: ")


@pytest.mark.parametrize("share", [0.0, 0.21, 0.83, 1.0])
def test_films_are_in_step_and_the_marker_is_on_the_curve(page, folder, share):
    choose(page, pair="pair2")
    page.evaluate(f"seek({share})")
    second = share * (LONG - 1) / RATE
    wanted = [min(int(second * RATE + 0.01), count - 1) for count in (LONG, SHORT)]
    assert frames(page) == wanted
    for panel, name in enumerate(("even", "late")):
        assert shown_frame(page, panel, frames_of(name, 2)) == wanted[panel]
    choose(page, clock="share")
    assert frames(page) == [int(share * (n - 1) + 0.01) for n in (LONG, SHORT)]
    boxes = page.evaluate("""[...document.querySelectorAll('.panel')].map(one => {
      const [axis, dot] = ['.axis', '.marker'].map(name => one.querySelector(name).getBBox());
      return [(dot.x + dot.width / 2 - axis.x) / axis.width,
        (axis.y + axis.height - dot.y - dot.height / 2) / axis.height]; })""")
    for name, (across, up) in zip(("even", "late"), boxes, strict=True):
        curve = pd.read_csv(folder / f"curves/{name}/pair2.csv")
        assert across == pytest.approx(share, abs=0.005)
        assert up == pytest.approx(np.interp(share, curve["u"], curve["progress"]), abs=0.01)


def check_list(page: Page, table: pd.DataFrame, metric: str) -> None:
    names, order, means = zip(*page.evaluate(LIST), strict=True)
    assert list(names) == list(table["generator"])
    assert list(order) == ["–" if pd.isna(x) else str(int(x)) for x in table["order"]]
    digit = 10.0 ** (np.floor(np.log10(table[metric].abs().max())) - 2)
    assert [*map(float, means)] == pytest.approx(list(table[metric]), abs=0.51 * digit)


def test_numbers_are_those_of_the_tables(page, folder):
    table = pd.read_csv(folder / "leaderboard.csv")
    check_list(page, table, "linearity_mae")
    column = every(page, "#list thead th", "innerText").index("Rank") + 1
    cells = every(page, f"#list td:nth-child({column})", "innerText")
    assert [int(text) for text in cells if text] == list(table["rank"].dropna())
    first = every(page, "td.interval svg", "ariaLabel")[0].partition("interval ")[2]
    ends = table.loc[0, ["linearity_mae_low", "linearity_mae_high"]].to_list()
    assert [float(x) for x in first.split(" to ")] == pytest.approx(ends, abs=6e-4)
    parts = pd.read_csv(folder / "leaderboard_categories.csv")
    for category in "ab":
        choose(page, category=category)
        check_list(page, parts[parts["category"] == category], "linearity_mae")
        assert every(page, "#pair option", "value") == PAIRS["ab".index(category) :: 2]
    clips = pd.read_csv(folder / "clips.csv").set_index(["generator", "pair"])
    choose(page, category="", metric="speed_cv_64", pair="pair4")
    value = page.inner_text(".panel[data-generator=late] .value")
    assert float(value) == pytest.approx(clips.loc[("late", "pair4"), "speed_cv_64"], abs=6e-3)


def test_a_link_restores_the_view(page, folder):
    choose(page, metric="stall_fraction", category="b", pair="pair3", clock="share")
    page.evaluate("seek(0.75)")
    page.uncheck("#list tr[data-generator=late] input")
    assert panels(page) == ["even"]
    state = "[state.pair, state.metric, state.category, state.clock, state.time, state.show]"
    page.until("location.hash.includes('0.75')")
    before, fragment = page.evaluate(f"[{state}, location.hash]")
    with open_page(folder / PAGE, fragment=fragment) as other:
        wanted = ["pair3", "stall_fraction", "b", "share", 0.75, ["even"]]
        assert other.evaluate(state) == before == wanted
        other.evaluate("location.hash = '#pair=pair5&metric=nonsense&time=7&show=%3Cb%3E'")
        other.until("state.pair === 'pair5'")
        assert other.evaluate("[state.metric, state.time]") == ["linearity_mae", 0.4]
        assert other.console_errors == []


def test_the_keyboard_and_the_mouse_play_and_step(page):
    ends = {"Home": [0, 0], "ArrowRight": [1, 1], "End": [LONG - 1, SHORT - 1]}
    for key, wanted in (ends | {"ArrowLeft": [LONG - 2, SHORT - 1]}).items():
        page.press(key)
        assert frames(page)[:2] == wanted
    page.press(" ")
    page.until("playing && state.time < 0.9")
    page.press(" ")
    assert page.evaluate("playing") == 0
    for key, pair in (("n", "pair1"), ("p", "pair0")):
        page.press(key)
        assert page.evaluate("state.pair") == pair
    page.focus("#metric")
    page.press("ArrowDown")  # the list's own
    assert page.evaluate("state.metric") == "speed_cv_64"
    box = page.locator(".panel svg .axis").first.bounding_box()  # dragging along a curve
    x, y, width = box["x"], box["y"] + 5, box["width"]
    page.mouse.move(x + 0.2 * width, y)
    page.mouse.down()
    page.mouse.move(x + 0.6 * width, y)
    page.mouse.up()
    assert page.evaluate("state.time") == pytest.approx(0.6, abs=0.01)
    assert frames(page)[:2] == [10, 10]


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_it_fits_and_is_accessible(page, width, dark):
    page.resize(width, 800)
    page.emulate(dark)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    # side by side, on a phone too
    assert page.evaluate("new Set(panels.map(one => one.figure.offsetTop)).size < panels.length")
    assert serious_faults(page) == []


def test_quality_missing_films_and_many_generators(tmp_path):
    random, records = np.random.default_rng(0), []
    for k in range(FILMS + 2):
        for row in boards.generator(f"g{k:02}", 6, shift=0.01 * k):
            scores = {DIMENSION: random.random() + 0.1 * k, "speed_cv_64": random.random()}
            records.append(row | scores | {SCORED_BY: "weights"})
    records[0]["input"] = "elsewhere"
    board = Board.of(records)
    text = render_leaderboard(board, records, [DIMENSION], RunFolder(tmp_path))
    (tmp_path / PAGE).write_text(text, encoding="utf-8")
    with open_page(tmp_path / PAGE) as page:
        assert len(panels(page)) == FILMS
        missing = every(page, ".missing", "innerText")
        assert missing[:2] == ["measured in another run: elsewhere", "no film is here"]
        for metric in ("linearity_mae", "speed_cv_64"):
            choose(page, metric=metric)
            board = Board.of(records, metric)
            check_list(page, leaderboard(board), metric)
            group = board.groups[0]
            means = [group.values(name).mean() for name in (metric, DIMENSION)]
            best = set(means[0].index[pareto_front(*(mean.to_numpy() for mean in means))])
            named = page.inner_text("#plot p").partition("group: ")[2].rstrip(".")
            assert set(named.split(", ")) == best
            assert page.locator("#plot .point").count() == FILMS + 2
        page.check("#list tr[data-generator=g13] input")
        assert "g13" in panels(page)
        assert page.requests == page.console_errors == []


def test_an_open_interval_is_json(tmp_path):
    """One value in seven is lower: the clips set no lower bound (see the tests of intervals)."""
    records = [
        row | {DIMENSION: 0.98 - 0.01 * (k == 3), SCORED_BY: "weights"}
        for name in "ab"
        for k, row in enumerate(boards.generator(name, 7))
    ]
    text = render_leaderboard(Board.of(records), records, [DIMENSION], RunFolder(tmp_path))
    inside = text.partition('id="data">')[2].partition("</script>")[0]
    data = json.loads(inside, parse_constant=pytest.fail)
    for row in data["boards"][""]["linearity_mae"]["rows"]:
        mean, low, high = row["quality"][DIMENSION]
        assert (mean, low) == (pytest.approx(6.85 / 7), None)
        assert mean < high < 1


@pytest.mark.parametrize("count", [2, 192, 193])
def test_a_film_holds_the_frames_that_it_names(count):
    small = Thumbnails(height=16)
    for k in range(count):
        small.add(np.full((16, 24, 3), k % 230, np.uint8))
    data = film(small)
    sheet = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    frames = filmed_frames(count)
    assert sheet.shape == (-(-len(frames) // ACROSS) * 16, ACROSS * 24, 3)
    for place, frame in enumerate(frames):
        row, column = divmod(place, ACROSS)
        assert abs(int(sheet[row * 16 + 8, column * 24 + 12, 0]) - frame % 230) < 6
    assert len(data) <= FILM_BYTES
