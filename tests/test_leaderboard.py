"""The leaderboard's rules on records made by hand: groups, order, ranks, intervals, sentence."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from benchmarks.leaderboard import COLUMNS, SHOWN, leaderboard_rows, sentence
from spf.progress.metrics import NO_CHANGE

PAIRS = [f"pair{number}" for number in range(8)]
# Errors of a generator on PAIRS, in an order that no sorting leaves alone.
VALUES = [0.11, 0.05, 0.23, 0.17, 0.02, 0.29, 0.13, 0.08]


def record(model: str, pair: str, error: float, **more: Any) -> dict[str, Any]:
    """A finished clip."""
    metrics = dict.fromkeys(SHOWN, 1.0) | {"linearity_mae": error}
    base = {"status": "done", "reason": "", "model": model, "clip": pair, "embedder": "pixels"}
    return base | metrics | {"frames": 81, "control": True} | more


def failed(model: str, pair: str) -> dict[str, Any]:
    base = {"status": "failed", "reason": "it is empty", "model": model, "clip": pair}
    return base | {"embedder": "pixels", "control": True}


def generator(model: str, count: int, shift: float = 0.0) -> list[dict[str, Any]]:
    return [record(model, PAIRS[k], VALUES[k] + shift) for k in range(count)]


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


@pytest.mark.parametrize("count", [6, 8])
def test_six_pairs_give_ranks_and_intervals(count: int) -> None:
    shifts = {"worst": 0.2, "best": 0.0, "middle": 0.1}
    rows = leaderboard_rows(
        [line for name, shift in shifts.items() for line in generator(name, count, shift)]
    )
    assert [row["generator"] for row in rows] == ["best", "middle", "worst"]
    assert [row["order"] for row in rows] == [row["rank"] for row in rows] == [1, 2, 3]
    for row in rows:
        low, high = low_high(row)
        values = np.array(VALUES[:count]) + shifts[row["generator"]]
        assert values.min() < low < row["linearity_mae"] < high < values.max()
        # The bootstrap of a mean is nearly normal: half its width is about 2 standard errors.
        half = 1.96 * values.std() / np.sqrt(count)
        assert (high - low) / 2 == pytest.approx(half, rel=0.2)
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
    assert ranks == {"a": 2, "b": 1, "c": 1, "d": 2, "e": None}
    assert rows["e"]["order"] is None
    assert "no other" in rows["e"]["remark"]


def test_a_single_generator_is_placed_nowhere() -> None:
    (row,) = leaderboard_rows(generator("only", 8))
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


# The sentence


def test_sentence_follows_the_values() -> None:
    first = leaderboard_rows([*generator("left", 6), *generator("right", 6, 0.1)])
    second = leaderboard_rows([*generator("left", 6, 0.1), *generator("right", 6)])
    for rows, best, worst in ((first, "left", "right"), (second, "right", "left")):
        text = sentence(rows)
        assert f"most even {best}" in text
        assert f"least even {worst}" in text
        assert f"{rows[0]['linearity_mae']:.4f}" in text
        assert f"{rows[-1]['linearity_mae']:.4f}" in text
        assert "\n" not in text


def test_sentence_says_when_there_is_no_rank() -> None:
    assert "without rank" in sentence(leaderboard_rows(generator("a", 5) + generator("b", 5)))
    assert "without rank" not in sentence(leaderboard_rows(generator("a", 6) + generator("b", 6)))


def test_sentence_leaves_the_incomplete_out() -> None:
    broken = generator("broken", 6, -0.02)  # would be the best
    broken[0] = failed("broken", PAIRS[0])
    rows = leaderboard_rows([*broken, *generator("x", 6), *generator("y", 6, 0.1)])
    assert "broken" not in sentence(rows)


def test_sentence_names_every_group() -> None:
    records = [*generator("a", 6), *generator("b", 6, 0.1), *generator("c", 2), *generator("d", 2)]
    text = sentence(leaderboard_rows(records))
    assert all(f"even {name} " in text for name in "abcd")
