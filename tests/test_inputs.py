"""Inputs that people really have, each with what is right: a table that is tested and printed.

The inputs are drawn here. `python tests/test_inputs.py [FOLDER]` prints the table, for those of a
folder of the same layout where one is given. A row is a `Case`; a folder is drawn by the function
of its name in `DRAWN`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apngs
import ffmpeg
import numpy as np
import pytest
from PIL import Image

import spf
from spf.errors import SpfError
from spf.video import Clip, load
from synthetic.clips import content

pytestmark = ffmpeg.needed

Found = tuple[str, bool]
"""What was found, in words, and whether it is right."""


@dataclass(frozen=True)
class Case:
    """An input (file or folder, from the folder of all), what is right, and how it is seen."""

    name: str
    right: str
    check: Callable[[Path], Found]


def linearity(path: Path) -> float:
    return float(spf.score(spf.measure(path, embedder="tiny", cache=False))["linearity_mae"])


def summary(clip: Clip) -> str:
    longest = np.diff(clip.times).max(initial=0)
    text = f"{len(clip.times)} frames to {clip.times[-1]:.4g}, longest step {longest:.2g}"
    return "; ".join([text, *clip.notes])


def as_other(other: str, within: float = 0.004) -> Callable[[Path], Found]:
    """As long and as paced as another input beside it, without a note."""

    def check(path: Path) -> Found:
        clip, beside = load(path), load(path.parent / other)
        ours, theirs = linearity(path), linearity(path.parent / other)
        if clip.info.fps and beside.info.fps:
            alike = abs(clip.times[-1] - beside.times[-1]) < 0.041
        else:  # a folder has no seconds
            alike = len(clip.times) == len(beside.times)
        found = f"{summary(clip)}; linearity_mae {ours:.4f}, {other} {theirs:.4f}"
        return found, alike and abs(ours - theirs) < within and not clip.notes

    return check


def same_frames(other: str, levels: int) -> Callable[[Path], Found]:
    """The frames of a folder beside it, within so many levels."""

    def check(path: Path) -> Found:
        clip, beside = load(path), load(path.parent / other)
        same = clip.frames.shape == beside.frames.shape
        apart = np.abs(clip.frames.astype(int) - beside.frames).max() if same else 255
        return f"{summary(clip)}; {apart} levels apart", apart <= levels

    return check


def ordered(value: Callable[[str], float]) -> Callable[[Path], Found]:
    """In the order of the number that a name stands for."""

    def check(path: Path) -> Found:
        stems = [file.stem for file in spf.video.list_frames(path)[0]]
        return ", ".join(stems), stems == sorted(stems, key=value) and len(stems) > 10

    return check


def noted(note: str, frames: int | None = None) -> Callable[[Path], Found]:
    """With a note (every part between * in it), of so many frames."""

    def check(path: Path) -> Found:
        clip = load(path)
        text = " ".join(clip.notes)
        counted = frames in (None, len(clip.frames))
        return summary(clip), counted and all(part in text for part in note.split("*"))

    return check


def even_change(path: Path) -> Found:
    clip = load(path)
    levels = clip.frames.mean((1, 2, 3))
    return f"{summary(clip)}; levels {levels[0]:.0f} to {levels[-1]:.0f}", bool(np.ptp(levels) > 5)


def transparent(path: Path) -> Found:
    """Black in a corner that is transparent, where white is stored."""
    clip = load(path)
    level = clip.frames[:, :8, :8].mean()
    return f"{summary(clip)}; a transparent corner has level {level:.0f}", bool(level < 8)


def keeps_aspect(path: Path) -> Found:
    clip = load(path)
    bars = not clip.frames[-1][:, :8].any()
    return summary(clip), bars and any("its size changes from" in note for note in clip.notes)


HELD = "as dropped.mkv: the hold is time, nothing is lost"
UNKNOWN = {
    "ycgco": "YCgCo",
    "ictcp": "ICtCp",
    "p3-pq-chromaderived": "chroma-derived",
    "bt2020cl": "BT.2020 constant luminance",
}
CASES = [
    *(
        Case(f"01-avi-drop-frames/{name}", HELD, as_other("dropped.mkv"))
        for name in ("dropped.avi", "dropped-xvid.avi")
    ),
    *(
        Case(f"03-mjpeg-exif/timelapse.{kind}", "as the JPEGs in jpg", as_other("jpg"))
        for kind in ("avi", "mov", "mkv")
    ),
    *(
        Case(f"04-webm-alpha/{name}", "transparency over black", transparent)
        for name in ("vp8.webm", "vp9.webm")
    ),
    Case("04-webm-alpha/white-vp9.webm", "as white.png", as_other("white.png")),
    *(
        Case(
            f"05-colour-tags/{name}.mp4", f"a note that names {matrix}", noted(f"{matrix}*assumed")
        )
        for name, matrix in UNKNOWN.items()
    ),
    Case("06-apng/dispose-previous.png", "as true-frames", same_frames("true-frames", 0)),
    Case("06-apng/veil-over.png", "as veil-true", same_frames("veil-true", 2)),
    Case("12-frame-folders/negative", "numeric order", ordered(lambda x: float(x[6:]))),
    Case("12-frame-folders/seconds", "numeric order", ordered(lambda x: float(x[2:-1]))),
    Case("12-frame-folders/scientific", "numeric order", ordered(lambda x: float(x[5:]))),
    Case("12-frame-folders/tiff-float", "scaled", even_change),
    Case("12-frame-folders/with-masks", "12 frames, a note", noted("left out*_mask", 12)),
    Case("12-frame-folders/two-formats", "12 frames, a note", noted("left out*format", 12)),
    Case("15-stills/clip.mjpeg", "50 frames", noted("25 frames per second assumed", 50)),
    Case("16-theora-hold/hold.ogv", "as hold.mp4, nothing lost", as_other("hold.mp4")),
    Case("19-size-change/turned-midway.ts", "the aspect is kept, a note", keeps_aspect),
]


def scene(count: int, size: int = 64) -> list[np.ndarray]:
    paint = content("composition-meadow-city").painter((size, size))
    return [paint(p) for p in np.linspace(0, 1, count)]


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
    for name, number in zip(UNKNOWN, (8, 14, 12, 10), strict=True):
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
        "negative": lambda i: f"frame_{i - 6}.png",
        "seconds": lambda i: f"t={i * 0.25:g}s.png",
        "scientific": lambda i: (
            f"step_{i * 1e4:g}.png" if i < 10 else f"step_{10.0 ** (i - 4):e}.png"
        ),
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


DRAWN: dict[str, Callable[[Path], None]] = {
    "01-avi-drop-frames": draw_holds,
    "03-mjpeg-exif": draw_photographs,
    "04-webm-alpha": draw_transparency,
    "05-colour-tags": draw_matrices,
    "06-apng": draw_apngs,
    "12-frame-folders": draw_folders,
    "15-stills": draw_raw,
    "16-theora-hold": draw_repeats,
    "19-size-change": draw_sizes,
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the path of an input, and draws its folder at the first time."""
    root = tmp_path_factory.mktemp("inputs")
    return lambda name: drawn(root, name)


def drawn(root: Path, name: str) -> Path:
    folder = root / name.partition("/")[0]
    if not folder.exists():
        folder.mkdir()
        DRAWN[folder.name](folder)
    return root / name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_inputs_that_people_have(inputs: Callable[[str], Path], case: Case) -> None:
    found, right = case.check(inputs(case.name))
    assert right, f"{case.right}: {found}"


def table(root: Path) -> int:
    """Print what is found of each input in a folder; returns how many are wrong or missing."""
    wrong = 0
    print("| input | right | found | ok |\n| --- | --- | --- | --- |")
    for case in CASES:
        try:
            found, right = case.check(drawn(root, case.name))
        except SpfError as error:
            found, right = str(error), False
        wrong += not right
        print(f"| {case.name} | {case.right} | {found} | {'yes' if right else 'no'} |", flush=True)
    return wrong


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        sys.exit(min(table(Path(sys.argv[1] if len(sys.argv) > 1 else made)), 1))
