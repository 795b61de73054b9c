"""Bad clips in bulk: every one is a measured row or a failed one with a line of reason."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import harness
import pytest

from scripts.bad_clips import DAMAGES, ODD, RENAMED, make_bad_clips
from scripts.fuzz_clips import ended_row, measure, measure_all, peak
from spf.video.clip import MAX_PIXELS
from spf.video.guarded import MEMORY

PICTURES = {"plain", "hurried", "deep", "grown", "bomb"}


def test_few_bad_clips_see_every_damage(tmp_path: Path) -> None:
    paths = make_bad_clips(tmp_path, 250, seed=1, large=False)
    assert {path.parent.name for path in paths} == {
        *(damage.__name__ for damage in DAMAGES),
        RENAMED,
        "odd-members",
    }
    kinds = {path.name for path in paths if path.parent.name == "odd-members"}
    assert len({name.split("-", 3)[3] for name in kinds}) >= len(ODD) - 2


def test_what_is_drawn_depends_on_the_seed_alone(tmp_path: Path) -> None:
    """Of pictures, byte by byte; encoders of videos do not repeat themselves exactly."""
    drawn = []
    for number, seed in enumerate((3, 3, 4)):
        root = tmp_path / str(number)
        paths = make_bad_clips(root, 60, seed, large=False)
        images = [path for path in paths if path.stem.split("-")[1] in PICTURES]
        drawn.append([(path.relative_to(root), path.read_bytes()) for path in images])
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) > 5


def test_bad_clips_of_a_leaderboard_are_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.without_plots(monkeypatch)
    paths = make_bad_clips(tmp_path, 40, seed=2, large=False)
    run = harness.run(tmp_path / "clips", tmp_path / "out", "embedder=pixels")
    assert run.code == 1
    rows = [ended_row(record) for record in run.results.records]
    assert len(rows) == len(paths)
    assert not [row for row in rows if row["ended"] == "wrong"]
    assert {row["ended"] for row in rows} == {"measured", "failed"}
    page = (run.folder.root / "index.html").read_text()
    cells = {cell for row in harness.Page(page).rows for cell in row}
    assert {row["reason"] for row in rows if row["ended"] == "failed"} <= cells
    assert "Traceback" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("record", "ended"),
    [
        ({"status": "done", "frames": 3, "reason": ""}, "measured"),
        ({"status": "failed", "reason": "a/b: it is empty; copy it again"}, "failed"),
        ({"status": "done", "frames": 0, "reason": ""}, "wrong"),
        ({"status": "failed", "reason": ""}, "wrong"),
        ({"status": "failed", "reason": "a/b: unexpected KeyError: 'x'; nothing"}, "wrong"),
        ({"status": "failed", "reason": "a/b: two\nlines; copy it again"}, "wrong"),
        ({"status": "not_run", "reason": "a/b: it was not; run it"}, "wrong"),
    ],
)
def test_what_counts_as_wrong(record: dict[str, Any], ended: str) -> None:
    assert ended_row({"model": "a", "clip": "b", **record})["ended"] == ended


def test_measure_calls_wrong_what_is_not_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("scripts.fuzz_clips.measure_clip", broken)
    assert measure(tmp_path) == ("wrong", "KeyError: 'a bug'")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_500_bad_clips(part: int, tmp_path: Path) -> None:
    """In five parts of 100, each from another seed, so that each is a test of minutes."""
    make_bad_clips(tmp_path, 100, seed=part)
    paths = sorted((tmp_path / "clips").glob("*/*"))
    rows = measure_all(paths, tmp_path / "clips")
    ends = Counter(row["ended"] for row in rows)
    assert ends["measured"] + ends["failed"] == len(paths) == 100
    assert ends["measured"] > 20
    good = [row for row in rows if row["clip"].startswith("untouched/")]
    never = ("sound", "still", "one-frame", "bomb")  # no pictures, one frame, too large
    assert {row["ended"] for row in good if not any(word in row["clip"] for word in never)} == {
        "measured"
    }


def test_the_stated_bounds(tmp_path: Path) -> None:
    """docs/reliability.md states them as numbers."""
    text = (harness.ROOT / "docs" / "reliability.md").read_text()
    assert f"{MAX_PIXELS:,} pixels" in text
    assert f"{MEMORY / 2**30:g} GiB" in text
    assert peak("self") > 10
