"""The report's findings, what the runs of an experiment say themselves, and verdicts on claims."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.harness.cells import Interval, Section, Summary, Table
from benchmarks.harness.report.players import SEGMENTED
from benchmarks.harness.reproduction.claims import (
    ABSENT,
    FAILS,
    HOLDS,
    NOTHING,
    PARTLY,
    UNCLEAR,
    claims,
    findings,
)


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
        (7, [RETIMED, RETIMED], "Paced."),
        (5, [RETIMED], "Alike."),
        (3, [MEASURED, Summary("h", MEASURED.sections[1:])], "Raw. Leaks."),
        (2, [Summary("h", [Section("s"), section("existing", said="x")])], NOTHING),
        (5, [Summary("h", RETIMED.sections[:1])], NOTHING),
        (6, [], NOTHING),
    ],
)
def test_the_sections_that_answer_an_experiment(
    number: int, summaries: list[Summary], said: str
) -> None:
    assert " ".join(findings(number, summaries)) == said


# Verdicts: hand-made tables whose intervals say which way they must fall

DOWN, ACROSS, UP = Interval(-0.03, -0.01), Interval(-0.01, 0.01), Interval(0.01, 0.03)
LOW, HIGH = Interval(0.01, 0.02), Interval(0.15, 0.18)


Between = Interval | None


def table(name: str, *rows: dict[str, Any]) -> dict[str, Table]:
    return {name: Table.of_rows(name, "t", list(rows[0]), rows)}


def warp(
    strategy: str, difference: Between, against: Between, interval: Between, aim: str
) -> dict[str, Any]:
    return {
        "strategy": strategy, "measure": "m", "difference": -0.1, "difference_95": difference,
        "against_authors_95": against, f"{aim}_95": interval, aim: 0.1, f"before_{aim}": 0.2,
        "better": "3 of 4", "generator": "g",
    }  # fmt: skip


def retimed(
    rope: Between, ours: Between, flow: Between, refined: Between, name: str = "retiming"
) -> dict[str, Table]:
    """Changes by the paper's method and by ours, and differences of the others to the former."""
    aim = "linearity_mae" if name == "retiming" else "target_mae"
    return table(
        name,
        warp("none", ACROSS, UP, HIGH, aim),
        warp("rope (authors_code)", rope, None, HIGH, aim),
        warp("rope_flat (alpha=0.5)", ours, DOWN, LOW, aim),
        warp("rope_iterative (authors_code)", DOWN, refined, LOW, aim),
        warp("flow", DOWN, flow, HIGH, aim),
    )


@pytest.mark.parametrize(
    ("tables", "verdicts"),
    [
        (retimed(DOWN, DOWN, UP, DOWN), [HOLDS, HOLDS, HOLDS]),
        (retimed(ACROSS, DOWN, DOWN, UP), [PARTLY, PARTLY, FAILS]),
        (retimed(UP, ACROSS, ACROSS, ACROSS), [FAILS, PARTLY, UNCLEAR]),
        (retimed(ACROSS, UP, None, None), [UNCLEAR, PARTLY, UNCLEAR]),
        ({}, [ABSENT, ABSENT, ABSENT]),
    ],
)
def test_verdicts_on_warps(tables: dict[str, Table], verdicts: list[str]) -> None:
    assert [claim.verdict for claim in claims(1, [tables])] == verdicts


def test_warps_are_no_better_than_an_interpolation_that_overlaps() -> None:
    tables = retimed(DOWN, DOWN, DOWN, DOWN)
    tables["retiming"].rows[-1]["linearity_mae_95"] = LOW
    claim = claims(1, [tables])[1]
    assert claim.verdict == FAILS
    method = "rope (authors_code), the paper's method, 0.1; "
    assert f"{method}rope_flat (alpha=0.5), our best warp, 0.1;" in claim.figures


def test_the_settings_of_their_workflow_count_as_the_papers() -> None:
    for against, flow in ((LOW, HIGH), (HIGH, HIGH)):
        tables = retimed(ACROSS, ACROSS, DOWN, DOWN)
        rows = [
            *tables["retiming"].rows,
            warp("rope (authors_workflow)", DOWN, DOWN, against, "linearity_mae"),
        ]
        rows[2]["linearity_mae_95"] = flow  # ours
        found = claims(1, [table("retiming", *rows)])
        assert [claim.verdict for claim in found[:2]] == [HOLDS, HOLDS if against == LOW else FAILS]
        assert "rope (authors_workflow), with their workflow's settings, 0.1" in found[1].figures


def known(raw: float, still: Between, moving: Between) -> dict[str, Table]:
    """The median error of clips that stand still, and intervals without and with motion."""
    rows = [
        {"motion": motion, "raw_error": error, "calibrated_error": 0.01, "calibrated_95": interval}
        for motion, error, interval in (("none", raw, still), ("shake", 0.3, moving))
    ]
    laws = [
        {"motion": "none", "law": law, "true_linearity_mae": true, "raw_error": raw}
        for law, true in (("linear", 0.0), ("ease", 0.1), ("jump", 0.2))
    ]
    return table("pacing_by_motion", *rows) | table("synthetic_pacing", *laws)


@pytest.mark.parametrize(
    ("tables", "verdicts"),
    [
        (known(0.05, LOW, LOW), [HOLDS, HOLDS]),
        (known(0.15, LOW, HIGH), [PARTLY, FAILS]),
        (known(0.25, LOW, None), [FAILS, UNCLEAR]),
        ({}, [ABSENT, ABSENT]),
    ],
)
def test_verdicts_on_known_pacing(tables: dict[str, Table], verdicts: list[str]) -> None:
    assert [claim.verdict for claim in claims(3, [tables])] == verdicts


def existing(interval: Between, done: int = 4, own: Between | str = "") -> dict[str, Table]:
    """interval : of our regeneration. own : of the paper's own; "" where it was not run."""
    rows = {"flow": LOW, "regenerate": interval} | ({} if own == "" else {SEGMENTED: own})
    shared = {"category": "c", "done": done, "better": "3 of 4", "before_target_mae": 0.1}
    shared |= {"target_mae": 0.04, "before_true_target_mae": None}
    return table(
        "existing", *({"strategy": n, "target_mae_95": x, **shared} for n, x in rows.items())
    )


def ablation(*rows: tuple[str, float, Between]) -> dict[str, Table]:
    return table(
        "ablation", *({"embedder": n, "error_30": x, "error_30_95": i} for n, x, i in rows)
    )


def fidelity(*rows: tuple[str, Between]) -> dict[str, Table]:
    shared = {"dimension": "d", "steered_by": "m", "original": 0.9, "retimed": 0.8}
    return table("vbench", *({"strategy": n, "difference_95": i, **shared} for n, i in rows))


def people(choices: int, low: float, high: float) -> dict[str, Table]:
    row = {"first": "none", "second": "rope", "choices": choices, "rate": 0.5}
    return table("preferences", {**row, "low_95": low, "high_95": high})


@pytest.mark.parametrize(
    ("number", "tables", "verdict"),
    [
        (2, existing(LOW), HOLDS),
        (2, existing(HIGH), FAILS),
        (2, existing(Interval(0.05, 0.2)), UNCLEAR),
        (2, existing(None), UNCLEAR),
        (2, existing(LOW, done=0), ABSENT),
        (2, existing(HIGH, own=LOW), HOLDS),
        (2, existing(LOW, own=HIGH), PARTLY),
        (4, ablation(("siglip", 0.1, LOW), ("dinov2", 0.2, HIGH)), HOLDS),
        (4, ablation(("siglip", 0.1, LOW), ("dinov2", 0.2, LOW)), UNCLEAR),
        (4, ablation(("siglip", 0.2, HIGH), ("dinov2", 0.1, LOW)), FAILS),
        (4, ablation(("tiny (shipped)", 0.2, HIGH)), ABSENT),
        (5, fidelity(("rope (authors_code)", ACROSS), ("rope_flat", ACROSS)), HOLDS),
        (5, fidelity(("rope (authors_code)", ACROSS), ("rope_flat", DOWN)), PARTLY),
        (5, fidelity(("rope (authors_code)", ACROSS), ("rope_flat", None)), PARTLY),
        (5, fidelity(("rope (authors_code)", DOWN), ("rope_flat", UP)), FAILS),
        (5, fidelity(("rope (authors_code)", None), ("rope_flat", None)), ABSENT),
        (6, people(30, 0.1, 0.4), HOLDS),
        (6, people(30, 0.6, 0.9), FAILS),
        (6, people(30, 0.4, 0.6), UNCLEAR),
        (6, people(0, 0.0, 0.0), ABSENT),
        (7, retimed(DOWN, DOWN, UP, DOWN, "retiming_sine"), HOLDS),
        (7, retimed(ACROSS, DOWN, UP, DOWN, "retiming_sine"), PARTLY),
        (7, {}, ABSENT),
    ],
)
def test_verdicts(number: int, tables: dict[str, Table], verdict: str) -> None:
    assert claims(number, [tables])[0].verdict == verdict


def test_rendered_clips_are_called_so_and_the_papers_own_method_comes_first() -> None:
    tables = existing(LOW, own=LOW)
    said = claims(2, [tables])[0].figures
    assert said.startswith(f"target_mae: {SEGMENTED} 0.1 to")
    data = [row | {"before_true_target_mae": 0.2} for row in tables["existing"].rows]
    assert claims(2, [table("existing", *data)])[0].figures.startswith("rendered clips, not real")


def test_the_run_that_is_nearest_to_the_paper_decides() -> None:
    shipped, large = retimed(UP, UP, UP, UP), retimed(DOWN, DOWN, UP, DOWN)
    assert claims(1, [large, shipped])[0].verdict == HOLDS
    assert claims(1, [shipped, large])[0].verdict == FAILS
    assert claims(2, [existing(LOW, done=0), existing(HIGH)])[0].verdict == FAILS  # not resampled


def test_generators_are_told_apart_by_their_plain_clips() -> None:
    one, other = (retimed(DOWN, DOWN, UP, DOWN, "retiming_sine") for _ in range(2))
    assert claims(7, [one])[-1].verdict == ABSENT
    for row in other["retiming_sine"].rows:
        row["generator"] = "h"
    claim = claims(7, [one, other])[-1]
    assert (claim.verdict, claim.figures) == (
        UNCLEAR,
        "Plain clips, before_target_mae: g 0.2; h 0.2",
    )
