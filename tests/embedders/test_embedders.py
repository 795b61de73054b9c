"""Every embedder keeps the same contract; the controls see what they should, and no more."""

from __future__ import annotations

import inspect
import json
import tracemalloc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest

import spf
from spf.embedders import EMBEDDERS, label, load_embedder
from spf.measurement import Thumbnails, measure_clip

WORDS = sorted(EMBEDDERS)
SIZES = [(1, 1), (1, 7), (7, 1), (2, 3), (33, 47), (480, 641), (8, 3000), (3000, 8)]

# Another value for every setting of every embedder: a new setting must be named here.
OTHER: dict[str, dict[str, Any]] = {
    "histogram": {"colours": 5, "orientations": 9},
    "pixels": {"size": 7},
}
TOWERS = ("siglip", "clip", "dinov2")  # tests/embedders/test_towers.py has their settings
TRAINED = {*TOWERS, "tiny", "efficientnet"}  # likewise their own tests


@pytest.fixture
def load(tower_folders: dict[str, Path]) -> Any:
    """`load_embedder`, but a word that needs weights gets a tiny tower with random ones."""

    def load(word: str, **settings: Any) -> Any:
        if word == "efficientnet":
            settings = {"size": 64} | settings  # a twelfth of the time
        if word in tower_folders:
            settings = {"path": tower_folders[word]} | settings
        return load_embedder(word, **settings)

    return load


@pytest.fixture(params=WORDS)
def embedder(request: pytest.FixtureRequest, load: Any) -> Any:
    return load(request.param)


def check_same(embedder: Any, first: np.ndarray, second: np.ndarray) -> None:
    """Bit for bit; the sums of a tower may be rounded otherwise in a batch of another size."""
    np.testing.assert_allclose(first, second, rtol=0, atol=2e-6 * (embedder.name in TOWERS))


def frames(count: int, height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    """Noise over a slow dissolve (count, height, width, 3): no two frames are alike."""
    generator = np.random.default_rng(seed)
    noise = generator.integers(0, 60, (count, height, width, 3))
    slope = np.linspace(0, 180, count).round().astype(int)[:, None, None, None]
    return (noise + slope).astype(np.uint8)


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    a, b = unit(first), unit(second)
    return float(a @ b)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector.astype(np.float64) / np.linalg.norm(vector.astype(np.float64))


def test_vectors_are_unit_rows_that_depend_on_their_frame_alone(embedder: Any, load: Any) -> None:
    """On no batch, no neighbour, no earlier call; the input is not written to."""
    clip = frames(9)
    before = clip.copy()
    whole = spf.embed(clip, embedder=embedder)
    assert (whole.dtype, len(whole)) == (np.float32, 9)
    np.testing.assert_allclose(np.linalg.norm(whole.astype(float), axis=1), 1.0, atol=1e-6)
    for size in (1, 2, 7, 100):
        check_same(embedder, spf.embed(clip, embedder=embedder, batch_size=size), whole)
    order = [3, 0, 5, 1, 4, 2]
    check_same(embedder, spf.embed(clip[order], embedder=embedder), whole[order])
    np.testing.assert_array_equal(spf.embed(clip, embedder=load(embedder.name)), whole)
    np.testing.assert_array_equal(clip, before)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_frame_size_gives_one_shape(embedder: Any, size: tuple[int, int]) -> None:
    usual = embedder.prepare(frames(1)[0])
    image = frames(1, *size)[0]
    prepared = embedder.prepare(image)
    assert prepared.shape == usual.shape
    assert prepared.dtype == usual.dtype
    vector = spf.embed(image[None], embedder=embedder)
    assert vector.shape == spf.embed(frames(1), embedder=embedder).shape
    assert np.isfinite(vector).all()


def test_colours_and_greys_are_told_apart(embedder: Any) -> None:
    clip = np.zeros((6, 24, 32, 3), np.uint8)
    for channel in range(3):
        clip[channel, ..., channel] = 255
    clip[4], clip[5] = 128, 255
    vectors = spf.embed(clip, embedder=embedder)
    bound = 0.999 if embedder.name in TOWERS else 0.95  # random weights tell less apart
    assert max(cosine(vectors[a], vectors[b]) for a, b in ((0, 1), (0, 2), (1, 2))) < bound
    black, grey, white = vectors[3:]
    assert cosine(black, white) < (0.98 if embedder.name == "efficientnet" else 0.9)
    assert max(cosine(black, grey), cosine(grey, white)) < 0.999


def test_read_only_and_strided_frames_work(embedder: Any) -> None:
    whole = frames(3, 40, 60)
    part = whole[:, ::2, ::-1]
    part.setflags(write=False)
    np.testing.assert_array_equal(
        spf.embed(part, embedder=embedder), spf.embed(np.ascontiguousarray(part), embedder=embedder)
    )


def test_identity_is_plain_data(embedder: Any, load: Any) -> None:
    identity = embedder.identity()
    assert json.loads(json.dumps(identity)) == identity
    assert identity["embedder"] == embedder.name
    assert identity == load(embedder.name).identity()
    assert ("(control)" in label(embedder)) == embedder.control


@pytest.mark.parametrize("word", sorted(set(WORDS) - TRAINED))
def test_identity_changes_with_each_setting(word: str) -> None:
    plain = load_embedder(word)
    assert set(inspect.signature(type(plain)).parameters) == set(OTHER[word])
    for name, value in OTHER[word].items():
        assert load_embedder(word, **{name: value}).identity() != plain.identity(), name


def textured(seed: int = 3) -> np.ndarray:
    """A picture (96, 96, 3) whose quarters differ in colour."""
    return harness.picture(seed, 96)


def test_pixels_leak_under_motion_and_histogram_does_not() -> None:
    image = textured()
    moved = np.roll(image, 48, axis=1)  # the same colours, elsewhere
    other = textured(4)
    pixels, histogram = load_embedder("pixels"), load_embedder("histogram")
    still, shifted, another = spf.embed(np.stack([image, moved, other]), embedder=pixels)
    assert cosine(still, shifted) < 0.95
    still, shifted, another = spf.embed(np.stack([image, moved, other]), embedder=histogram)
    assert cosine(still, shifted) > 0.995
    assert cosine(still, another) < 0.9


def endless(count: int, alive: list[weakref.ref], most: list[int]) -> Iterator[tuple[Any, float]]:
    """Large frames, one at a time; counts how many of them are held at once."""
    for index in range(count):
        image = np.full((480, 640, 3), index % 200, np.uint8)
        alive.append(weakref.ref(image))
        alive[:] = [reference for reference in alive if reference() is not None]
        most[0] = max(most[0], len(alive))
        yield image, index / 25
        del image


@pytest.mark.parametrize("word", WORDS)
def test_a_long_clip_is_streamed(word: str, load: Any) -> None:
    alive: list[weakref.ref] = []
    most = [0]
    embedder = load(word)
    count = 150
    spf.embed(frames(1), embedder=embedder)  # a model is loaded by its first batch
    tracemalloc.start()
    try:
        measured = measure_clip(endless(count, alive, most), embedder, batch_size=16)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(measured.curve) == count
    assert most[0] <= 4  # prepared frames may be held for a batch, frames themselves may not
    assert peak < 60e6  # all frames are 138 MB


@pytest.mark.parametrize("count", [1, 192, 193, 2000])
def test_thumbnails_stay_few_and_even(count: int) -> None:
    small = Thumbnails(height=8)
    for index in range(count):
        small.add(np.full((4, 6, 3), index % 251, np.uint8))
    assert min(count, small.limit // 2) <= len(small.images) <= small.limit
    assert small.source_size == (4, 6)
    for frame in {0, count // 3, count // 2, count - 1}:
        index, image = small.nearest(frame)
        assert 0 <= index < count
        assert abs(index - frame) <= small.stride
        assert image[0, 0, 0] == index % 251
