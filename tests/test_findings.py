"""The report's findings: what the runs of an experiment say themselves."""

from __future__ import annotations

import pytest

from benchmarks.harness.cells import Section, Summary, Table
from benchmarks.harness.reproduction.findings import NOTHING, finding


def section(*names: str, said: str) -> Section:
    return Section("s", [said, "More."], [Table.of_rows(name, "t", [], []) for name in names])


RETIMED = Summary(
    "h", [section("retiming", said="Paced."), section("vbench", said="Alike."), Section("Pairs")]
)
MEASURED = Summary(
    "h",
    [
        section("pacing_by_motion", "synthetic_pacing", said="Raw."),
        section("leakage", said="Leaks."),
        section("jumps", said="Jumps."),
    ],
)


@pytest.mark.parametrize(
    ("number", "summaries", "said"),
    [
        (1, [RETIMED], "Paced."),
        (7, [RETIMED, RETIMED], "Paced. Paced."),
        (5, [RETIMED], "Alike."),
        (3, [MEASURED, Summary("h", MEASURED.sections[1:])], "Raw. Leaks. Leaks."),
        (2, [Summary("h", [Section("s"), section("existing", said="x")])], NOTHING),
        (5, [Summary("h", RETIMED.sections[:1])], NOTHING),
        (6, [], NOTHING),
    ],
)
def test_the_sections_that_answer_an_experiment(
    number: int, summaries: list[Summary], said: str
) -> None:
    assert finding(number, summaries) == said
