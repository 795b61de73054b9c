"""The report's sentences: computed from the tables, and turning when a sign does."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.reproduction.findings import NOTHING, ablation, finding, pacing, retiming
from benchmarks.running.cells import Section, Summary, Table


def strategies(after: float, true: float | None = 0.1, aim: str = "linearity_mae") -> Table:
    suffix = "" if aim == "linearity_mae" else "_ease_in"
    rows: list[dict[str, Any]] = [
        {"strategy": "none", "difference": 0.0, aim: 0.2},
        {"strategy": "rope", "difference": after - 0.2, aim: after},
        {"strategy": "rope_flat", "difference": after - 0.19, aim: after + 0.01},
        {"strategy": "wrong_map", "difference": -0.19, aim: 0.01},
    ]
    for row in rows:
        row |= {
            f"before_{aim}": 0.2, "measure": "tiny (shipped)", "generator": "tiny (shipped)",
            "better": "3 of 4", f"before_true_{aim}": 0.15, f"true_{aim}": true,
        }  # fmt: skip
    return Table.of_rows(f"retiming{suffix}", "t", list(rows[0]), rows)


def test_retiming_turns_with_its_sign() -> None:
    better = retiming([strategies(0.05)])
    assert "Warping (rope) brings the clips of tiny nearer to an even pace" in better
    assert "falls from 0.200 to 0.050" in better
    assert "it falls: 0.150 to 0.100" in better
    worse = retiming([strategies(0.25, true=0.3)])
    assert "does not bring the clips of tiny nearer" in worse
    assert "0.200 to 0.250" in worse
    assert "it does not fall: 0.150 to 0.300" in worse
    assert "wrong_map" not in better + worse  # the control never wins


def test_retiming_towards_another_target() -> None:
    said = retiming([strategies(0.05, aim="target_mae"), strategies(0.05)])
    assert "nearer to the target ease in" in said
    assert "an even pace" in said


def test_retiming_without_a_truth_or_rows() -> None:
    assert "renderer" not in retiming([strategies(0.05, true=None)])
    table = strategies(0.05)
    assert retiming([Table.of_rows("retiming", "t", table.columns, table.rows[:1])]) == NOTHING
    assert retiming([]) == NOTHING


def grid(still: float, strong: float) -> Table:
    rows = [
        {"embedder": "tiny", "motion": motion, "calibrated_error": error}
        for motion, error in (("none", still), ("translation-strong", strong))
    ]
    return Table.of_rows("synthetic_pacing", "t", list(rows[0]), rows)


def leakage(embedder: str, value: float) -> Table:
    rows = [
        {"embedder": embedder, "motion": "translation", "strength": strength, "leakage": leak}
        for strength, leak in ((0.3, value), (0.1, value / 2))
    ]
    return Table.of_rows("leakage", "t", list(rows[0]), rows)


def test_pacing_turns_with_its_sign() -> None:
    worse = pacing([grid(0.02, 0.05)])
    assert "2.0% of the whole change" in worse
    assert "motion makes that worse: 5.0% under translation strong" in worse
    assert "no worse" in pacing([grid(0.05, 0.02)])


def test_pacing_leaves_out_rows_without_an_error() -> None:
    table = grid(float("nan"), float("nan"))
    assert pacing([table]) == NOTHING
    assert "motion" in pacing([grid(0.02, float("nan"))])


def test_leakage_is_held_against_the_control() -> None:
    said = pacing([grid(0.02, 0.05), leakage("tiny", 0.2), leakage("pixels", 0.9)])
    assert "fakes 20% of a morph's change with tiny, less than with pixels (90%)" in said
    said = pacing([grid(0.02, 0.05), leakage("tiny", 0.95), leakage("pixels", 0.9)])
    assert "no less than with pixels" in said
    assert "fakes" not in pacing([grid(0.02, 0.05), leakage("tiny", 0.2)])


def embedders(**errors: float | None) -> Table:
    rows = [
        {"embedder": name, "error_30": error, "status": "not_run" if error is None else "done"}
        for name, error in errors.items()
    ]
    return Table.of_rows("ablation", "t", list(rows[0]), rows)


def test_ablation_says_whether_siglip_won_or_was_absent() -> None:
    first = ablation([embedders(tiny=0.2, siglip=0.1)])
    assert first.index("siglip (0.100)") < first.index("tiny (0.200)")
    assert "is best, as in the paper" in first
    assert "is not best, unlike in the paper" in ablation([embedders(tiny=0.05, siglip=0.1)])
    assert "could not be tested" in ablation([embedders(tiny=0.05, siglip=None)])
    assert ablation([embedders(tiny=None)]) == NOTHING


def colours(**errors: float | None) -> Table:
    rows = [
        {"embedder": name, "status": "done", "colours": kind, "drift": drift}
        for name, error in errors.items()
        for kind, drift in (("own", 0.0), ("matched", error))
    ]
    return Table.of_rows("colours", "t", list(rows[0]), rows)


def test_ablation_says_who_is_best_where_colours_lie() -> None:
    lying = colours(histogram=0.3, siglip=0.1, tiny=float("nan"))
    said = ablation([embedders(tiny=0.05, siglip=0.1), lying])
    assert (
        "under drifting light the order is, best first: siglip (0.100), histogram (0.300)." in said
    )
    assert said.index("not best, unlike in the paper") < said.index("best, as in the paper")
    assert ablation([colours(histogram=0.3, siglip=0.1)]).endswith("is best, as in the paper.")
    assert "could not be tested" in ablation([colours(histogram=0.3)])


@pytest.mark.parametrize("number", [1, 3, 4, 7])
def test_every_experiment_without_runs(number: int) -> None:
    assert finding(number, []) == NOTHING


def test_other_experiments_say_what_their_benchmark_says() -> None:
    said = Summary("h", [Section("s", ["First.", "Second."]), Section("t", ["Third."])])
    assert finding(6, [said, said]) == "First. First."
    assert finding(6, []) == NOTHING
