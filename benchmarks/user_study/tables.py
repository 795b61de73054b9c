"""What the answers of a user study say: tables and sentences."""

from collections.abc import Sequence
from itertools import combinations
from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.harness.cells import Section, Summary, Table
from benchmarks.harness.records import DONE, Record, printer
from benchmarks.harness.statistics import ALPHA, POWER, holm
from benchmarks.user_study import preferences
from benchmarks.user_study.preferences import HALF, MINIMAL_RATERS, VOTES, rate_of
from benchmarks.user_study.trials import EVEN, AnswersError, Study

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
    study: Study, records: Sequence[Record], left_out: dict[str, str], missed: int, page: str
) -> Summary:
    """Headline, sentences and tables.

    missed : attention checks that a counted rater may miss or leave out. page : path of the page in
    the run's folder; "" where none was made.
    """
    people, votes = read_raters(study, records, missed)
    headline = f"{NO_ANSWERS}; {len(study.trials)} trials a rater"
    if people:
        counted = sum(row["counted"] == "yes" for row in people)
        headline = f"{counted} of {len(people)} files of answers counted, {len(votes)} choices"
    table = Table.of_rows
    rows = preference_rows(study, votes)
    choices = table("preferences", f"Choices: {QUESTION}", PREFERENCES, rows, PREFERENCE_NOTE)
    scores = Table("bradley_terry", "Scores", score_table(study, votes), SCORE_NOTE)
    lines = [_first_sentence(study, bool(people), votes, page), *_sentences(choices)]
    pacing, title = pacing_rows(study, votes), "Choices against the measured pacing"
    by_rater = [
        table("raters", "Every file of answers", RATERS, people, _rule(study, missed)),
        table("by_pacing", title, PACING, pacing, PACING_NOTE),
    ]
    needed = [(rate, preferences.choices_needed(rate)) for rate in TRUE_RATES]
    pairs = max(1, len(study.pairs))
    sizes = [dict(zip(SIZES, (rate, n, ceil(n / pairs)), strict=True)) for rate, n in needed]
    size_title = "Choices needed to show a preference"
    size_table = table("sample_size", size_title, SIZES, sizes, SIZE_NOTE)
    sections = [Section("User study", lines, [choices, scores])]
    if page:
        sections.append(Section("The page", links={"The page for raters": page}))
    sections += [Section("Raters", [], by_rater), Section("Raters needed", [], [size_table])]
    if left_out:
        rows = [{"pair": pair, "reason": reason} for pair, reason in sorted(left_out.items())]
        lost = table("left_out", "Pairs left out of the study", ["pair", "reason"], rows)
        sections.append(Section("Pairs left out", [], [lost]))
    return Summary(headline, sections)


def read_raters(
    study: Study, records: Sequence[Record], missed: int
) -> tuple[list[Row], pd.DataFrame]:
    """A row for every file of answers; and the choices of the counted ones between strategies:
    `VOTES`, and the clips that were `chosen` and not, `other`."""
    needed = max(0, study.checks - missed)
    rows: list[Row] = []
    votes: list[Row] = []
    for record in records:
        row: Row = {"file": record["clip"], "rater": "", "reason": record["reason"]}
        rows.append(row | {"trials": len(study.trials), "checks": study.checks, "counted": "no"})
        if record["status"] != DONE:
            continue
        try:
            rater, choices = study.read(record["answers"].encode())
        except AnswersError as error:  # a pair has been left out since the page was made
            rows[-1]["reason"] = str(error)
            continue
        right = sum(trial.check and trial.clips[clip] == EVEN for trial, clip in choices)
        rows[-1] |= {"rater": rater, "answered": len(choices), "checks_right": right}
        if right < needed:
            score = f"{right} of {study.checks} attention checks right, {needed} needed"
            rows[-1]["reason"] = f"excluded: {score}"
        for trial, chosen in (choice for choice in choices if not choice[0].check):
            (other,) = trial.clips.keys() - {chosen}
            two = {"winner": trial.clips[chosen], "loser": trial.clips[other]}
            vote = {"rater": rater, "item": trial.id, "chosen": chosen, "other": other}
            votes.append({"row": len(rows) - 1, **vote, **two})
    # The page saves from the first answer on: of each rater the fullest file is counted.
    fullest: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: -row.get("answered", 0)):
        if row["rater"]:
            first = fullest.setdefault(row["rater"], row)
            if row is not first:
                row["reason"] = (
                    f"excluded: rater {row['rater']} answered in {first['file']} already"
                )
            elif not row["reason"]:
                row["counted"] = "yes"
    table = pd.DataFrame(votes, columns=["row", *VOTES, "chosen", "other"])
    counted = [number for number, row in enumerate(rows) if row["counted"] == "yes"]
    return rows, table[table["row"].isin(counted)]


def preference_rows(study: Study, votes: pd.DataFrame) -> list[Row]:
    """A row for every two strategies."""
    rows = []
    for first, second in combinations(study.strategies, 2):
        own = between(votes, first, second)
        chosen = int((own["winner"] == first).sum())
        row: Row = {"first": first, "second": second, "first_chosen": chosen}
        row |= {"choices": len(own), "note": "" if len(own) else NO_ANSWERS}
        if len(own):
            more, less, tied = preferences.majorities(own, first)
            values = preferences.ratings(own, first)
            row |= rate_of(chosen, len(own))._asdict() | {"raters_p": rate_of(more, more + less).p}
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


def score_table(study: Study, votes: pd.DataFrame) -> pd.DataFrame:
    """A row for every strategy, the highest score first."""
    table = pd.DataFrame({"strategy": study.strategies, "choices": 0, "note": NO_ANSWERS})
    if len(votes):
        wins = preferences.wins_of(votes, study.strategies)
        table["score"] = preferences.bradley_terry(wins.sum(axis=0))
        limits = preferences.bradley_terry_intervals(wins, f"user study {study.id}")
        table[["low_95", "high_95"]] = limits
        table["choices"] = (wins.sum(axis=(0, 2)) + wins.sum(axis=(0, 1))).astype(int)
        table["note"] = "" if len(wins) >= MINIMAL_RATERS else f"no interval: {len(wins)} raters"
        if table["score"].isna().any():
            table["note"] = "no chain of comparisons joins all strategies"
        else:
            table["order"] = table["score"].rank(method="min", ascending=False).astype(int)
            table = table.sort_values(["order", "strategy"])
    return table.reindex(columns=SCORES)


def pacing_rows(study: Study, votes: pd.DataFrame) -> list[Row]:
    """Choices for the clip that measures more even, for every two strategies and for all."""
    chosen, other = (votes[side].map(dict(study.linearity_mae)) for side in ("chosen", "other"))
    known = votes.assign(even=chosen < other)[chosen.notna() & other.notna() & (chosen != other)]
    two = combinations(study.strategies, 2)
    groups = {f"{first} and {second}": between(known, first, second) for first, second in two}
    groups = {name: groups[name] for name in sorted(groups) if len(groups[name])}
    if len(groups) > 1:
        groups["all"] = known
    rows = []
    for name, own in groups.items():
        even = int(own["even"].sum())
        row: Row = {"comparison": name, "choices": len(own), "more_even_chosen": even}
        rows.append(row | rate_of(even, len(own))._asdict())
    return rows


def between(votes: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """The votes on two strategies, whichever won."""
    return votes[votes[["winner", "loser"]].isin([first, second]).all(axis=1)]


def _first_sentence(study: Study, answered: bool, votes: pd.DataFrame, page: str) -> str:
    where = f" The page is {page} in this run's folder, and key.json beside it its key."
    where = where if page else ""
    if not study.pairs:
        return "There is no page: no pair has clips that can be shown beside each other."
    if not answered:
        nobody = "No person has rated these clips, and nothing stands for one."
        return f"No answers yet.{where} {nobody}"
    people = votes["rater"].nunique()
    return f"{len(votes)} choices of {people} rater(s) on {len(study.pairs)} pair(s).{where}"


def _rule(study: Study, missed: int) -> str:
    """Who is counted, for the note of a table."""
    if not study.checks:
        return "There are no attention checks."
    chance = preferences.passes_by_chance(study.checks, missed)
    return (
        f"A rater is counted who has {max(0, study.checks - missed)} of {study.checks} attention "
        f"checks right: one who guesses passes with a probability of {chance:.2g}."
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
