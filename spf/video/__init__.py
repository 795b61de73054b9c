"""Read and write clips: the one place where files become frames and frames become seconds.

`Reader` streams a clip frame by frame, `GuardedReader` in a process of its own; `load` holds it
whole, `probe` only describes it. A clip is a video file, an animated image, a still image (one
frame) or a folder of images. Everything that cannot be read raises `spf.errors.ClipError` with one
line. PyAV and Pillow load at the first use.
"""

from spf.video.clip import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from spf.video.clip import MAX_FRAMES as MAX_FRAMES
from spf.video.clip import SUFFIXES as SUFFIXES
from spf.video.clip import Clip as Clip
from spf.video.clip import ClipInfo as ClipInfo
from spf.video.clip import Sampling as Sampling
from spf.video.folder import clips_in as clips_in
from spf.video.folder import content_hash as content_hash
from spf.video.folder import list_frames as list_frames
from spf.video.guarded import GuardedReader as GuardedReader
from spf.video.guarded import read_image as read_image
from spf.video.reader import Reader as Reader
from spf.video.reader import load as load
from spf.video.reader import probe as probe
from spf.video.write import Tile as Tile
from spf.video.write import cut_tile as cut_tile
from spf.video.write import frames_sha256 as frames_sha256
from spf.video.write import write_mp4 as write_mp4
from spf.video.write import write_png as write_png
