"""Reading compared with the programs ffmpeg and ffprobe, over files drawn here and over those in
the folders that SPF_TEST_CLIPS and SPF_TEST_INPUTS name."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import ffmpeg
import harness
import numpy as np
import pytest

from spf.embedders import load_embedder
from spf.errors import ClipError
from spf.measurement import measure_clip
from spf.progress.metrics import FLICKER, NO_CHANGE, unranked_reason
from spf.video import SUFFIXES, Reader, load, probe
from synthetic.clips import content


def images(path, size, stream=0, alpha=False, decoder="", matrix="auto"):
    """Its frames (height, width, 3) as displayed, of that size (width, height), over black."""
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
    command = ["ffprobe", "-v", "quiet", "-threads", "1", "-select_streams", f"v:{stream}"]
    command += ["-show_entries", *show, "-of", "json", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=False).stdout)


def stamps(path, stream=0):
    """Best-effort time stamps (s) of a stream's frames as displayed; none of what is no video."""
    frames = probed(path, stream, "frame=best_effort_timestamp_time").get("frames", [])
    return [float(frame.get("best_effort_timestamp_time", "nan")) for frame in frames]


def options_for(path):
    """Whether there is transparency, its decoder, and a matrix that can be converted."""
    show = "stream=codec_name,pix_fmt,color_space:stream_tags=alpha_mode"
    (stream,) = probed(path, 0, show)["streams"]
    beside = "1" in stream.get("tags", {}).values()
    own = stream["pix_fmt"].startswith(("yuva", "rgba", "bgra", "argb", "gbrap", "ya"))
    matrix = "bt2020" if stream.get("color_space") in ("ictcp", "chroma-derived-nc") else "auto"
    decoder = {"vp8": "libvpx", "vp9": "libvpx-vp9"}[stream["codec_name"]] if beside else ""
    return {"alpha": own or beside, "decoder": decoder, "matrix": matrix}


def compare(path, **options):
    """How a clip is read beside ffmpeg. psnr : of means over 8 x 8 pixels, as versions interpolate
    chroma differently. again : its last image is shown again."""
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
    found = {"frames": len(times), "theirs": count, "psnr": psnr, "seconds": float(apart)}
    return SimpleNamespace(**found, again=again, notes=reader.notes, lost=reader.lost)


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


@cache
def scene(count: int, height: int = 64, width: int = 64) -> list[np.ndarray]:
    paint = content("composition-meadow-city").painter((height, width))
    return [paint(u) for u in np.linspace(0, 1, count)]


def agrees(found):
    """BT.601 for BT.709 makes 33 dB of such scenes, BT.2020 for BT.709 40; versions of swscale that
    place chroma elsewhere differ by 42 dB and more."""
    counted = found.frames - found.again == found.theirs > 0
    return counted and found.psnr > 41 and not found.seconds > MILLISECOND  # nan: no stamps


@pytest.mark.parametrize("name", CODED)
def test_coded_files_are_read_as_ffmpeg_reads_them(tmp_path, name):
    drawn = scene(24, 96, 128)
    path = ffmpeg.encode(tmp_path / name, drawn, f"-c:v {CODED[name]}")
    found = compare(path)
    assert agrees(found), found
    assert found.lost == 0
    invented = ["no time stamps: 25 frames per second assumed"]
    assert found.notes == (invented if name.startswith("raw") else [])
    if path.stem in MATRICES:  # coded without loss, but for rounding
        assert np.abs(load(path).frames.astype(int) - drawn).mean() < 1


@pytest.mark.parametrize("name", HOLDS)
def test_what_is_held_is_no_loss(tmp_path, name):
    coded = [image for index, image in enumerate(scene(24, 96, 128)) if not 8 <= index < 16]
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
    try:
        probe(path)
    except ClipError:
        assert stamps(path) == []
        return
    found = compare(path, **options_for(path))
    if "its size changes" in " ".join(found.notes):
        pytest.skip("ffmpeg stretches frames of another size")
    assert agrees(found), found


X264 = "-c:v libx264 -crf 14 -pix_fmt yuv420p"


@pytest.mark.parametrize("codec", ["libvpx -b:v 2M -auto-alt-ref 0", "libvpx-vp9 -crf 10 -b:v 0"])
def test_transparency_is_shown_over_black(codec, tmp_path):
    alpha = np.full((64, 64, 1), 200, np.uint8)
    alpha[:8, :8] = 0
    white = np.dstack([np.full((64, 64, 3), 255, np.uint8), alpha])
    options = f"-c:v {codec} -pix_fmt yuva420p"
    frames = load(ffmpeg.encode(tmp_path / "a.webm", [white] * 12, options)).frames
    assert frames[:, :8, :8].mean() < 8
    assert frames[:, 16:, 16:].mean() > 180


@pytest.mark.parametrize(("number", "name"), [(8, "YCgCo"), (10, "BT.2020 constant luminance")])
def test_an_unknown_matrix_of_colours_is_noted(number, name, tmp_path):
    """By its number in H.273."""
    tags = f"h264_metadata=matrix_coefficients={number}:colour_primaries=9"
    (note,) = load(ffmpeg.encode(tmp_path / "a.mp4", scene(6), f"{X264} -bsf:v {tags}")).notes
    assert note == f"its colour matrix ({name}) cannot be converted: BT.2020 assumed"


def test_a_clip_that_turns_midway_keeps_its_aspect(tmp_path):
    whole = b""
    for start, (height, width) in enumerate(((36, 64), (64, 36))):
        part = [image[:height, :width] for image in scene(24)]
        options = f"-c:v libx264 -bf 0 -pix_fmt yuv420p -output_ts_offset {start}"
        whole += ffmpeg.encode(tmp_path / "part.ts", part, options, 24).read_bytes()
    (tmp_path / "turned.ts").write_bytes(whole)
    clip = load(tmp_path / "turned.ts")
    assert not clip.frames[-1][:, :8].any()  # bars
    assert any("its size changes from" in note for note in clip.notes)


@pytest.mark.parametrize("rate", ["30", "60", "on twos"])
def test_repeats_are_noted_and_do_not_count(rate, tmp_path):
    frames = [scene(49)[i // 2 * 2] for i in range(49)] if rate == "on twos" else scene(49)
    resampled = "" if rate == "on twos" else f"-vf fps={rate}:round=near "
    path = ffmpeg.encode(tmp_path / "a.mp4", frames, resampled + X264, 24)
    found = measure_clip(path, load_embedder("tiny"))
    assert "repeat the one before" in " ".join(found.embeddings.notes)
    assert found.distinct_scores["stall_fraction_distinct"] < 0.05
    assert found.named_stretches == []


def test_repeats_change_no_kind():
    """A step of 0.6 rad is a jump where a cut needs 0.8, shown once a frame or twice."""

    class Fixed(harness.Linear):
        cut_angle = 0.8

        def encode(self, batch: np.ndarray) -> np.ndarray:
            angle = batch[:, 0] / 255.0
            return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)

    levels = np.r_[np.arange(40), 40 + 153 + np.arange(40)].astype(np.uint8)  # 153 / 255 = 0.6
    frames = np.broadcast_to(levels[:, None, None, None], (80, 8, 8, 3))
    for shown in (frames, frames.repeat(2, axis=0)):
        found = measure_clip(shown, Fixed())
        assert found.repeats.sum() == len(shown) - 80
        assert found.curve.cuts == []
        assert {part.kind for part in found.named_stretches} == {"jump"}


STILL = [16] * 40
SHOWN = {  # frames of `scene(48)`; of stills, whatever residue the encoder leaves
    "strobe.mp4": ([i % 2 * 47 for i in range(48)], X264),
    "strobe-3.mp4": ([i // 3 % 2 * 47 for i in range(48)], X264),
    "x264-g25.mp4": (STILL, "-c:v libx264 -g 25 -crf 30 -pix_fmt yuv420p"),
    "vp9.webm": (STILL, "-c:v libvpx-vp9 -b:v 200k -pix_fmt yuv420p"),
    "mpeg4.mp4": (STILL, "-c:v mpeg4 -q:v 6 -pix_fmt yuv420p"),
    "mjpeg.avi": (STILL, "-c:v mjpeg -pix_fmt yuvj420p"),
}


@pytest.mark.parametrize(
    "embedder", ["tiny", "histogram", pytest.param("efficientnet", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", SHOWN)
def test_strobes_and_stills_have_no_pacing(name, embedder, tmp_path):
    shown, options = SHOWN[name]
    path = ffmpeg.encode(tmp_path / name, [scene(48)[i] for i in shown], options, 24)
    found = measure_clip(path, load_embedder(embedder))
    assert unranked_reason(found.curve) == (NO_CHANGE if shown == STILL else FLICKER)
    assert shown != STILL or found.named_stretches == []
