"""Reading compared with the programs ffmpeg and ffprobe: counts, time stamps and colours.

Over files drawn here, and over those in the folders that SPF_TEST_CLIPS and SPF_TEST_INPUTS name.
"""

from __future__ import annotations

import os
from pathlib import Path

import ffmpeg
import numpy as np
import pytest
from ffmpeg import Comparison, compare

from spf.errors import ClipError
from spf.video import SUFFIXES, load, probe
from synthetic.clips import content

pytestmark = ffmpeg.needed

MATRICES = ("bt709", "smpte170m", "smpte240m", "fcc", "bt2020nc")
CODED = {
    "a.mp4": "-c:v libx264 -bf 2 -pix_fmt yuv420p",
    "full.mp4": "-c:v libx264 -vf scale=out_range=pc -pix_fmt yuvj420p -color_range pc",
    "b422.mov": "-c:v libx264 -pix_fmt yuv422p",
    "b444-10.mkv": "-c:v libx264 -pix_fmt yuv444p10le",
    "b265-10.mp4": "-c:v libx265 -x265-params log-level=error -pix_fmt yuv420p10le",
    "b265-12.mkv": "-c:v libx265 -x265-params log-level=error -pix_fmt yuv420p12le",
    "planar-rgb-12.mkv": "-c:v ffv1 -pix_fmt gbrp12le",
    "grey.mkv": "-c:v ffv1 -pix_fmt gray",
    "rgb264.mkv": "-c:v libx264rgb",
    "prores.mov": "-c:v prores_ks -pix_fmt yuv444p10le",
    "odd.mkv": "-vf scale=127:95 -c:v libx264 -pix_fmt yuv444p",
    "odd.webm": "-vf scale=127:95 -c:v libvpx-vp9 -pix_fmt yuv420p",
    "interlaced.mpg": "-vf format=yuv420p,tinterlace=interleave_top -c:v mpeg2video -q:v 2 "
    "-flags +ildct+ilme",
    "packed.avi": "-c:v libxvid -bf 2 -q:v 2",
    "b264.avi": "-c:v libx264 -bf 2 -pix_fmt yuv420p",
    "streamed.avi": "-c:v mjpeg -q:v 2 -pix_fmt yuvj420p -seekable 0",
    "a.wmv": "-c:v wmv2 -q:v 2",
    "a.flv": "-c:v flv1 -q:v 2",
    "a.ogv": "-c:v libtheora -q:v 9",
    "a.ts": "-c:v libx264 -bf 2 -pix_fmt yuv420p",
    "a.gif": "-c:v gif",
    "a.apng": "-c:v apng -f apng -plays 0",
    "a.webm": "-c:v libvpx -auto-alt-ref 1 -lag-in-frames 16 -b:v 2M",
    "a.nut": "-c:v mjpeg -q:v 2 -pix_fmt yuvj420p",
    "raw.mjpeg": "-c:v mjpeg -q:v 2 -pix_fmt yuvj420p",
    "raw.m2v": "-c:v mpeg2video -q:v 2",
    "fragments.mp4": "-c:v libx264 -pix_fmt yuv420p -movflags frag_keyframe+empty_moov",
} | {
    f"{matrix}.mkv": f"-vf scale=out_color_matrix={matrix.removesuffix('nc')},format=yuv444p "
    f"-c:v ffv1 -colorspace {matrix}"
    for matrix in MATRICES
}
HOLDS = {  # frames 8 to 15 are not coded; AVI has null frames there, others have gaps
    "hold.avi": "-c:v mjpeg -q:v 2 -pix_fmt yuvj420p",
    "hold264.avi": "-c:v libx264 -bf 0 -pix_fmt yuv420p",
    "hold.mkv": "-c:v libx264 -bf 2 -pix_fmt yuv420p",
    "hold.flv": "-c:v flv1 -q:v 2",
    "hold.wmv": "-c:v wmv2 -q:v 2",
    "hold.mov": "-c:v qtrle",
}
MILLISECOND = 0.0011  # Matroska, FLV and ASF keep whole milliseconds


@pytest.fixture(scope="module")
def scene() -> list[np.ndarray]:
    """24 frames (96, 128, 3) that differ in shapes and colours."""
    paint = content("composition-meadow-city").painter((96, 128))
    return [paint(p) for p in np.linspace(0, 1, 24)]


def agrees(found: Comparison) -> bool:
    """BT.601 for BT.709 makes 33 dB of such scenes, BT.2020 for BT.709 40; versions of swscale that
    place chroma elsewhere differ by 42 dB and more."""
    counted = found.frames - found.again == found.theirs > 0
    return counted and found.psnr > 41 and not found.seconds > MILLISECOND  # nan: no stamps


@pytest.mark.parametrize("name", CODED)
def test_coded_files_are_read_as_ffmpeg_reads_them(tmp_path, scene, name):
    path = tmp_path / name
    ffmpeg.encode(path, scene, CODED[name])
    found = compare(path)
    assert agrees(found), found
    assert found.lost == 0
    invented = ["no time stamps: 25 frames per second assumed"]
    assert found.notes == (invented if name.startswith("raw") else [])
    if name in {f"{matrix}.mkv" for matrix in MATRICES}:  # coded without loss, but for rounding
        assert np.abs(load(path).frames.astype(int) - scene).mean() < 1


@pytest.mark.parametrize("name", HOLDS)
def test_what_is_held_is_no_loss(tmp_path, scene, name):
    coded = [image for index, image in enumerate(scene) if not 8 <= index < 16]
    gap = "-vf setpts='N+8*gte(N,8)' -vsync passthrough"
    ffmpeg.encode(tmp_path / name, coded, f"{gap} {HOLDS[name]}")
    found = compare(tmp_path / name)
    assert agrees(found), found
    assert (found.frames, found.lost, found.notes) == (16, 0, [])
    times = load(tmp_path / name).times
    expected = np.delete(np.arange(24), np.s_[8:16]) / 25
    assert np.abs(times - expected).max() < MILLISECOND


def files() -> list[object]:
    found: list[object] = []
    for variable in ("SPF_TEST_CLIPS", "SPF_TEST_INPUTS"):
        folder = os.environ.get(variable)
        if not folder:
            skip = pytest.mark.skip(reason=f"{variable} names no folder of files")
            found.append(pytest.param(None, marks=skip, id=variable))
            continue
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix.lower() in SUFFIXES - {".webp"} and path.is_file():
                found.append(pytest.param(path, id=str(path.relative_to(folder))))
    return found


@pytest.mark.parametrize("path", files())
def test_files_of_a_folder_are_read_as_ffmpeg_reads_them(path):
    """All but WebP, for which few versions of ffmpeg have a decoder of animations."""
    try:
        probe(path)
    except ClipError:
        assert ffmpeg.stamps(path) == []
        return
    found = compare(path, **ffmpeg.options_for(path))
    if "its size changes" in " ".join(found.notes):
        pytest.skip("ffmpeg stretches frames of another size")
    assert agrees(found), found
