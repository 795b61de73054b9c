"""Damaged clips: what decodes is used, what is lost is noted, nothing else escapes."""

import struct
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from unittest.mock import Mock

import clips
import numpy as np
import pytest
from clips import corners, encode, refused
from PIL import Image

from spf.child import LINE
from spf.errors import ClipError
from spf.video import GuardedReader, Reader, Sampling, load, probe
from spf.video.guarded import end_idle

TO_BACKGROUND, TO_PREVIOUS = 1, 2
OVER = 1


@dataclass
class ApngFrame:
    pixels: np.ndarray
    x: int = 0
    y: int = 0
    dispose: int = 0
    blend: int = 0


def write_apng(path, parts, outside=None):
    """The first part covers the canvas; `outside` is a default picture before the animation."""
    out, order = [b"\x89PNG\r\n\x1a\n"], count()

    def chunk(kind, form="", *values, data=b""):
        body = kind + struct.pack(f">{form}", *values) + data
        out.append(struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)))

    def packed(pixels):
        return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))

    height, width = parts[0].pixels.shape[:2]
    chunk(b"IHDR", "IIBBBBB", width, height, 8 * parts[0].pixels.itemsize, 6, 0, 0, 0)
    chunk(b"acTL", "II", len(parts), 0)
    if outside is not None:
        chunk(b"IDAT", data=packed(outside))
    for index, part in enumerate(parts):
        high, wide = part.pixels.shape[:2]
        placed = (next(order), wide, high, part.x, part.y, 1, 20, part.dispose, part.blend)
        chunk(b"fcTL", "IIIIIHHBB", *placed)
        data = packed(part.pixels)
        if index == 0 and outside is None:
            chunk(b"IDAT", data=data)
        else:
            for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
                chunk(b"fdAT", "I", next(order), data=piece)
    chunk(b"IEND")
    path.write_bytes(b"".join(out))
    return path


def shown_apng(parts):
    """What each frame looks like over black by the specification, (T, H, W, 3) float64."""
    canvas = np.zeros((*parts[0].pixels.shape[:2], 3))
    frames = []
    for index, part in enumerate(parts):
        high, wide = part.pixels.shape[:2]
        place = np.s_[part.y : part.y + high, part.x : part.x + wide]
        before = canvas[place].copy()
        alpha = part.pixels[..., 3:] / 255
        behind = (1 - alpha) * before if part.blend == OVER else 0
        canvas[place] = part.pixels[..., :3] * alpha + behind
        frames.append(canvas.copy())
        if part.dispose == TO_BACKGROUND or (part.dispose == TO_PREVIOUS and index == 0):
            canvas[place] = 0
        elif part.dispose == TO_PREVIOUS:
            canvas[place] = before
    return np.stack(frames)


def test_truncated_files_have_what_is_left(shared, tmp_path):
    path = clips.cut(shared["noise"], tmp_path / "a.mp4", 0.6)
    with Reader(path) as reader:
        frames = [image for image, _ in reader]
    whole = load(shared["noise"])
    assert reader.info.frames == 60
    assert 30 <= reader.decoded == len(frames) < 42
    assert reader.lost == 60 - reader.decoded
    assert reader.notes[0] == f"{reader.lost} of 60 frames lost: the file is truncated"
    assert np.array_equal(np.stack(frames[:-1]), whole.frames[: len(frames) - 1])
    uncounted = encode(tmp_path / "whole.mkv", clips.noise(40))
    clip = load(clips.cut(uncounted, tmp_path / "a.mkv", 0.5))
    assert 10 < len(clip.frames) < 30
    assert clip.notes[0].startswith("the file is truncated: ")


def test_a_damaged_packet_is_skipped_and_counted(shared, tmp_path, capfd):
    source = clips.damage(shared["noise"], tmp_path / "a.mp4", 0.5, 6000)
    with Reader(source) as reader:
        times = [time for _, time in reader]
    assert np.array_equal(load(source).frames, load(source).frames)
    assert 60 - len(times) == 60 - reader.decoded == reader.lost > 0
    assert times[-1] == pytest.approx(59 / 25)  # it went on behind the damage
    assert f"{reader.lost} of 60 frames lost: the file is damaged" in reader.notes[0]
    with pytest.raises(ClipError):
        load(clips.cut(shared["late index"], tmp_path / "b.mp4", 0.6))
    assert capfd.readouterr() == ("", "")  # libraries stay silent


def test_a_picture_starts_no_program(tmp_path, monkeypatch):
    draw = Mock(return_value=Image.new("RGB", (8, 8)).im)
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", draw)
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    (tmp_path / "0.png").write_bytes(program)
    with refused("none of its images can be decoded", ClipError):
        load(tmp_path)
    assert not draw.called
    with Image.open(tmp_path / "0.png") as image:
        image.load()
    assert draw.called  # it would have


def test_names_with_a_pattern_read_no_other_files(tmp_path, shared):
    Image.new("RGB", (8, 8)).save(tmp_path / "1.tga")
    (tmp_path / "%d.tga").write_text("nothing")
    path = shared["mp4"].with_name("list.mp4")
    path.write_text(f"ffconcat version 1.0\nfile '{shared['mp4'].name}'\n")
    for name, reason in ((tmp_path / "%d.tga", "no size"), (path, "not a video")):
        with refused(reason, ClipError):
            load(name)


def test_what_is_no_clip_is_an_error_of_one_line(shared, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:1,\n{shared['mp4']}\n#EXT-X-ENDLIST\n")
    (tmp_path / "paper.mp4").write_bytes(b"%PDF-1.7\n" + np.random.default_rng(0).bytes(9000))
    data = shared["noise"].read_bytes()
    (tmp_path / "none.mp4").write_bytes(data[: data.index(b"mdat") + 4])
    for path, reason in (
        (tmp_path / "missing.mp4", "no such file"),
        (shared["mp4"] / "inside.mp4", "no such file"),
        (Path("x" * 5000), "cannot be opened"),
        (Path("a\0b"), "cannot be opened"),
        (tmp_path / "empty", "holds no images"),
        (tmp_path / "list.m3u8", "not a video"),
        (tmp_path / "paper.mp4", "not a video"),
        (tmp_path / "none.mp4", "none of its frames can be decoded"),
        (clips.cut(shared["late index"], tmp_path / "cut.mp4", 0.6), r"index \(moov\) is missing"),
        (clips.cut(shared["noise"], tmp_path / "begun.mp4", 0.01), r"index \(moov\) is missing"),
        (clips.encode_sound(tmp_path / "cover.mp4", corners()), "no video stream, only audio;"),
    ):
        for read in (probe, load):
            with refused(reason, ClipError) as error:
                read(path)
            assert str(error.value).startswith(str(path))
            assert error.value.__cause__ is None
            assert error.value.remedy

    # Not by chmod: a superuser may read everything.
    refuse = Mock(side_effect=PermissionError(13, "Permission denied"))
    monkeypatch.setattr("spf.video.reader.open", refuse, raising=False)
    with refused("may not be read; change its permissions", ClipError):
        probe(shared["mp4"])


def test_absurd_sizes_are_refused(tmp_path):
    bomb, small = tmp_path / "bomb.png", tmp_path / "grown.gif"
    Image.new("L", (10, 10)).save(bomb)
    data = bytearray(bomb.read_bytes())
    grown = bytearray(clips.animate(small, clips.noise(3, 16, 16), [40] * 3).read_bytes())
    place = grown.rfind(b"\x21\xf9\x04") + 13  # the last frame's size
    for side in (9000, 65535):
        data[16:24] = side.to_bytes(4, "big") * 2
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
        bomb.write_bytes(data)
        grown[place : place + 4] = side.to_bytes(2, "little") * 2
        small.write_bytes(grown)
        for path in (bomb, small):
            with refused("too large", ClipError):
                load(path)
    video = tmp_path / "bomb.y4m"
    video.write_bytes(b"YUV4MPEG2 W9000 H40000 F25:1 Ip A9:1 C420\nFRAME\n" + bytes(1000))
    with pytest.raises(ClipError):
        probe(video)


def drawn(seed):
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
    """Each step rounds to 8 bits, which adds up."""
    parts = drawn(seed)
    outside = 255 - parts[0].pixels if seed % 2 else None
    clip = load(write_apng(tmp_path / "a.png", parts, outside))
    assert clip.frames.shape == (12, 24, 32, 3)
    assert np.abs(clip.frames - shown_apng(parts)).max() <= 3
    assert (clip.info.frames, clip.notes) == (12, [])
    assert np.allclose(clip.times, np.arange(12) / 20)
    deep = [ApngFrame(np.full((8, 8, 4), 2**15, ">u2"), blend=OVER)] * 2
    clip = load(write_apng(tmp_path / "16-bit.png", deep))
    assert (len(clip.frames), "FFmpeg cannot compose it" in clip.notes[0]) == (2, True)


@pytest.mark.parametrize("kind", ["fdAT", "fcTL", "cut.png", "cut.gif"])
def test_a_damaged_animation_ends_at_the_damage(tmp_path, kind):
    if kind.startswith("cut"):
        path = clips.animate(tmp_path / kind, clips.noise(12), [100] * 12)
    else:
        path = write_apng(tmp_path / "a.png", drawn(2))
    whole, data = load(path).frames, bytearray(path.read_bytes())
    if kind.startswith("cut"):
        data = data[: int(0.55 * len(data))]
    else:
        data[[i for i in range(len(data)) if data[i : i + 4] == kind.encode()][7] + 9] ^= 1
    path.write_bytes(data)
    clip = load(path)
    count = len(clip.frames)
    assert 3 <= count <= 8
    assert np.array_equal(clip.frames[:-1], whole[: count - 1])
    lost = 1 if kind == "cut.gif" else 12 - count  # a GIF has no count
    total = count + lost
    assert clip.notes == [f"{lost} of {total} frames lost: the file is truncated or damaged"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return encode(tmp_path_factory.mktemp("clips") / "a.mp4", clips.noise(12))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(3, 4, start=0.1)])
def test_same_frames_times_and_notes(clip, tmp_path, sampling):
    for path in (clip, clips.damage(clip, tmp_path / "bad.mp4", 0.5, 400)):
        with Reader(path, sampling) as plain, GuardedReader(path, sampling) as guarded:
            assert guarded.info == plain.info
            for (ours, at), (theirs, same) in zip(guarded, plain, strict=True):
                assert at == same
                assert np.array_equal(ours, theirs)
        for name in ("notes", "lost", "decoded"):
            assert getattr(guarded, name) == getattr(plain, name)
    with refused("no video stream 3"):
        GuardedReader(clip, Sampling(stream=3))


def test_memory_is_bounded(clip, tmp_path, monkeypatch):
    black = [np.zeros((4320, 7680, 3), np.uint8)]
    large = encode(tmp_path / "8k.avi", black, "mpeg4")
    end_idle()
    with monkeypatch.context() as bounded:
        bounded.setattr("spf.video.guarded.MEMORY", 450 * 2**20)
        with GuardedReader(clip) as reader:
            assert len(list(reader)) == 12
        with refused("ran out of memory", ClipError) as error, GuardedReader(large) as reader:
            list(reader)
    assert "damaged" not in error.value.reason
    end_idle()
    with GuardedReader(large) as reader:
        assert len(list(reader)) == 1


@pytest.mark.parametrize(("sent", "why"), [
    (b'{"info": 1}\n[3]\n', "sent what is no reply"),
    (b'{"clip_error": [1]}\n', "sent what is no reply"),
    (b"[" * 5000 + b"\n", "sent what is no reply"),
    (b"x" * (LINE + 5000), "sent a line without an end"),
    (b'{"frame": [100000, 100000, 3], "time": 0, "decoded": 1}\n', "a frame of another size"),
], ids=["json", "error", "nested", "endless", "large"])  # fmt: skip
def test_what_a_child_sends_is_not_trusted(clip, sent, why):
    with GuardedReader(clip) as reader:
        reader._decoder._rest = sent
        with refused(why, ClipError):
            list(reader)


def test_a_large_frame_is_refused_by_the_parent_too(clip, monkeypatch):
    monkeypatch.setattr("spf.video.clip.MAX_PIXELS", 64 * 48)
    end_idle()
    with refused("too large", ClipError):  # the child has the true bound
        GuardedReader(clip)


def test_a_decoder_that_never_ends_is_stopped(clip, monkeypatch):
    monkeypatch.setattr("spf.video.guarded.ENOUGH", 1e-6)
    end_idle()
    with refused("took more than 1e-06 s", ClipError), GuardedReader(clip) as reader:
        list(reader)


def test_relative_names_and_a_folder_that_looks_like_modules(clip, monkeypatch):
    end_idle()
    for module in ("json", "numpy", "spf"):
        (clip.parent / f"{module}.py").write_text("raise SystemExit('not me')")
    monkeypatch.chdir(clip.parent)
    with GuardedReader("a.mp4") as reader:
        assert reader.info.path == Path("a.mp4")
        assert len(list(reader)) == 12


def test_the_process_ends_with_its_parent(clip):
    script = (
        "import sys, time; from spf.video import GuardedReader\n"
        "reader = GuardedReader(sys.argv[1]); next(reader)\n"
        "print(reader._decoder.process.pid, flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", script, str(clip)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as parent:
        child = Path("/proc") / parent.stdout.readline().decode().strip()
        assert child.exists()
        parent.kill()
    deadline = time.monotonic() + 20.0
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the decoder outlives its parent"
        time.sleep(0.05)
