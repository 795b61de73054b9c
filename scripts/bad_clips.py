"""Bad clips: good ones of many kinds, damaged in many ways; `fuzz_clips.py` measures them.

`python scripts/bad_clips.py OUT --count 500 --seed 0` writes OUT/good, and OUT/clips/DAMAGE/CLIP
as a leaderboard wants it: what was done to a clip stands for its generator. Each clip is drawn from
the seed and its own number alone.
"""

import argparse
import os
import struct
import sys
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ.setdefault("SVT_LOG", "1")

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from spf.video import SUFFIXES  # noqa: E402

Draw = np.random.Generator
Damage = Callable[[bytes, Draw], bytes]
MAGIC = {
    ".mp4": b"\x00\x00\x00\x18ftypisom",
    ".gif": b"GIF89a",
    ".apng": b"\x89PNG\r\n\x1a\n",
    ".webm": b"\x1aE\xdf\xa3",
    ".avi": b"RIFF\xff\xff\xff\xffAVI ",
    ".webp": b"RIFF\xff\xff\xff\xffWEBP",
    ".m4v": b"#EXTM3U\n#EXTINF:1,\n/dev/zero\n",
    ".ts": b"ffconcat version 1.0\nfile '/dev/zero'\n",
}
"""The first bytes of files of some kinds, and of lists that lead to other files."""
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 10_000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

# What is done to the bytes of a file.


def cut(data: bytes, draw: Draw) -> bytes:
    """The beginning of a file."""
    return data[: int(len(data) * draw.uniform())]


def beheaded(data: bytes, draw: Draw) -> bytes:
    """The end of a file."""
    return data[int(len(data) * draw.uniform() * 0.2) + 1 :]


def flipped(data: bytes, draw: Draw) -> bytes:
    """1 to 1000 flipped bits anywhere."""
    changed = bytearray(data)
    for _ in range(int(10 ** draw.uniform(0, 3))):
        changed[int(draw.integers(len(changed)))] ^= 1 << int(draw.integers(8))
    return bytes(changed)


def overwritten(data: bytes, draw: Draw) -> bytes:
    """Noise over a part of a file."""
    start, length = int(draw.integers(len(data))), int(10 ** draw.uniform(1, 4))
    noise = draw.integers(0, 256, length, dtype=np.uint8).tobytes()
    return data[:start] + noise + data[start + length :]


def reheaded(data: bytes, draw: Draw) -> bytes:
    """The first bytes of another kind of file."""
    head = MAGIC[str(draw.choice(list(MAGIC)))]
    return head + data[len(head) :]


BOXES = (b"mvhd", b"tkhd", b"mdhd", b"stts", b"stsz", b"stco", b"stsc", b"avc1", b"elst", b"trun")
CHUNKS = (
    b"IHDR",
    b"acTL",
    b"fcTL",
    b"VP8X",
    b"ANIM",
    b"ANMF",
    b"avih",
    b"strh",
    b"strf",
    b"\x21\xf9",
)


def absurd(data: bytes, draw: Draw) -> bytes:
    """Sizes, counts, time scales, durations and rotations of headers set to extremes."""
    changed = bytearray(data)
    places = [at + len(name) for name in (*BOXES, *CHUNKS) if (at := data.find(name)) > 0]
    for _ in range(int(draw.integers(1, 6))):
        # Headers of the other kinds begin the file.
        place = int(draw.choice(places or [4])) + int(draw.integers(0, 48))
        width = int(draw.choice([2, 4]))
        order = "big" if draw.uniform() < 0.6 else "little"
        value = int(draw.choice(EXTREMES)) & (256**width - 1)
        changed[place : place + width] = value.to_bytes(width, order)  # type: ignore[arg-type]
    return _with_sums(bytes(changed)) if data.startswith(b"\x89PNG") else bytes(changed)


def _with_sums(png: bytes) -> bytes:
    """A PNG whose chunks have their right check sums, or nobody would read on."""
    changed, at = bytearray(png), 8
    while at + 12 <= len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(png):
            break
        struct.pack_into(">I", changed, end, zlib.crc32(png[at + 4 : end]))
        at = end + 4
    return bytes(changed)


def turned(data: bytes, draw: Draw) -> bytes:
    """The display matrix of an MP4 file set to noise: rotation, shear, scale."""
    changed, at = bytearray(data), data.find(b"tkhd")
    if at < 0:
        return absurd(data, draw)
    matrix = draw.integers(0, 256, 36, dtype=np.uint8).tobytes()
    changed[at + 44 : at + 80] = matrix
    return bytes(changed)


def trackless(data: bytes, draw: Draw) -> bytes:
    """The boxes of a track under names that nobody knows, one of them or all."""
    name = [b"trak", b"mdia", b"stbl", b"stsd", b"moov", b"vide"][int(draw.integers(6))]
    return data.replace(name, b"xxxx") if name in data else cut(data, draw)


def repeated(data: bytes, draw: Draw) -> bytes:
    """A part of the file twice."""
    start, stop = sorted(int(value) for value in draw.integers(0, len(data), 2))
    return data[:stop] + data[start:]


def untouched(data: bytes, draw: Draw) -> bytes:
    return data


DAMAGES: tuple[Damage, ...] = (
    cut,
    beheaded,
    flipped,
    overwritten,
    reheaded,
    absurd,
    turned,
    trackless,
    repeated,
    untouched,
)
RENAMED = "renamed"  # as good as before, under another kind's suffix

# Good clips.


def moving(count: int, height: int, width: int) -> list[np.ndarray]:
    """Frames whose colour and texture change steadily."""
    draw = np.random.default_rng(0)
    side = max(height, width) // 8 + 1
    ends = draw.integers(0, 256, (2, side, side, 3)).repeat(8, axis=1).repeat(8, axis=2)
    ends = ends[:, :height, :width]
    shares = np.linspace(0.0, 1.0, count)
    return [((1 - p) * ends[0] + p * ends[1]).astype(np.uint8) for p in shares]


def encode(
    path: Path, codec: str, *tracks: list[np.ndarray], rate: Fraction = Fraction(25), sound: int = 0
) -> None:
    """Write videos (one track each), and silent tracks of sound, with PyAV, plainly."""
    import av

    # Else some containers hold random identifiers.
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as output:
        opened: list[Any] = []
        for frames in tracks:
            stream: Any = output.add_stream(codec, rate=rate)
            stream.height, stream.width = frames[0].shape[:2]
            stream.thread_count = 1
            stream.pix_fmt = "yuv444p" if frames[0].shape[0] % 2 else "yuv420p"
            opened.append(stream)
        sounds: list[Any] = [output.add_stream("pcm_s16le", rate=8000) for _ in range(sound)]
        for stream, frames in zip(opened, tracks, strict=True):
            for image in frames:
                output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            output.mux(stream.encode(None))
        for stream in sounds:
            tone: Any = av.AudioFrame(format="s16", layout="mono", samples=1024)
            tone.rate, tone.pts = 8000, 0
            tone.planes[0].update(bytes(tone.planes[0].buffer_size))
            output.mux(stream.encode(tone))
            output.mux(stream.encode(None))


def animate(path: Path, frames: list[np.ndarray], delay: int, **save: Any) -> None:
    """Write an animated image with Pillow; delay in milliseconds."""
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], duration=delay, **save)


def grown_gif(path: Path, frames: list[np.ndarray], side: int) -> None:
    """A GIF whose later frames say that they are (side, side) pixels, beyond its canvas."""
    animate(path, frames, 40)
    data = bytearray(path.read_bytes())
    at = data.rfind(b"\x21\xf9\x04") + 8  # behind the last frame's control block
    struct.pack_into("<HH", data, at + 5, side, side)
    path.write_bytes(data)


def pictures(folder: Path, frames: list[np.ndarray], suffix: str) -> None:
    """A folder of images."""
    folder.mkdir(exist_ok=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number}{suffix}")


def good_clips(folder: Path, large: bool = True) -> list[Path]:
    """Clips of several kinds, also extreme ones, nearly all readable; with 8K frames if `large`."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = moving(24, 64, 96)
    for name, codec in (
        ("h264.mp4", "libx264"),
        ("h264.mkv", "libx264"),
        ("vp9.webm", "libvpx-vp9"),
        ("mpeg4.avi", "mpeg4"),
        ("mpeg2.ts", "mpeg2video"),
    ):
        encode(folder / name, codec, plain)
    encode(folder / "fast.mp4", "libx264", plain, rate=Fraction(10_000))
    encode(folder / "slow.mp4", "libx264", plain, rate=Fraction(1, 100))
    encode(folder / "one-frame.mp4", "libx264", plain[:1])
    encode(folder / "tracks.mov", "libx264", plain, moving(6, 32, 32), sound=2)
    encode(folder / "sound.mov", "libx264", sound=1)
    encode(folder / "one-pixel.mkv", "ffv1", moving(8, 1, 1))
    animate(folder / "plain.gif", plain, 40)
    animate(folder / "hurried.gif", plain, 0)
    animate(folder / "deep.gif", moving(40, 8, 8), 655_350)
    grown_gif(folder / "grown.gif", plain, 200)
    grown_gif(folder / "bomb.gif", plain, 65_535)
    animate(folder / "plain.webp", plain, 40)
    animate(folder / "one-pixel.webp", moving(8, 1, 1), 0)
    animate(folder / "plain.apng", plain, 40, format="PNG")
    Image.fromarray(plain[0]).save(folder / "still.jpg")
    Image.fromarray(plain[0]).save(folder / "still.webp")
    for suffix in (".png", ".jpg", ".webp"):
        pictures(folder / f"frames{suffix.replace('.', '-')}", plain[:8], suffix)
    if large:
        encode(folder / "8k.mp4", "mpeg4", moving(2, 4320, 7680))
        animate(folder / "8k.webp", moving(2, 4320, 7680), 40)
    return sorted(folder.iterdir())


# Folders of images with odd members.


def odd_member(folder: Path, kind: str, draw: Draw) -> None:
    """Put something odd among the images of a folder."""
    good = sorted(folder.iterdir())[0]
    path = folder / f"{int(draw.integers(0, 9))}.5.png"
    if kind == "text":
        path.write_text("no picture\n" * 9)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "larger":
        Image.new("RGB", (200, 100)).save(path)
    elif kind == "sixteen bits":
        Image.fromarray(np.full((64, 96), 40_000, np.uint16)).save(path)
    elif kind == "four inks":
        Image.new("CMYK", (96, 64)).save(path.with_suffix(".jpg"))
    elif kind == "program":
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 96 64\nshowpage\n")
    elif kind == "huge":
        data = bytearray((folder / good.name).read_bytes())
        if data.startswith(b"\x89PNG"):
            struct.pack_into(">II", data, 16, 60_000, 60_000)
        path.write_bytes(_with_sums(bytes(data)))
    else:
        path.write_bytes(cut(good.read_bytes(), draw))


ODD = (
    "text", "folder", "pipe", "device", "dangling", "loop", "larger", "sixteen bits", "four inks",
    "program", "huge", "cut",
)  # fmt: skip


def make_bad_clips(folder: Path, count: int, seed: int, large: bool = True) -> list[Path]:
    """`count` bad clips, each damage on each kind in turn; where they lie (see this file's top)."""
    good = good_clips(folder / "good", large)
    paths = []
    for index in range(count):
        draw = np.random.default_rng([seed, index])
        source = good[index % len(good)]
        turn = index // len(good) + index % len(good)  # so that few clips see every damage too
        if source.is_dir():
            paths.append(_odd_folder(folder, source, index, ODD[turn % len(ODD)], draw))
        else:
            paths.append(_bad_file(folder, source, index, turn % (len(DAMAGES) + 1), draw))
    return paths


def _odd_folder(root: Path, source: Path, index: int, kind: str, draw: Draw) -> Path:
    target = root / "clips" / "odd-members" / f"{index:04d}-{source.name}-{kind.replace(' ', '-')}"
    target.mkdir(parents=True)
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    odd_member(target, kind, draw)
    return target


def _bad_file(root: Path, source: Path, index: int, turn: int, draw: Draw) -> Path:
    damage = DAMAGES[turn] if turn < len(DAMAGES) else untouched
    name = damage.__name__ if turn < len(DAMAGES) else RENAMED
    suffix = source.suffix if source.suffix in SUFFIXES else ".gif"
    if name == RENAMED or draw.uniform() < 0.1:
        suffix = str(draw.choice([other for other in MAGIC if other != suffix]))
    path = root / "clips" / name / f"{index:04d}-{source.stem}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(damage(source.read_bytes(), draw))
    return path


def main() -> None:
    """Read the command line and make the clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    paths = make_bad_clips(given.out, given.count, given.seed)
    print(f"{len(paths)} clips in {given.out / 'clips'}")


if __name__ == "__main__":
    main()
