"""Embeddings that are kept: found again only if nothing changed, whole, shared, bounded."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest
from PIL import Image

import spf
from spf import measurement
from spf.cache import Cache, user_cache
from spf.embedders import load_embedder
from spf.embedders.histogram import Histogram
from spf.errors import ClipError, ConfigError
from spf.measurement import measure_clip
from spf.store import MANIFEST


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return harness.save(tmp_path / "clip.mp4", harness.jumping())


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The sources that were embedded, in order."""
    seen: list[object] = []
    original = measurement.embed_clip

    def embed_clip(source: Any, *rest: Any) -> Any:
        seen.append(source)
        return original(source, *rest)

    monkeypatch.setattr(measurement, "embed_clip", embed_clip)
    return seen


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(path: Path, *_: object) -> None:
        raise ClipError(path, "it was opened", "leave it closed")

    monkeypatch.setattr("spf.video.reader._open", opened)


def image_folder(folder: Path) -> Path:
    """Images without a rate, one of them broken: indices for times, and a note."""
    folder.mkdir()
    for number, frame in enumerate(harness.steady()):
        Image.fromarray(frame).save(folder / f"{number}.png")
    (folder / "5.png").write_bytes(b"\x89PNG\r\n\x1a\n junk")
    return folder


MAKE: dict[str, Callable[[Path], Path]] = {
    "video": lambda folder: harness.save(folder / "a.mp4", harness.jumping()),
    "folder": lambda folder: image_folder(folder / "images"),
}


def same(first: Any, second: Any) -> None:
    """Dataclasses of arrays and plain values, equal in every field and type."""
    assert type(first) is type(second)
    for field in dataclasses.fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        assert type(one) is type(other), field.name
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
        if field.name == "images":
            assert len(one) == len(other)
        np.testing.assert_equal(one, other)


def measured(source: Path, **more: Any) -> bool:
    """Whether a measurement came from the cache."""
    given = {"embedder": load_embedder("histogram"), "cache": user_cache()} | more
    return measure_clip(source, **given).cached


@pytest.mark.parametrize("kind", MAKE)
def test_the_second_time_nothing_is_decoded(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, embedder, cache = MAKE[kind](tmp_path), load_embedder("pixels"), user_cache()
    cold = measure_clip(source, embedder, cache=cache)
    frames: list[float] = []
    forbid_decoding(monkeypatch)
    warm = measure_clip(
        source, embedder, on_frame=lambda _, time: frames.append(time), cache=user_cache()
    )
    assert (cold.cached, warm.cached, frames) == (False, True, [])
    same(cold.embeddings, warm.embeddings)
    same(cold.thumbnails, warm.thumbnails)
    same(cold.curve, warm.curve)
    with pytest.raises(ClipError, match="opened"):
        measure_clip(source, embedder)


def test_frames_and_foreign_embedders_are_not_kept(clip: Path) -> None:
    """No key covers the code of an embedder from elsewhere."""

    class Mine(Histogram):
        pass

    frames = np.stack(harness.steady())
    for _ in range(2):
        spf.embed(frames, "histogram")
        assert not measured(iter([(frames[0], 0.0), (frames[-1], 1.0)]))  # type: ignore[arg-type]
        assert not measured(clip, embedder=harness.Linear())
        assert not measured(clip, embedder=Mine())
    assert user_cache().entries() == []


def test_failures_are_not_kept(tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    for _ in range(2):
        with pytest.raises(ClipError, match="not a video"):
            measured(bad)
    assert not list(user_cache().folder.iterdir())  # nor is a lock left


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(share: float) -> Callable[[bytes], bytes]:
    def flipped(data: bytes) -> bytes:
        place = min(int(share * len(data)), len(data) - 1)
        return data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :]

    return flipped


def entry() -> Path:
    """The folder of the only entry."""
    ((key, _),) = user_cache().entries()
    return user_cache().folder / key


@pytest.mark.parametrize("manifest", [False, True])
@pytest.mark.parametrize(
    "damage",
    [cut, lambda _: b"", lambda data: data + b"x", *(flip(k / 2) for k in range(3))],
)
def test_a_damaged_entry_is_removed_and_made_again(
    damage: Callable[[bytes], bytes],
    manifest: bool,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = measure_clip(clip, load_embedder("histogram"), cache=user_cache())
    (path,) = (file for file in entry().iterdir() if (file.name == MANIFEST) == manifest)
    path.write_bytes(damage(path.read_bytes()))
    again = measure_clip(clip, load_embedder("histogram"), cache=user_cache())
    line = harness.check_one_line(capsys.readouterr().err)
    assert "damaged" in line
    assert path.parent.name in line
    assert not again.cached
    same(again.embeddings, first.embeddings)
    assert measured(clip)


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    sources = [harness.save(tmp_path / f"{n}.mp4", harness.steady(seed=n)) for n in range(4)]
    measured(sources[0])
    ((_, size),) = user_cache().entries()
    cache = Cache(user_cache().folder.parent, int(3.5 * size))
    for age, source in enumerate(sources[:3]):
        measured(source, cache=cache)
        for key, _ in cache.entries():
            path = cache.folder / key / MANIFEST
            os.utime(path, (path.stat().st_mtime - 1000 - age,) * 2)
    assert measured(sources[0], cache=cache)  # the oldest is used once more
    assert not measured(sources[3], cache=cache)
    assert sum(size for _, size in cache.entries()) <= cache.bound
    assert [measured(s, cache=cache) for s in (sources[0], sources[2], sources[3])] == [True] * 3
    assert not measured(sources[1], cache=cache)


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("why", ["a file in its place", "no such place", "lock", "write"])
def test_a_folder_that_refuses_costs_one_line(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    if why == "a file in its place":
        monkeypatch.setenv("SPF_CACHE_DIR", str(tmp_path / "file"))
    elif why == "no such place":
        monkeypatch.setenv("SPF_CACHE_DIR", "/proc/spf")
    else:
        place = {"lock": "FileLock.acquire", "write": "_write"}[why]
        monkeypatch.setattr(f"spf.store.{place}", refuse)
    cache = user_cache()
    for seed in range(2):
        clip = harness.save(tmp_path / f"{seed}.mp4", harness.steady(seed=seed))
        assert not measured(clip, cache=cache)
    line = harness.check_one_line(capsys.readouterr().err)
    assert "going on without" in line
    assert str(cache.folder) in line
    assert cache.entries() == []


def test_the_folder_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("SPF_CACHE_DIR", "~/mine")
    assert user_cache().folder == tmp_path / "mine" / "embeddings"
    monkeypatch.setenv("SPF_CACHE_DIR", "")
    assert user_cache().folder == Path("/xdg/spf/embeddings")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which its specification says to ignore
    assert user_cache().folder == tmp_path / ".cache" / "spf" / "embeddings"


def test_sizes(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, size in (("0", 0), ("500MB", 500_000_000), (" 1.5 gb ", 1_500_000_000)):
        monkeypatch.setenv("SPF_CACHE_SIZE", text)
        assert user_cache().bound == size
    for text in ("much", "-1", "10GiB"):
        monkeypatch.setenv("SPF_CACHE_SIZE", text)
        with pytest.raises(ConfigError, match="SPF_CACHE_SIZE"):
            spf.embed(clip, "histogram")
        spf.embed(clip, "histogram", cache=False)
    monkeypatch.delenv("SPF_CACHE_SIZE")
    assert user_cache().bound == 10 * 10**9
