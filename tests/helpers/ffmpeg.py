"""What the programs ffmpeg and ffprobe make of a clip: the second source for reading."""

import shutil
import subprocess

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
