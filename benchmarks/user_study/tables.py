"""What the answers of a user study say: tables and sentences."""

from collections.abc import Sequence
from itertools import combinations
from math import ceil, isfinite
from typing import Any

import numpy as np

from benchmarks.harness.cells import Section, Summary, Table
from benchmarks.harness.printing import printer
from benchmarks.harness.records import Record
from benchmarks.harness.statistics import ALPHA, POWER, holm
from benchmarks.user_study.preferences import (
    HALF,
    MINIMAL_RATERS,
    Vote,
    agreement,
    between,
    bradley_terry,
    bradley_terry_intervals,
    choices_needed,
    krippendorff_alpha,
    majorities,
    passes_by_chance,
    rate_of,
    ratings,
    wins_of,
)
from benchmarks.user_study.raters import Rater, Rules, read_raters, votes_of
from benchmarks.user_study.trials import Study

Row = dict[str, Any]

QUESTION = "Which of the two clips changes more evenly, from its beginning to its end?"
NO_ANSWERS = "no answers yet"
TRUE_RATES = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)


def summarised(
    study: Study,
    records: Sequence[Record],
    left_out: dict[str, str],
    rules: Rules,
    page: str,
) -> Summary:
    """Headline, sentences and tables. page : path of the page in the run's folder; "" where none
    was made."""
    raters = read_raters(study, records, rules)
    votes = votes_of(raters)
    counted = sum(rater.counted for rater in raters)
    rows = preference_rows(study, votes)
    headline = (
        f"{counted} of {len(raters)} files of answers counted, {len(votes)} choices"
        if raters
        else f"{NO_ANSWERS}; {len(study.trials)} trials a rater"
    )
    preferences = Table.of_rows(
        "preferences", f"Choices: {QUESTION}", PREFERENCES, rows, PREFERENCE_NOTE
    )
    results = Section(
        "User study",
        [_first_sentence(study, raters, votes, page), *_sentences(preferences)],
        [
            preferences,
            Table.of_rows("bradley_terry", "Scores", SCORES, score_rows(study, votes), SCORE_NOTE),
        ],
    )
    people = Section(
        "Raters",
        [],
        [
            Table.of_rows(
                "raters",
                "Every file of answers",
                RATERS,
                _rater_rows(study, raters, rules),
                _rule(rules),
            ),
            Table.of_rows(
                "by_pacing",
                "Choices against the measured pacing",
                PACING,
                pacing_rows(study, raters),
                PACING_NOTE,
            ),
        ],
    )
    needs = Section(
        "Raters needed",
        [],
        [
            Table.of_rows(
                "sample_size",
                "Choices needed to show a preference",
                SIZES,
                size_rows(study),
                SIZE_NOTE,
            )
        ],
    )
    shown = [Section("The page", links={"The page for raters": page})] if page else []
    missing = [{"pair": pair, "reason": reason} for pair, reason in sorted(left_out.items())]
    lost = Table.of_rows("left_out", "Pairs left out of the study", ["pair", "reason"], missing)
    more = [Section("Pairs left out", [], [lost])] if missing else []
    return Summary(headline, [results, *shown, people, needs, *more])


PREFERENCES = [
    "first",
    "second",
    "choices",
    "first_chosen",
    "rate",
    "low_95",
    "high_95",
    "p",
    "p_holm",
    "raters",
    "raters_for_first",
    "raters_for_second",
    "raters_tied",
    "raters_p",
    "raters_p_holm",
    "agreement",
    "krippendorff_alpha",
    "remark",
]
PREFERENCE_NOTE = (
    "rate: share of the choices for `first`, with the exact 95% interval of Clopper and Pearson, "
    "and p of the exact binomial test against 1/2 (p_holm: corrected for the pairs of strategies), "
    "as if every choice were independent. Choices of one rater are not: raters_p is the sign test "
    "over raters, each counted once for what they chose more often, and raters_p_holm is corrected "
    "as p_holm is. agreement: share "
    "of the pairs of raters who chose alike; krippendorff_alpha: 1 where all agree, 0 by chance."
)
SCORES = ["order", "strategy", "score", "low_95", "high_95", "choices", "remark"]
SCORE_NOTE = (
    "Bradley-Terry: one is chosen before another with the probability 1 / (1 + exp(difference of "
    f"their scores)); mean 0. To each side of each comparison {HALF:g} choices are added, so that "
    "all scores are finite. Intervals: bootstrap over raters, percentile, "
    f"{MINIMAL_RATERS} raters or more."
)
RATERS = ["file", "rater", "counted", "reason", "answered", "trials", "checks_right", "checks"]
PACING = ["comparison", "choices", "more_even_chosen", "rate", "low_95", "high_95"]
PACING_NOTE = (
    "How often the clip with the lower linearity_mae was chosen: whether the measured pacing "
    "is what people see. Exact intervals, as if every choice were independent."
)
SIZES = ["true_rate", "choices_needed", "raters_needed"]
SIZE_NOTE = (
    f"Independent choices after which the exact two-sided binomial test (level {ALPHA:g}) shows a "
    f"true preference with a probability of {POWER:.0%} or more. raters_needed: where each rater "
    "answers all trials of a comparison; more where a rater's choices resemble each other."
)


def preference_rows(study: Study, votes: Sequence[Vote]) -> list[Row]:
    """A row for every two strategies."""
    rows = []
    for first, second in combinations(study.strategies, 2):
        own = between(votes, first, second)
        row: Row = dict.fromkeys(PREFERENCES) | {"first": first, "second": second}
        rate = rate_of(sum(vote.winner == first for vote in own), len(own))
        row |= {"choices": rate.choices, "first_chosen": rate.chosen, "remark": NO_ANSWERS}
        if own:
            more, less, tied = majorities(own, first)
            values = ratings(own, first)
            row |= {
                "rate": rate.rate,
                "low_95": rate.low,
                "high_95": rate.high,
                "p": rate.p,
                "raters": more + less + tied,
                "raters_for_first": more,
                "raters_for_second": less,
                "raters_tied": tied,
                "raters_p": rate_of(more, more + less).p,
                "agreement": agreement(values),
                "krippendorff_alpha": krippendorff_alpha(values),
                "remark": "",
            }
        rows.append(row)
    answered = [row for row in rows if row["p"] is not None]
    if answered:
        for name in ("p", "raters_p"):
            corrected = holm(np.array([row[name] for row in answered]))
            for row, value in zip(answered, corrected.tolist(), strict=True):
                row[f"{name}_holm"] = value
    return rows


def score_rows(study: Study, votes: Sequence[Vote]) -> list[Row]:
    """A row for every strategy, the highest score first."""
    blank: Row = dict.fromkeys(SCORES)
    if not votes:
        return [
            blank | {"strategy": name, "choices": 0, "remark": NO_ANSWERS}
            for name in study.strategies
        ]
    wins = wins_of(votes, study.strategies)
    scores = bradley_terry(wins.sum(axis=0))
    limits = bradley_terry_intervals(wins, f"user study {study.id}")
    choices = wins.sum(axis=(0, 2)) + wins.sum(axis=(0, 1))
    rows = [
        blank
        | {
            "strategy": name,
            "score": float(scores[index]),
            "low_95": float(limits[index, 0]),
            "high_95": float(limits[index, 1]),
            "choices": int(choices[index]),
            "remark": "" if len(wins) >= MINIMAL_RATERS else f"no interval: {len(wins)} raters",
        }
        for index, name in enumerate(study.strategies)
    ]
    if not isfinite(scores[0]):
        return [row | {"remark": "no chain of comparisons joins all strategies"} for row in rows]
    rows.sort(key=lambda row: (-row["score"], row["strategy"]))
    for row in rows:
        row["order"] = 1 + sum(other["score"] > row["score"] for other in rows)
    return rows


def pacing_rows(study: Study, raters: Sequence[Rater]) -> list[Row]:
    """Choices for the clip that measures more even, for every two strategies and for all."""
    known = study.linearity_mae
    counts: dict[str, list[bool]] = {}
    for rater in raters:
        for choice in rater.answers.choices if rater.answers and rater.counted else []:
            clips = choice.trial.clips
            values = [known[clip] for clip in clips if clip in known]
            if choice.trial.check or len(values) < 2 or values[0] == values[1]:
                continue
            names = " and ".join(name for name in study.strategies if name in clips.values())
            counts.setdefault(names, []).append(known[choice.chosen] == min(values))
    every = [chosen for some in counts.values() for chosen in some]
    rows = []
    for name, some in [*counts.items(), *([("all", every)] if len(counts) > 1 else [])]:
        rate = rate_of(sum(some), len(some))
        shown: Row = {"comparison": name, "choices": rate.choices, "more_even_chosen": rate.chosen}
        rows.append(shown | {"rate": rate.rate, "low_95": rate.low, "high_95": rate.high})
    return sorted(rows, key=lambda row: (row["comparison"] == "all", row["comparison"]))


def size_rows(study: Study) -> list[Row]:
    """Choices, and raters who each see all pairs, for a number of true rates."""
    pairs = max(1, len(study.pairs))
    needed = {rate: choices_needed(rate) for rate in TRUE_RATES}
    return [
        {"true_rate": rate, "choices_needed": choices, "raters_needed": ceil(choices / pairs)}
        for rate, choices in needed.items()
    ]


def _rater_rows(study: Study, raters: Sequence[Rater], rules: Rules) -> list[Row]:
    return [
        {
            "file": rater.file,
            "rater": rater.rater,
            "counted": "yes" if rater.counted else "no",
            "reason": rater.reason,
            "answered": len(rater.answers.choices) if rater.answers else None,
            "trials": len(study.trials),
            "checks_right": rater.right if rater.answers else None,
            "checks": rules.checks,
        }
        for rater in raters
    ]


def _first_sentence(study: Study, raters: Sequence[Rater], votes: Sequence[Vote], page: str) -> str:
    where = f" The page is {page} in this run's folder, and key.json beside it its key." * bool(
        page
    )
    if not study.pairs:
        return "There is no page: no pair has clips that can be shown beside each other."
    if not raters:
        return (
            f"No answers yet.{where} No person has rated these clips, and nothing stands for one."
        )
    people = len({vote.rater for vote in votes})
    return f"{len(votes)} choices of {people} rater(s) on {len(study.pairs)} pair(s).{where}"


def _rule(rules: Rules) -> str:
    """Who is counted, for the note of a table."""
    if not rules.checks:
        return "There are no attention checks."
    chance = passes_by_chance(rules.checks, rules.missed)
    return (
        f"A rater is counted who has {rules.needed} of {rules.checks} attention checks right: one "
        f"who guesses passes with a probability of {chance:.2g}."
    )


def _sentences(table: Table) -> list[str]:
    text = printer(table)
    said = []
    for row in table.rows:
        if not row["choices"]:
            continue
        clear = row["p_holm"] < ALPHA and row["raters_p_holm"] < ALPHA
        doubt = "" if clear else ", not beyond doubt"
        said.append(
            f"{row['first']} was chosen before {row['second']} in {row['first_chosen']} of "
            f"{row['choices']} choices (rate {text(row, 'rate')}, exact interval "
            f"{text(row, 'low_95')} .. {text(row, 'high_95')}){doubt}."
        )
    return said
