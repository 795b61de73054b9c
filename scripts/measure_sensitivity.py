"""What pixels and embedders report where the meaning stays: the numbers behind two thresholds.

    python scripts/measure_sensitivity.py [EMBEDDER ...]

Three tables, as Markdown: what encoding leaves of a still picture, in its pixels and in the
embedder's vectors (12 encoders and settings, 10 pictures); the noise share of clips that flicker by
a known strength; that of clips that move and do not flicker. docs/concepts/metrics.md has them;
they take some minutes an embedder.
"""

import io
import os
import sys
from collections.abc import Iterator
from dataclasses import replace

import av
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spf.embedders import load_embedder
from spf.embedders.base import Embedder
from spf.progress import fit
from spf.progress.distances import unit_rows
from spf.video.pixels import PixelStatistics
from synthetic.clips import Still, SyntheticClip, content
from synthetic.laws import law
from synthetic.motion import motion
from synthetic.photographs import photograph

Image = NDArray[np.uint8]

FRAMES, SIZE, RATE = 100, (256, 256), 25
PHOTOGRAPHS = ("astronaut", "cat", "coffee", "motorcycle", "rocket", "grass")
SCENES = (
    "material-jade-copper", "composition-snow-volcano", "arrangement-scatter-pyramid",
    "shape-crescent-bolt",
)  # fmt: skip
ENCODERS = {
    "x264 default": ("libx264", "mp4", {}),
    "x264 crf 18": ("libx264", "mp4", {"crf": "18"}),
    "x264 crf 35": ("libx264", "mp4", {"crf": "35"}),
    "x264 crf 30, keyframe a second": ("libx264", "mp4", {"crf": "30", "g": "25"}),
    "x264 200 kbit/s": ("libx264", "mp4", {"b": "200k"}),
    "x264 ultrafast": ("libx264", "mp4", {"preset": "ultrafast"}),
    "x265 default": ("libx265", "mp4", {"x265-params": "log-level=none"}),
    "VP9 crf 32": ("libvpx-vp9", "webm", {"crf": "32", "b": "0"}),
    "VP9 200 kbit/s": ("libvpx-vp9", "webm", {"b": "200k"}),
    "AV1 crf 40": ("libsvtav1", "mp4", {"crf": "40", "preset": "10"}),
    "MPEG-4 200 kbit/s": ("mpeg4", "mp4", {"b": "200k"}),
    "MJPEG 200 kbit/s": ("mjpeg", "avi", {"b": "200k"}),
}
FLICKER = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Standard deviation of a frame's place on the morph, as a share of the whole morph."""
MORPHS = ("astronaut-coffee-warp", "rocket-galaxies-warp", "cat-motorcycle-warp")
STILL_MOVING = ("translation", "zoom", "shake", "parallax", "distractor", "lighting", "noise")


def encoded(image: Image, codec: str, container: str, options: dict[str, str]) -> Iterator[Image]:
    """A still picture as the frames of a video in some encoding."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, RATE, options=options)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if "b" in options:
            stream.bit_rate = int(options["b"].replace("k", "000"))
        for _ in range(FRAMES):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        output.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as source:
        for frame in source.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def vectors_of(embedder: Embedder, frames: Iterator[Image]) -> NDArray[np.float32]:
    """Vectors (T, D) of frames; equal frames are embedded once."""
    known: dict[bytes, int] = {}
    order = []
    prepared = []
    for frame in frames:
        ready = embedder.prepare(frame)
        key = ready.tobytes()
        if key not in known:
            known[key] = len(known)
            prepared.append(ready)
        order.append(known[key])
    size = embedder.batch_size
    parts = [
        embedder.encode(np.stack(prepared[k : k + size])) for k in range(0, len(prepared), size)
    ]
    return np.concatenate(parts)[order]


def stills(embedder: Embedder) -> pd.DataFrame:
    """Encoded stills: range of the pixels, levels, and largest angle from the first frame, rad."""
    pictures = [photograph(name, SIZE) for name in PHOTOGRAPHS]
    pictures += [content(name).painter(SIZE, 0, 0)(0.5) for name in SCENES]
    rows = []
    for name, how in ENCODERS.items():
        ranges, angles = [], []
        for picture in pictures:
            frames = list(encoded(picture, *how))
            pixels = PixelStatistics()
            for frame in frames:
                pixels.add(frame)
            z = unit_rows(vectors_of(embedder, iter(frames)))
            ranges.append(pixels.range)
            angles.append(2 * np.arcsin(np.linalg.norm(z - z[0], axis=1).max() / 2))
        rows.append(
            {"encoder": name, "range": max(ranges), "angle": np.median(angles), "most": max(angles)}
        )
    return pd.DataFrame(rows)


def flickering(embedder: Embedder) -> pd.DataFrame:
    """Noise share of even morphs of which each frame stands at a random place around its own."""
    rows = []
    for strength in (0.0, *FLICKER):
        shares = []
        for name in MORPHS:
            paint = content(name).painter(SIZE, 0, 0)
            noise = np.random.default_rng(7).standard_normal(81)
            places = np.clip(np.linspace(0, 1, 81) + strength * noise, 0, 1)
            shares.append(fit(vectors_of(embedder, (paint(p) for p in places))).noise_share)
        rows.append({"flicker": strength, "lowest": min(shares), "highest": max(shares)})
    return pd.DataFrame(rows)


def moving(embedder: Embedder) -> pd.DataFrame:
    """Noise share of morphs and of still pictures under motion that is no flicker."""
    rows = []
    for kind in ("none", *STILL_MOVING):
        shares, resting = [], []
        for name in MORPHS:
            clip = SyntheticClip(
                content(name), law("ease_in_out"), motion(kind, "moderate"), 81, SIZE
            )
            shares.append(fit(vectors_of(embedder, clip.frames())).noise_share)
            still = replace(clip, content=Still(clip.content))
            if kind not in ("none", "noise"):
                resting.append(fit(vectors_of(embedder, still.frames())).noise_share)
        rows.append(
            {"motion": kind, "morph": max(shares), "still": max(resting) if resting else None}
        )
    return pd.DataFrame(rows)


def main() -> None:
    os.environ["SVT_LOG"] = "1"  # errors alone
    for word in sys.argv[1:] or ("efficientnet", "tiny", "pixels", "histogram"):
        embedder = load_embedder(word)
        for study in (stills, flickering, moving):
            print(f"\n## {word}: {(study.__doc__ or '').strip()}\n")
            print(study(embedder).to_string(index=False, float_format="%.4f"), flush=True)


if __name__ == "__main__":
    main()
