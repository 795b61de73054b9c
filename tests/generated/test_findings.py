import pytest

from benchmarks.harness.cells import Interval, Section, Summary, Table
from benchmarks.harness.report.players import SEGMENTED
from benchmarks.harness.reproduction import claims as reproduction
from benchmarks.harness.reproduction.claims import ABSENT, FAILS, HOLDS, PARTLY, UNCLEAR


def section(said="", *names):
    paragraphs = [said, "More."] if said else []
    return Section("s", paragraphs, [Table.of_rows(name, "t", [], []) for name in names])


def summary(*sections):
    return Summary("h", [section(*one) for one in sections])


RETIMED = summary(("Paced.", "retiming"), ("Alike.", "vbench"), ("Pairs",))
KNOWN = ("Raw.", "pacing_by_motion", "synthetic_pacing"), ("Leaks.", "leakage"), ("Jumps.", "jumps")
MEASURED = summary(*KNOWN)


@pytest.mark.parametrize(("number", "summaries", "said"), [
    (1, [RETIMED], "Paced."), (7, [RETIMED, RETIMED], "Paced."), (5, [RETIMED], "Alike."),
    (3, [MEASURED, summary(*KNOWN[1:])], "Raw. Leaks."),
    (2, [summary((), ("x", "existing"))], reproduction.NOTHING),
    (5, [summary(("Paced.", "retiming"))], reproduction.NOTHING), (6, [], reproduction.NOTHING),
])  # fmt: skip
def test_the_sections_that_answer_an_experiment(number, summaries, said):
    assert " ".join(reproduction.findings(number, summaries)) == said


# Verdicts: hand-made tables whose intervals say which way they must fall

DOWN, ACROSS, UP = Interval(-0.03, -0.01), Interval(-0.01, 0.01), Interval(0.01, 0.03)
LOW, HIGH = Interval(0.01, 0.02), Interval(0.15, 0.18)
WARPS = "none", "rope (authors_code)", "rope_flat (alpha=0.5)", "rope_iterative (authors_code)"


def table(name, *rows):
    return {name: Table.of_rows(name, "t", list(rows[0]), rows)}


def warp(strategy, difference, against, interval, measured="linearity_mae"):
    return {
        "strategy": strategy, "measure": "m", "difference": -0.1, "difference_95": difference,
        "against_authors_95": against, f"{measured}_95": interval, measured: 0.1,
        f"before_{measured}": 0.2, "better": "3 of 4", "generator": "g",
    }  # fmt: skip


def retimed(rope, ours, flow, refined, name="retiming", more=()):
    measured = "linearity_mae" if name == "retiming" else "target_mae"
    rows = [(ACROSS, UP, HIGH), (rope, None, HIGH), (ours, DOWN, LOW), (DOWN, refined, LOW)]
    known = [(word, *row) for word, row in zip(WARPS, rows, strict=True)]
    known += [("flow", DOWN, flow, HIGH), *more]
    return table(name, *(warp(*row, measured) for row in known))


SINE = retimed(DOWN, DOWN, UP, DOWN, "retiming_sine")


def test_warps_are_no_better_than_an_interpolation_that_overlaps():
    tables = retimed(DOWN, DOWN, DOWN, DOWN)
    tables["retiming"].rows[-1]["linearity_mae_95"] = LOW
    assert reproduction.claims(1, [tables])[1].verdict == FAILS


@pytest.mark.parametrize(("against", "verdict"), [(LOW, HOLDS), (HIGH, FAILS)])
def test_the_settings_of_their_workflow_count_as_the_papers(against, verdict):
    theirs = ("rope (authors_workflow)", DOWN, DOWN, against)
    tables = retimed(ACROSS, ACROSS, DOWN, DOWN, more=[theirs])
    tables["retiming"].rows[2]["linearity_mae_95"] = HIGH  # ours
    found = reproduction.claims(1, [tables])
    assert [claim.verdict for claim in found[:2]] == [HOLDS, verdict]


def known(raw, still, moving):
    rows = [
        {"motion": motion, "raw_error": error, "calibrated_error": 0.01, "calibrated_95": interval}
        for motion, error, interval in (("none", raw, still), ("shake", 0.3, moving))
    ]
    laws = [
        {"motion": "none", "law": law, "true_linearity_mae": true, "raw_error": raw}
        for law, true in (("linear", 0.0), ("ease", 0.1), ("jump", 0.2))
    ]
    return table("pacing_by_motion", *rows) | table("synthetic_pacing", *laws)


def existing(interval, done=4, own="", **more):
    """interval : of our regeneration. own : of the paper's own; "" where it was not run."""
    rows = {"flow": LOW, "regenerate": interval} | ({} if own == "" else {SEGMENTED: own})
    shared = {"category": "c", "done": done, "better": "3 of 4", "before_target_mae": 0.1}
    shared |= {"target_mae": 0.04, "before_true_target_mae": None} | more
    made = [{"strategy": name, "target_mae_95": x, **shared} for name, x in rows.items()]
    return table("existing", *made)


def ablation(*rows):
    names = "embedder", "error_30", "error_30_95"
    return table("ablation", *(dict(zip(names, row, strict=True)) for row in rows))


def fidelity(rope, ours):
    shared = {"dimension": "d", "steered_by": "m", "original": 0.9, "retimed": 0.8}
    rows = {"rope (authors_code)": rope, "rope_flat": ours}
    made = [{"strategy": name, "difference_95": x, **shared} for name, x in rows.items()]
    return table("vbench", *made)


def people(choices, low, high):
    row = {"first": "none", "second": "rope", "choices": choices, "rate": 0.5}
    return table("preferences", {**row, "low_95": low, "high_95": high})


@pytest.mark.parametrize("case", [
    (1, retimed(DOWN, DOWN, UP, DOWN), HOLDS, HOLDS, HOLDS),
    (1, retimed(ACROSS, DOWN, DOWN, UP), PARTLY, PARTLY, FAILS),
    (1, retimed(UP, ACROSS, ACROSS, ACROSS), FAILS, PARTLY, UNCLEAR),
    (1, retimed(ACROSS, UP, None, None), UNCLEAR, PARTLY, UNCLEAR), (1, {}, ABSENT, ABSENT, ABSENT),
    (2, existing(LOW), HOLDS), (2, existing(HIGH), FAILS),
    (2, existing(Interval(0.05, 0.2)), UNCLEAR), (2, existing(None), UNCLEAR),
    (2, existing(LOW, done=0), ABSENT), (2, existing(HIGH, own=LOW), HOLDS),
    (2, existing(LOW, own=HIGH), PARTLY), (3, known(0.05, LOW, LOW), HOLDS, HOLDS),
    (3, known(0.15, LOW, HIGH), PARTLY, FAILS), (3, known(0.25, LOW, None), FAILS, UNCLEAR),
    (3, {}, ABSENT, ABSENT), (4, ablation(("siglip", 0.1, LOW), ("dinov2", 0.2, HIGH)), HOLDS),
    (4, ablation(("siglip", 0.1, LOW), ("dinov2", 0.2, LOW)), UNCLEAR),
    (4, ablation(("siglip", 0.2, HIGH), ("dinov2", 0.1, LOW)), FAILS),
    (4, ablation(("tiny (shipped)", 0.2, HIGH)), ABSENT), (5, fidelity(ACROSS, ACROSS), HOLDS),
    (5, fidelity(ACROSS, DOWN), PARTLY), (5, fidelity(ACROSS, None), PARTLY),
    (5, fidelity(DOWN, UP), FAILS), (5, fidelity(None, None), ABSENT),
    (6, people(30, 0.1, 0.4), HOLDS), (6, people(30, 0.6, 0.9), FAILS),
    (6, people(30, 0.4, 0.6), UNCLEAR), (6, people(0, 0.0, 0.0), ABSENT), (7, SINE, HOLDS, ABSENT),
    (7, {}, ABSENT, ABSENT), (7, retimed(ACROSS, DOWN, UP, DOWN, "retiming_sine"), PARTLY, ABSENT),
])  # fmt: skip
def test_verdicts(case):
    number, tables, *wanted = case
    assert [claim.verdict for claim in reproduction.claims(number, [tables])] == wanted


def test_rendered_clips_are_called_so_and_the_papers_own_method_comes_first():
    said = reproduction.claims(2, [existing(LOW, own=LOW)])[0].figures
    assert said.startswith(f"target_mae: {SEGMENTED} 0.1 to")
    rendered = existing(LOW, own=LOW, before_true_target_mae=0.2)
    assert reproduction.claims(2, [rendered])[0].figures.startswith("rendered clips, not real")


def test_the_run_that_is_nearest_to_the_paper_decides():
    shipped, large = retimed(UP, UP, UP, UP), retimed(DOWN, DOWN, UP, DOWN)
    assert reproduction.claims(1, [large, shipped])[0].verdict == HOLDS
    assert reproduction.claims(1, [shipped, large])[0].verdict == FAILS
    undone = existing(LOW, done=0)
    assert reproduction.claims(2, [undone, existing(HIGH)])[0].verdict == FAILS


def test_generators_are_compared_by_their_plain_clips():
    rows = [row | {"generator": "h"} for row in SINE["retiming_sine"].rows]
    other = table("retiming_sine", *rows)
    claim = reproduction.claims(7, [SINE, other])[-1]
    assert claim.verdict == UNCLEAR
    assert claim.figures == "Plain clips, before_target_mae: g 0.2; h 0.2"
