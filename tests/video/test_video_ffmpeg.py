"""Reading compared with the programs ffmpeg and ffprobe: counts, time stamps and colours.

Over files drawn here, and over those in the folders that SPF_TEST_CLIPS and SPF_TEST_INPUTS name.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import numpy as np
import pytest

from spf.errors import ClipError
from spf.video import SUFFIXES, Reader, load, probe
from synthetic.clips import content


def images(path, size, stream=0, alpha=False, decoder="", matrix="auto"):
    """Its frames (height, width, 3) as displayed, of that size (width, height); with `alpha` they
    are composited over black. matrix : of the colours, in place of the declared one."""
    width, height = size
    depth = 3 + alpha
    options = f"-map 0:v:{stream} -vsync passthrough -f rawvideo"
    options += f" -pix_fmt {'rgba' if alpha else 'rgb24'}"
    options += f" -vf scale={width}:{height}:interl=-1:in_color_matrix={matrix} -"
    command = ["ffmpeg", "-v", "quiet", "-threads", "1", *(["-c:v", decoder] if decoder else [])]
    command += ["-i", str(path), *options.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=2**20) as process:
        while len(data := process.stdout.read(width * height * depth)) == width * height * depth:
            image = np.frombuffer(data, np.uint8).reshape(height, width, depth)
            if alpha:
                image = np.rint(image[..., :3] * (image[..., 3:] / 255.0)).astype(np.uint8)
            yield image
        process.stdout.close()


pytestmark = ffmpeg.needed


def probed(path, stream, *show):
    """What ffprobe shows of a video stream, as JSON holds it."""
    command = ["ffprobe", "-v", "quiet", "-threads", "1", "-select_streams", f"v:{stream}"]
    command += ["-show_entries", *show, "-of", "json", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=False).stdout)


def stamps(path, stream=0):
    """Best-effort time stamps (s) of a stream's frames as displayed; none of what is no video."""
    frames = probed(path, stream, "frame=best_effort_timestamp_time").get("frames", [])
    return [float(frame.get("best_effort_timestamp_time", "nan")) for frame in frames]


def options_for(path):
    """Options of `images` for a file: whether there is transparency, the decoder that gives it, and
    the matrix where the declared one cannot be converted."""
    show = "stream=codec_name,pix_fmt,color_space:stream_tags=alpha_mode"
    (stream,) = probed(path, 0, show)["streams"]
    beside = "1" in stream.get("tags", {}).values()
    own = stream["pix_fmt"].startswith(("yuva", "rgba", "bgra", "argb", "gbrap", "ya"))
    matrix = "bt2020" if stream.get("color_space") in ("ictcp", "chroma-derived-nc") else "auto"
    decoder = {"vp8": "libvpx", "vp9": "libvpx-vp9"}[stream["codec_name"]] if beside else ""
    return {"alpha": own or beside, "decoder": decoder, "matrix": matrix}


@dataclass
class Comparison:
    """How a clip is read, beside ffmpeg: frames of each, the lowest PSNR (dB) of a frame's means
    over 8 x 8 pixels (chroma of few samples is interpolated differently by version), the largest
    difference of a time (s, both from 0), and whether the last image was shown again."""

    frames: int
    theirs: int
    psnr: float
    seconds: float
    again: bool
    notes: list[str]
    lost: int


def compare(path, **options):
    """Read a clip twice, frame by frame."""
    with Reader(path) as reader:
        info = reader.info
        others = images(path, (info.width, info.height), info.stream, **options)
        times, psnr, again, count, previous = [], np.inf, False, 0, None
        for image, time in reader:
            times.append(time)
            other = next(others, None)
            if other is None:
                again = previous is not None and np.array_equal(image, previous)
                continue
            count += 1
            error = np.square(_means(image) - _means(other)).mean()
            psnr = min(psnr, 10 * np.log10(255**2 / error)) if error else psnr
            previous = image
        count += sum(1 for _ in others)
    theirs = np.array(stamps(path, info.stream))
    same = min(len(times), len(theirs))
    apart = np.nanmax(np.abs(np.array(times[:same]) - (theirs[:same] - theirs[0])))
    return Comparison(len(times), count, psnr, float(apart), again, reader.notes, reader.lost)


def _means(image):
    height, width = (side // 8 * 8 for side in image.shape[:2])
    blocks = image[:height, :width].reshape(height // 8, 8, width // 8, 8, 3)
    return blocks.mean((1, 3), dtype=np.float32)


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
        assert stamps(path) == []
        return
    found = compare(path, **options_for(path))
    if "its size changes" in " ".join(found.notes):
        pytest.skip("ffmpeg stretches frames of another size")
    assert agrees(found), found
