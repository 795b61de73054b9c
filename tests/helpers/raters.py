"""Simulated raters with known preferences, for tests alone: nobody was asked."""

import numpy as np

from benchmarks.user_study.trials import ANSWERS_FORMAT, EVEN, VERSION


def attentive(scores, seed):
    """Which side a rater chooses who follows Bradley-Terry scores, and sees every check."""
    random = np.random.default_rng(seed)

    def choose(shown):
        left, right = (shown.trial.clips[clip] for clip in (shown.left, shown.right))
        if shown.trial.check:
            return "left" if left == EVEN else "right"
        chance = 1 / (1 + np.exp(scores[right] - scores[left]))
        return "left" if random.random() < chance else "right"

    return choose


def answers(study, rater, choose, count=None):
    """What the page would save after so many choices."""
    made = [
        {"trial": shown.trial.id, "left": shown.left, "right": shown.right}
        | {"choice": choose(shown), "plays": 2, "seconds": 4.125}
        for shown in study.arranged(rater)[:count]
    ]
    head = {"format": ANSWERS_FORMAT, "version": VERSION, "study": study.id, "rater": rater}
    return head | {"answers": made}
