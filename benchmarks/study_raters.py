"""Who is counted in a user study, and what they chose."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.preferences import Vote
from benchmarks.records import DONE, Record
from benchmarks.study import EVEN, Answers, AnswersError, Study


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
    status: str
    rater: str = ""
    answers: Answers | None = None
    right: int = 0
    reason: str = ""

    @property
    def counted(self) -> bool:
        return not self.reason


def read_raters(study: Study, records: Sequence[Record], rules: Rules) -> list[Rater]:
    """Every file of answers, in order; only the first of a rater's is counted, and only where the
    attention checks were answered."""
    found: list[Rater] = []
    for record in records:
        file, status = record["clip"], record["status"]
        if status != DONE:
            found.append(Rater(file, status, reason=record["reason"]))
            continue
        try:
            answers = study.read(record["answers"].encode())
        except AnswersError as error:  # a pair has been left out since the page was made
            found.append(Rater(file, status, reason=str(error)))
            continue
        checks = [choice for choice in answers.choices if choice.trial.check]
        right = sum(choice.trial.clips[choice.chosen] == EVEN for choice in checks)
        earlier = next((one.file for one in found if one.rater == answers.rater), None)
        reason = ""
        if earlier is not None:
            reason = f"excluded: rater {answers.rater} answered in {earlier} already"
        elif right < rules.needed:
            told = f"{right} of {rules.checks} attention checks right, {rules.needed} needed"
            reason = f"excluded: {told}"
        found.append(Rater(file, status, answers.rater, answers, right, reason))
    return found


def votes_of(raters: Sequence[Rater]) -> list[Vote]:
    """The choices of the counted raters between strategies."""
    votes = []
    for rater in raters:
        if rater.answers is None or not rater.counted:
            continue
        for choice in rater.answers.choices:
            if not choice.trial.check:
                clips = choice.trial.clips
                (other,) = (name for clip, name in clips.items() if clip != choice.chosen)
                votes.append(Vote(rater.rater, choice.trial.id, clips[choice.chosen], other))
    return votes
