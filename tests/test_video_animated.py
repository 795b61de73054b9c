"""Animated images: composed as their formats ask."""

from __future__ import annotations

import apngs
import clips
import ffmpeg
import numpy as np
import pytest
from apngs import LEAVE, OVER, REPLACE, TO_BACKGROUND, TO_PREVIOUS, Part
from clips import corners, grey, numbers
from PIL import Image, features

from spf.video import Reader, load


def drawn(seed: int) -> list[Part]:
    """A canvas and patches anywhere, with every alpha, blend and disposal."""
    generator = np.random.default_rng(seed)
    parts = [Part(generator.integers(0, 256, (24, 32, 4), np.uint8), dispose=seed % 3)]
    for _ in range(11):
        high, wide = (int(n) for n in generator.integers(1, 20, 2))
        pixels = generator.integers(0, 256, (high, wide, 4), np.uint8)
        if generator.integers(2):
            pixels[..., 3] = 255 * generator.integers(0, 2)
        x, y = int(generator.integers(0, 33 - wide)), int(generator.integers(0, 25 - high))
        dispose, blend = (int(generator.integers(n)) for n in (3, 2))
        parts.append(Part(pixels, x, y, dispose, blend))
    return parts


@pytest.mark.parametrize("seed", range(6))
def test_apng_is_composed_as_the_specification_asks(tmp_path, seed):
    """Each step rounds to 8 bits; many veils over each other may be off by some levels."""
    parts = drawn(seed)
    outside = 255 - parts[0].pixels if seed % 2 else None
    clip = load(apngs.write(tmp_path / "a.png", parts, outside))
    assert clip.frames.shape == (12, 24, 32, 3)
    assert np.abs(clip.frames - apngs.shown(parts)).max() <= 3
    assert (clip.info.frames, clip.notes) == (12, [])
    assert np.allclose(clip.times, np.arange(12) / 20)


@ffmpeg.needed
def test_apng_is_composed_as_ffmpeg_does(tmp_path):
    """From opaque frames: on others ffmpeg rounds in its own way."""
    parts = drawn(1)
    parts[0] = Part(parts[0].pixels | np.uint8([0, 0, 0, 255]))
    path = apngs.write(tmp_path / "a.png", parts)
    theirs = np.stack(list(ffmpeg.images(path, (32, 24), alpha=True)))
    assert np.abs(load(path).frames.astype(int) - theirs).max() <= 3


def test_a_figure_that_is_taken_away_leaves_no_trace(tmp_path):
    background = np.dstack([corners(24, 32), np.full((24, 32), 255, np.uint8)])
    figure = np.full((6, 6, 4), 255, np.uint8)
    parts = [Part(background)] + [Part(figure, x, 5, TO_PREVIOUS, OVER) for x in range(0, 24, 4)]
    clip = load(apngs.write(tmp_path / "a.png", [*parts, Part(figure[:1, :1], 0, 0, LEAVE, OVER)]))
    assert np.array_equal(clip.frames[-1][1:], corners(24, 32)[1:])
    veil = Part(np.full((24, 32, 4), (255, 255, 255, 24), np.uint8), blend=OVER)
    means = load(apngs.write(tmp_path / "b.png", [Part(background)] + [veil] * 9)).frames.mean(
        (1, 2, 3)
    )
    expected = 255 - (255 - means[0]) * (1 - 24 / 255) ** np.arange(10)
    assert np.abs(means - expected).max() < 2


def test_delays_of_an_apng(tmp_path):
    pixels = np.full((8, 8, 4), 255, np.uint8)
    delays = [(1, 0), (3, 10), (0, 5), (1, 100), (11, 1000)]  # 1 / 0 is 1 / 100, and too short
    parts = [Part(pixels, delay=delay, blend=REPLACE, dispose=TO_BACKGROUND) for delay in delays]
    clip = load(apngs.write(tmp_path / "a.png", parts))
    assert np.allclose(clip.times, [0, 0.1, 0.4, 0.5, 0.6], rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", [b"fdAT", b"fcTL"])
def test_a_damaged_apng_ends_at_the_damage(tmp_path, kind):
    parts = drawn(2)
    path = apngs.write(tmp_path / "a.png", parts)
    whole, data = load(path).frames, bytearray(path.read_bytes())
    place = [i for i in range(len(data)) if data[i : i + 4] == kind][7] + 9
    data[place] ^= 1
    path.write_bytes(data)
    with Reader(path) as reader:
        frames = [image for image, _ in reader]
    assert 3 <= len(frames) <= 8
    assert np.array_equal(np.stack(frames), whole[: len(frames)])
    assert reader.lost == 12 - len(frames)
    assert "frames lost: the file is truncated or damaged" in reader.notes[0]


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_keeps_its_times_and_its_transparency(tmp_path):
    durations = [40, 80, 130, 200, 70]
    clip = load(clips.animate(tmp_path / "a.avif", grey(20)[::4], durations, quality=90))
    assert numbers(clip) == [0, 4, 8, 12, 16]
    assert np.allclose(clip.times, [0, 0.04, 0.12, 0.25, 0.45], rtol=0, atol=1e-9)
    assert (clip.info.codec, clip.info.frames) == ("avif", 5)
    white = np.full((32, 32, 4), 255, np.uint8)
    white[:, 16:, 3] = 0
    Image.fromarray(white).save(tmp_path / "still.avif", quality=90)
    image = load(tmp_path / "still.avif").frames[0]
    assert image[:, :12].min() > 240
    assert image[:, 20:].max() < 15
