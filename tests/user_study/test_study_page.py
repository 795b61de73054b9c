"""The page for raters in a real browser: keys, sides, what it keeps, what it saves, what it hides.

Its clips last a third of a second, so that a whole study is played.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest
from browser import CHROMIUM, Page, open_page

from benchmarks.user_study.clips import film_of_file
from benchmarks.user_study.page import render_study
from benchmarks.user_study.trials import Study

EVIL = "</script><script>alert(1)</script> <b>bold</b> <!-- \u2028 'quote\" &amp;"
PAIRS = ["one", "two"]
TRIALS = 2 * 1 + 1

START = (
    "document.getElementById('rater').value = %s; document.getElementById('start').requestSubmit()"
)


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.planned(["content"], ["secret strategy", "other strategy"], PAIRS, 1)


@pytest.fixture(scope="module")
def path(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not CHROMIUM:
        pytest.skip("no Chromium here: pages are not driven")
    folder = tmp_path_factory.mktemp("page")
    clip = harness.save(folder / "clip.mp4", harness.steady(4))
    film = film_of_file(clip, "clip").data
    films = {clip: film for trial in study.trials for clip in trial.clips}
    prompts = {"one": EVIL}
    (folder / "study.html").write_text(render_study(study, films, prompts), encoding="utf-8")
    return folder / "study.html"


@pytest.fixture(scope="module")
def browser(path: Path) -> Iterator[Page]:
    with open_page(path) as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Page:
    """The page as it is opened for the first time."""
    browser.evaluate("localStorage.clear()")
    return reopened(browser)


def reopened(page: Page) -> Page:
    page.reload()
    return page


def start(page: Page, rater: str = "ann") -> None:
    page.evaluate(START % json.dumps(rater))


def visible(page: Page, name: str) -> bool:
    return bool(page.evaluate(f"document.getElementById('{name}').checkVisibility()"))


def text(page: Page, name: str) -> str:
    return str(page.evaluate(f"document.getElementById('{name}').innerText"))


def watch(page: Page) -> None:
    """Both clips, to their ends."""
    page.until("!document.getElementById('choose-left').disabled")


def saved(page: Page, folder: Path, kind: str) -> Path:
    """The file that the browser downloads."""
    with page.expect_download() as download:
        page.click(f"[data-kind={kind}]")
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file


def finish(page: Page, keys: list[str]) -> None:
    for key in keys:
        watch(page)
        page.press(key)


def test_a_whole_study_by_keys(page: Page, study: Study, tmp_path: Path) -> None:
    """What is saved is what the key can read: order, sides and choices."""
    start(page)
    keys = ["ArrowLeft", "ArrowRight", "ArrowRight"]
    assert len(keys) == TRIALS
    finish(page, keys)
    assert visible(page, "end")
    file = saved(page, tmp_path, "json")
    assert file.name == f"answers-{study.id}-ann.json"
    found = study.read(file.read_bytes())
    assert found.rater == "ann"
    shown = study.arranged("ann")
    wanted = [
        one.left if key == "ArrowLeft" else one.right for key, one in zip(keys, shown, strict=True)
    ]
    assert [choice.chosen for choice in found.choices] == wanted
    assert all(choice.plays >= 1 and choice.seconds > 0.2 for choice in found.choices)
    lines = list(csv.DictReader(saved(page, tmp_path, "csv").open()))
    assert [line["trial"] for line in lines] == [choice.trial.id for choice in found.choices]
    assert [line["choice"] for line in lines] == ["left", "right", "right"]
    assert {line["rater"] for line in lines} == {"ann"}
    assert page.console_errors == []
    assert page.requests == []


def test_the_arrangement_is_that_of_the_analysis(page: Page, study: Study) -> None:
    for rater in ("ann", "r1", "R.2_x-y", "0" * 40):
        made = page.evaluate(f"arranged({json.dumps(rater)})")
        wanted = [(one.trial.id, one.left, one.right) for one in study.arranged(rater)]
        assert [(one["trial"], one["left"], one["right"]) for one in made] == wanted


def test_nobody_chooses_before_both_were_watched(page: Page) -> None:
    start(page)
    page.evaluate("document.getElementById('left').pause()")
    page.press("ArrowLeft")
    page.evaluate("document.getElementById('choose-right').click()")
    assert text(page, "count") == f"Pair 1 of {TRIALS}"
    assert page.evaluate("document.getElementById('choose-left').disabled")
    page.press(" ")  # plays both again
    watch(page)
    assert page.evaluate("document.getElementById('hint').textContent") == ""


def test_clips_play_together_and_again(page: Page) -> None:
    start(page)
    page.until("plays >= 2")
    assert page.evaluate("videos.every(video => video.muted && video.videoWidth === 320)")


def test_both_sides_show_their_own_clip(page: Page, study: Study) -> None:
    start(page)
    for side in ("left", "right"):
        clip = getattr(study.arranged("ann")[0], side)
        source = page.evaluate(f"document.getElementById('{side}').src")
        assert source == "data:video/mp4;base64," + page.evaluate(f"data.clips['{clip}']")


def test_progress_is_kept(page: Page, study: Study, tmp_path: Path) -> None:
    start(page)
    finish(page, ["ArrowRight"])
    reopened(page)
    assert visible(page, "intro")
    start(page, "someone-else")
    assert text(page, "count") == f"Pair 1 of {TRIALS}"
    reopened(page)
    start(page)
    assert text(page, "count") == f"Pair 2 of {TRIALS}"
    finish(page, ["ArrowRight"] * (TRIALS - 1))
    assert len(study.read(saved(page, tmp_path, "json").read_bytes()).choices) == TRIALS


@pytest.mark.parametrize(
    "kept", ["{", "7", '[{"trial": "x"}]', '[{"choice": "left"}, 3]', "[null]"]
)
def test_what_was_kept_is_not_trusted(page: Page, path: Path, study: Study, kept: str) -> None:
    place = json.dumps(f"spf-study/{study.id}/ann")
    page.evaluate(f"localStorage.setItem({place}, {json.dumps(kept)})")
    start(page)
    assert text(page, "count") == f"Pair 1 of {TRIALS}"


def test_a_choice_can_be_undone(page: Page) -> None:
    start(page)
    assert not visible(page, "undo")
    finish(page, ["ArrowLeft"])
    page.evaluate("document.getElementById('undo').click()")
    assert text(page, "count") == f"Pair 1 of {TRIALS}"
    assert page.evaluate("answers.length") == 0


def test_space_after_a_click_plays_and_does_not_choose(page: Page) -> None:
    start(page)
    watch(page)
    page.evaluate("document.getElementById('choose-left').focus()")
    page.press("Enter")
    assert text(page, "count") == f"Pair 2 of {TRIALS}"
    watch(page)
    page.press(" ")
    assert text(page, "count") == f"Pair 2 of {TRIALS}"


@pytest.mark.parametrize("rater", ["", "../x", "=1+1", "a b", "x" * 41, "é"])
def test_codes_that_no_file_could_have_are_refused(page: Page, rater: str) -> None:
    start(page, rater)
    assert visible(page, "intro")


def test_prompts_are_text(page: Page, study: Study) -> None:
    start(page)
    pairs = [shown.trial.pair for shown in study.arranged("ann")]
    finish(page, ["ArrowLeft"] * pairs.index("one"))
    assert page.evaluate("document.getElementById('prompt').textContent").endswith(EVIL)
    assert page.evaluate("document.querySelectorAll('b').length") == 0
    assert page.evaluate("document.scripts.length") == 2


def test_no_name_is_in_the_page(path: Path) -> None:
    assert "strategy" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("size", [(390, 844), (1280, 800), (844, 390)])
def test_a_trial_fits_its_window(page: Page, size: tuple[int, int]) -> None:
    """Nothing to scroll sideways, and on a phone both clips and both buttons at once."""
    page.resize(*size)
    start(page)
    watch(page)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    if size != (844, 390):
        low = "document.getElementById('choose-right').getBoundingClientRect().bottom"
        assert page.evaluate(low) <= size[1]
    page.resize(1280, 900)


def test_buttons_are_named_and_pictures_described(page: Page) -> None:
    start(page)
    names = page.evaluate(
        "[...document.querySelectorAll('#trial button, #trial video')]"
        ".map(x => x.ariaLabel || x.innerText.trim())"
    )
    assert len(names) == 6
    assert all(isinstance(name, str) for name in names)
    assert names[:2] == ["First clip", "← First clip"]
    assert page.evaluate("document.activeElement.id") == "question"
    assert page.evaluate("document.documentElement.lang") == "en"
