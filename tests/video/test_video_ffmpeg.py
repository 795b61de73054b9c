"""Reading compared with the programs ffmpeg and ffprobe: counts, time stamps and colours.

Over files drawn here, and over those in the folders that SPF_TEST_CLIPS and SPF_TEST_INPUTS name.
"""

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
H265 = "libx265 -x265-params log-level=error"
MJPEG = "mjpeg -q:v 2 -pix_fmt yuvj420p"
CODED = {
    "a.mp4": "libx264 -bf 2 -pix_fmt yuv420p",
    "full.mp4": "libx264 -vf scale=out_range=pc -pix_fmt yuvj420p -color_range pc",
    "b422.mov": "libx264 -pix_fmt yuv422p",
    "b444-10.mkv": "libx264 -pix_fmt yuv444p10le",
    "b265-10.mp4": f"{H265} -pix_fmt yuv420p10le",
    "b265-12.mkv": f"{H265} -pix_fmt yuv420p12le",
    "planar-rgb-12.mkv": "ffv1 -pix_fmt gbrp12le",
    "grey.mkv": "ffv1 -pix_fmt gray",
    "rgb264.mkv": "libx264rgb",
    "prores.mov": "prores_ks -pix_fmt yuv444p10le",
    "odd.mkv": "libx264 -vf scale=127:95 -pix_fmt yuv444p",
    "odd.webm": "libvpx-vp9 -vf scale=127:95 -pix_fmt yuv420p",
    "interlaced.mpg": "mpeg2video -vf format=yuv420p,tinterlace=interleave_top -q:v 2 "
    "-flags +ildct+ilme",
    "packed.avi": "libxvid -bf 2 -q:v 2",
    "b264.avi": "libx264 -bf 2 -pix_fmt yuv420p",
    "streamed.avi": f"{MJPEG} -seekable 0",
    "a.wmv": "wmv2 -q:v 2",
    "a.flv": "flv1 -q:v 2",
    "a.ogv": "libtheora -q:v 9",
    "a.ts": "libx264 -bf 2 -pix_fmt yuv420p",
    "a.gif": "gif",
    "a.apng": "apng -f apng -plays 0",
    "a.webm": "libvpx -auto-alt-ref 1 -lag-in-frames 16 -b:v 2M",
    "a.nut": MJPEG,
    "raw.mjpeg": MJPEG,
    "raw.m2v": "mpeg2video -q:v 2",
    "fragments.mp4": "libx264 -pix_fmt yuv420p -movflags frag_keyframe+empty_moov",
} | {
    f"{matrix}.mkv": f"ffv1 -vf scale=out_color_matrix={matrix.removesuffix('nc')},format=yuv444p "
    f"-colorspace {matrix}"
    for matrix in MATRICES
}
HOLDS = {  # frames 8 to 15 are not coded; AVI has null frames there, others have gaps
    "hold.avi": MJPEG,
    "hold264.avi": "libx264 -bf 0 -pix_fmt yuv420p",
    "hold.mkv": "libx264 -bf 2 -pix_fmt yuv420p",
    "hold.flv": "flv1 -q:v 2",
    "hold.wmv": "wmv2 -q:v 2",
    "hold.mov": "qtrle",
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
    path = ffmpeg.encode(tmp_path / name, scene, f"-c:v {CODED[name]}")
    found = compare(path)
    assert agrees(found), found
    assert found.lost == 0
    invented = ["no time stamps: 25 frames per second assumed"]
    assert found.notes == (invented if name.startswith("raw") else [])
    if path.stem in MATRICES:  # coded without loss, but for rounding
        assert np.abs(load(path).frames.astype(int) - scene).mean() < 1


@pytest.mark.parametrize("name", HOLDS)
def test_what_is_held_is_no_loss(tmp_path, scene, name):
    coded = [image for index, image in enumerate(scene) if not 8 <= index < 16]
    gap = "-vf setpts='N+8*gte(N,8)' -vsync passthrough"
    path = ffmpeg.encode(tmp_path / name, coded, f"{gap} -c:v {HOLDS[name]}")
    found = compare(path)
    assert agrees(found), found
    assert (found.frames, found.lost, found.notes) == (16, 0, [])
    expected = np.delete(np.arange(24), np.s_[8:16]) / 25
    assert np.abs(load(path).times - expected).max() < MILLISECOND


FOLDERS = filter(None, map(os.environ.get, ("SPF_TEST_CLIPS", "SPF_TEST_INPUTS")))
FILES = [path for folder in FOLDERS for path in sorted(Path(folder).rglob("*.*"))]
READ = [x for x in FILES if x.suffix.lower() in SUFFIXES - {".webp"} and x.is_file()]


@pytest.mark.parametrize("path", READ, ids=str)
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
