import json
import re

import numpy as np
import pytest
from boards import PAIRS, VALUES, drawn, failed, generator, lines, record, shifted, table

from benchmarks.leaderboard.comparison import SHOWN, Board
from benchmarks.leaderboard.figures import pareto_front
from benchmarks.leaderboard.tables import (
    categories,
    comparisons,
    document,
    leaderboard,
    metrics,
    missing_dimensions,
    print_board,
)
from spf import METRICS
from spf.commands.output import as_json


def test_the_terminal_shows_ties_noise_and_what_is_missing(capsys):
    noisy = [row | {"noise_share": 0.25} for row in generator("[b]twin", 8)]
    unscored = {"quality_status": json.dumps({"aesthetic_quality": "not run: no weights"})}
    worse = [row | unscored for row in generator("worse", 8, 0.2)]
    records = [*noisy, *generator("twin", 8), *worse, failed("broken", PAIRS[0])]
    board = Board.of(records)
    found = json.loads(as_json(document(board, leaderboard(board), lines(records))))
    for column in ("equal_to", "tied_with"):
        assert [row[column] for row in found["rows"]] == [["twin"], ["[b]twin"], [], []]
    assert [row["rank"] for row in found["rows"]] == [1, 1, 3, None]
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
    assert list(found["tied_with"].map(bool)) == [ranks == [1, 1, 1]] * 3
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
    sums = [(0.1, 0.3), (0.2, 0.0), (0.0, 0.0)]
    two = [record("ab"[k], f"p{p}", pair[k]) for p, pair in enumerate(sums) for k in (0, 1)]
    two += [record("c", f"p{p}", 0.4) for p in range(3)]
    assert list(table(two)["order"]) == [1, 1, 3]
    assert "most even a, b (equal, linearity_mae 0.1000)" in lines(two)[0]
    assert list(comparisons(Board.of(records))["result"]) == ["equal"]


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
    found = table(records)
    assert found[["pairs", "clips"]].values.tolist() == [[3, 6], [3, 6]]
    assert found["rank"].isna().all()
    (group,) = Board.of(records).groups
    expected = [(VALUES[k] + VALUES[k + 3]) / 2 for k in range(3)]
    np.testing.assert_allclose(group.values("linearity_mae")["a"], expected)
    # A seed that one lacks is left out of both, and the pair stays.
    (group,) = Board.of(records[:-1]).groups
    assert len(group.pairs) == 3
    assert group.values("linearity_mae").loc[PAIRS[2], "a"] == VALUES[2]


def test_ties_share_a_rank_and_name_each_other():
    records = [*drawn("a", 0, 20), *drawn("b", 0, 20), *drawn("worse", 0.1, 20)]
    found = table(records)
    assert list(found["rank"]) == [1, 1, 3]
    assert list(found["tied_with"]) == ["2", "1", ""]
    assert found["best"].sum() == pytest.approx(1)
    assert found["best"][2] == 0
    many = table([x for k in range(7) for x in drawn(f"g{k}", 0.2 * (k == 6), 20)])
    assert many["tied_with"][0] == "2 to 6"
    assert "Not significantly different from the first: 1 of 2" in lines(records)[0]


def test_differences_are_paired():
    """Hard pairs make wide intervals of the means, and none of the difference."""
    records = generator("a", 8)
    records += [record("b", PAIRS[k], VALUES[k] + 0.01 + 0.0001 * k) for k in range(8)]
    (row,) = comparisons(Board.of(records)).to_dict("records")
    assert (row["generator"], row["against"]) == ("b", "a")
    assert 0.009 < row["interval_low"] < row["difference"] < row["interval_high"] < 0.02
    assert (row["superiority"], row["result"]) == (0, "significantly different")
    assert row["p"] == row["p_holm"] == 2 / 2**8
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
    for best, worst in (("left", "right"), ("right", "left")):
        text = lines(shifted(6, **{worst: 0.1, best: 0.0}))[0]
        assert f"most even {best} (linearity_mae {np.mean(VALUES[:6]):.4f})" in text
        assert f"least even {worst} (linearity_mae {np.mean(VALUES[:6]) + 0.1:.4f})" in text
    assert "without rank" in lines(shifted(5, a=0, b=0))[0]
    _, few = lines(shifted(6, a=0, b=0.1, c=0.2))
    assert "6 pairs cannot show a significant difference among 3 generators" in few
    assert "at least 7 pairs" in few
    _, enough = lines([*drawn("a", 0, 30), *drawn("b", 0, 30)])
    smallest = float(enough.partition("linearity_mae of ")[2].split()[0])
    spread = 0.02 * np.sqrt(2)  # of the differences
    assert smallest == pytest.approx(2.8 * spread / np.sqrt(30), rel=0.25)
