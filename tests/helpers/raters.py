"""Simulated raters with known preferences, for tests alone: nobody was asked."""

import json
from collections.abc import Callable
from itertools import combinations

import numpy as np

from benchmarks.user_study.preferences import Vote
from benchmarks.user_study.trials import ANSWERS_FORMAT, EVEN, VERSION, Shown

Choose = Callable[[Shown], str]
"""Which side a rater chooses."""


def attentive(scores, seed):
    """A rater who follows Bradley-Terry scores, and sees every attention check."""
    random = np.random.default_rng(seed)

    def choose(shown):
        left, right = (shown.trial.clips[clip] for clip in (shown.left, shown.right))
        if shown.trial.check:
            return "left" if left == EVEN else "right"
        chance = 1 / (1 + np.exp(scores[right] - scores[left]))
        return "left" if random.random() < chance else "right"

    return choose


def blind(shown):
    """A rater who fails every attention check."""
    even = shown.trial.check and shown.trial.clips[shown.left] == EVEN
    return "right" if even else "left"


def answers(study, rater, choose, count=None):
    """What the page would save after so many choices."""
    made = [
        {"trial": shown.trial.id, "left": shown.left, "right": shown.right}
        | {"choice": choose(shown), "plays": 2, "seconds": 4.125}
        for shown in study.arranged(rater)[:count]
    ]
    head = {"format": ANSWERS_FORMAT, "version": VERSION, "study": study.id, "rater": rater}
    return head | {"answers": made}


def save(folder, content):
    """A file of answers in a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{content['rater']}.json"
    path.write_text(json.dumps(content, indent=1))
    return path


def votes(scores, raters, items, seed, spread=0.0):
    """Choices of raters whose own scores differ from `scores` by normal numbers of that spread."""
    random = np.random.default_rng(seed)
    found = []
    for rater in range(raters):
        own = {name: score + random.normal(0, spread) for name, score in scores.items()}
        for item in range(items):
            for two in combinations(scores, 2):
                chance = 1 / (1 + np.exp(own[two[1]] - own[two[0]]))
                order = two if random.random() < chance else two[::-1]
                found.append(Vote(f"r{rater:03}", f"{item}-{'-'.join(two)}", *order))
    return found
