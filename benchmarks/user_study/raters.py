"""Who is counted in a user study, and what they chose."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.harness.records import DONE, Record
from benchmarks.user_study.preferences import Vote
from benchmarks.user_study.trials import EVEN, Answers, AnswersError, Study


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
    """Every file of answers, in order; of a rater's only the one with the most answers is counted
    (the first of equal ones), and only where the attention checks were answered."""
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
        reason = ""
        if right < rules.needed:
            told = f"{right} of {rules.checks} attention checks right, {rules.needed} needed"
            reason = f"excluded: {told}"
        found.append(Rater(file, status, answers.rater, answers, right, reason))
    return _once(found)


def _once(found: Sequence[Rater]) -> list[Rater]:
    """The same, with all but the fullest file of each rater excluded: the page saves from the first
    answer on."""
    fullest: dict[str, Rater] = {}
    for one in found:
        kept = fullest.get(one.rater)
        if one.answers is not None and (kept is None or _answered(one) > _answered(kept)):
            fullest[one.rater] = one
    said = {
        rater: f"excluded: rater {rater} answered in {one.file} already"
        for rater, one in fullest.items()
    }
    return [
        one
        if one.answers is None or one is fullest[one.rater]
        else replace(one, reason=said[one.rater])
        for one in found
    ]


def _answered(rater: Rater) -> int:
    return len(rater.answers.choices) if rater.answers is not None else 0


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
