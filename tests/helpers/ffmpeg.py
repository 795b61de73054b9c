"""What the programs ffmpeg and ffprobe make of a clip: the second source for reading."""

import shutil
import subprocess

import numpy as np
import pytest

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
