"""Read and write clips: the one place where files become frames and frames become seconds.

`Reader` streams a clip frame by frame, `GuardedReader` in a process of its own; `load` holds it
whole, `probe` only describes it. A clip is a video file, an animated image, a still image (one
frame) or a folder of images. Everything that cannot be read raises `spf.errors.ClipError` with one
line. PyAV and Pillow load at the first use.
"""

from spf.video.clip import IMAGE_SUFFIXES, MAX_FRAMES, SUFFIXES, Clip, ClipInfo, Sampling
from spf.video.folder import clips_in, content_hash, list_frames
from spf.video.guarded import GuardedReader, read_image
from spf.video.reader import Reader, load, probe
from spf.video.tiles import Tile, cut_tile, frames_sha256
from spf.video.write import write_mp4, write_png

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_FRAMES",
    "SUFFIXES",
    "Clip",
    "ClipInfo",
    "GuardedReader",
    "Reader",
    "Sampling",
    "Tile",
    "clips_in",
    "content_hash",
    "cut_tile",
    "frames_sha256",
    "list_frames",
    "load",
    "probe",
    "read_image",
    "write_mp4",
    "write_png",
]
