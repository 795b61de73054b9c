import numpy as np

from benchmarks.leaderboard.comparison import LINEARITY, SHOWN, Board, sentences
from benchmarks.leaderboard.tables import leaderboard

PAIRS = [f"pair{number}" for number in range(8)]
# Errors of a generator on PAIRS, in an order that no sorting leaves alone.
VALUES = [0.11, 0.05, 0.23, 0.17, 0.02, 0.29, 0.13, 0.08]


def record(model, pair, error, **more):
    metrics = dict.fromkeys(SHOWN, 1.0) | {"linearity_mae": error, "frames": 81}
    return failed(model, pair) | {"status": "done", "reason": ""} | metrics | more


def failed(model, pair):
    base = {"status": "failed", "reason": "it is empty", "model": model, "clip": pair}
    return base | {"embedder": "pixels", "seed": 0}


def generator(model, count, shift=0.0):
    return [record(model, PAIRS[k], VALUES[k] + shift) for k in range(count)]


def shifted(count, **shifts):
    return [row for name, shift in shifts.items() for row in generator(name, count, shift)]


def drawn(name, offset, count, noise=0.02):
    """Clips of which some are hard for everyone, and a generator's own noise."""
    shared = np.random.default_rng(count).gamma(3.0, 0.03, count)
    own = np.random.default_rng([*name.encode(), count]).normal(offset, noise, count)
    values = np.clip(shared + own, 0.001, 0.499)
    return [record(name, f"pair{k}", float(values[k])) for k in range(count)]


def table(records, order_by=LINEARITY):
    return leaderboard(Board.of(records, order_by))


def lines(records):
    board = Board.of(records)
    return sentences(board.groups, board.differences)
