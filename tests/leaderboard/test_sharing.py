from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from boards import PAIRS, VALUES, drawn, failed, generator, lines, record, shifted, table

from benchmarks.leaderboard import sharing, tables
from benchmarks.leaderboard.comparison import Board, left_out
from benchmarks.leaderboard.sharing import shared_sets
from benchmarks.leaderboard.tables import comparisons, leaderboard, left_out_sentence
from spf.progress.metrics import NO_CHANGE


def scattered(seed, generators, pairs, missing):
    random = np.random.default_rng(seed)
    values = random.gamma(3.0, 0.03, (generators, pairs)) + 0.02 * np.arange(generators)[:, None]
    there = np.argwhere(random.random((generators, pairs)) >= missing)
    names, values = random.permutation(generators), np.minimum(values, 0.499)
    return [record(f"g{names[g]}", f"p{p}", float(values[g, p])) for g, p in there]


TWO = ["generator", "against"]
UNUSABLE = {
    "failed": ("failed", failed("c", PAIRS[3])),
    "not_run": ("not run", failed("c", PAIRS[3]) | {"status": "not_run"}),
    "no_change": (NO_CHANGE, record("c", PAIRS[3], float("nan"), reason=NO_CHANGE)),
    "too_short": ("fewer than 5 frames", record("c", PAIRS[3], 0.0, frames=4)),
    "flickering": ("flickers", record("c", PAIRS[3], 0.0, flickers=True)),
    "missing": ("no clip", None),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_excluded_clip_removes_exactly_its_pair(kind):
    reason, bad = UNUSABLE[kind]
    whole = shifted(8, a=0, b=0.1, c=0.2)
    records = [x for x in whole if (x["model"], x["clip"]) != ("c", PAIRS[3])] + [bad] * bool(bad)
    board = Board.of(records)
    found = leaderboard(board)
    wanted = [["a", 7, 1], ["b", 7, 2], ["c", 7, 3]]
    assert found[["generator", "pairs", "rank"]].values.tolist() == wanted
    assert found["linearity_mae"][0] == pytest.approx(np.mean(VALUES[:3] + VALUES[4:]))
    counts = found.set_index("generator").loc["c", list(UNUSABLE)[:-1]]
    assert counts.to_dict() == {name: int(name == kind) for name in UNUSABLE if name != "missing"}
    pairs = comparisons(board).set_index(TWO)["pairs"]
    assert (pairs["b", "a"], pairs["c", "a"], pairs["c", "b"]) == (8, 7, 7)
    apart = left_out(board.clips, board.groups)
    assert apart.values.tolist() == [[1, 2, PAIRS[3], "a, b", f"{reason}: c"]]
    assert "2 clip(s) that can be ranked" in left_out_sentence(board, apart)


@pytest.fixture
def few_resamples(monkeypatch):
    monkeypatch.setattr("benchmarks.harness.statistics.RESAMPLES", 199)


def test_the_order_of_records_does_not_matter(few_resamples):
    records = scattered(1, 5, 12, 0.2)
    mixed = [records[k] for k in np.random.default_rng(1).permutation(len(records))]
    for made in (leaderboard, comparisons):
        pd.testing.assert_frame_equal(made(Board.of(mixed)), made(Board.of(records)))


def test_an_extra_clip_changes_no_rank(few_resamples):
    records = scattered(0, 5, 14, 0.1)
    more = [*records, record("g3", "extra", 0.001)]
    for made in (leaderboard, comparisons):
        both = [made(Board.of(x)).drop(columns=["clips", "can_be_ranked"], errors="ignore")
                for x in (records, more)]  # fmt: skip
        pd.testing.assert_frame_equal(*both)


def test_removing_a_clip_removes_exactly_that_pair(few_resamples):
    records = [x for k, name in enumerate("abcd") for x in drawn(name, 0.05 * k, 15)]
    gone, rest = records[20], records[:20] + records[21:]
    (before,), (after,) = Board.of(records).groups, Board.of(rest).groups
    assert set(before.pairs) - set(after.pairs) == {gone["clip"]}
    assert before.generators == after.generators
    whole, less = (comparisons(Board.of(x)).set_index(TWO) for x in (records, rest))
    own = np.array([gone["model"] in names for names in whole.index])
    assert (less["pairs"] == whole["pairs"] - own).all()
    columns = ["difference", "interval_low", "interval_high", "effect", "superiority"]
    pd.testing.assert_frame_equal(less.loc[~own, columns], whole.loc[~own, columns])


@pytest.mark.parametrize("seed", range(8))
def test_merging_loses_no_comparison(seed, few_resamples):
    """Whoever two parts rank against each other, the whole ranks: in a group, and in the table of
    differences on as many pairs or more."""
    first = scattered(seed, 4, 10, 0.25)
    second = [x for x in scattered(seed + 100, 6, 12, 0.4) if x["model"] in ("g4", "g5", "g1")]
    merged = list({(x["model"], x["clip"]): x for x in [*second, *first]}.values())
    pairs = comparisons(Board.of(merged)).set_index(TWO)["pairs"]
    both = {frozenset(two): count for two, count in pairs.items()}
    after = table(merged).set_index(["group", "generator"])["rank"].to_dict()
    for group in [*Board.of(first).groups, *Board.of(second).groups]:
        for two in combinations(group.generators, 2):
            assert both[frozenset(two)] >= len(group.pairs)
            homes = [{g for g, name in after if name == one and g == g} for one in two]
            assert homes[0] & homes[1]
            if group.ranked:
                shared = homes[0] & homes[1]
                assert any(after[g, two[0]] >= 1 and after[g, two[1]] >= 1 for g in shared)


def served(there: pd.DataFrame, names: list[str], pairs: int) -> int:
    """Comparisons that a set of generators with so many pairs serves."""
    shared = [int(there[list(two)].all(axis=1).sum()) for two in combinations(names, 2)]
    return sum(n > 0 and pairs >= min(6, n) for n in shared)


@pytest.mark.parametrize("seed", range(12))
def test_the_first_set_is_the_best_of_all(seed, monkeypatch):
    """By trying all sets: it serves most comparisons, and of those has most pairs. Every two who
    share a pair are served, where sets are grown too."""
    random = np.random.default_rng(seed)
    count, missing = int(random.integers(2, 6)), random.choice([0.1, 0.3, 0.6])
    places = [[f"p{k:02}" for k in range(12)], [0]]
    index = pd.MultiIndex.from_product(places, names=["pair", "seed"])
    there = pd.DataFrame(random.random((12, count)) >= missing, index, list("abcdef")[:count])
    best, found = [(0, 0)], [(0, 0)]
    for size in range(2, count + 1):
        for names in map(list, combinations(there.columns, size)):
            pairs = int(there[names].all(axis=1).sum())
            best.append((served(there, names, pairs), pairs))
    for names, clips in shared_sets(there):
        assert there.loc[clips, names].all(axis=None)
        found.append((served(there, names, len(clips)), len(clips)))
    assert max(found) == max(best)
    monkeypatch.setattr(sharing, "MAXIMAL_SETS", 0)
    grown = shared_sets(there)
    for two in map(list, combinations(there.columns, 2)):
        shared = int(there[two].all(axis=1).sum())
        homes = [len(clips) for names, clips in grown if {*two} <= {*names}]
        assert max(homes, default=0) >= min(6, shared)


def test_those_who_share_too_little_form_groups_of_their_own():
    records = [*shifted(8, a=0, b=0.1), *generator("few", 2, -0.01)]
    records += [record("x", f"other{k}", VALUES[k]) for k in range(7)]
    records += [record("y", f"other{k}", VALUES[k] + 0.1 + 0.01 * k) for k in range(7)]
    records += [record("alone", "elsewhere", 0.1), failed("broken", PAIRS[0])]
    board = Board.of(records)
    found = leaderboard(board)
    groups = {number: list(part["generator"]) for number, part in found.groupby("group")}
    assert groups == {1: ["a", "b"], 2: ["x", "y"], 3: ["few", "a", "b"]}
    assert found.loc[found["group"] == 3, "rank"].isna().all()
    last = found[found["group"].isna()].set_index("generator")["linearity_mae"]
    assert list(last.index) == ["alone", "broken"]
    assert last["alone"] == 0.1
    assert np.isnan(last["broken"])
    apart = left_out(board.clips, board.groups)
    assert apart[apart["clips"].isna()].set_index("generators")["reason"].to_dict() == {
        "few": "has 2 of the group's 8 pairs; compared in group 3",
        "x": "has 0 of the group's 8 pairs; compared in group 2",
        "y": "has 0 of the group's 8 pairs; compared in group 2",
        "alone": "no other generator has a clip of its pairs that can be ranked",
        "broken": "no clip that can be ranked (failed)",
    }
    assert "5 generator(s)" in left_out_sentence(board, apart)
    assert all(f"Group {k} (" in lines(records)[0] for k in (1, 2, 3))
    # What has nothing to do with them changes no p-value.
    before = comparisons(Board.of(records[:16])).iloc[0]
    after = comparisons(board).set_index(TWO).loc[("b", "a")]
    assert (before["p_holm"], before["result"]) == (after["p_holm"], after["result"])


@pytest.mark.parametrize("records", [[], [failed("a", "p")], generator("only", 8)])
def test_without_two_generators_nobody_is_placed(records):
    board = Board.of(records)
    found = leaderboard(board)
    assert found[["group", "order", "rank"]].isna().all(axis=None)
    assert len(found) == len({line["model"] for line in records})
    assert comparisons(board).empty
    assert tables.metrics(board, []).empty
    assert lines(records) == [
        "No two generators have clips of one pair that can be ranked, so none is placed."
    ]
