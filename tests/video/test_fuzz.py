"""Bad clips in bulk: every one is a measured row or a failed one with a line of reason."""

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


def test_bad_clips_of_a_leaderboard_are_rows(tmp_path, monkeypatch, capsys):
    harness.without_plots(monkeypatch)
    paths = make_bad_clips(tmp_path, 30, seed=2, large=False)
    run = harness.run(tmp_path / "clips", tmp_path / "out", "embedder=pixels")
    rows = run.results.records
    assert (run.code, len(rows)) == (1, len(paths))
    assert {row["status"] for row in rows} == {"done", "failed"}
    assert all(row["frames"] > 0 for row in rows if row["status"] == "done")
    reasons = {row["reason"] for row in rows if row["status"] == "failed"}
    assert all("; " in x and x.isprintable() and "unexpected" not in x for x in reasons)
    page = (run.folder.root / "index.html").read_text()
    assert reasons <= {cell for row in harness.Page(page).rows for cell in row}
    assert "Traceback" not in "".join(capsys.readouterr())


def end_of(path: Path) -> str:
    """How the measuring of a clip ends, which is in no other way."""
    try:
        found = measure_clip(path, load_embedder("pixels"), guarded=True)
    except ClipError as error:
        return "failed" if str(error).isprintable() else str(error)
    assert np.isfinite([found.curve.progress, found.curve.times]).all(), path
    return "measured"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_500_bad_clips(part, tmp_path):
    """In five parts of 100, each from another seed, so that each is a test of minutes."""
    make_bad_clips(tmp_path, 100, seed=part)
    ends = {path: end_of(path) for path in sorted((tmp_path / "clips").glob("*/*"))}
    counts = Counter(ends.values())
    assert counts.keys() == {"measured", "failed"}
    assert counts.total() == 100
    assert counts["measured"] > 20
    never = ("sound", "still", "one-frame", "bomb")  # no video, one frame, too large
    good = [path for path in ends if path.parent.name == "untouched"]
    assert {ends[p] for p in good if not any(name in p.name for name in never)} == {"measured"}


def test_the_stated_bounds():
    """docs/development/reliability.md states them as numbers."""
    text = (harness.ROOT / "docs" / "development" / "reliability.md").read_text()
    assert f"{MAX_PIXELS:,} pixels" in text
    assert f"{MEMORY / 2**30:g} GiB" in text
