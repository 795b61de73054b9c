from __future__ import annotations

from pathlib import Path

import pytest
import snapshots

from benchmarks.harness.verify import compare


@pytest.mark.slow
def test_commands_compute_what_is_committed(tmp_path: Path) -> None:
    snapshots.make(tmp_path, tmp_path / "fresh")
    names = [path.name for path in sorted(snapshots.SNAPSHOTS.iterdir())]
    assert names == [path.name for path in sorted((tmp_path / "fresh").iterdir())]
    assert [str(one) for one in compare(snapshots.SNAPSHOTS, tmp_path / "fresh")] == []
