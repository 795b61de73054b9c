"""What each rater is shown, and which answers are believed."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import raters

from benchmarks.user_study.trials import EVEN, JUMP, AnswersError, Study

NAMES = ["none", "rope", "wrong"]
PAIRS = ["p0", "p1", "p2", "p3"]
SCORES = {"none": 0.0, "rope": 1.0, "wrong": -1.0}


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.planned(["content"], NAMES, PAIRS, 5)


@pytest.fixture
def content(study: Study) -> dict[str, Any]:
    return raters.answers(study, "ann", raters.attentive(SCORES, 0))


def packed(content: Any) -> bytes:
    return json.dumps(content).encode()


# The plan


def test_ids_come_from_the_content() -> None:
    first = Study.planned(["x"], NAMES, PAIRS, 2)
    assert first == Study.planned(["x"], NAMES, PAIRS, 2)
    others = [
        Study.planned(["y"], NAMES, PAIRS, 2),
        Study.planned(["x"], NAMES[:2], PAIRS, 2),
        Study.planned(["x"], NAMES, PAIRS[:3], 2),
        Study.planned(["x"], NAMES, PAIRS, 3),
    ]
    assert len({first.id, *(other.id for other in others)}) == 5


def test_the_order_of_ids_says_nothing() -> None:
    """Neither which trial is a check nor which clip is whose."""
    firsts: Counter[str] = Counter()
    places = []
    for number in range(200):
        study = Study.planned([number], ["a", "b"], PAIRS, 4)
        assert list(study.trials) == sorted(study.trials, key=lambda trial: trial.id)
        for place, trial in enumerate(study.trials):
            assert list(trial.clips) == sorted(trial.clips)
            firsts[next(iter(trial.clips.values()))] += 1
            places += [place] * trial.check
    assert firsts["a"] / (firsts["a"] + firsts["b"]) == pytest.approx(0.5, abs=0.06)
    assert firsts[EVEN] / (firsts[EVEN] + firsts[JUMP]) == pytest.approx(0.5, abs=0.06)
    assert np.mean(places) == pytest.approx(3.5, abs=0.3)


# What a rater sees


def test_sides_and_places_are_even_over_raters(study: Study) -> None:
    places: dict[str, list[int]] = {trial.id: [] for trial in study.trials}
    left: Counter[str] = Counter()
    for number in range(600):
        for place, shown in enumerate(study.arranged(f"rater-{number}")):
            places[shown.trial.id].append(place)
            left[shown.trial.id] += shown.left == min(shown.trial.clips)
    middle = (len(study.trials) - 1) / 2
    assert all(np.mean(found) == pytest.approx(middle, abs=1.0) for found in places.values())
    assert all(count / 600 == pytest.approx(0.5, abs=0.09) for count in left.values())


def test_trials_that_are_left_out_move_no_other(study: Study) -> None:
    lost = study.trials[3]
    fewer = study.of_clips({c for trial in study.trials if trial is not lost for c in trial.clips})
    gone = {trial.id for trial in study.trials} - {trial.id for trial in fewer.trials}
    kept = [shown for shown in study.arranged("ann") if shown.trial.id not in gone]
    assert fewer.arranged("ann") == kept


# The key


@pytest.mark.parametrize("damage", ["cut", "swap", "empty", "other", "deep"])
def test_a_damaged_key_is_refused(study: Study, damage: str) -> None:
    key = study.key()
    text = {
        "cut": key[:-40],
        "swap": key.replace('"rope"', '"none "', 1),
        "empty": "",
        "other": "[1, 2]",
        "deep": "[" * 100_000,
    }[damage]
    with pytest.raises(AnswersError) as error:
        Study.from_key(text.encode())
    assert "\n" not in str(error.value)


# Answers


def _set(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: Any) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = value

    return change


def _swapped(content: dict[str, Any]) -> None:
    given = content["answers"][2]
    given["left"], given["right"] = given["right"], given["left"]


WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    "format": _set("format", value="other"),
    "version": _set("version", value=99),
    "study": _set("study", value="0123456789abcdef"),
    "rater type": _set("rater", value=7),
    "rater letters": _set("rater", value="../ann"),
    "rater renamed": _set("rater", value="eve"),
    "no rater": lambda content: content.pop("rater"),
    "more keys": _set("extra", value=1),
    "answers type": _set("answers", value={"a": 1}),
    "answer keys": lambda content: content["answers"][0].pop("plays"),
    "unknown trial": _set("answers", 3, "trial", value="feed"),
    "repeated trial": lambda content: content["answers"].insert(3, content["answers"][2]),
    "other order": lambda content: content["answers"].reverse(),
    "sides swapped": _swapped,
    "choice": _set("answers", 1, "choice", value="both"),
    "plays": _set("answers", 1, "plays", value=-1),
    "plays type": _set("answers", 1, "plays", value=True),
    "seconds": _set("answers", 1, "seconds", value=float("nan")),
    "seconds huge": _set("answers", 1, "seconds", value=10**400),
}


@pytest.mark.parametrize("what", WRONG)
def test_answers_that_no_page_saved_are_refused(
    study: Study, content: dict[str, Any], what: str
) -> None:
    changed = copy.deepcopy(content)
    WRONG[what](changed)
    with pytest.raises(AnswersError) as error:
        study.read(packed(changed))
    text = str(error.value)
    assert "\n" not in text
    assert "; " in text  # the remedy
    assert len(text) < 300


def test_files_that_are_no_answers_are_refused(study: Study, content: dict[str, Any]) -> None:
    whole = packed(content)
    for share in (0, 0.1, 0.5, 0.99):
        with pytest.raises(AnswersError, match="cut off"):
            study.read(whole[: int(len(whole) * share)])
    for data in (b"\xff\xfe", b"null", b"[]", b"[" * 100_000, b"1" * 10_000, b'{"format": 1}'):
        with pytest.raises(AnswersError):
            study.read(data)


def test_answers_of_another_study_name_the_remedy(content: dict[str, Any]) -> None:
    other = Study.planned(["other"], NAMES, PAIRS, 5)
    with pytest.raises(AnswersError, match=r"benchmark\.key=FILE"):
        other.read(packed(content))
