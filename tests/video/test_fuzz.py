"""Bad clips in bulk: every one is a measured row or a failed one with a line of reason."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import harness
import numpy as np
import pytest
from bad_clips import make_bad_clips

from spf.embedders import load_embedder
from spf.errors import ClipError
from spf.measurement import measure_clip
from spf.video.clip import MAX_PIXELS
from spf.video.guarded import MEMORY


def test_bad_clips_of_a_leaderboard_are_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.without_plots(monkeypatch)
    paths = make_bad_clips(tmp_path, 40, seed=2, large=False)
    run = harness.run(tmp_path / "clips", tmp_path / "out", "embedder=pixels")
    assert run.code == 1
    rows = run.results.records
    assert len(rows) == len(paths)
    assert {row["status"] for row in rows} == {"done", "failed"}
    assert all(row["frames"] > 0 for row in rows if row["status"] == "done")
    reasons = {row["reason"] for row in rows if row["status"] == "failed"}
    assert all("; " in reason and reason.isprintable() for reason in reasons)
    assert not [reason for reason in reasons if "unexpected" in reason]
    page = (run.folder.root / "index.html").read_text()
    assert reasons <= {cell for row in harness.Page(page).rows for cell in row}
    assert "Traceback" not in "".join(capsys.readouterr())


def end_of(path: Path) -> str:
    """How the measuring of a clip ends, which is in no other way."""
    try:
        found = measure_clip(path, load_embedder("pixels"), guarded=True)
    except ClipError as error:
        return "failed" if str(error).isprintable() else str(error)
    assert np.isfinite(found.curve.progress).all(), path
    assert np.isfinite(found.curve.times).all(), path
    return "measured"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_500_bad_clips(part: int, tmp_path: Path) -> None:
    """In five parts of 100, each from another seed, so that each is a test of minutes."""
    make_bad_clips(tmp_path, 100, seed=part)
    ends = {path: end_of(path) for path in sorted((tmp_path / "clips").glob("*/*"))}
    assert len(ends) == 100
    counts = Counter(ends.values())
    assert counts.keys() == {"measured", "failed"}
    assert counts["measured"] > 20
    never = ("sound", "still", "one-frame", "bomb")  # no pictures, one frame, too large
    good = [path for path in ends if path.parent.name == "untouched"]
    assert {ends[path] for path in good if not any(word in path.name for word in never)} == {
        "measured"
    }


def test_the_stated_bounds() -> None:
    """docs/development/reliability.md states them as numbers."""
    text = (harness.ROOT / "docs" / "development" / "reliability.md").read_text()
    assert f"{MAX_PIXELS:,} pixels" in text
    assert f"{MEMORY / 2**30:g} GiB" in text
