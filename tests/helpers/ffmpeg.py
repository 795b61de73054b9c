"""What the programs ffmpeg and ffprobe make of a clip: the second source for reading."""

import json
import shutil
import subprocess
from dataclasses import dataclass

import numpy as np
import pytest

from spf.video import Reader

needed = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")),
    reason="needs the programs ffmpeg and ffprobe",
)


def encode(path, frames, options, rate=25):
    """Write frames (H, W, 3 or 4) through ffmpeg; skips where it has no such encoder."""
    height, width, depth = frames[0].shape
    raw = f"-f rawvideo -pix_fmt {('rgb24', 'rgba')[depth - 3]} -s {width}x{height} -r {rate}"
    command = ["ffmpeg", "-v", "error", "-y", *raw.split(), "-i", "-", *options.split(), str(path)]
    data = b"".join(frame.tobytes() for frame in frames)
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if b"Unknown encoder" in done.stderr:
        pytest.skip("this ffmpeg lacks the encoder")
    assert done.returncode == 0, done.stderr.decode()
    return path


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
