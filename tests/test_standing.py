"""Leaderboards of simulated generators find the truth, and their sentences follow the values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from boards import PAIRS, drawn, failed, generator, record, standings

from benchmarks.ranking.rows import leaderboard_rows
from benchmarks.ranking.standing import power_sentences, sentence

# Simulated truth: design's rules for ranks at work


def simulated(gaps: list[float], count: int, seed: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Generators whose true unevenness differs by `gaps` standard errors of the paired mean, in a
    random order of names, and the names in the true order."""
    random = np.random.default_rng(seed)
    spread = 0.02  # of a generator's own values, so that differences have sqrt(2) times as much
    step = spread * np.sqrt(2 / count)
    hard = random.gamma(3.0, 0.03, count)
    names = random.permutation(len(gaps))
    return [
        record(f"generator{names[k]}", f"pair{pair}", float(0.1 + gap * step + value))
        for k, gap in enumerate(gaps)
        for pair, value in enumerate(hard + random.normal(0, spread, count))
    ], [f"generator{name}" for name in names]


def test_true_order_is_recovered() -> None:
    """Gaps of 5 standard errors: the order in 50 of 50, as ranks without a tie in 49 or more."""
    ordered = ranked = 0
    for seed in range(50):
        records, truth = simulated([0, 5, 10, 15, 20], 24, seed)
        (standing,) = standings(records)
        ordered += list(standing.names) == truth
        ranked += standing.ranks == [1, 2, 3, 4, 5]
    assert ordered == 50
    assert ranked >= 49


def test_equal_generators_are_tied() -> None:
    tied = 0
    for seed in range(150):
        (standing,) = standings(simulated([0, 0, 0, 0], 16, 1000 + seed)[0])
        tied += standing.ranks == [1, 1, 1, 1]
    assert tied >= 0.93 * 150


def test_work_grows_with_the_records_and_not_with_their_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of many records is looked at as often as each of a few."""

    def looks(pairs: int) -> float:
        seen = 0

        class Watched(dict):  # type: ignore[type-arg]
            def __getitem__(self, name: str) -> Any:
                nonlocal seen
                seen += 1
                return super().__getitem__(name)

        records = [Watched(record(f"g{k}", f"p{p}", 0.1)) for k in range(10) for p in range(pairs)]
        leaderboard_rows(records)
        return seen / len(records)

    monkeypatch.setattr("benchmarks.scoring.statistics.RESAMPLES", 99)
    assert looks(300) <= looks(30) + 1


# The sentences


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


def test_what_the_clips_can_show() -> None:
    (few,) = power_sentences(standings(generator("a", 6) + generator("b", 6) + generator("c", 6)))
    assert "cannot tell 3 generators apart" in few
    assert "at least 7 pairs" in few
    (enough,) = power_sentences(standings([*drawn("a", 0, 30), *drawn("b", 0, 30)]))
    smallest = float(enough.partition("linearity_mae of ")[2].split()[0])
    spread = 0.02 * np.sqrt(2)  # of the differences
    assert smallest == pytest.approx(2.8 * spread / np.sqrt(30), rel=0.25)
    assert power_sentences(standings(generator("a", 5) + generator("b", 5))) == []


def test_sentence_leaves_the_incomplete_out() -> None:
    broken = generator("broken", 6, -0.02)  # would be the best
    broken[0] = failed("broken", PAIRS[0])
    rows = leaderboard_rows([*broken, *generator("x", 6), *generator("y", 6, 0.1)])
    assert "broken" not in sentence(rows)


def test_sentence_names_every_group() -> None:
    records = [*generator("a", 6), *generator("b", 6, 0.1), *generator("c", 2), *generator("d", 2)]
    text = sentence(leaderboard_rows(records))
    assert all(f"even {name} " in text for name in "abcd")
