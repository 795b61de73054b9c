import json
import re
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from boards import PAIRS, VALUES, drawn, failed, generator, lines, record, shifted, table

from benchmarks.leaderboard import sharing, tables
from benchmarks.leaderboard.comparison import SHOWN, Board, left_out
from benchmarks.leaderboard.figures import pareto_front
from benchmarks.leaderboard.sharing import shared_sets
from benchmarks.leaderboard.tables import (
    categories,
    comparisons,
    document,
    leaderboard,
    left_out_sentence,
    metrics,
    missing_dimensions,
    print_board,
)
from spf import METRICS
from spf.commands.output import as_json
from spf.progress.metrics import NO_CHANGE


def test_the_terminal_shows_ties_noise_and_what_is_missing(capsys):
    noisy = [row | {"noise_share": 0.25} for row in generator("[b]twin", 8)]
    unscored = {"quality_status": json.dumps({"aesthetic_quality": "not run: no weights"})}
    worse = [row | unscored for row in generator("worse", 8, 0.2)]
    records = [*noisy, *generator("twin", 8), *worse, failed("broken", PAIRS[0])]
    board = Board.of(records)
    found = json.loads(as_json(document(board, leaderboard(board), lines(records))))
    twins = [["twin"], ["[b]twin"], [], []]
    assert [row["equal_to"] for row in found["rows"]] == twins
    assert [row["tied_with"] for row in found["rows"]] == twins
    print_board(found)
    text = capsys.readouterr().err
    printed = [line.split(maxsplit=2) for line in text.splitlines()[1:] if line[3] != " "]
    assert [" ".join(x[:2]) for x in printed] == ["1 [b]twin", "1 twin", "3 worse", "- broken"]
    mean = np.mean(VALUES)
    assert re.match(rf"{mean:.4f} +0\.\d+ to 0\.\d+ +equal to twin +8 +25%", printed[0][2])
    assert re.match(rf"{mean + 0.2:.4f} .* 8 +-", printed[2][2])
    assert re.search("not compared.* failed", text, re.DOTALL)
    assert missing_dimensions(records) == [
        "VBench without aesthetic_quality on 8 of 25 clips: not run: no weights"
    ]


@pytest.mark.parametrize(("count", "ranks"), [(1, None), (5, None), (6, [1, 1, 1]), (8, [1, 2, 3])])
def test_order_ranks_and_intervals_by_the_number_of_pairs(count, ranks):
    """Six that all agree have p = 1/32, too much for three comparisons: none is significant."""
    shifts = {"worst": 0.2, "best": 0.0, "middle": 0.1}
    found = table(shifted(count, **shifts))
    assert list(found["generator"]) == ["best", "middle", "worst"]
    assert list(found["order"]) == [1, 2, 3]
    assert found["linearity_mae"][0] == pytest.approx(np.mean(VALUES[:count]))
    if ranks is None:
        assert found[["rank", "linearity_mae_low", "best"]].isna().all(axis=None)
        assert all(f"order only: {count}" in note for note in found["note"])
        return
    assert list(found["rank"]) == ranks
    assert list(found["tied_with"]) == (["2, 3", "1, 3", "1, 2"] if count == 6 else [""] * 3)
    assert list(found["best"]) == [1, 0, 0]
    for row in found.to_dict("records"):
        low, high = row["linearity_mae_low"], row["linearity_mae_high"]
        values = np.array(VALUES[:count]) + shifts[row["generator"]]
        assert values.min() < low < row["linearity_mae"] < high < values.max()


def test_equal_means_are_called_equal():
    """0.1 + 0.2 is not 0.3 in floating point: means that differ by rounding are equal."""
    records = [record(name, pair, 0.1) for name in ("delta", "alpha") for pair in PAIRS[:6]]
    assert table(records)[["generator", "order"]].values.tolist() == [["alpha", 1], ["delta", 1]]
    assert "all are equal" in lines(records)[0]
    assert list(comparisons(Board.of(records))["result"]) == ["equal"]
    values = {"a": [0.1, 0.2, 0.0], "b": [0.3, 0.0, 0.0], "c": [0.4] * 3}
    sums = [record(name, f"p{k}", x[k]) for name, x in values.items() for k in range(3)]
    assert list(table(sums)["order"]) == [1, 1, 3]
    assert "most even a, b (equal, linearity_mae 0.1000)" in lines(sums)[0]


@pytest.mark.parametrize("metric", ["speed_cv_64", "pacing_entropy_64"])
def test_any_metric_with_a_direction_orders(metric):
    better = {"a": 0.1, "b": 0.2 if METRICS[metric].direction == "lower" else 0.0}
    records = shifted(8, b=0.0, a=0.1)
    for number, line in enumerate(records):
        line[metric] = better[line["model"]] + 0.001 * (number % 8)
    found = table(records, metric)
    assert found[["generator", "rank"]].values.tolist() == [["a", 1], ["b", 2]]
    assert (found[f"{metric}_low"] < found[metric]).all()
    assert list(table(records)["generator"]) == ["b", "a"]
    row = comparisons(Board.of(records, metric)).iloc[0]
    assert (row["generator"], row["against"], row["superiority"]) == ("b", "a", 0)
    assert row["difference"] == pytest.approx(better["b"] - better["a"])


def test_seeds_are_averaged_and_make_no_pairs():
    records = [
        record(name, PAIRS[k % 3], VALUES[k] + shift, seed=k // 3)
        for name, shift in (("a", 0.0), ("b", 0.1))
        for k in range(6)
    ]
    assert table(records)[["pairs", "clips"]].values.tolist() == [[3, 6], [3, 6]]
    (group,) = Board.of(records).groups
    expected = [(VALUES[k] + VALUES[k + 3]) / 2 for k in range(3)]
    np.testing.assert_allclose(group.values("linearity_mae")["a"], expected)
    # A seed that one lacks is left out of both, and the pair stays.
    (group,) = Board.of(records[:-1]).groups
    assert len(group.pairs) == 3
    assert group.values("linearity_mae").loc[PAIRS[2], "a"] == VALUES[2]


def test_differences_are_paired():
    """Hard pairs make wide intervals of the means, and none of the difference."""
    records = generator("a", 8)
    records += [record("b", PAIRS[k], VALUES[k] + 0.01 + 0.0001 * k) for k in range(8)]
    (row,) = comparisons(Board.of(records)).to_dict("records")
    assert 0.009 < row["interval_low"] < row["difference"] < row["interval_high"] < 0.02
    wanted = {"generator": "b", "against": "a", "superiority": 0, "p": 2 / 2**8, "p_holm": 2 / 2**8}
    assert row | wanted | {"result": "significantly different"} == row
    assert row["effect"] > 5
    assert 0 < row["detectable"] < 0.001


def test_every_metric_has_its_direction_and_an_interval_within_its_bounds():
    records = shifted(7, a=0, b=0)
    for number, line in enumerate(records):
        line["stall_fraction"] = 0.9 * (number % 7 == 0)  # one in seven: no upper limit
        line["vbench_motion_smoothness"] = 0.9 + 0.01 * (number % 3)
        line["quality_identity"] = "x"
    found = metrics(Board.of(records), ["vbench_motion_smoothness"])
    assert len(found) == 2 * (len(SHOWN) + 1)
    for row in found.to_dict("records"):
        known = METRICS.get(row["metric"])
        assert row["better"] == (known.direction if known else "higher")
        assert row["interval_low"] <= row["mean"] <= row["interval_high"]
        if known:
            assert known.minimum <= row["interval_low"] <= row["interval_high"] <= known.maximum
    assert (found.loc[found["metric"] == "stall_fraction", "interval_high"] == 1).all()


def test_categories_are_ranked_by_themselves():
    records = [row | {"category": "near"} for row in shifted(8, a=0, b=0.1)]
    far = shifted(8, a=0.2, b=0)
    records += [row | {"category": "far", "clip": f"far {row['clip']}"} for row in far]
    found = categories(records, "linearity_mae")[["category", "generator", "rank"]]
    wanted = [["far", "b", 1], ["far", "a", 2], ["near", "a", 1], ["near", "b", 2]]
    assert found.values.tolist() == wanted
    assert categories(generator("a", 8), "linearity_mae").empty


def test_pareto_front_by_hand():
    pacing = np.array([0.1, 0.2, 0.2, 0.3, 0.1])
    quality = np.array([0.5, 0.9, 0.8, 0.9, 0.5])
    assert pareto_front(pacing, quality).tolist() == [True, True, False, False, True]


def test_true_order_is_recovered():
    """Gaps of 5 standard errors of the paired mean, in a random order of names."""
    count, spread, ranked = 24, 0.02, 0
    for seed in range(8):
        random = np.random.default_rng(seed)
        hard, names = random.gamma(3.0, 0.03, count), random.permutation(5)
        records = [
            record(f"g{names[k]}", f"pair{pair}", 0.1 + 5 * k * spread * np.sqrt(2 / count) + value)
            for k in range(5)
            for pair, value in enumerate(hard + random.normal(0, spread, count))
        ]
        board = Board.of(records)
        assert list(board.groups[0].places.index) == [f"g{name}" for name in names]
        ranked += list(leaderboard(board)["rank"]) == [1, 2, 3, 4, 5]
    assert ranked >= 7


def test_sentences_follow_the_values():
    text = lines(shifted(6, left=0.1, right=0.0))[0]
    assert f"most even right (linearity_mae {np.mean(VALUES[:6]):.4f})" in text
    assert f"least even left (linearity_mae {np.mean(VALUES[:6]) + 0.1:.4f})" in text
    assert "without rank" in lines(shifted(5, a=0, b=0))[0]
    _, few = lines(shifted(6, a=0, b=0.1, c=0.2))
    assert "6 pairs cannot show a significant difference among 3 generators" in few
    assert "at least 7 pairs" in few
    _, enough = lines([*drawn("a", 0, 30), *drawn("b", 0, 30)])
    smallest = float(enough.partition("linearity_mae of ")[2].split()[0])
    spread = 0.02 * np.sqrt(2)  # of the differences
    assert smallest == pytest.approx(2.8 * spread / np.sqrt(30), rel=0.25)


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
    groups = found.groupby("group")["generator"].agg(list).to_dict()
    assert groups == {1: ["a", "b"], 2: ["x", "y"], 3: ["few", "a", "b"]}
    assert found.loc[found["group"] == 3, "rank"].isna().all()
    last = found[found["group"].isna()].fillna({"linearity_mae": -1.0})
    assert last[["generator", "linearity_mae"]].values.tolist() == [["alone", 0.1], ["broken", -1]]
    apart = left_out(board.clips, board.groups)
    assert apart[apart["clips"].isna()].set_index("generators")["reason"].to_dict() == {
        "few": "has 2 of the group's 8 pairs; compared in group 3",
        "x": "has 0 of the group's 8 pairs; compared in group 2",
        "y": "has 0 of the group's 8 pairs; compared in group 2",
        "alone": "no other generator has a clip of its pairs that can be ranked",
        "broken": "no clip that can be ranked (failed)",
    }
    assert "5 generator(s)" in left_out_sentence(board, apart)
    # What has nothing to do with them changes no p-value.
    before = comparisons(Board.of(records[:16])).iloc[0]
    after = comparisons(board).set_index(TWO).loc[("b", "a")]
    assert before["p_holm"] == after["p_holm"]


@pytest.mark.parametrize("records", [[], [failed("a", "p")], generator("only", 8)])
def test_without_two_generators_nobody_is_placed(records):
    board = Board.of(records)
    found = leaderboard(board)
    assert found[["group", "order", "rank"]].isna().all(axis=None)
    assert len(found) == len({line["model"] for line in records})
    assert comparisons(board).empty
    assert tables.metrics(board, []).empty
    (line,) = lines(records)
    assert line.startswith("No two generators have clips of one pair")
