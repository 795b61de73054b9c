"""The leaderboard's rules on records made by hand: groups, order, ranks, ties, intervals, words."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from boards import PAIRS, VALUES, drawn, failed, generator, record, standings
from scipy import stats

from benchmarks.ranking.figures import pareto_front
from benchmarks.ranking.groups import SHOWN, generator_of, groups_of
from benchmarks.ranking.rows import (
    CATEGORY_COLUMNS,
    COLUMNS,
    COMPARISON_COLUMNS,
    METRIC_COLUMNS,
    category_rows,
    comparison_rows,
    leaderboard_rows,
    metric_rows,
)
from benchmarks.ranking.standing import runs, sentence
from spf import METRICS
from spf.progress.metrics import NO_CHANGE


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    assert len({row["generator"] for row in rows}) == len(rows)
    return {row["generator"]: row for row in rows}


def low_high(row: dict[str, Any]) -> tuple[float, float]:
    low, high = map(float, row["interval_95"].split(" .. "))
    return low, high


def test_rows_have_the_columns_of_the_table() -> None:
    for row in leaderboard_rows([*generator("a", 6), *generator("b", 6), failed("c", "x")]):
        assert list(row) == COLUMNS


def test_no_records_no_rows() -> None:
    assert leaderboard_rows([]) == []
    assert "\n" not in sentence([])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_pairs_give_an_order_without_rank(count: int) -> None:
    rows = leaderboard_rows([*generator("b", count), *generator("a", count, 0.01)])
    assert [row["generator"] for row in rows] == ["b", "a"]
    assert [row["order"] for row in rows] == [1, 2]
    assert [row["rank"] for row in rows] == [None, None]
    assert [row["interval_95"] for row in rows] == [None, None]
    assert all(str(count) in row["remark"] and "order only" in row["remark"] for row in rows)
    assert rows[0]["linearity_mae"] == pytest.approx(np.mean(VALUES[:count]))


@pytest.mark.parametrize(("count", "ranks"), [(6, [1, 1, 1]), (8, [1, 2, 3])])
def test_six_pairs_give_ranks_and_intervals(count: int, ranks: list[int]) -> None:
    """Six that all agree have p = 1/32, too much for three comparisons: no two are told apart."""
    shifts = {"worst": 0.2, "best": 0.0, "middle": 0.1}
    rows = leaderboard_rows(
        [line for name, shift in shifts.items() for line in generator(name, count, shift)]
    )
    assert [row["generator"] for row in rows] == ["best", "middle", "worst"]
    assert [row["order"] for row in rows] == [1, 2, 3]
    assert [row["rank"] for row in rows] == ranks
    assert [bool(row["tied_with"]) for row in rows] == [ranks == [1, 1, 1]] * 3
    assert [row["best"] for row in rows] == [1, 0, 0]
    for row in rows:
        low, high = low_high(row)
        values = np.array(VALUES[:count]) + shifts[row["generator"]]
        assert values.min() < low < row["linearity_mae"] < high < values.max()
        half = stats.t.isf(0.025, count - 1) * values.std(ddof=1) / np.sqrt(count)
        assert (high - low) / 2 == pytest.approx(half, rel=0.3)
        assert row["remark"] == ""


def test_an_interval_of_equal_values_is_a_point() -> None:
    records = [record(name, pair, 0.25) for name in "ab" for pair in PAIRS[:6]]
    for row in leaderboard_rows(records):
        assert low_high(row) == (0.25, 0.25)


def test_generators_are_grouped_by_equal_pairs() -> None:
    records = [
        *generator("a", 6, 0.1),
        *generator("b", 6),
        *generator("c", 7),  # one pair more: another group, though the best of all
        *generator("d", 7, 0.3),
        record("e", "elsewhere", 0.0),
    ]
    rows = by_name(leaderboard_rows(records))
    groups = {name: row["group"] for name, row in rows.items()}
    assert groups["a"] == groups["b"]
    assert groups["c"] == groups["d"]
    assert len(set(groups.values())) == 3
    ranks = {name: row["rank"] for name, row in rows.items()}
    assert ranks == {"a": 2, "b": 1, "c": 1, "d": 2, "e": None}  # one comparison: 1/32 suffices
    assert rows["e"]["order"] is None
    assert "no other" in rows["e"]["remark"]


def test_a_single_generator_is_placed_nowhere() -> None:
    (row,) = leaderboard_rows(generator("only", 8))
    assert comparison_rows(standings(generator("only", 8))) == []
    assert (row["order"], row["rank"], row["interval_95"]) == (None, None, None)
    assert row["linearity_mae"] == pytest.approx(np.mean(VALUES))
    assert "none" in sentence([row])


UNUSABLE = {
    "failed": failed("broken", PAIRS[3]),
    "no_change": record("broken", PAIRS[3], float("nan"), reason=NO_CHANGE),
    "too_short": record("broken", PAIRS[3], 0.0, frames=4),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_clip_makes_its_generator_unranked(kind: str) -> None:
    broken = generator("broken", 8)
    broken[3] = UNUSABLE[kind]
    rows = leaderboard_rows([*broken, *generator("x", 8, 0.1), *generator("y", 8, 0.2)])
    assert [row["generator"] for row in rows] == ["x", "y", "broken"]  # complete ones first
    row = rows[-1]
    assert (row["order"], row["rank"], row["interval_95"]) == (None, None, None)
    assert (row["pairs"], row["measured"]) == (8, 7)
    counts = {name: row[name] for name in UNUSABLE}
    assert counts == {name: int(name == kind) for name in UNUSABLE}
    assert "unranked" in row["remark"]
    rest = [value for k, value in enumerate(VALUES) if k != 3]
    assert row["linearity_mae"] == pytest.approx(np.mean(rest))
    assert [r["rank"] for r in rows[:2]] == [1, 2]  # the others are ranked all the same


def test_what_a_lone_generator_lacks_is_missing() -> None:
    """Its pairs are part of a group's: it is shown there, unranked, and not by itself."""
    records = [*generator("a", 8), *generator("b", 8, 0.1), *generator("cut", 7, -0.05)]
    rows = leaderboard_rows(records)
    assert [row["generator"] for row in rows] == ["a", "b", "cut"]
    assert {row["group"] for row in rows} == {1}
    assert [row["missing"] for row in rows] == [0, 0, 1]
    assert (rows[2]["order"], rows[2]["rank"]) == (None, None)
    assert "missing" in rows[2]["remark"]
    interrupted = {"status": "not_run", "reason": "not run: interrupted", "embedder": "pixels"}
    records.append({**interrupted, "model": "cut", "clip": PAIRS[7]})
    assert leaderboard_rows(records)[2]["missing"] == 1


def test_seeds_are_averaged_and_make_no_pairs() -> None:
    """Ten seeds of one pair are not ten pairs."""
    records = [
        record(name, PAIRS[k % 3], VALUES[k] + shift, seed=k // 3)
        for name, shift in (("a", 0.0), ("b", 0.1))
        for k in range(6)
    ]
    rows = leaderboard_rows(records)
    assert [(row["pairs"], row["clips"]) for row in rows] == [(3, 6), (3, 6)]
    assert [row["rank"] for row in rows] == [None, None]
    assert rows[0]["linearity_mae"] == pytest.approx(np.mean(VALUES[:6]))
    (group,) = groups_of(records)
    expected = [(VALUES[k] + VALUES[k + 3]) / 2 for k in range(3)]
    np.testing.assert_allclose(group.values("linearity_mae")[:, 0], expected)


def test_retimed_clips_are_generators_of_their_own() -> None:
    assert generator_of({"model": "wan22", "retime": "none", "target": "sine"}) == "wan22"
    assert generator_of({"model": "wan22", "retime": "rope"}) == "wan22 + rope"
    said = generator_of({"model": "wan22", "retime": "rope", "target": "sine"})
    assert said == "wan22 + rope to sine"


def test_five_frames_are_enough() -> None:
    rows = leaderboard_rows([{**line, "frames": 5} for name in "ab" for line in generator(name, 6)])
    assert [row["rank"] for row in rows] == [1, 1]  # equal: they share it
    assert rows[0]["too_short"] == 0


def test_a_generator_with_nothing_usable_has_no_numbers() -> None:
    rows = by_name(leaderboard_rows([failed("a", "p"), record("b", "p", 0.1)]))
    assert all(rows["a"][name] is None for name in SHOWN)
    assert rows["a"]["failed"] == 1
    assert rows["b"]["order"] is None  # nobody to be placed before


def test_only_one_complete_generator_is_not_ranked() -> None:
    broken = generator("broken", 8)
    broken[0] = failed("broken", PAIRS[0])
    rows = by_name(leaderboard_rows([*broken, *generator("whole", 8)]))
    assert rows["whole"]["order"] is None
    assert rows["whole"]["rank"] is None


def test_controls_are_called_controls() -> None:
    rows = by_name(
        leaderboard_rows([record("a", "p", 0.1), record("b", "p", 0.2, embedder="siglip")])
    )
    assert rows["a"]["embedder"] == "pixels (control)"
    assert rows["b"]["embedder"] == "siglip"


def test_ties_are_in_the_order_of_names() -> None:
    names = ["delta", "alpha", "charlie", "bravo"]
    records = [record(name, pair, 0.1) for name in names for pair in PAIRS[:6]]
    rows = leaderboard_rows(records)
    assert [row["generator"] for row in rows] == sorted(names)


@pytest.mark.parametrize("seed", range(5))
def test_order_of_records_does_not_matter(seed: int) -> None:
    broken = generator("broken", 7)
    broken[3] = UNUSABLE["no_change"]
    records = [*generator("a", 8), *generator("b", 8, 0.013), *broken, *generator("c", 3, 0.1)]
    shuffled = list(records)
    random.Random(seed).shuffle(shuffled)
    assert leaderboard_rows(shuffled) == leaderboard_rows(records)


def test_records_are_not_changed() -> None:
    records = generator("a", 6) + generator("b", 6)
    before = [dict(line) for line in records]
    leaderboard_rows(records)
    assert records == before


# Ties and differences


def test_ties_share_a_rank_and_name_each_other() -> None:
    records = [*drawn("a", 0, 20), *drawn("b", 0, 20), *drawn("worse", 0.1, 20)]
    rows = leaderboard_rows(records)
    assert [row["rank"] for row in rows] == [1, 1, 3]
    assert [row["tied_with"] for row in rows] == ["2", "1", ""]
    assert sum(row["best"] for row in rows) == pytest.approx(1)
    assert rows[2]["best"] == 0
    assert "Not told apart from the most even: 1 of 2" in sentence(rows)


def test_runs() -> None:
    assert [runs(numbers) for numbers in ([], [3], [2, 3], [1, 2, 3, 5, 7, 8])] == [
        "", "3", "2, 3", "1 to 3, 5, 7, 8",
    ]  # fmt: skip


def test_differences_are_paired() -> None:
    """Hard pairs make wide intervals of the means, and none of the difference."""
    hard = [record("a", pair, value) for pair, value in zip(PAIRS, VALUES, strict=True)]
    worse = [record("b", line["clip"], line["linearity_mae"] + 0.01) for line in hard]
    for number, line in enumerate(worse):
        line["linearity_mae"] += 0.0001 * number
    (row,) = comparison_rows(standings([*hard, *worse]))
    assert list(row) == COMPARISON_COLUMNS
    assert (row["generator"], row["against"]) == ("b", "a")
    low, high = map(float, row["difference_95"].split(" .. "))
    assert 0.009 < low < row["difference"] < high < 0.02
    assert (row["superiority"], row["told_apart"]) == (0, "yes")
    assert row["p"] == row["p_holm"] == 2 / 2**8
    assert row["effect"] > 5
    assert 0 < row["detectable"] < 0.001


def test_differences_are_against_the_best_and_the_next() -> None:
    records = [line for k, name in enumerate("abcd") for line in generator(name, 8, 0.01 * k)]
    found = [(row["generator"], row["against"]) for row in comparison_rows(standings(records))]
    assert found == [("b", "a"), ("c", "a"), ("c", "b"), ("d", "a"), ("d", "c")]
    assert comparison_rows(standings(generator("a", 5) + generator("b", 5))) == []


def test_every_metric_has_its_direction_and_an_interval_within_its_bounds() -> None:
    lines = generator("a", 7) + generator("b", 7)
    for number, line in enumerate(lines):
        line["stall_fraction"] = 0.9 * (number % 7 == 0)  # one in seven: no upper limit
        line["vbench_motion_smoothness"] = 0.9 + 0.01 * (number % 3)
    rows = metric_rows(standings(lines), ["vbench_motion_smoothness", "vbench_absent"])
    assert [list(row) for row in rows] == [METRIC_COLUMNS] * 2 * (len(SHOWN) + 1)
    for row in rows:
        name = row["metric"]
        known = METRICS.get(name)
        assert row["better"] == (known.direction if known else "higher")
        low, high = map(float, row["interval_95"].split(" .. "))
        assert low <= row["mean"] <= high
        if known:
            assert known.minimum <= low <= high <= known.maximum
    stalls = [row for row in rows if row["metric"] == "stall_fraction"]
    assert all(row["interval_95"].endswith(".. 1.0000") for row in stalls)


def test_categories_are_ranked_by_themselves() -> None:
    """In one category the order is the other way round."""
    records = [*generator("a", 8), *generator("b", 8, 0.1)]
    records += [
        record(name, f"far{k}", VALUES[k] + shift, category="far")
        for name, shift in (("a", 0.2), ("b", 0.0))
        for k in range(8)
    ]
    for line in records:
        line.setdefault("category", "near")
    rows = category_rows(records)
    assert [list(row) for row in rows] == [CATEGORY_COLUMNS] * 4
    found = [(row["category"], row["generator"], row["rank"]) for row in rows]
    assert found == [("far", "b", 1), ("far", "a", 2), ("near", "a", 1), ("near", "b", 2)]
    assert category_rows(generator("a", 8)) == []


def test_pareto_front_by_hand() -> None:
    pacing = np.array([0.1, 0.2, 0.2, 0.3, 0.1])
    quality = np.array([0.5, 0.9, 0.8, 0.9, 0.5])
    assert pareto_front(pacing, quality).tolist() == [True, True, False, False, True]
