"""Clips that are folders of images: which files are frames, their order, what they hold."""

from pathlib import Path

import numpy as np
import pytest
from clips import grey, numbers
from PIL import Image

from spf.errors import ClipError
from spf.video import Reader, Sampling, content_hash, list_frames, load


def fill(folder: Path, names: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, image in zip(names, grey(len(names), 8, 8), strict=True):
        Image.fromarray(image).save(folder / name)
    return folder


@pytest.mark.parametrize("names", [
    [f"frame-{i}.png" for i in range(1, 12)],  # a hyphen, no sign
    [f"{i}.png" for i in range(-11, 12)],
    [f"t={i:+.1f}.png" for i in np.arange(-1, 1.1, 0.5)],
    [f"frame -{i}.png" for i in range(1, 12)],  # a hyphen, as all names have it
    [f"t={i * 0.25:g}s.png" for i in range(12)],
    [f"{i * 2.5:.2f}.png" for i in range(50)],
    [f"sigma_{s:g}.png" for s in (0, 1e-7, 2.5e-5, 0.002, 3, 400000, 5e6, 1e22)],
    [f"take1.{i}.png" for i in range(1, 12)],  # counters, no fractions
    [f"2024.{m}.{d}.jpg" for m in (1, 2, 10) for d in (1, 2, 11)],
    [f"12h{i * 5 // 60}m{i * 5 % 60}s.png" for i in range(24)],
    [f"s{s}e{e}.png" for s in (1, 2, 10) for e in (1, 2, 11)],
    [f"A{i}.PNG" if i % 2 else f"a{i}.png" for i in range(12)],
], ids=lambda names: names[len(names) // 2])  # fmt: skip
def test_names_are_in_the_order_of_their_numbers(names, tmp_path):
    fill(tmp_path, names)
    assert [path.name for path in list_frames(tmp_path)[0]] == names


def test_times_are_indices_and_other_files_no_part_of_a_clip(tmp_path):
    names = [f"{i}.png" for i in range(23)]
    plain, other = fill(tmp_path / "a", names), fill(tmp_path / "b", names)
    for name in ("._0.png", ".DS_Store", "Thumbs.db", "notes.txt"):
        (other / name).write_bytes(b"x")
    (other / "99.png").mkdir()
    clip = load(other, Sampling(start=2, stride=3))
    assert clip.times.tolist() == numbers(clip) == list(range(2, 23, 3))
    assert (clip.info.fps, clip.info.frames, clip.info.duration) == (None, 23, None)
    before = content_hash(other)
    assert content_hash(plain) == before
    (other / "1.png").write_bytes((other / "2.png").read_bytes())
    changed = content_hash(other)
    (other / "1.png").rename(other / "44.png")
    assert len({before, changed, content_hash(other)}) == 3
    assert content_hash(tmp_path / "none") is None


@pytest.mark.parametrize(("besides", "note"), [
    ("frame_{}.jpg", "4 images left out: frame_0.jpg is frame_0.png in another format"),
    ("frame_{}_mask.png", "4 images beside the frames left out: frame_0_mask.png"),
    ("frame_{}.depth-map.png", "4 images beside the frames left out: frame_0.depth-map.png"),
])  # fmt: skip
def test_what_accompanies_the_frames_is_left_out(tmp_path, besides, note):
    fill(tmp_path, [f"frame_{i}.png" for i in range(4)])
    alone = content_hash(tmp_path)
    for i in range(4):
        Image.new("L", (8, 8), 255 * (i % 2)).save(tmp_path / besides.format(i))
    clip = load(tmp_path)
    assert (numbers(clip), clip.notes) == ([0, 1, 2, 3], [note])
    assert content_hash(tmp_path) != alone  # the note is part of the result


def test_several_series_are_noted(tmp_path):
    fill(tmp_path, ["frame_0.png", "frame_1.png", "frame_1_mask.png", "frame_2_mask.png"])
    assert list_frames(tmp_path)[1][0].startswith("the images are 2 series, in the order of their")


def test_a_broken_image_in_a_folder_leaves_a_gap(tmp_path):
    fill(tmp_path, [f"{i}.png" for i in range(5)])
    (tmp_path / "0.png").write_bytes(b"no image")
    good = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(good[: len(good) // 2])
    with Reader(tmp_path) as reader:
        assert [time for _, time in reader] == [1, 2, 4]
    assert (reader.decoded, reader.lost) == (3, 2)
    assert reader.notes == ["2 of 5 frames lost: 2 images cannot be decoded, first 0.png"]
    Image.fromarray(grey(1, 20, 30)[0]).save(tmp_path / "2.png")
    with pytest.raises(ClipError, match=r"2\.png is 30 x 20, the first image 8 x 8"):
        load(tmp_path)


def test_sixteen_bit_grey_is_scaled_and_turned(tmp_path):
    values = np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16)
    turned = Image.Exif()
    for orientation, expected in ((1, [[0, 100], [200, 255]]), (6, [[200, 0], [255, 100]])):
        turned[0x0112] = orientation
        Image.fromarray(values).save(tmp_path / "a.png", exif=turned)
        assert load(tmp_path / "a.png").frames[0, ..., 0].tolist() == expected


@pytest.mark.parametrize(
    "values", [np.float32([[0, 255]]), np.float32([[np.nan, 1]]), np.int32([[-1, 70000]])]
)
def test_values_of_an_unknown_range_are_refused(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "0.tif")
    for path in (tmp_path, tmp_path / "0.tif"):
        with pytest.raises(ClipError, match=r"its values reach from .* store it with 8 or 16 bits"):
            load(path)
