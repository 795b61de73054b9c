"""Quality in records and tables: columns, reasons, and original against retimed clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest

from benchmarks.harness.cells import Table
from benchmarks.harness.quality import (
    paired_table,
    reasons,
    retimed_columns,
    sentence,
)
from benchmarks.harness.session import build
from spf.errors import ConfigError
from spf.generators.base import GeneratedClip
from spf.quality import UNKNOWN, Conditions, Score
from spf.video import load

ABSENT = "not run: weights absent, get them by make weights QUALITY=vbench"


class Brightness:
    """A stand-in: the mean level of a clip, and two dimensions that cannot run."""

    name = "vbench"
    dimensions = ("temporal_flickering", "dynamic_degree", "imaging_quality")

    def measure(
        self, clip: Path, cache: object = None, conditions: Conditions = UNKNOWN
    ) -> dict[str, Score]:
        frames = np.stack(load(clip).frames)
        missing = dict.fromkeys(self.dimensions[1:], Score(None, ABSENT))
        return {self.dimensions[0]: Score(float(frames.mean()) / 255), **missing}

    def identity(self) -> dict[str, Any]:
        return {"quality": self.name}


def made(level: int, count: int = 5) -> GeneratedClip:
    return GeneratedClip(np.full((count, 32, 32, 3), level, np.uint8), 8.0)


# Columns


def test_a_retimed_clips_columns_are_not_swapped() -> None:
    columns = retimed_columns(Brightness(), before=made(50), after=made(200))
    assert columns["before_vbench_temporal_flickering"] == pytest.approx(50 / 255, abs=0.02)
    assert columns["vbench_temporal_flickering"] == pytest.approx(200 / 255, abs=0.02)
    assert reasons(columns, before=True) == reasons(columns)
    unchanged = retimed_columns(Brightness(), clip := made(50, 7), clip)
    name = "vbench_temporal_flickering"
    assert unchanged[name] == unchanged[f"before_{name}"]


# Original against retimed


def record(clip: int, before: float | None, after: float | None, **more: Any) -> dict[str, Any]:
    lacking = json.dumps({"imaging_quality": ABSENT})
    return {
        "status": "done", "clip": f"pair{clip}", "embedder": "tiny", "model": "tiny",
        "retime": "rope", "before_file": f"generated/{clip}.npz",
        "file": f"generated/{clip}-warped.npz", "vbench_temporal_flickering": after,
        "before_vbench_temporal_flickering": before, "vbench_imaging_quality": None,
        "before_vbench_imaging_quality": None, "quality_status": lacking,
        "before_quality_status": lacking,
    } | more  # fmt: skip


def table(records: list[dict[str, Any]]) -> Table:
    made = paired_table(records)
    assert made is not None
    return made


def test_differences_are_paired_and_signed() -> None:
    """An asymmetric case by hand: levels differ by clip, the change by a hundredth."""
    befores = [0.1, 0.3, 0.5, 0.7, 0.8, 0.9]
    changes = [0.01, 0.02, 0.01, 0.02, 0.01, 0.02]
    rows = [
        record(clip, before, before + change)
        for clip, (before, change) in enumerate(zip(befores, changes, strict=True))
    ]
    first, second = table(rows).rows
    assert first["dimension"] == "temporal_flickering"
    assert first["original"] == pytest.approx(0.55)
    assert first["retimed"] == pytest.approx(0.565)
    assert first["difference"] == pytest.approx(0.015)
    assert first["clips"] == "6 of 6"
    assert first["paper"] == "nearly unchanged"
    assert first["generator"] == "tiny (shipped)"
    low, high = first["difference_95"]
    assert 0 < low < 0.015 < high < 0.03  # though the levels spread over 0.8
    assert first["effect"] > 2
    assert second["dimension"] == "imaging_quality"
    assert second["difference"] is None
    assert second["clips"] == "0 of 6"
    assert second["remark"] == ABSENT
    assert second["paper"] == ""
    said = sentence(table(rows))
    assert ": higher temporal_flickering (rope by tiny), 0.55 to 0.565; no other interval" in said


def test_the_sentence_follows_sign_and_number() -> None:
    lower = [record(clip, 0.5, 0.45 + clip / 1000) for clip in range(6)]
    assert "lower temporal_flickering (rope by tiny), 0.5" in sentence(table(lower))
    level = [record(clip, 0.5, 0.5 + (-1) ** clip / 100) for clip in range(6)]
    said = sentence(table(level))
    assert said == "VBench, retimed against original: no interval of a difference excludes zero."
    few = table([record(clip, 0.5, 0.6) for clip in range(5)])
    assert few.rows[0]["difference"] == pytest.approx(0.1)
    assert few.rows[0]["difference_95"] is None
    assert "too few clips" in sentence(few)


def test_what_was_not_retimed_is_no_pair() -> None:
    rows = [record(clip, 0.5, 0.6) for clip in range(3)]
    rows += [record(3, 0.9, 0.9, file="generated/3.npz"), record(4, 0.9, 0.1, status="failed")]
    rows += [record(clip, 0.2, 0.2, retime="none") for clip in range(3)]
    first = table(rows).rows[0]
    assert first["clips"] == "3 of 3"
    assert first["difference"] == pytest.approx(0.1)
    assert first["remark"] == "1 left as generated"
    assert {row["strategy"] for row in table(rows).rows} == {"rope"}


# Composition


def test_a_benchmark_without_quality_refuses_it() -> None:
    config = harness.compose("benchmark=synthetic_pacing", "quality=vbench")
    with pytest.raises(ConfigError, match="scores no quality; use quality=none"):
        build(config)
