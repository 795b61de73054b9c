"""Records of leaderboards, made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.ranking.groups import SHOWN, groups_of
from benchmarks.ranking.standing import Standing

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


def standings(records: list[dict[str, Any]]) -> list[Standing]:
    return [Standing.of(group) for group in groups_of(records)]


def drawn(name: str, offset: float, count: int, noise: float = 0.02) -> list[dict[str, Any]]:
    """Clips of which some are hard for everyone, and a generator's own noise."""
    shared = np.random.default_rng(count).gamma(3.0, 0.03, count)
    own = np.random.default_rng([*name.encode(), count]).normal(offset, noise, count)
    values = np.clip(shared + own, 0.001, 0.499)
    return [record(name, f"pair{k}", float(values[k])) for k in range(count)]
