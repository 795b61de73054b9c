"""Draws the inputs of test_inputs.py, a folder each, through ffmpeg where a codec is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apngs
import ffmpeg
import numpy as np
from PIL import Image

from synthetic.clips import content

MATRICES = {"ycgco": 8, "ictcp": 14, "p3-pq-chromaderived": 12, "bt2020cl": 10}
"""Matrix coefficients of H.273 that our reader does not know."""
X264 = "-c:v libx264 -crf 14 -pix_fmt yuv420p"


def scene(count: int) -> list[np.ndarray]:
    """A composition from one landscape to another, at an even pace."""
    paint = content("composition-meadow-city").painter((64, 64))
    return [paint(u) for u in np.linspace(0, 1, count)]


def draw_holds(folder: Path) -> None:
    held = "-vf setpts='N+19*gte(N,15)' -vsync passthrough"
    for name, codec in (
        ("dropped.avi", "mjpeg"),
        ("dropped-xvid.avi", "mpeg4"),
        ("dropped.mkv", "mjpeg"),
    ):
        ffmpeg.encode(folder / name, scene(31), f"{held} -c:v {codec} -q:v 2")


def draw_photographs(folder: Path) -> None:
    (folder / "jpg").mkdir()
    exif = Image.Exif()
    exif[0x010F] = "ACME"
    for index, image in enumerate(scene(25)):
        path = folder / "jpg" / f"{index:03d}.jpg"
        Image.fromarray(image).save(path, exif=exif, quality=95, subsampling=0)
    for kind in ("avi", "mov", "mkv"):
        pattern = f"-framerate 25 -i {folder}/jpg/%03d.jpg -map 1 -c copy"
        ffmpeg.encode(folder / f"timelapse.{kind}", scene(1), pattern)


def draw_transparency(folder: Path) -> None:
    white = []
    for image in scene(24):
        alpha = image[..., 1].copy()
        alpha[:8, :8] = 0
        white.append(np.dstack([np.full((64, 64, 3), 255, np.uint8), alpha]))
    vp9 = "-c:v libvpx-vp9 -pix_fmt yuva420p -crf 10 -b:v 0"
    ffmpeg.encode(
        folder / "vp8.webm", white, "-c:v libvpx -pix_fmt yuva420p -b:v 2M -auto-alt-ref 0"
    )
    ffmpeg.encode(folder / "vp9.webm", white, vp9)
    ffmpeg.encode(folder / "white-vp9.webm", white, vp9)
    images = [Image.fromarray(image) for image in white]
    images[0].save(folder / "white.png", save_all=True, append_images=images[1:], duration=40)


def draw_matrices(folder: Path) -> None:
    for name, number in MATRICES.items():
        tags = f"h264_metadata=matrix_coefficients={number}:colour_primaries=9"
        ffmpeg.encode(
            folder / f"{name}.mp4", scene(6), f"-c:v libx264 -pix_fmt yuv420p -bsf:v {tags}"
        )


def draw_apngs(folder: Path) -> None:
    background = np.dstack([scene(1)[0], np.full((64, 64), 255, np.uint8)])
    figure, veil = np.full((9, 9, 4), 255, np.uint8), np.full((64, 64, 4), 255, np.uint8)
    veil[..., 3] = 24
    moving = [apngs.Part(figure, x, 30, apngs.TO_PREVIOUS, apngs.OVER) for x in range(0, 50, 5)]
    veils = [apngs.Part(veil, blend=apngs.OVER)] * 12
    for name, true, parts in (
        ("dispose-previous", "true-frames", moving),
        ("veil-over", "veil-true", veils),
    ):
        parts = [apngs.Part(background), *parts]
        apngs.write(folder / f"{name}.png", parts)
        (folder / true).mkdir()
        for index, image in enumerate(np.rint(apngs.shown(parts)).astype(np.uint8)):
            Image.fromarray(image).save(folder / true / f"{index:03d}.png")


def draw_folders(folder: Path) -> None:
    names: dict[str, Callable[[int], str]] = {
        "tiff-float": lambda i: f"{i:03d}.tif",
        "with-masks": lambda i: f"frame_{i:03d}.png",
        "two-formats": lambda i: f"f{i:03d}.png",
    }
    for kind, name in names.items():
        (folder / kind).mkdir()
        for index, array in enumerate(scene(12)):
            path, image = folder / kind / name(index), Image.fromarray(array)
            if kind == "tiff-float":
                image = Image.fromarray((array.mean(2) / 255).astype(np.float32))
            image.save(path)
            if kind == "two-formats":
                image.save(path.with_suffix(".jpg"))
            if kind == "with-masks":
                image.convert("1").save(path.with_stem(f"{path.stem}_mask"))


def draw_raw(folder: Path) -> None:
    ffmpeg.encode(folder / "clip.mjpeg", scene(50), "-c:v mjpeg -q:v 3")


def draw_repeats(folder: Path) -> None:
    frames = scene(25)
    for name, codec in (("hold.ogv", "libtheora -q:v 8"), ("hold.mp4", "libx264 -crf 12")):
        ffmpeg.encode(folder / name, [*frames, *[frames[-1]] * 25], f"-c:v {codec}")


def draw_sizes(folder: Path) -> None:
    whole = b""
    for start, (height, width) in enumerate(((36, 64), (64, 36))):
        part = [image[:height, :width] for image in scene(24)]
        timing = f"-output_ts_offset {start}"
        path = ffmpeg.encode(
            folder / "part.ts", part, f"-c:v libx264 -bf 0 -pix_fmt yuv420p {timing}", 24
        )
        whole += path.read_bytes()
        path.unlink()
    (folder / "turned-midway.ts").write_bytes(whole)


def draw_pulldown(folder: Path) -> None:
    frames = scene(49)
    for name, shown in (
        ("24p", range(49)),
        ("on-twos", [i // 2 * 2 for i in range(49)]),
        ("on-fours", [i // 4 * 4 for i in range(49)]),
    ):
        ffmpeg.encode(folder / f"{name}.mp4", [frames[i] for i in shown], X264, 24)
    for rate in (30, 60):
        ffmpeg.encode(folder / f"24-to-{rate}.mp4", frames, f"-vf fps={rate}:round=near {X264}", 24)


def draw_measured(folder: Path) -> None:
    even = scene(48)
    black = np.zeros_like(even[0])
    boxed = [np.pad(frame[16:-16], ((16, 16), (0, 0), (0, 0))) for frame in even]
    for name, frames in {
        "even": even,
        "inner": [frame[16:-16] for frame in even],
        "letterbox": boxed,
        "lead-in-1": [black, *even[1:]],
        "lead-in-12": [black] * 12 + even[12:],
        "loop3": even[::3] * 3,
        "strobe": [even[i % 2 * 47] for i in range(48)],
        "strobe-3": [even[i // 3 % 2 * 47] for i in range(48)],
    }.items():
        ffmpeg.encode(folder / f"{name}.mp4", frames, X264, 24)


def draw_stills(folder: Path) -> None:
    for name, options in {
        "still-x264-default.mp4": "-c:v libx264 -pix_fmt yuv420p",
        "still-x264-g25.mp4": "-c:v libx264 -g 25 -crf 30 -pix_fmt yuv420p",
        "still-vp9.webm": "-c:v libvpx-vp9 -b:v 200k -pix_fmt yuv420p",
        "still-mpeg4.mp4": "-c:v mpeg4 -q:v 6 -pix_fmt yuv420p",
        "still-mjpeg.avi": "-c:v mjpeg -pix_fmt yuvj420p",
    }.items():
        ffmpeg.encode(folder / name, [scene(10)[3]] * 40, options)


DRAWN: dict[str, Callable[[Path], None]] = {
    "01-avi-drop-frames": draw_holds,
    "03-mjpeg-exif": draw_photographs,
    "04-webm-alpha": draw_transparency,
    "05-colour-tags": draw_matrices,
    "06-apng": draw_apngs,
    "07-pulldown": draw_pulldown,
    "08-metric": draw_measured,
    "09-static": draw_stills,
    "12-frame-folders": draw_folders,
    "15-stills": draw_raw,
    "16-theora-hold": draw_repeats,
    "19-size-change": draw_sizes,
}
