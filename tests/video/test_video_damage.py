"""Damaged clips and errors: what decodes is used, what is lost is said, nothing else escapes."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import apngs
import clips
import numpy as np
import pytest
from apngs import ApngFrame
from clips import corners, encode, one_line
from PIL import Image

from spf.errors import ClipError
from spf.video import (
    Reader,
    load,
    probe,
)


def test_truncated_file_with_an_index(shared, tmp_path):
    path = clips.cut(shared["noise"], tmp_path / "a.mp4", 0.6)
    with Reader(path) as reader:
        frames = [image for image, _ in reader]
    whole = load(shared["noise"])
    assert reader.info.frames == 60
    assert 30 <= reader.decoded == len(frames) < 42
    assert reader.lost == 60 - reader.decoded
    assert reader.notes[0] == f"{reader.lost} of 60 frames lost: the file is truncated"
    assert np.array_equal(np.stack(frames[:-1]), whole.frames[: len(frames) - 1])


def test_truncated_file_without_a_count(tmp_path):
    path = encode(tmp_path / "whole.mkv", clips.noise(40))
    clip = load(clips.cut(path, tmp_path / "a.mkv", 0.5))
    assert 10 < len(clip.frames) < 30
    assert clip.notes[0].startswith("the file is truncated: ")


def test_a_damaged_packet_is_skipped_and_counted(shared, tmp_path):
    source = clips.damage(shared["noise"], tmp_path / "a.mp4", 0.5, 6000)
    with Reader(source) as reader:
        times = [time for _, time in reader]
    assert np.array_equal(load(source).frames, load(source).frames)
    assert reader.lost > 0
    assert len(times) == 60 - reader.lost == reader.decoded
    assert times[-1] == pytest.approx(59 / 25)  # it went on behind the damage
    assert f"{reader.lost} of 60 frames lost: the file is damaged" in reader.notes[0]


def test_libraries_stay_silent(shared, tmp_path, capfd):
    load(clips.damage(shared["noise"], tmp_path / "a.mp4", 0.5, 6000))
    with pytest.raises(ClipError):
        load(clips.cut(shared["late index"], tmp_path / "b.mp4", 0.6))
    assert capfd.readouterr() == ("", "")


def test_a_picture_starts_no_program(tmp_path, monkeypatch):
    """Pillow would have Ghostscript draw it, where that is installed."""
    started = []

    def draw(*given: object, **more: object) -> object:
        started.append(given)
        return Image.new("RGB", (8, 8)).im

    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", draw)
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "0.png").write_bytes(program)
    with pytest.raises(ClipError, match="none of its images can be decoded"):
        load(tmp_path / "frames")
    assert not started
    with Image.open(tmp_path / "frames" / "0.png") as image:
        image.load()
    assert started  # it would have


def test_names_with_a_pattern_read_no_other_files(tmp_path, shared):
    Image.new("RGB", (8, 8)).save(tmp_path / "1.tga")
    (tmp_path / "%d.tga").write_text("nothing")
    with pytest.raises(ClipError):
        load(tmp_path / "%d.tga")
    concat = f"ffconcat version 1.0\nfile '{shared['mp4'].name}'\n"
    path = shared["mp4"].with_name("list.mp4")
    path.write_text(concat)
    with pytest.raises(ClipError, match="not a video"):
        load(path)


def bad_files(folder: Path, shared: dict[str, Path]) -> Iterator[tuple[Path, str]]:
    generator = np.random.default_rng(0)
    yield folder / "missing.mp4", "no such file"
    yield shared["mp4"] / "inside.mp4", "no such file"
    yield Path("x" * 5000), "cannot be opened"
    yield Path("a\0b"), "cannot be opened"
    (folder / "empty").mkdir()
    yield folder / "empty", "holds no images"
    (folder / "broken").mkdir()
    (folder / "broken" / "0.png").write_bytes(b"x")
    yield folder / "broken", "none of its images can be decoded"
    (folder / "empty.mp4").touch()
    yield folder / "empty.mp4", "the file is empty"
    (folder / "text.mp4").write_text("hello world\n" * 99)
    yield folder / "text.mp4", "not a video"
    (folder / "text.txt").write_text("hello world\n" * 99)
    yield folder / "text.txt", "not a video"
    (folder / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:1,\n{shared['mp4']}\n#EXT-X-ENDLIST\n")
    yield folder / "list.m3u8", "not a video"
    (folder / "paper.mp4").write_bytes(b"%PDF-1.7\n" + generator.bytes(9000))
    yield folder / "paper.mp4", "not a video"
    (folder / "random.mp4").write_bytes(generator.bytes(20000))
    yield folder / "random.mp4", "not a video"
    (folder / "zeros.mp4").write_bytes(bytes(20000))
    yield folder / "zeros.mp4", "not a video"
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + generator.bytes(200))
    yield folder / "bad.png", "cannot be decoded"
    yield clips.cut(shared["late index"], folder / "cut.mp4", 0.6), r"its index \(moov\) is missing"
    yield clips.cut(shared["noise"], folder / "begun.mp4", 0.01), r"its index \(moov\) is missing"
    data = shared["noise"].read_bytes()
    (folder / "none.mp4").write_bytes(data[: data.index(b"mdat") + 4])
    yield folder / "none.mp4", "none of its frames can be decoded"
    yield clips.encode_sound(folder / "sound.m4a"), "no video stream, only audio"
    yield clips.encode_sound(folder / "cover.mp4", corners()), "no video stream, only audio;"
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
        yield folder / "pipe", "not a file"


def test_every_unusable_thing_is_told_in_one_line(shared, tmp_path):
    for path, reason in bad_files(tmp_path, shared):
        for read in (probe, load, Reader):
            with pytest.raises(ClipError, match=reason) as error:
                read(path)
            assert one_line(error).startswith(str(path))
            assert error.value.__cause__ is None
            assert error.value.remedy


def test_a_file_that_may_not_be_read(shared, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    # Not by chmod: a superuser may read everything.
    monkeypatch.setattr("spf.video.reader.open", refuse, raising=False)
    with pytest.raises(ClipError, match="may not be read; change its permissions"):
        probe(shared["mp4"])


def test_absurd_sizes_are_refused(tmp_path):
    Image.new("L", (10, 10)).save(tmp_path / "a.png")
    for size in (20000, 16384 * 4):
        data = bytearray((tmp_path / "a.png").read_bytes())
        data[16:24] = size.to_bytes(4, "big") * 2
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
        (tmp_path / "bomb.png").write_bytes(data)
        with pytest.raises(ClipError, match="too large"):
            probe(tmp_path / "bomb.png")
    small = clips.animate(tmp_path / "grown.gif", clips.noise(3, 16, 16), [40] * 3)
    grown = bytearray(small.read_bytes())
    place = grown.rfind(b"\x21\xf9\x04") + 8  # the last frame's place and size
    for side, reason in ((9000, "pixels is too large"), (65535, "too large")):
        grown[place + 5 : place + 9] = side.to_bytes(2, "little") * 2
        small.write_bytes(grown)
        with pytest.raises(ClipError, match=reason):
            load(small)
    head = b"YUV4MPEG2 W40000 H40000 F25:1 Ip A1:1 C420\nFRAME\n"
    (tmp_path / "bomb.y4m").write_bytes(head + bytes(1000))
    with pytest.raises(ClipError):
        probe(tmp_path / "bomb.y4m")
    (tmp_path / "wide.y4m").write_bytes(head.replace(b"W40000", b"W9000").replace(b"A1:1", b"A9:1"))
    with pytest.raises(ClipError):
        probe(tmp_path / "wide.y4m")


def drawn(seed: int) -> list[ApngFrame]:
    """A canvas and patches anywhere, with every alpha, blend and disposal."""
    generator = np.random.default_rng(seed)
    parts = [ApngFrame(generator.integers(0, 256, (24, 32, 4), np.uint8), dispose=seed % 3)]
    for _ in range(11):
        high, wide = (int(n) for n in generator.integers(1, 20, 2))
        pixels = generator.integers(0, 256, (high, wide, 4), np.uint8)
        if generator.integers(2):
            pixels[..., 3] = 255 * generator.integers(0, 2)
        x, y = int(generator.integers(0, 33 - wide)), int(generator.integers(0, 25 - high))
        dispose, blend = (int(generator.integers(n)) for n in (3, 2))
        parts.append(ApngFrame(pixels, x, y, dispose, blend))
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
