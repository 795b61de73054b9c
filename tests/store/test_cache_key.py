"""What determines the embeddings of a clip: whatever of it changes, nothing old is found."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import pytest
from test_cache import image_folder, measured

import spf.cache
from spf.embedders import load_embedder
from spf.embedders.histogram import Histogram
from spf.video import Sampling


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return harness.save(tmp_path / "clip.mp4", harness.jumping())


def identity(**more: str) -> Callable[[pytest.MonkeyPatch], None]:
    """An embedder that says one thing more, or another thing, of itself."""
    original = Histogram.identity
    return lambda patch: patch.setattr(Histogram, "identity", lambda self: original(self) | more)


def library(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    other = spf.cache.libraries() | {name: "another"}
    return lambda patch: patch.setattr(spf.cache, "libraries", lambda: other)


OUTSIDE: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "weights": identity(weights="another"),
    "revision": identity(revision="another"),
    "preprocessing": identity(size="another"),
    "layer": identity(layer="another"),
    "dtype": identity(dtype="another"),
    "code": lambda patch: patch.setattr(spf.cache, "code_hash", lambda *_: "another"),
    **{name: library(name) for name in spf.cache.libraries()},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "embedder": {"embedder": load_embedder("pixels")},
    "colours": {"embedder": load_embedder("histogram", colours=5)},
    "orientations": {"embedder": load_embedder("histogram", orientations=5)},
    "batch_size": {"batch_size": 5},
    "stride": {"sampling": Sampling(stride=2)},
    "max_frames": {"sampling": Sampling(max_frames=11)},
    "start": {"sampling": Sampling(start=0.1)},
    "end": {"sampling": Sampling(end=0.5)},
    "stream": {"sampling": Sampling(stream=0)},
    "crop_bars": {"sampling": Sampling(crop_bars=False)},
}


@pytest.mark.parametrize("field", [*OUTSIDE, *SETTINGS])
def test_whatever_determines_the_vectors_is_part_of_the_key(
    field: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {field.name for field in dataclasses.fields(Sampling)} <= set(SETTINGS)
    measured(clip)
    assert measured(clip)
    OUTSIDE.get(field, lambda _: None)(monkeypatch)
    more = SETTINGS.get(field, {})
    assert not measured(clip, **more)
    assert measured(clip, **more)


def test_changed_bytes_miss(clip: Path) -> None:
    """Even where size, time and inode stay: the bytes are hashed every time."""
    measured(clip)
    before = clip.stat()
    data = bytearray(clip.read_bytes())
    data[-1] ^= 1
    with open(clip, "r+b") as file:
        file.write(data)
    os.utime(clip, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not measured(clip)


def test_a_changed_folder_of_images_misses(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "images")
    measured(folder)
    (folder / "notes.txt").write_text("no image")
    assert measured(folder)
    (folder / "11.png").rename(folder / "12.png")
    assert not measured(folder)
    shutil.copy(folder / "0.png", folder / "3.png")
    assert not measured(folder)
