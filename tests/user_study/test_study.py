import json
from collections import Counter
from functools import reduce
from operator import getitem
from typing import Any

import numpy as np
import pytest
import raters

from benchmarks.user_study.trials import EVEN, JUMP, AnswersError, Study

NAMES = ["none", "rope", "wrong"]
PAIRS = ["p0", "p1", "p2", "p3"]
SCORES = {"none": 0.0, "rope": 1.0, "wrong": -1.0}


@pytest.fixture(scope="module")
def study():
    return Study.planned(["content"], NAMES, PAIRS, 5)


@pytest.fixture
def content(study):
    return raters.answers(study, "ann", raters.attentive(SCORES, 0))


def test_ids_come_from_the_content():
    whole = (["x"], NAMES, PAIRS, 2)
    others = [(["y"], *whole[1:]), (["x"], NAMES[:2], PAIRS, 2), (*whole[:3], 3)]
    assert len({Study.planned(*x).id for x in (whole, whole, *others)}) == 4


def test_the_order_of_ids_says_nothing():
    firsts: Counter[str] = Counter()
    places = []
    for number in range(200):
        study = Study.planned([number], ["a", "b"], PAIRS, 4)
        for place, trial in enumerate(study.trials):
            firsts[next(iter(trial.clips.values()))] += 1
            places += [place] * trial.check
    assert firsts["a"] / (firsts["a"] + firsts["b"]) == pytest.approx(0.5, abs=0.06)
    assert firsts[EVEN] / (firsts[EVEN] + firsts[JUMP]) == pytest.approx(0.5, abs=0.06)
    assert np.mean(places) == pytest.approx(3.5, abs=0.3)


def test_sides_and_places_are_even_over_raters(study):
    places, left = Counter(), Counter()
    for number in range(600):
        for place, shown in enumerate(study.arranged(f"rater-{number}")):
            places[shown.trial.id] += place / 600
            left[shown.trial.id] += (shown.left == min(shown.trial.clips)) / 600
    assert len(places) == len(study.trials)
    assert all(x == pytest.approx((len(places) - 1) / 2, abs=1.0) for x in places.values())
    assert all(x == pytest.approx(0.5, abs=0.09) for x in left.values())


def test_trials_that_are_left_out_move_no_other(study):
    lost = study.trials[3]
    fewer = study.of_clips({c for trial in study.trials if trial is not lost for c in trial.clips})
    gone = {trial.id for trial in study.trials} - {trial.id for trial in fewer.trials}
    rest = [shown for shown in study.arranged("ann") if shown.trial.id not in gone]
    assert fewer.arranged("ann") == rest


def test_a_damaged_key_is_refused(study):
    key = study.key()
    swapped = key.replace('"rope"', '"none "', 1)
    for text in (key[:-40], swapped, "", "[1, 2]", "[" * 100_000):
        with pytest.raises(AnswersError, match=r"^.+$"):
            Study.from_key(text.encode())


WRONG: list[list[Any]] = [
    ["format", "other"], ["version", 99], ["study", "0123456789abcdef"], ["rater", 7],
    ["rater", "../ann"], ["rater", "eve"], ["extra", 1], ["answers", {"a": 1}],
    ["answers", 0, "more", 1], ["answers", 3, "trial", "feed"], ["answers", 1, "choice", "both"],
    ["answers", 1, "plays", -1], ["answers", 1, "plays", True],
    ["answers", 1, "seconds", float("nan")], ["answers", 1, "seconds", 10**400],
]  # fmt: skip
"""A path in a file of answers, and what stands there."""


@pytest.mark.parametrize("what", [*WRONG, "no rater", "repeated", "other order", "sides swapped"])
def test_answers_that_no_page_saved_are_refused(study, content, what):
    answers = content["answers"]
    if what in WRONG:
        *path, last, value = what
        reduce(getitem, path, content)[last] = value
    elif what == "no rater":
        del content["rater"]
    elif what == "repeated":
        answers.insert(3, answers[2])
    elif what == "other order":
        answers.reverse()
    else:
        answers[2] |= {"left": answers[2]["right"], "right": answers[2]["left"]}
    with pytest.raises(AnswersError, match=r"^(?=.{,299}$).+; "):  # a line with its remedy
        study.read(json.dumps(content).encode())


def test_files_that_are_no_answers_are_refused(study, content):
    whole = json.dumps(content).encode()
    for share in (0, 0.1, 0.5, 0.99):
        with pytest.raises(AnswersError, match="cut off"):
            study.read(whole[: int(len(whole) * share)])
    for data in (b"\xff\xfe", b"null", b"[" * 100_000, b"1" * 10_000, b'{"format": 1}'):
        with pytest.raises(AnswersError):
            study.read(data)
    other = Study.planned(["other"], NAMES, PAIRS, 5)
    with pytest.raises(AnswersError, match=r"benchmark\.key=FILE"):  # the remedy
        other.read(whole)
