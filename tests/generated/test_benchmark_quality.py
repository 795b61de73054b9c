"""Quality in records and tables: columns, reasons, and original against retimed clips."""

import json

import harness
import numpy as np
import pytest

from benchmarks.harness.quality import paired_table, reasons, retimed_columns, sentence
from benchmarks.harness.session import build
from spf.errors import ConfigError
from spf.generators.base import GeneratedClip
from spf.quality import UNKNOWN, Score
from spf.video import load

ABSENT = "not run: weights absent, get them by make weights QUALITY=vbench"
FLICKER = "vbench_temporal_flickering"


class Brightness:
    """A stand-in: the mean level of a clip, and two dimensions that cannot run."""

    name = "vbench"
    dimensions = ("temporal_flickering", "dynamic_degree", "imaging_quality")

    def measure(self, clip, cache=None, conditions=UNKNOWN):
        frames = np.stack(load(clip).frames)
        missing = dict.fromkeys(self.dimensions[1:], Score(None, ABSENT))
        return {self.dimensions[0]: Score(float(frames.mean()) / 255), **missing}

    def identity(self):
        return {"quality": self.name}


def test_a_retimed_clips_columns_are_not_swapped():
    dark, light = (GeneratedClip(np.full((5, 32, 32, 3), x, np.uint8), 8.0) for x in (50, 200))
    columns = retimed_columns(Brightness(), before=dark, after=light)
    assert columns[f"before_{FLICKER}"] == pytest.approx(50 / 255, abs=0.02)
    assert columns[FLICKER] == pytest.approx(200 / 255, abs=0.02)
    assert reasons(columns, before=True) == reasons(columns)
    unchanged = retimed_columns(Brightness(), dark, dark)
    assert unchanged[FLICKER] == unchanged[f"before_{FLICKER}"]


def record(clip, before, after, **more):
    reason = json.dumps({"imaging_quality": ABSENT})
    return {
        "status": "done", "clip": f"pair{clip}", "embedder": "tiny", "model": "tiny",
        "retime": "rope", "before_file": f"generated/{clip}.npz",
        "file": f"generated/{clip}-warped.npz", FLICKER: after, f"before_{FLICKER}": before,
        "vbench_imaging_quality": None, "before_vbench_imaging_quality": None,
        "quality_status": reason, "before_quality_status": reason,
    } | more  # fmt: skip


def test_differences_are_paired_and_signed():
    """An asymmetric case by hand: levels differ by clip, the change by a hundredth."""
    befores = [0.1, 0.3, 0.5, 0.7, 0.8, 0.9]
    rows = [record(clip, x, x + 0.01 * (1 + clip % 2)) for clip, x in enumerate(befores)]
    table = paired_table(rows)
    first, second = table.rows
    assert first["original"] == pytest.approx(0.55)
    assert first["retimed"] == pytest.approx(0.565)
    assert first["difference"] == pytest.approx(0.015)
    names = ("dimension", "clips", "paper", "generator")
    known = "temporal_flickering", "6 of 6", "nearly unchanged", "tiny (shipped)"
    assert tuple(first[name] for name in names) == known
    low, high = first["difference_95"]
    assert 0 < low < 0.015 < high < 0.03  # though the levels spread over 0.8
    assert first["effect"] > 2
    names = ("dimension", "difference", "clips", "remark", "paper")
    assert tuple(second[x] for x in names) == ("imaging_quality", None, "0 of 6", ABSENT, "")
    said = ": higher temporal_flickering (rope by tiny), 0.55 to 0.565; no other interval"
    assert said in sentence(table)


@pytest.mark.parametrize(
    ("afters", "said"),
    [
        (
            [0.45 + clip / 1000 for clip in range(6)],
            "lower temporal_flickering (rope by tiny), 0.5",
        ),
        (
            [0.5 + (-1) ** clip / 100 for clip in range(6)],
            "no interval of a difference excludes zero",
        ),
        ([0.6] * 5, "too few clips"),
    ],
)
def test_the_sentence_follows_sign_and_number(afters, said):
    table = paired_table([record(clip, 0.5, after) for clip, after in enumerate(afters)])
    assert said in sentence(table)
    assert (table.rows[0]["difference_95"] is None) == (len(afters) < 6)


def test_what_was_not_retimed_is_no_pair():
    rows = [record(clip, 0.5, 0.6) for clip in range(3)]
    rows += [record(3, 0.9, 0.9, file="generated/3.npz"), record(4, 0.9, 0.1, status="failed")]
    rows += [record(clip, 0.2, 0.2, retime="none") for clip in range(3)]
    table = paired_table(rows)
    first = table.rows[0]
    assert (first["clips"], first["remark"]) == ("3 of 3", "1 left as generated")
    assert first["difference"] == pytest.approx(0.1)
    assert {row["strategy"] for row in table.rows} == {"rope"}


def test_a_benchmark_without_quality_refuses_it():
    config = harness.compose("benchmark=synthetic_pacing", "quality=vbench")
    with pytest.raises(ConfigError, match="scores no quality; use quality=none"):
        build(config)
