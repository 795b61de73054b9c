"""A blind study of pairs of clips: its trials, what each rater is shown, and the answers.

The page knows ids alone; the key says what they are. study.js arranges the trials by the same rule
as `Study.arranged`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Any, Self

from spf.errors import SpfError
from spf.identity import digest
from spf.names import printable

ANSWERS_FORMAT, KEY_FORMAT, VERSION = "spf user study answers", "spf user study key", 1
EVEN, JUMP = "even", "jump"
"""What the two clips of an attention check are; `EVEN` is the right answer."""

RATER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
SIDES = ("left", "right")
CONTENT = {"format", "version", "study", "rater", "answers"}
ANSWER = {"trial", "left", "right", "choice", "plays", "seconds"}
LARGEST, MANY = 10_000_000, 1e9
"""Bytes of a file of answers, and plays or seconds of a trial, that no page writes."""


class AnswersError(SpfError):
    """A file of answers, or a key, that is not as the page or the benchmark wrote it."""


@dataclass(frozen=True)
class Trial:
    """Two clips of one pair of frames. clips : id -> strategy (or `EVEN` and `JUMP` where it is an
    attention check), in the order of the ids, which says nothing."""

    id: str
    pair: str
    clips: Mapping[str, str]
    check: bool = False


@dataclass(frozen=True)
class Shown:
    """A trial as a rater sees it: ids of the clips on both sides."""

    trial: Trial
    left: str
    right: str


@dataclass(frozen=True)
class Study:
    """All trials, by their ids. linearity_mae : of the clips where it is known, by their ids."""

    id: str
    strategies: tuple[str, ...]
    trials: tuple[Trial, ...]
    linearity_mae: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def planned(
        cls, content: Any, strategies: Sequence[str], pairs: Sequence[str], checks: int
    ) -> Self:
        """Every two strategies on every pair, and attention checks on the pairs in turn.

        content : plain data that determine the clips; the same ones give the same ids.
        """
        study = digest([content, list(strategies), list(pairs), checks])
        trials = []
        for pair in pairs:
            for two in combinations(strategies, 2):
                clips = sorted((digest([study, "clip", pair, name]), name) for name in two)
                trials.append(Trial(digest([study, "trial", pair, two]), pair, dict(clips)))
        for number in range(checks):
            kinds = (EVEN, JUMP)
            clips = sorted((digest([study, "check", number, name]), name) for name in kinds)
            pair, identity = pairs[number % len(pairs)], digest([study, "check", number])
            trials.append(Trial(identity, pair, dict(clips), check=True))
        return cls(study, tuple(strategies), tuple(sorted(trials, key=lambda trial: trial.id)))

    @property
    def checks(self) -> int:
        """Number of attention checks."""
        return sum(trial.check for trial in self.trials)

    @property
    def pairs(self) -> list[str]:
        """Pairs of frames with a comparison, sorted."""
        return sorted({trial.pair for trial in self.trials if not trial.check})

    def clip_of(self, strategy: str, pair: str) -> str:
        """Id of a strategy's clip of a pair."""
        return digest([self.id, "clip", pair, strategy])

    def of_clips(self, clips: Iterable[str]) -> Self:
        """The trials of which both clips are there."""
        there = set(clips)
        return replace(self, trials=tuple(x for x in self.trials if there.issuperset(x.clips)))

    def arranged(self, rater: str) -> list[Shown]:
        """The trials in the order and with the sides that a rater sees."""

        def drawn(purpose: str, trial: Trial) -> int:
            return scramble(f"{self.id}/{rater}/{purpose}/{trial.id}")

        order = sorted(self.trials, key=lambda trial: (drawn("order", trial), trial.id))
        sides = [tuple(trial.clips)[:: -1 if drawn("side", trial) >> 31 else 1] for trial in order]
        return [Shown(trial, *two) for trial, two in zip(order, sides, strict=True)]

    def key(self) -> str:
        """The key as JSON: with it answers can be read without the clips."""
        content = {"format": KEY_FORMAT, "version": VERSION, "study": self.id}
        content |= {"strategies": list(self.strategies), "linearity_mae": dict(self.linearity_mae)}
        content["trials"] = [asdict(trial) for trial in self.trials]
        return json.dumps(content | {"checksum": digest(content)}, indent=1) + "\n"

    @classmethod
    def from_key(cls, data: bytes) -> Self:
        """The study of a key. Raises AnswersError, in one line, for anything else."""
        content = _object(data, KEY_FORMAT)
        if content.pop("checksum", None) != digest(content):
            raise AnswersError("the key was changed or damaged; use the one beside the page")
        try:
            # What is no text is a TypeError of `printable`.
            strategies = tuple(map(printable, content["strategies"]))
            errors = {printable(clip): float(x) for clip, x in content["linearity_mae"].items()}
            trials = []
            for one in content["trials"]:
                clips = {printable(clip): printable(x) for clip, x in one["clips"].items()}
                names = printable(one["id"]), printable(one["pair"])
                trials.append(Trial(*names, clips, bool(one["check"])))
            return cls(printable(content["study"]), strategies, tuple(trials), errors)
        except (KeyError, TypeError, ValueError, AttributeError):
            why = "the key is not as it was written; use the one beside the page"
            raise AnswersError(why) from None

    def read(self, data: bytes) -> tuple[str, list[tuple[Trial, str]]]:
        """Rater and choices (trial, clip), not always of all trials, of a file that the page saved.

        Raises AnswersError, in one line, for what is wrong: nothing is guessed or passed over.
        """
        content = _object(data, ANSWERS_FORMAT)
        keys = ", ".join(sorted(content))
        _need(set(content) == CONTENT, f"its keys are {_brief(keys)}")
        if content["study"] != self.id:
            raise AnswersError(
                f"it answers the study {_brief(content['study'])}, not '{self.id}'; use the clips "
                "and settings of its page, or benchmark.key=FILE with the key beside that page"
            )
        rater, answers = content["rater"], content["answers"]
        _need(isinstance(rater, str) and RATER.fullmatch(rater), f"rater is {_brief(rater)}")
        _need(isinstance(answers, list), f"answers is {_brief(answers)}")
        places = {shown.trial.id: (n, shown) for n, shown in enumerate(self.arranged(rater))}
        choices, last = [], -1
        for number, answer in enumerate(answers, start=1):
            where = f"answer {number}"
            known = isinstance(answer, dict) and set(answer) == ANSWER
            _need(known, f"{where} is {_brief(answer)}")
            # A page leaves out trials whose clips could not be made, but keeps their order.
            place, shown = places.get(str(answer["trial"]), (-1, None))
            _need(shown and place > last, f"{where}: trial is {_brief(answer['trial'])}")
            assert shown is not None
            choices.append((shown.trial, _chosen(where, answer, shown)))
            last = place
        return rater, choices


def scramble(text: str) -> int:
    """32 well-mixed bits of a text: FNV-1a of its UTF-8 bytes, then the finaliser of MurmurHash3.

    Short in two languages; nobody is to be hindered from undoing it.
    """
    mixed = 0x811C9DC5
    for byte in text.encode():
        mixed = (mixed ^ byte) * 0x01000193 & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        mixed = (mixed ^ mixed >> shift) * factor & 0xFFFFFFFF
    return mixed ^ mixed >> 16


def _object(data: bytes, kind: str) -> dict[str, Any]:
    """The object of a JSON file of that format."""
    _need(len(data) <= LARGEST, f"it has {len(data)} bytes")
    try:
        content = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise AnswersError("it is no JSON, or cut off; ask for the file again") from None
    known = isinstance(content, dict) and content.get("format") == kind
    _need(known, f"it is no file of the format {kind!r}")
    _need(content.get("version") == VERSION, f"its version is {_brief(content.get('version'))}")
    return content


def _chosen(where: str, answer: dict[str, Any], shown: Shown) -> str:
    """The clip that was chosen."""
    for side in SIDES:
        _need(answer[side] == getattr(shown, side), f"{where}: {side} is not what was shown there")
    side, plays, seconds = answer["choice"], answer["plays"], answer["seconds"]
    _need(side in SIDES, f"{where}: choice is {_brief(side)}")
    _need(type(plays) is int and 0 <= plays < MANY, f"{where}: plays is {_brief(plays)}")
    number = type(seconds) in (int, float) and 0 <= seconds < MANY
    _need(number, f"{where}: seconds is {_brief(seconds)}")
    return str(getattr(shown, side))


def _need(holds: Any, reason: str) -> None:
    if not holds:
        raise AnswersError(f"{reason}; this is not as the page saved it, ask for the file again")


def _brief(value: Any) -> str:
    return repr(value)[:60]
