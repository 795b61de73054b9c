"""Animated images: composed as their formats ask."""

from __future__ import annotations

import apngs
import clips
import numpy as np
import pytest
from apngs import Part

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


@pytest.mark.parametrize("seed", range(3))
def test_apng_is_composed_as_the_specification_asks(tmp_path, seed):
    """Each step rounds to 8 bits; many veils over each other may be off by some levels."""
    parts = drawn(seed)
    outside = 255 - parts[0].pixels if seed % 2 else None
    clip = load(apngs.write(tmp_path / "a.png", parts, outside))
    assert clip.frames.shape == (12, 24, 32, 3)
    assert np.abs(clip.frames - apngs.shown(parts)).max() <= 3
    assert (clip.info.frames, clip.notes) == (12, [])
    assert np.allclose(clip.times, np.arange(12) / 20)


@pytest.mark.parametrize("kind", ["fdAT", "fcTL", "cut.png", "cut.gif"])
def test_a_damaged_animation_ends_at_the_damage(tmp_path, kind):
    if kind.startswith("cut"):
        path = clips.animate(tmp_path / kind, clips.noise(12), [100] * 12)
    else:
        path = apngs.write(tmp_path / "a.png", drawn(2))
    whole, data = load(path).frames, bytearray(path.read_bytes())
    if kind.startswith("cut"):
        data = data[: int(0.55 * len(data))]
    else:
        data[[i for i in range(len(data)) if data[i : i + 4] == kind.encode()][7] + 9] ^= 1
    path.write_bytes(data)
    with Reader(path) as reader:
        frames = [image for image, _ in reader]
    assert 3 <= len(frames) <= 8
    assert np.array_equal(np.stack(frames[:-1]), whole[: len(frames) - 1])
    assert reader.lost == (1 if kind == "cut.gif" else 12 - len(frames))  # a GIF has no count
    assert "frames lost: the file is truncated or damaged" in reader.notes[0]
