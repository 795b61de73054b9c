import csv
import json
from pathlib import Path
from typing import Any

import harness
import pytest
from browser import Page, open_page, serious_faults

from benchmarks.user_study.clips import film_of_file
from benchmarks.user_study.experiment import render_study
from benchmarks.user_study.trials import Study

PAIRS = ["one", "two"]
COUNT = "Pair %d of 3"
EVIL = "</script><script>alert(1)</script> <b>x</b> <!-- &amp;"


@pytest.fixture(scope="module")
def study():
    return Study.planned(["content"], ["secret strategy", "other strategy"], PAIRS, 1)


@pytest.fixture(scope="module")
def browser(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    clip = harness.save(folder / "clip.mp4", harness.steady(4))
    film = film_of_file(clip, "clip").data
    films = {clip: film for trial in study.trials for clip in trial.clips}
    text = render_study(study, films, dict.fromkeys(PAIRS, EVIL))
    assert "strategy" not in text  # no name is in the page
    (folder / "study.html").write_text(text, encoding="utf-8")
    with open_page(folder / "study.html") as page:
        yield page


@pytest.fixture
def page(browser):
    browser.evaluate("localStorage.clear()")
    browser.reload()
    return browser


def start(page: Page, rater: str = "ann") -> None:
    page.evaluate(f"document.getElementById('rater').value = {json.dumps(rater)}")
    page.evaluate("document.getElementById('start').requestSubmit()")


def of(page: Page, name: str, what: str) -> Any:
    return page.evaluate(f"document.getElementById('{name}').{what}")


def count(page: Page) -> str:
    return str(of(page, "count", "innerText"))


def play(page: Page) -> None:
    page.until("!document.getElementById('choose-left').disabled")


def saved(page: Page, folder: Path, kind: str) -> Path:
    with page.expect_download() as download:
        page.click(f"[data-kind={kind}]")
    download.value.save_as(file := folder / download.value.suggested_filename)
    return file


def finish(page: Page, keys: list[str]) -> None:
    for key in keys:
        play(page)
        page.press(key)


def test_a_whole_study_by_keys(page, study, tmp_path):
    start(page)
    keys, shown = ["ArrowLeft", "ArrowRight", "ArrowRight"], study.arranged("ann")
    for side in ("left", "right"):
        source = page.evaluate(f"data.clips['{getattr(shown[0], side)}']")
        assert of(page, side, "src") == f"data:video/mp4;base64,{source}"
    page.until("plays >= 2")  # together and again
    finish(page, keys[:1])
    page.reload()
    assert of(page, "intro", "checkVisibility()")
    start(page, "someone-else")
    assert count(page) == COUNT % 1
    page.reload()
    start(page)
    assert count(page) == COUNT % 2
    finish(page, keys[1:])
    assert of(page, "end", "checkVisibility()")
    file = saved(page, tmp_path, "json")
    assert file.name == f"answers-{study.id}-ann.json"
    rater, choices = study.read(file.read_bytes())
    assert rater == "ann"
    sides = [key.removeprefix("Arrow").lower() for key in keys]
    wanted = [getattr(one, side) for side, one in zip(sides, shown, strict=True)]
    assert [chosen for _, chosen in choices] == wanted
    answers = json.loads(file.read_text())["answers"]
    assert all(answer["plays"] >= 1 and answer["seconds"] > 0.2 for answer in answers)
    lines = csv.DictReader(saved(page, tmp_path, "csv").open())
    assert [line["choice"] for line in lines] == sides
    assert page.console_errors == page.requests == []


def test_the_arrangement_is_that_of_the_analysis(page, study):
    for rater in ("ann", "R.2_x-y", "0" * 40):
        made = page.evaluate(f"arranged({json.dumps(rater)})")
        wanted = [(one.trial.id, one.left, one.right) for one in study.arranged(rater)]
        assert [(one["trial"], one["left"], one["right"]) for one in made] == wanted


def test_nobody_chooses_before_both_were_played(page):
    start(page)
    page.evaluate("document.getElementById('left').pause()")
    page.press("ArrowLeft")
    page.evaluate("document.getElementById('choose-right').click()")
    assert count(page) == COUNT % 1
    assert of(page, "choose-left", "disabled")
    page.press(" ")  # plays both again
    play(page)
    assert of(page, "hint", "textContent") == ""


def test_what_was_stored_is_not_trusted(page, study):
    place = json.dumps(f"spf-study/{study.id}/ann")
    for stored in ("{", "7", '[{"trial": "x"}]', "[null]"):
        page.evaluate(f"localStorage.setItem({place}, {json.dumps(stored)})")
        page.reload()
        start(page)
        assert count(page) == COUNT % 1


def test_a_choice_can_be_undone_and_space_plays_after_a_click(page):
    start(page)
    assert not of(page, "undo", "checkVisibility()")
    finish(page, ["ArrowLeft"])
    page.evaluate("document.getElementById('undo').click()")
    assert count(page) == COUNT % 1
    assert page.evaluate("answers.length") == 0
    play(page)
    page.evaluate("document.getElementById('choose-left').focus()")
    page.press("Enter")
    assert count(page) == COUNT % 2
    play(page)
    page.press(" ")
    assert count(page) == COUNT % 2


def test_codes_that_no_file_could_have_are_refused(page):
    for rater in ("", "../x", "=1+1", "a b", "x" * 41, "é"):
        start(page, rater)
        assert of(page, "intro", "checkVisibility()")


@pytest.mark.parametrize("width", [390, 1280])
def test_a_trial_fits_its_window_and_is_accessible(page, width):
    page.resize(width, 844)
    start(page)
    play(page)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert of(page, "choose-right", "getBoundingClientRect().bottom") <= 844
    assert page.evaluate("document.activeElement.id") == "question"
    assert serious_faults(page) == []
