"""Lossless videos of noise, and their tiles by slicing."""

import hashlib

import av
import numpy as np

from spf.video import Tile

HEIGHT, WIDTH = 48, 80
STAMPS = [0, 1, 2, 5, 6, 9, 10]  # of a variable frame rate
GRID = {"one": Tile(0, 0, 32, 20), "two": Tile(34, 0, 32, 20), "low": Tile(16, 24, 64, 24)}


def planes(pix_fmt="yuv420p", seed=0):
    step = 2 if pix_fmt == "yuv420p" else 1
    random = np.random.default_rng(seed)
    shapes = [(HEIGHT, WIDTH), *[(HEIGHT // step, WIDTH // step)] * 2]
    return [[random.integers(16, 236, s, dtype=np.uint8) for s in shapes] for _ in STAMPS]


def raw(frames, tile):
    found = b""
    for plane in (plane for frame in frames for plane in frame):
        x, y, width, height = (side * plane.shape[1] // WIDTH for side in tile)
        found += plane[y : y + height, x : x + width].tobytes()
    return found


def write(path, frames, pix_fmt="yuv420p"):
    """A lossless video whose decoded planes are those of the frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (-1, WIDTH) if pix_fmt == "yuv420p" else (3, HEIGHT, WIDTH)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        for stamp, frame in zip(STAMPS, frames, strict=True):
            data = np.concatenate([plane.ravel() for plane in frame]).reshape(shape)
            image = av.VideoFrame.from_ndarray(data, format=pix_fmt)
            image.pts = stamp
            output.mux(stream.encode(image))
        output.mux(stream.encode(None))
    return path


def sha256(data):
    return hashlib.sha256(data).hexdigest()
