"""Records of several runs and machines as one: they must agree on what measured them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.generated.scores import ORACLE
from benchmarks.harness.records import DONE, NOT_RUN, SCHEMA, Record
from benchmarks.leaderboard.comparison import generator_of, is_quality
from benchmarks.leaderboard.inputs import Input
from spf.errors import ConfigError
from spf.progress import METRICS

COMPARED = ("schema", "embedder", "weights_revision", "weights_hash", "settings")
"""Columns in which rows must agree to be compared."""

HERE = "this run"
TOLERANCE = 1e-5
"""Relative difference up to which two measurements of one clip are the same: printed digits."""


def merge(inputs: Sequence[Input], here: Mapping[str, Any] | None = None) -> list[Record]:
    """All records of the inputs, each clip of a generator once, in a fixed order.

    Rows that the renderer's own parameter measured are left out: it is no embedder. A clip that
    was not run in one input is taken from another. here : the `COMPARED` columns of clips that are
    going to be measured beside them. Raises ConfigError, naming the field and both values, where
    inputs differ in what measured them or in what they say of one clip.
    """
    found = [
        Input(one.place, [r for r in one.records if r["embedder"] != ORACLE]) for one in inputs
    ]
    check_agreement(found, here)
    chosen: dict[tuple[str, str, int], tuple[str, Record]] = {}
    for one in found:
        for record in one.records:
            name = identity(record)
            if name in chosen:
                place, earlier = chosen[name]
                if NOT_RUN not in (earlier["status"], record["status"]):
                    check_equal((place, earlier), (one.place, record))
                if _rank(earlier) <= _rank(record):
                    continue
            chosen[name] = (one.place, record)
    for _, record in chosen.values():
        record |= {"curve": None, "plot": None}
    return [chosen[name][1] for name in sorted(chosen)]


def identity(record: Record) -> tuple[str, str, int]:
    """What makes two rows the same clip: generator, pair and seed."""
    return generator_of(record), record["clip"], record["seed"]


def check_agreement(inputs: Iterable[Input], here: Mapping[str, Any] | None = None) -> None:
    """Raise ConfigError where rows were measured by different means. Rows that were not measured
    have no say."""
    first: dict[str, tuple[str, Any]] = {}
    if here is not None:
        first = {name: (HERE, here[name]) for name in COMPARED}
    for one in inputs:
        for name in COMPARED:
            measured = (record for record in one.records if record["status"] == DONE)
            for value in dict.fromkeys(record[name] for record in measured):
                place, expected = first.setdefault(name, (one.place, value))
                if value != expected:
                    _refuse(name, (place, expected), (one.place, value))


def _refuse(name: str, first: tuple[str, Any], second: tuple[str, Any]) -> None:
    (place, one), (other_place, other) = first, second
    if name == "settings":
        name, one, other = _difference(json.loads(one), json.loads(other), name)
    both = f"{one!r} in {place} and {other!r} in {other_place}"
    raise ConfigError(f"{name} differs: {both}; compare only what was measured alike")


def _difference(first: Any, second: Any, name: str) -> tuple[str, Any, Any]:
    """The first name, with dots, under which nested dicts differ, and both values."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted(first.keys() | second.keys()):
            if first.get(key) != second.get(key):
                return _difference(first.get(key), second.get(key), f"{name}.{key}")
    return name, first, second


def check_equal(first: tuple[str, Record], second: tuple[str, Record]) -> None:
    """Raise ConfigError where two rows of one clip have different values."""
    (place, one), (other_place, other) = first, second
    quality = sorted({name for name in (*one, *other) if is_quality(name)})
    numbers = ["frames", *METRICS, *quality]
    values = np.array([[row.get(name) for name in numbers] for row in (one, other)], dtype=float)
    near = np.isclose(values[0], values[1], rtol=TOLERANCE, atol=1e-9, equal_nan=True)
    differs = ["status"] * (one["status"] != other["status"])
    differs += [name for name, same in zip(numbers, near, strict=True) if not same]
    for name in differs[:1]:
        generator, pair, seed = identity(one)
        both = f"{one.get(name)!r} in {place} and {other.get(name)!r} in {other_place}"
        raise ConfigError(
            f"{generator}/{pair}, seed {seed}: {name} differs: {both}; leave one of them out"
        )


def _rank(record: Record) -> tuple[bool, str, str]:
    """Which of equal rows is taken, whatever the order of the inputs: the lowest."""
    return record["status"] == NOT_RUN, record["cell"] or "", record["input"] or ""


def measured_here(provenance: Mapping[str, Any], embedder: str) -> dict[str, Any]:
    """The `COMPARED` columns of clips that this run measures."""
    return {"schema": SCHEMA, "embedder": embedder, **provenance}
