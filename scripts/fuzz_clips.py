"""Damage good clips in many ways and measure every one: a row or a reason, never a hang or a crash.

`python scripts/fuzz_clips.py --count 500 --out DIR` writes the damaged files, measures each as the
leaderboard does (decoding in a process of its own), and prints how they ended, the longest time,
and the largest memory of the decoding processes. What is drawn depends on `--seed` alone.
Exit code: 1 where a clip ended otherwise than as measured or failed with one line of reason.
"""

import argparse
import csv
import resource
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from spf.embedders import load_embedder  # noqa: E402
from spf.errors import ClipError  # noqa: E402
from spf.measurement import measure_clip  # noqa: E402
from spf.video.guarded import end_idle  # noqa: E402

Damage = Callable[[bytes, np.random.Generator], bytes]
MAGIC = {
    ".mp4": b"\x00\x00\x00\x18ftypisom",
    ".gif": b"GIF89a",
    ".png": b"\x89PNG\r\n\x1a\n",
    ".webm": b"\x1aE\xdf\xa3",
    ".avi": b"RIFF\xff\xff\xff\xffAVI ",
}
"""The first bytes of files of some kinds."""


def cut(data: bytes, draw: np.random.Generator) -> bytes:
    """The beginning of a file."""
    return data[: int(len(data) * draw.uniform())]


def beheaded(data: bytes, draw: np.random.Generator) -> bytes:
    """The end of a file."""
    return data[int(len(data) * draw.uniform() * 0.2) + 1 :]


def flipped(data: bytes, draw: np.random.Generator) -> bytes:
    """1 to 1000 flipped bits anywhere."""
    changed = bytearray(data)
    for _ in range(int(10 ** draw.uniform(0, 3))):
        changed[int(draw.integers(len(changed)))] ^= 1 << int(draw.integers(8))
    return bytes(changed)


def overwritten(data: bytes, draw: np.random.Generator) -> bytes:
    """Noise over a part of a file."""
    start, length = int(draw.integers(len(data))), int(10 ** draw.uniform(1, 4))
    noise = draw.integers(0, 256, length, dtype=np.uint8).tobytes()
    return data[:start] + noise + data[start + length :]


def reheaded(data: bytes, draw: np.random.Generator) -> bytes:
    """The first bytes of another kind of file."""
    head = MAGIC[str(draw.choice(list(MAGIC)))]
    return head + data[len(head) :]


def absurd(data: bytes, draw: np.random.Generator) -> bytes:
    """Whole numbers in headers (sizes, counts, scales, durations) set to extremes."""
    changed = bytearray(data)
    boxes = [b"mvhd", b"tkhd", b"mdhd", b"stts", b"stsz", b"stco", b"stsc", b"avc1", b"elst"]
    places = [found for name in boxes if (found := data.find(name)) > 0] or [0, len(data) // 2]
    for _ in range(int(draw.integers(1, 6))):
        place = int(draw.choice(places)) + 4 * int(draw.integers(1, 12))
        value = int(draw.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 10_000]))
        if place + 4 <= len(changed):
            struct.pack_into(">I", changed, place, value)
    return bytes(changed)


def repeated(data: bytes, draw: np.random.Generator) -> bytes:
    """A part of the file twice."""
    start, stop = sorted(int(value) for value in draw.integers(0, len(data), 2))
    return data[:stop] + data[start:]


def untouched(data: bytes, draw: np.random.Generator) -> bytes:
    return data


DAMAGES: tuple[Damage, ...] = (
    cut,
    beheaded,
    flipped,
    overwritten,
    reheaded,
    absurd,
    repeated,
    untouched,
)


def moving(count: int, height: int, width: int) -> list[np.ndarray]:
    """Frames whose colour and texture change steadily."""
    draw = np.random.default_rng(0)
    side = max(height, width) // 8 + 1
    ends = draw.integers(0, 256, (2, side, side, 3)).repeat(8, axis=1).repeat(8, axis=2)
    ends = ends[:, :height, :width]
    shares = np.linspace(0.0, 1.0, count)
    return [((1 - p) * ends[0] + p * ends[1]).astype(np.uint8) for p in shares]


def encode(path: Path, codec: str, frames: list[np.ndarray], rate: Fraction) -> None:
    """Write a video with PyAV, plainly."""
    import av

    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p" if frames[0].shape[0] % 2 else "yuv420p"
        for image in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode(None))


def animate(path: Path, frames: list[np.ndarray], delay: int) -> None:
    """Write an animated image with Pillow; delay in milliseconds."""
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], duration=delay, loop=0)


def good_clips(folder: Path) -> list[Path]:
    """Clips of several kinds, also extreme ones, all readable."""
    folder.mkdir(parents=True, exist_ok=True)
    plain, rate = moving(24, 64, 96), Fraction(25)
    for name, codec in (
        ("h264.mp4", "libx264"),
        ("h264.mkv", "libx264"),
        ("vp9.webm", "libvpx-vp9"),
        ("mpeg4.avi", "mpeg4"),
        ("mpeg2.ts", "mpeg2video"),
    ):
        encode(folder / name, codec, plain, rate)
    encode(folder / "fast.mp4", "libx264", plain, Fraction(10_000))
    encode(folder / "slow.mp4", "libx264", plain, Fraction(1, 100))
    encode(folder / "one-pixel.mkv", "ffv1", moving(8, 1, 1), rate)
    encode(folder / "8k.mp4", "mpeg4", moving(2, 4320, 7680), rate)
    animate(folder / "plain.gif", plain, 40)
    animate(folder / "still.gif", plain, 0)
    animate(folder / "deep.gif", moving(40, 8, 8), 60_000)
    animate(folder / "plain.webp", plain, 40)
    animate(folder / "plain.png", plain, 40)
    return sorted(folder.iterdir())


def make_corpus(folder: Path, count: int, seed: int) -> list[Path]:
    """Damaged clips, in turn of each kind; some under another kind's name."""
    good = good_clips(folder / "good")
    (folder / "damaged").mkdir(exist_ok=True)
    draw = np.random.default_rng(seed)
    paths = []
    for index in range(count):
        source = good[index % len(good)]
        damage = DAMAGES[index // len(good) % len(DAMAGES)]
        suffix = source.suffix if draw.uniform() < 0.8 else str(draw.choice(list(MAGIC)))
        name = f"{index:04d}-{source.stem}-{damage.__name__}{suffix}"
        path = folder / "damaged" / name
        path.write_bytes(damage(source.read_bytes(), draw))
        paths.append(path)
    return paths


def measure(path: Path) -> tuple[str, str]:
    """How a clip ended, and why."""
    try:
        found = measure_clip(path, load_embedder("pixels"), guarded=True)
    except ClipError as error:
        text = str(error)
        return ("failed", text) if "\n" not in text and text.isprintable() else ("wrong", text)
    except Exception as error:  # what must never be
        return "wrong", f"{type(error).__name__}: {error}"
    finite = bool(np.isfinite(found.curve.progress).all() and np.isfinite(found.curve.times).all())
    return ("measured", "") if finite else ("wrong", "its curve is not finite")


def main() -> int:
    """Read the command line, make the corpus, measure it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    paths = make_corpus(given.out, given.count, given.seed)
    rows, slowest = [], (0.0, "")
    for path in paths:
        started = time.perf_counter()
        ended, reason = measure(path)
        slowest = max(slowest, (time.perf_counter() - started, path.name))
        rows.append({"clip": path.name, "ended": ended, "reason": reason.replace(str(path), "")})
    with open(given.out / "fuzz.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    counts = Counter(row["ended"] for row in rows)
    end_idle()  # the system tells of the memory of those that have ended
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(rows)} clips: {counts['measured']} measured, {counts['failed']} failed with a reason"
    )
    print(
        f"longest {slowest[0]:.1f} s ({slowest[1]}); largest decoder that ended {memory:.0f} MB, "
    )
    print(f"this process {ours:.0f} MB; rows in {given.out / 'fuzz.csv'}")
    for row in rows:
        if row["ended"] == "wrong":
            print(f"wrong: {row['clip']}: {row['reason']}", file=sys.stderr)
    return int(counts["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
