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
from benchmarks.user_study import preferences
from benchmarks.user_study.preferences import HALF, MINIMAL_RATERS, Rate, Vote, rate_of
from benchmarks.user_study.raters import Rater, Rules, choices_of, read_raters, votes_of
from benchmarks.user_study.trials import Study

Row = dict[str, Any]

QUESTION = "Which of the two clips changes more evenly, from its beginning to its end?"
NO_ANSWERS = "no answers yet"
TRUE_RATES = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)


PREFERENCES = ["first", "second", "choices", "first_chosen", "rate", "low_95", "high_95", "p"]
PREFERENCES += ["p_holm", "raters", "raters_for_first", "raters_for_second", "raters_tied"]
PREFERENCES += ["raters_p", "raters_p_holm", "agreement", "krippendorff_alpha", "note"]
PREFERENCE_NOTE = (
    "rate: share of the choices for `first`, with the exact 95% interval of Clopper and Pearson, "
    "and p of the exact binomial test against 1/2 (p_holm: corrected for the pairs of strategies), "
    "as if every choice were independent. Choices of one rater are not: raters_p is the sign test "
    "over raters, each counted once for what they chose more often, and raters_p_holm is corrected "
    "as p_holm is. agreement: share "
    "of the pairs of raters who chose alike; krippendorff_alpha: 1 where all agree, 0 by chance."
)
SCORES = ["order", "strategy", "score", "low_95", "high_95", "choices", "note"]
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


def summarised(
    study: Study, records: Sequence[Record], left_out: dict[str, str], rules: Rules, page: str
) -> Summary:
    """Headline, sentences and tables. page : path of the page in the run's folder; "" where none
    was made."""
    raters = read_raters(study, records, rules)
    votes = votes_of(raters)
    counted = sum(rater.counted for rater in raters)
    headline = f"{NO_ANSWERS}; {len(study.trials)} trials a rater"
    if raters:
        headline = f"{counted} of {len(raters)} files of answers counted, {len(votes)} choices"
    table = Table.of_rows
    rows, scores = preference_rows(study, votes), score_rows(study, votes)
    choices = table("preferences", f"Choices: {QUESTION}", PREFERENCES, rows, PREFERENCE_NOTE)
    score_table = table("bradley_terry", "Scores", SCORES, scores, SCORE_NOTE)
    lines = [_first_sentence(study, raters, votes, page), *_sentences(choices)]
    people = _rater_rows(study, raters, rules)
    pacing, title = pacing_rows(study, raters), "Choices against the measured pacing"
    sizes, needed = size_rows(study), "Choices needed to show a preference"
    by_rater = [
        table("raters", "Every file of answers", RATERS, people, _rule(rules)),
        table("by_pacing", title, PACING, pacing, PACING_NOTE),
    ]
    missing = [{"pair": pair, "reason": reason} for pair, reason in sorted(left_out.items())]
    lost = table("left_out", "Pairs left out of the study", ["pair", "reason"], missing)
    sections = [
        Section("User study", lines, [choices, score_table]),
        *([Section("The page", links={"The page for raters": page})] if page else []),
        Section("Raters", [], by_rater),
        Section("Raters needed", [], [table("sample_size", needed, SIZES, sizes, SIZE_NOTE)]),
        *([Section("Pairs left out", [], [lost])] if missing else []),
    ]
    return Summary(headline, sections)


def preference_rows(study: Study, votes: Sequence[Vote]) -> list[Row]:
    """A row for every two strategies."""
    rows = []
    for first, second in combinations(study.strategies, 2):
        own = preferences.between(votes, first, second)
        rate = rate_of(sum(vote.winner == first for vote in own), len(own))
        row: Row = {"first": first, "second": second, "first_chosen": rate.chosen}
        row |= {"choices": rate.choices, "note": "" if own else NO_ANSWERS}
        if own:
            more, less, tied = preferences.majorities(own, first)
            values = preferences.ratings(own, first)
            row |= _limits(rate) | {"p": rate.p, "raters_p": rate_of(more, more + less).p}
            row |= {"raters_for_first": more, "raters_for_second": less, "raters_tied": tied}
            row |= {"raters": more + less + tied, "agreement": preferences.agreement(values)}
            row |= {"krippendorff_alpha": preferences.krippendorff_alpha(values)}
        rows.append(row)
    answered = [row for row in rows if row["choices"]]
    for name in ("p", "raters_p"):
        corrected = holm(np.array([row[name] for row in answered]))
        for row, value in zip(answered, corrected.tolist(), strict=True):
            row[f"{name}_holm"] = value
    return rows


def _limits(rate: Rate) -> Row:
    return {"rate": rate.rate, "low_95": rate.low, "high_95": rate.high}


def score_rows(study: Study, votes: Sequence[Vote]) -> list[Row]:
    """A row for every strategy, the highest score first."""
    names = study.strategies
    if not votes:
        return [{"strategy": name, "choices": 0, "note": NO_ANSWERS} for name in names]
    wins = preferences.wins_of(votes, names)
    scores = preferences.bradley_terry(wins.sum(axis=0)).tolist()
    limits = preferences.bradley_terry_intervals(wins, f"user study {study.id}").tolist()
    choices = (wins.sum(axis=(0, 2)) + wins.sum(axis=(0, 1))).astype(int).tolist()
    note = "" if len(wins) >= MINIMAL_RATERS else f"no interval: {len(wins)} raters"
    columns = ("strategy", "score", "low_95", "high_95", "choices", "note")
    rows: list[Row] = [
        dict(zip(columns, (name, score, *ends, count, note), strict=True))
        for name, score, ends, count in zip(names, scores, limits, choices, strict=True)
    ]
    if not isfinite(scores[0]):
        return [row | {"note": "no chain of comparisons joins all strategies"} for row in rows]
    rows.sort(key=lambda row: (-row["score"], row["strategy"]))
    for row in rows:
        row["order"] = 1 + sum(other["score"] > row["score"] for other in rows)
    return rows


def pacing_rows(study: Study, raters: Sequence[Rater]) -> list[Row]:
    """Choices for the clip that measures more even, for every two strategies and for all."""
    known = study.linearity_mae
    counts: dict[str, list[bool]] = {}
    for _, choice in choices_of(raters):
        clips = choice.trial.clips
        values = [known[clip] for clip in clips if clip in known]
        if len(values) == 2 and values[0] != values[1]:
            names = " and ".join(name for name in study.strategies if name in clips.values())
            counts.setdefault(names, []).append(known[choice.chosen] == min(values))
    every = [chosen for some in counts.values() for chosen in some]
    rows = []
    for name, some in [*counts.items(), *([("all", every)] if len(counts) > 1 else [])]:
        rate = rate_of(sum(some), len(some))
        shown: Row = {"comparison": name, "choices": rate.choices, "more_even_chosen": rate.chosen}
        rows.append(shown | _limits(rate))
    return sorted(rows, key=lambda row: (row["comparison"] == "all", row["comparison"]))


def size_rows(study: Study) -> list[Row]:
    """Choices, and raters who each see all pairs, for a number of true rates."""
    pairs = max(1, len(study.pairs))
    needed = [(rate, preferences.choices_needed(rate)) for rate in TRUE_RATES]
    return [dict(zip(SIZES, (rate, n, ceil(n / pairs)), strict=True)) for rate, n in needed]


def _rater_rows(study: Study, raters: Sequence[Rater], rules: Rules) -> list[Row]:
    blank = {"trials": len(study.trials), "checks": rules.checks}
    rows = []
    for one in raters:
        row: Row = {"file": one.file, "rater": one.rater, "reason": one.reason}
        row |= blank | {"counted": "yes" if one.counted else "no"}
        rows.append(
            row | ({"answered": one.answered, "checks_right": one.right} if one.answers else {})
        )
    return rows


def _first_sentence(study: Study, raters: Sequence[Rater], votes: Sequence[Vote], page: str) -> str:
    where = f" The page is {page} in this run's folder, and key.json beside it its key."
    where = where if page else ""
    if not study.pairs:
        return "There is no page: no pair has clips that can be shown beside each other."
    if not raters:
        nobody = "No person has rated these clips, and nothing stands for one."
        return f"No answers yet.{where} {nobody}"
    people = len({vote.rater for vote in votes})
    return f"{len(votes)} choices of {people} rater(s) on {len(study.pairs)} pair(s).{where}"


def _rule(rules: Rules) -> str:
    """Who is counted, for the note of a table."""
    if not rules.checks:
        return "There are no attention checks."
    chance = preferences.passes_by_chance(rules.checks, rules.missed)
    return (
        f"A rater is counted who has {rules.needed} of {rules.checks} attention checks right: one "
        f"who guesses passes with a probability of {chance:.2g}."
    )


def _sentences(table: Table) -> list[str]:
    text = printer(table)
    lines = []
    for row in (row for row in table.rows if row["choices"]):
        clear = row["p_holm"] < ALPHA and row["raters_p_holm"] < ALPHA
        doubt = "" if clear else ", not beyond doubt"
        lines.append(
            f"{row['first']} was chosen before {row['second']} in {row['first_chosen']} of "
            f"{row['choices']} choices (rate {text(row, 'rate')}, exact interval "
            f"{text(row, 'low_95')} .. {text(row, 'high_95')}){doubt}."
        )
    return lines
