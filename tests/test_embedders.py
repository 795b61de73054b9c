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
from spf.errors import ConfigError
from spf.measurement import Thumbnails, measure_clip

WORDS = sorted(EMBEDDERS)
SIZES = [(1, 1), (1, 7), (7, 1), (2, 3), (33, 47), (480, 641), (8, 3000), (3000, 8)]

# Another value for every setting of every embedder: a new setting must be named here.
OTHER: dict[str, dict[str, Any]] = {
    "histogram": {"colours": 5, "orientations": 9},
    "pixels": {"size": 7},
}
TOWERS = ("siglip", "clip", "dinov2")  # tests/test_towers.py has their settings
TRAINED = {*TOWERS, "tiny", "efficientnet"}  # likewise their own tests


@pytest.fixture
def load(tower_folders: dict[str, Path]) -> Any:
    """`load_embedder`, but a word that needs weights gets a tiny tower with random ones."""

    def load(word: str, **settings: Any) -> Any:
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


# The contract


def test_rows_are_unit_float32(embedder: Any) -> None:
    vectors = spf.embed(frames(9), embedder=embedder)
    assert vectors.dtype == np.float32
    assert vectors.shape[0] == 9
    assert vectors.shape[1] > 1
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 100])
def test_batch_size_changes_nothing(embedder: Any, size: int) -> None:
    clip = frames(9)
    whole = spf.embed(clip, embedder=embedder)
    check_same(embedder, spf.embed(clip, embedder=embedder, batch_size=size), whole)


def test_same_frames_give_the_same_vectors(embedder: Any, load: Any) -> None:
    clip = frames(6)
    before = clip.copy()
    first = spf.embed(clip, embedder=embedder)
    again = spf.embed(clip, embedder=load(embedder.name))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(clip, before)  # the input is not written to


def test_a_frame_does_not_depend_on_its_neighbours(embedder: Any) -> None:
    clip = frames(6)
    order = [3, 0, 5, 1, 4, 2]
    mixed, plain = (spf.embed(x, embedder=embedder) for x in (clip[order], clip))
    check_same(embedder, mixed, plain[order])


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


@pytest.mark.parametrize("level", [0, 127, 128, 255])
def test_constant_frames_have_a_direction(embedder: Any, level: int) -> None:
    vector = spf.embed(np.full((2, 24, 32, 3), level, np.uint8), embedder=embedder)
    assert np.isfinite(vector).all()
    check_same(embedder, vector[0], vector[1])


def test_black_grey_and_white_differ(embedder: Any) -> None:
    clip = np.stack([np.full((24, 32, 3), level, np.uint8) for level in (0, 128, 255)])
    black, grey, white = spf.embed(clip, embedder=embedder)
    assert cosine(black, white) < (0.98 if embedder.name == "efficientnet" else 0.9)
    assert cosine(black, grey) < 0.999
    assert cosine(grey, white) < 0.999


def test_colour_channels_are_told_apart(embedder: Any) -> None:
    clip = np.zeros((3, 24, 32, 3), np.uint8)
    for channel in range(3):
        clip[channel, ..., channel] = 255
    vectors = spf.embed(clip, embedder=embedder)
    bound = 0.999 if embedder.name in TOWERS else 0.95  # random weights tell less apart
    assert max(cosine(vectors[a], vectors[b]) for a, b in ((0, 1), (0, 2), (1, 2))) < bound


def test_read_only_and_strided_frames_work(embedder: Any) -> None:
    whole = frames(3, 40, 60)
    part = whole[:, ::2, ::-1]
    part.setflags(write=False)
    np.testing.assert_array_equal(
        spf.embed(part, embedder=embedder), spf.embed(np.ascontiguousarray(part), embedder=embedder)
    )


def test_word_and_label(embedder: Any) -> None:
    assert EMBEDDERS[embedder.name].endswith(type(embedder).__name__)
    assert isinstance(embedder.control, bool)
    assert isinstance(embedder.batch_size, int)
    assert embedder.batch_size >= 1
    assert ("(control)" in label(embedder)) == embedder.control


def test_identity_is_plain_data(embedder: Any, load: Any) -> None:
    identity = embedder.identity()
    assert json.loads(json.dumps(identity)) == identity
    assert identity["embedder"] == embedder.name
    assert identity == load(embedder.name).identity()


@pytest.mark.parametrize("word", sorted(set(WORDS) - TRAINED))
def test_identity_changes_with_each_setting(word: str) -> None:
    plain = load_embedder(word)
    assert set(inspect.signature(type(plain)).parameters) == set(OTHER[word])
    for name, value in OTHER[word].items():
        assert load_embedder(word, **{name: value}).identity() != plain.identity(), name


def test_identities_of_words_differ(load: Any) -> None:
    texts = {json.dumps(load(word).identity(), sort_keys=True) for word in WORDS}
    assert len(texts) == len(WORDS)


@pytest.mark.parametrize(
    ("word", "settings"),
    [("pixels", {"size": 0}), ("histogram", {"colours": 1}), ("histogram", {"orientations": 1})],
)
def test_impossible_settings_are_refused(word: str, settings: dict[str, int]) -> None:
    with pytest.raises((ValueError, ConfigError), match="at least"):
        load_embedder(word, **settings)


# What the controls see


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


def test_pixels_are_the_means_of_their_cells() -> None:
    """Not samples of them, which would flicker with every grain of noise."""
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    cells = image.reshape(16, 4, 16, 6, 3).mean(axis=(1, 3))
    prepared = load_embedder("pixels").prepare(image)
    np.testing.assert_allclose(prepared, cells, atol=1.0)


@pytest.mark.parametrize("flip", [(0,), (1,), (0, 1)], ids=str)
def test_histogram_does_not_see_a_flip(flip: tuple[int, ...]) -> None:
    image = textured()
    pair = np.stack([image, np.flip(image, flip)])
    first, flipped = spf.embed(pair, embedder="histogram")
    assert cosine(first, flipped) > 0.995
    first, flipped = spf.embed(pair, embedder="pixels")
    assert cosine(first, flipped) < 0.95


def test_histogram_sees_edge_directions() -> None:
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::8] = stripes[:, 1::8] = stripes[:, 2::8] = stripes[:, 3::8] = 255
    first, turned = spf.embed(np.stack([stripes, np.rot90(stripes)]), embedder="histogram")
    assert cosine(first, turned) < 0.9


def test_a_small_change_of_light_moves_the_histogram_little() -> None:
    image = (textured().astype(int) // 2 + 40).astype(np.uint8)
    first, brighter = spf.embed(np.stack([image, image + np.uint8(2)]), embedder="histogram")
    assert 0.99 < cosine(first, brighter) < 1.0


# Memory


def endless(count: int, alive: list[weakref.ref], most: list[int]) -> Iterator[tuple[Any, float]]:
    """Large frames, one at a time; counts how many of them are held at once."""
    for index in range(count):
        image = np.full((240, 320, 3), index % 200, np.uint8)
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
    count = 120 if word in TOWERS else 600
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


# Thumbnails


@pytest.mark.parametrize("count", [1, 2, 191, 192, 193, 500, 2000])
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


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_thumbnails_of_odd_sizes(size: tuple[int, int]) -> None:
    small = Thumbnails()
    small.add(np.full((*size, 3), 99, np.uint8))
    (image,) = small.images
    assert image.shape[0] == small.height
    assert 1 <= image.shape[1] <= 4 * small.height
    assert (image == 99).all()
