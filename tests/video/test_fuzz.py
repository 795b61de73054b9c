"""Bad clips in bulk: every one is a measured row or a failed one with a line of reason."""

import os
import shutil
import struct
import zlib
from collections import Counter
from fractions import Fraction

import clips
import harness
import numpy as np
import pytest
from PIL import Image

from spf.embedders import load_embedder
from spf.errors import ClipError
from spf.measurement import measure_clip
from spf.video import SUFFIXES
from spf.video.clip import MAX_PIXELS
from spf.video.guarded import MEMORY

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
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 10_000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
HEADERS = [
    *b"mvhd tkhd mdhd stts stsz stco stsc avc1 elst trun".split(),
    *b"IHDR acTL fcTL VP8X ANIM ANMF avih strh strf".split(),
    b"\x21\xf9",
]


def flipped(data, draw):
    changed = bytearray(data)
    for _ in range(int(10 ** draw.uniform(0, 3))):
        changed[int(draw.integers(len(changed)))] ^= 1 << int(draw.integers(8))
    return bytes(changed)


def overwritten(data, draw):
    start, length = int(draw.integers(len(data))), int(10 ** draw.uniform(1, 4))
    noise = draw.integers(0, 256, length, dtype=np.uint8).tobytes()
    return data[:start] + noise + data[start + length :]


def absurd(data, draw):
    changed = bytearray(data)
    places = [at + len(name) for name in HEADERS if (at := data.find(name)) > 0]
    for _ in range(int(draw.integers(1, 6))):
        place = int(draw.choice(places or [4])) + int(draw.integers(0, 48))
        width = int(draw.choice([2, 4]))
        order = "big" if draw.uniform() < 0.6 else "little"
        value = int(draw.choice(EXTREMES)) & (256**width - 1)
        changed[place : place + width] = value.to_bytes(width, order)
    return _with_sums(bytes(changed)) if data.startswith(b"\x89PNG") else bytes(changed)


def _with_sums(png):
    """A PNG whose chunks have their right check sums, or nobody would read on."""
    changed, at = bytearray(png), 8
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4], "big")
        if end + 4 > len(png):
            break
        struct.pack_into(">I", changed, end, zlib.crc32(png[at + 4 : end]))
        at = end + 4
    return bytes(changed)


def cut(data, draw):
    return data[: int(len(data) * draw.uniform())]


def reheaded(data, draw):
    head = MAGIC[str(draw.choice(list(MAGIC)))]
    return head + data[len(head) :]


DAMAGES = {
    "cut": cut,
    "beheaded": lambda data, draw: data[int(len(data) * draw.uniform() * 0.2) + 1 :],
    "flipped": flipped,
    "overwritten": overwritten,
    "reheaded": reheaded,
    "absurd": absurd,
    "untouched": lambda data, draw: data,
    "renamed": lambda data, draw: data,  # as good as before, under another kind's suffix
}


def moving(count, height, width):
    side = max(height, width) // 8 + 1
    ends = np.random.default_rng(0).integers(0, 256, (2, side, side, 3))
    ends = ends.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    return [((1 - p) * ends[0] + p * ends[1]).astype(np.uint8) for p in np.linspace(0, 1, count)]


def good_clips(folder, large=True):
    """Clips of several kinds, also extreme ones, nearly all readable; with 8K frames if `large`."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = moving(24, 64, 96)
    second = [moving(6, 32, 32)]
    for name, codec, frames, how in (
        ("h264.mp4", "libx264", plain, {}),
        ("h264.mkv", "libx264", plain, {}),
        ("vp9.webm", "libvpx-vp9", plain, {}),
        ("mpeg4.avi", "mpeg4", plain, {}),
        ("mpeg2.ts", "mpeg2video", plain, {}),
        ("fast.mp4", "libx264", plain, {"rate": Fraction(10_000)}),
        ("slow.mp4", "libx264", plain, {"rate": Fraction(1, 100)}),
        ("one-frame.mp4", "libx264", plain[:1], {}),
        ("tracks.mov", "libx264", plain, {"streams": second, "audio": True}),
        ("one-pixel.mkv", "ffv1", moving(8, 1, 1), {"pix_fmt": "yuv444p"}),
    ):
        same = {"container_options": {"fflags": "+bitexact"}}  # no random identifiers
        clips.encode(folder / name, frames, codec, **how, **same)
    clips.encode_sound(folder / "sound.mov")
    for name, frames, delay in (
        ("plain.gif", plain, 40),
        ("hurried.gif", plain, 0),
        ("deep.gif", moving(40, 8, 8), 655_350),
        ("plain.webp", plain, 40),
        ("one-pixel.webp", moving(8, 1, 1), 0),
        ("plain.apng", plain, 40),
    ):
        save = {"format": "PNG"} if name.endswith(".apng") else {}
        clips.animate(folder / name, frames, [delay] * len(frames), **save)
    images = [Image.fromarray(frame) for frame in plain[:8]]
    for suffix in ("png", "jpg", "webp"):
        (folder / f"frames-{suffix}").mkdir()
        for number, image in enumerate(images):
            image.save(folder / f"frames-{suffix}" / f"{number}.{suffix}")
        if suffix != "png":
            images[0].save(folder / f"still.{suffix}")
    if large:
        clips.encode(folder / "8k.mp4", moving(2, 4320, 7680), "mpeg4")
        clips.animate(folder / "8k.webp", moving(2, 4320, 7680), [40] * 2)
    return sorted(folder.iterdir())


ODD = {
    "text": lambda path, good, draw: path.write_text("no picture\n" * 9),
    "folder": lambda path, good, draw: path.mkdir(),
    "pipe": lambda path, good, draw: os.mkfifo(path),
    "device": lambda path, good, draw: path.symlink_to("/dev/zero"),
    "dangling": lambda path, good, draw: path.symlink_to("nowhere"),
    "loop": lambda path, good, draw: path.symlink_to(path.name),
    "larger": lambda path, good, draw: Image.new("RGB", (200, 100)).save(path),
    "sixteen-bits": lambda path, good, draw: Image.new("I;16", (96, 64), 40_000).save(path),
    "four-inks": lambda path, _, draw: Image.new("CMYK", (96, 64)).save(path.with_suffix(".jpg")),
    "cut": lambda path, good, draw: path.write_bytes(cut(good, draw)),
}
"""What lies among the images of a folder, by its path and the bytes of a good one."""


def make_bad_clips(folder, count, seed, large=True):
    """FOLDER/good, and `count` bad ones as FOLDER/clips/DAMAGE/CLIP, each from its seed."""
    good = good_clips(folder / "good", large)
    paths = []
    for index in range(count):
        draw = np.random.default_rng([seed, index])
        source = good[index % len(good)]
        turn = index // len(good) + index % len(good)  # so that few clips see every damage too
        if source.is_dir():
            kind = list(ODD)[turn % len(ODD)]
            path = folder / "clips" / "odd-members" / f"{index:04d}-{source.name}-{kind}"
            shutil.copytree(source, path)
            good_image = min(source.iterdir()).read_bytes()
            ODD[kind](path / f"{int(draw.integers(0, 9))}.5.png", good_image, draw)
        else:
            damage = list(DAMAGES)[turn % len(DAMAGES)]
            suffix = source.suffix if source.suffix in SUFFIXES else ".gif"
            if damage == "renamed" or draw.uniform() < 0.1:
                suffix = str(draw.choice([other for other in MAGIC if other != suffix]))
            path = folder / "clips" / damage / f"{index:04d}-{source.stem}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(DAMAGES[damage](source.read_bytes(), draw))
        paths.append(path)
    return paths


def test_bad_clips_of_a_leaderboard_are_rows(tmp_path, monkeypatch, capsys):
    harness.without_plots(monkeypatch)
    paths = make_bad_clips(tmp_path, 30, seed=2, large=False)
    run = harness.run(tmp_path / "clips", tmp_path / "out", "embedder=pixels")
    rows = run.results.records
    assert (run.code, len(rows)) == (1, len(paths))
    assert {row["status"] for row in rows} == {"done", "failed"}
    assert all(row["frames"] > 0 for row in rows if row["status"] == "done")
    reasons = {row["reason"] for row in rows if row["status"] == "failed"}
    assert all("; " in x and x.isprintable() and "unexpected" not in x for x in reasons)
    page = (run.folder.root / "index.html").read_text()
    assert reasons <= {cell for row in harness.Page(page).rows for cell in row}
    assert "Traceback" not in "".join(capsys.readouterr())


def end_of(path):
    try:
        found = measure_clip(path, load_embedder("pixels"), guarded=True)
    except ClipError as error:
        return "failed" if str(error).isprintable() else str(error)
    assert np.isfinite([found.curve.progress, found.curve.times]).all(), path
    return "measured"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_500_bad_clips(part, tmp_path):
    make_bad_clips(tmp_path, 100, seed=part)
    ends = {path: end_of(path) for path in sorted((tmp_path / "clips").glob("*/*"))}
    counts = Counter(ends.values())
    assert counts.keys() == {"measured", "failed"}
    assert counts.total() == 100
    assert counts["measured"] > 20
    never = ("sound", "still", "one-frame")
    good = [path for path in ends if path.parent.name == "untouched"]
    assert {ends[p] for p in good if not any(name in p.name for name in never)} == {"measured"}


def test_the_stated_bounds():
    text = (harness.ROOT / "docs" / "development" / "reliability.md").read_text()
    assert f"{MAX_PIXELS:,} pixels" in text
    assert f"{MEMORY / 2**30:g} GiB" in text
