"""Generated clips on the disk: what cannot be read back is made again, or never kept."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from faders import Fader

from spf.errors import SpfError
from spf.generators import kept
from spf.generators.base import Request
from spf.generators.kept import Kept, pack

BLACK = np.zeros((16, 16, 3), np.uint8)
REQUEST = Request(BLACK, BLACK + 200, "", None, 0, 9, 12.0)


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fader, "requests", [])


@pytest.mark.parametrize("shape", [(0, 16, 16, 3), (9, 16, 16), (9, 16, 16, 4)])
def test_a_file_with_other_frames_is_made_again(shape: tuple[int, ...], tmp_path: Path) -> None:
    made = Kept(Fader(), tmp_path)
    wanted = pack(made.generate(REQUEST))
    data = io.BytesIO()
    notes = np.frombuffer(json.dumps([]).encode(), np.uint8)
    np.savez(data, frames=np.zeros(shape, np.uint8), fps=np.float64(12), notes=notes)
    made.path(REQUEST).write_bytes(data.getvalue())
    assert pack(made.generate(REQUEST)) == wanted
    assert len(Fader.requests) == 2


def test_a_clip_that_could_not_be_read_back_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "LARGEST", 9 * 16 * 16 * 3 - 1)
    with pytest.raises(SpfError, match=r"9 frames of .* ask for fewer frames at a time"):
        Kept(Fader(), tmp_path).generate(REQUEST)
    assert not list(tmp_path.iterdir())
