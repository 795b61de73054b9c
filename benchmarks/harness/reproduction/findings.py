"""What each experiment found: what its runs say themselves, nothing besides."""

from collections.abc import Sequence

from benchmarks.harness.cells import Summary

NOTHING = "Nothing was measured."
ANSWERS = {3: ("pacing_by_motion", "leakage"), 5: ("vbench",)}
"""Experiment -> the tables whose sections answer it; of the others the first section does."""


def findings(number: int, summaries: Sequence[Summary]) -> list[str]:
    """The first paragraphs of the sections that answer an experiment, of all its runs."""
    answers = ANSWERS.get(number)
    said = [
        part.paragraphs[0]
        for one in summaries
        for place, part in enumerate(one.sections)
        if part.paragraphs
        and (place == 0 if answers is None else any(t.name in answers for t in part.tables))
    ]
    return list(dict.fromkeys(said)) or [NOTHING]
