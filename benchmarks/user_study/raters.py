"""Who is counted in a user study, and what they chose."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.harness.records import DONE, Record
from benchmarks.user_study.preferences import Vote
from benchmarks.user_study.trials import EVEN, Answers, AnswersError, Choice, Study


@dataclass(frozen=True)
class Rules:
    """Attention checks of the study, and how many a counted rater may miss or leave out."""

    checks: int
    missed: int

    @property
    def needed(self) -> int:
        """Checks that a counted rater has right."""
        return max(0, self.checks - self.missed)


@dataclass(frozen=True)
class Rater:
    """A file of answers: what it holds, or `reason` why it is not counted."""

    file: str
    rater: str = ""
    answers: Answers | None = None
    right: int = 0
    reason: str = ""

    @property
    def counted(self) -> bool:
        return not self.reason

    @property
    def answered(self) -> int:
        return len(self.answers.choices) if self.answers else 0


def read_raters(study: Study, records: Sequence[Record], rules: Rules) -> list[Rater]:
    """Every file of answers, in order; of a rater's only the one with the most answers is counted
    (the first of equal ones), and only where the attention checks were answered."""
    found: list[Rater] = []
    for record in records:
        if record["status"] != DONE:
            found.append(Rater(record["clip"], reason=record["reason"]))
            continue
        try:
            answers = study.read(record["answers"].encode())
        except AnswersError as error:  # a pair has been left out since the page was made
            found.append(Rater(record["clip"], reason=str(error)))
            continue
        checks = [choice for choice in answers.choices if choice.trial.check]
        right = sum(choice.trial.clips[choice.chosen] == EVEN for choice in checks)
        score = f"{right} of {rules.checks} attention checks right, {rules.needed} needed"
        reason = f"excluded: {score}" if right < rules.needed else ""
        found.append(Rater(record["clip"], answers.rater, answers, right, reason))
    # The page saves from the first answer on: of each rater the fullest file is counted.
    fullest: dict[str, Rater] = {}
    for one in sorted(found, key=lambda one: -one.answered):
        fullest.setdefault(one.rater, one)
    return [
        replace(one, reason=f"excluded: rater {one.rater} answered in {first.file} already")
        if one.answers and one is not (first := fullest[one.rater])
        else one
        for one in found
    ]


def choices_of(raters: Sequence[Rater]) -> list[tuple[str, Choice]]:
    """The choices of the counted raters between strategies, each with its rater."""
    counted = [(one.rater, one.answers) for one in raters if one.answers and one.counted]
    return [(rater, x) for rater, own in counted for x in own.choices if not x.trial.check]


def votes_of(raters: Sequence[Rater]) -> list[Vote]:
    """The choices of the counted raters between strategies, as votes."""
    votes = []
    for rater, choice in choices_of(raters):
        clips = choice.trial.clips
        (other,) = (name for clip, name in clips.items() if clip != choice.chosen)
        votes.append(Vote(rater, choice.trial.id, clips[choice.chosen], other))
    return votes
