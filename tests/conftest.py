"""Fixtures that several files of tests share."""

from __future__ import annotations

from pathlib import Path

import clips
import pytest
from clips import encode, grey


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("shared")
    return {
        "mp4": encode(folder / "a.mp4", grey(30)),
        "gif": clips.animate(folder / "a.gif", grey(30), [40] * 30),
        "noise": encode(
            folder / "noise.mp4",
            clips.noise(60),
            options={"bf": "0", "g": "10"},
            container_options={"movflags": "faststart"},
        ),
        "late index": encode(folder / "late_index.mp4", clips.noise(60)),
        "plain": encode(folder / "plain.mp4", grey(30), options={"bf": "0"}),
    }
