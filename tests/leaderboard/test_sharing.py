"""Who is compared on what: unusable, extra and missing clips, merged runs, groups of their own."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from boards import (
    PAIRS,
    VALUES,
    Row,
    drawn,
    failed,
    generator,
    lines,
    ranks,
    record,
    scattered,
    table,
)  # fmt: skip

from benchmarks.leaderboard.comparison import left_out
from benchmarks.leaderboard.sharing import shared_sets
from benchmarks.leaderboard.tables import (
    Board,
    comparisons,
    leaderboard,
    left_out_sentence,
    metrics,
)
from spf.progress.metrics import NO_CHANGE

UNUSABLE = {
    "failed": failed("c", PAIRS[3]),
    "not_run": failed("c", PAIRS[3]) | {"status": "not_run"},
    "no_change": record("c", PAIRS[3], float("nan"), reason=NO_CHANGE),
    "too_short": record("c", PAIRS[3], 0.0, frames=4),
    "flickering": record("c", PAIRS[3], 0.0, flickers=True),
}


@pytest.mark.parametrize("kind", [*UNUSABLE, "missing"])
def test_an_unusable_clip_removes_exactly_its_pair(kind: str) -> None:
    whole = [x for k, name in enumerate("abc") for x in generator(name, 8, 0.1 * k)]
    rest = [x for x in whole if (x["model"], x["clip"]) != ("c", PAIRS[3])]
    records = [*rest, *([UNUSABLE[kind]] if kind in UNUSABLE else [])]
    found = table(records)
    assert list(found["generator"]) == list("abc")
    assert set(found["pairs"]) == {7}
    assert list(found["rank"]) == [1, 2, 3]
    others = [value for k, value in enumerate(VALUES) if k != 3]
    assert found["linearity_mae"][0] == pytest.approx(np.mean(others))
    counts = found.set_index("generator").loc["c", list(UNUSABLE)]
    assert counts.to_dict() == {name: int(name == kind) for name in UNUSABLE}
    pairs = comparisons(Board.of(records)).set_index(["generator", "against"])["pairs"]
    assert (pairs["b", "a"], pairs["c", "a"], pairs["c", "b"]) == (8, 7, 7)
    board = Board.of(records)
    apart = left_out(board.clips, board.groups)
    assert apart[["group", "clips", "pairs", "generators"]].values.tolist() == [
        [1, 2, PAIRS[3], "a, b"]
    ]
    said = {"missing": "no clip", "no_change": NO_CHANGE, "too_short": "fewer than 5 frames"}
    said |= {"flickering": "flickers", "not_run": "not run"}
    assert apart["reason"][0] == f"{said.get(kind, kind)}: c"
    assert "2 usable clip(s)" in left_out_sentence(board, apart)


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """For rules that hold whatever is drawn."""
    monkeypatch.setattr("benchmarks.harness.statistics.RESAMPLES", 199)


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("seed", range(2))
def test_an_extra_clip_changes_no_rank(seed: int) -> None:
    records = scattered(seed, 5, 14, 0.1)
    more = [*records, record("g3", "extra", 0.001)]
    for made in (leaderboard, comparisons):
        before, after = made(Board.of(records)), made(Board.of(more))
        pd.testing.assert_frame_equal(
            before.drop(columns=["clips", "usable"], errors="ignore"),
            after.drop(columns=["clips", "usable"], errors="ignore"),
        )


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("seed", range(2))
def test_removing_a_clip_removes_exactly_that_pair(seed: int) -> None:
    """The group loses it, and nothing changes between those who still have it."""
    records = [x for k, name in enumerate("abcd") for x in drawn(name, 0.05 * k, 15)]
    gone = records[np.random.default_rng(seed).integers(len(records))]
    rest = [line for line in records if line is not gone]
    (before,), (after,) = Board.of(records).groups, Board.of(rest).groups
    assert set(before.pairs) - set(after.pairs) == {gone["clip"]}
    assert before.generators == after.generators
    two = ["generator", "against"]
    whole, less = (comparisons(Board.of(x)).set_index(two) for x in (records, rest))
    own = np.array([gone["model"] in names for names in whole.index])
    assert (less["pairs"] == whole["pairs"] - own).all()
    columns = ["difference", "interval_low", "interval_high", "effect", "superiority"]
    pd.testing.assert_frame_equal(less.loc[~own, columns], whole.loc[~own, columns])


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("seed", range(20))
def test_merging_loses_no_comparison(seed: int) -> None:
    """Whoever two parts rank against each other, the whole ranks: in a group, and in the table of
    differences on as many pairs or more."""
    first = scattered(seed, 4, 10, 0.25)
    second = [x for x in scattered(seed + 100, 6, 12, 0.4) if x["model"] in ("g4", "g5", "g1")]
    held = {(line["model"], line["clip"]): line for line in [*second, *first]}
    merged = list(held.values())
    own = comparisons(Board.of(merged)).set_index(["generator", "against"])["pairs"]
    both = {frozenset(two): pairs for two, pairs in own.items()}
    after = ranks(merged)
    for part in (first, second):
        board = Board.of(part)
        for group in board.groups:
            for two in combinations(group.generators, 2):
                assert both[frozenset(two)] >= len(group.pairs)
                homes = [{g for g, name in after if name == one} for one in two]
                found = [g for g in homes[0] & homes[1] if g == g]
                assert found
                if group.ranked:
                    assert any(after[g, two[0]] >= 1 and after[g, two[1]] >= 1 for g in found)


def brute_force(there: pd.DataFrame) -> tuple[int, int]:
    """Most comparisons that one set of generators serves, and its pairs, by trying all sets."""
    best = (0, 0)
    for size in range(2, there.shape[1] + 1):
        for names in combinations(there.columns, size):
            pairs = int(there[list(names)].all(axis=1).sum())
            shared = [int(there[list(two)].all(axis=1).sum()) for two in combinations(names, 2)]
            best = max(best, (sum(n > 0 and pairs >= min(6, n) for n in shared), pairs))
    return best


@pytest.mark.parametrize("seed", range(25))
def test_the_first_set_is_the_best_of_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    count, missing = int(random.integers(2, 6)), random.choice([0.1, 0.3, 0.6])
    index = pd.MultiIndex.from_product([[f"p{k:02}" for k in range(12)], [0]])
    index.names = ["pair", "seed"]
    flags = random.random((12, count)) >= missing
    there = pd.DataFrame(flags, index, columns=list("abcdef")[:count])
    found = shared_sets(there)
    most = brute_force(there)
    served = []
    for names, clips in found:
        assert there.loc[clips, names].all(axis=None)
        two = [there[list(pair)].all(axis=1).sum() for pair in combinations(names, 2)]
        served.append((sum(n > 0 and len(clips) >= min(6, n) for n in two), len(clips)))
    assert max(served, default=(0, 0)) == most


def test_those_who_share_too_little_form_groups_of_their_own() -> None:
    records = [*generator("a", 8), *generator("b", 8, 0.1), *generator("few", 2, -0.01)]
    records += [record("x", f"other{k}", VALUES[k]) for k in range(7)]
    records += [record("y", f"other{k}", VALUES[k] + 0.1 + 0.01 * k) for k in range(7)]
    records += [record("alone", "elsewhere", 0.1), failed("broken", PAIRS[0])]
    found = table(records)
    assert found.loc[found["group"] == 1, "generator"].tolist() == ["a", "b"]
    assert found.loc[found["group"] == 2, "generator"].tolist() == ["x", "y"]
    assert found.loc[found["group"] == 3, "generator"].tolist() == ["few", "a", "b"]
    assert found.loc[found["group"] == 3, "rank"].isna().all()
    last = found[found["group"].isna()].set_index("generator")
    assert list(last.index) == ["alone", "broken"]
    assert last.loc["alone", "linearity_mae"] == 0.1
    assert np.isnan(last.loc["broken", "linearity_mae"])
    board = Board.of(records)
    apart = left_out(board.clips, board.groups)
    reasons = apart[apart["clips"].isna()].set_index("generators")["reason"]
    assert reasons["few"] == "has 2 of the group's 8 pairs; compared in group 3"
    assert reasons["x"] == "has 0 of the group's 8 pairs; compared in group 2"
    assert reasons["alone"] == "no other generator has a usable clip of its pairs"
    assert reasons["broken"] == "no usable clip (failed)"
    assert "5 generator(s)" in left_out_sentence(board, apart)
    text = lines(records)[0]
    assert all(f"Group {k} (" in text for k in (1, 2, 3))
    # What has nothing to do with them changes no p-value.
    before = comparisons(Board.of(records[:16])).iloc[0]
    after = comparisons(board).set_index(["generator", "against"]).loc[("b", "a")]
    assert (before["p_holm"], before["result"]) == (after["p_holm"], after["result"])


@pytest.mark.parametrize("records", [[], [failed("a", "p")], generator("only", 8)])
def test_without_two_generators_nobody_is_placed(records: list[Row]) -> None:
    board = Board.of(records)
    found = leaderboard(board)
    assert found[["group", "order", "rank"]].isna().all(axis=None)
    assert len(found) == len({line["model"] for line in records})
    assert comparisons(board).empty
    assert metrics(board, []).empty
    assert lines(records) == [
        "No two generators have a usable clip of one pair, so none is placed."
    ]
