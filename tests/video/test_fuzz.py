"""Bad clips in bulk: every one is a measured row or a failed one with a line of reason."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import harness
import pytest

from scripts.bad_clips import make_bad_clips
from scripts.fuzz_clips import ended_row, measure_all, peak
from spf.video.clip import MAX_PIXELS
from spf.video.guarded import MEMORY


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


def test_what_counts_as_wrong() -> None:
    for reason in ("", "a/b: unexpected KeyError: 'x'; nothing", "a/b: two\nlines; copy it again"):
        row: dict[str, Any] = {"model": "a", "clip": "b", "status": "failed", "reason": reason}
        assert ended_row(row)["ended"] == "wrong"


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
    """docs/development/reliability.md states them as numbers."""
    text = (harness.ROOT / "docs" / "development" / "reliability.md").read_text()
    assert f"{MAX_PIXELS:,} pixels" in text
    assert f"{MEMORY / 2**30:g} GiB" in text
    assert peak("self") > 10
