"""Frames of a video file, through PyAV (FFmpeg's libraries)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from spf.errors import ClipError, ConfigError
from spf.video.clip import ClipInfo, Render, check_size, over_black, plural
from spf.video.times import steady

if TYPE_CHECKING:
    import av

T = TypeVar("T")

AGAIN = "copy or download it again, or make it again"
# Formats that FFmpeg would open and that hold no pictures of their own: text drawn as frames, and
# lists that lead to other files or to the network.
# fmt: off
NOT_VIDEOS = frozenset({
    "tty", "bin", "xbin", "adf", "idf", "hls", "concat", "dash", "imf", "vobsub",
    "webm_dash_manifest", "sdp", "rtp", "rtsp", "sap", "lavfi",
})
# fmt: on
MAX_PIXEL_ASPECT = 16  # a more extreme one is a damaged header
DEFAULT_STEP = 0.04  # seconds, where a file tells neither times nor rate (FFmpeg's default, 25 fps)


class VideoSource:
    """Frames of one video stream, in the order of display.

    Damaged packets are skipped and counted; frames that decode only in part are kept. Decoding runs
    on one thread: what a damaged file decodes to depends on the number of threads, and a result
    must not depend on the machine. Colours follow the matrix and range that the file declares;
    undeclared ones are read as BT.601, limited range, as FFmpeg does. Interlaced pictures stay
    interlaced, and high dynamic range is not tone-mapped.
    """

    def __init__(self, path: Path, stream: int | None) -> None:
        import av

        self._path = path
        self._errors = av.FFmpegError
        self._bad_packets = 0
        self._bad_frames = 0
        self._repaired = 0
        self._last = 0.0
        self.decoded = 0
        # The prefix keeps a colon in a name from being read as a protocol.
        options = {
            "protocol_whitelist": "file",
            "format_whitelist": _formats(),
            "pattern_type": "none",  # or %d in a name would stand for the files beside it
        }
        try:
            self._container = av.open(f"file:{path}", options=options, metadata_errors="replace")
        except MemoryError:
            raise
        except (self._errors, OSError, ValueError):
            raise _unreadable(path) from None
        try:
            self._stream, count, number = self._choose(stream)
            self._reformatter = av.video.reformatter.VideoReformatter()
            context = self._stream.codec_context
            check_size(path, context.width, context.height)
            context.thread_type, context.thread_count = "NONE", 1
            self._frames = self._decode()
            first = next(self._frames, None)
            if first is None:
                raise ClipError(path, "none of its frames can be decoded", AGAIN)
            self._first: av.VideoFrame | None = first
            self.info = self._describe(first, count, number)
        except BaseException:
            self._container.close()
            raise

    def _choose(self, wanted: int | None) -> tuple[av.VideoStream, int, int]:
        """The stream to decode, the number of video streams, and the stream's index among them."""
        import av

        cover = av.stream.Disposition.attached_pic
        videos = [s for s in self._container.streams.video if not s.disposition & cover]
        if not videos and _index_missing(self._path):
            raise _unreadable(self._path)
        if not videos:
            others = {str(s.type) for s in self._container.streams} - {"video"}
            kinds = sorted(others) or ["a cover picture"]
            reason = f"it has no video stream, only {' and '.join(kinds)}"
            raise ClipError(self._path, reason, "give a file with pictures")
        if wanted is None:
            best = self._container.streams.best("video")
            number = next((i for i, s in enumerate(videos) if best and s.index == best.index), 0)
        elif wanted < len(videos):
            number = wanted
        else:
            has = plural(len(videos), "video stream")
            raise ConfigError(f"{self._path}: no video stream {wanted}; it has {has}, from 0")
        if videos[number].codec_context is None:
            reason = "its codec has no decoder here"
            raise ClipError(self._path, reason, "convert it to H.264")
        return videos[number], len(videos), number

    def _describe(self, first: av.VideoFrame, count: int, number: int) -> ClipInfo:
        """Read size, orientation, rate and length; also sets what `_render` needs."""
        stream = self._stream
        aspect = stream.sample_aspect_ratio or Fraction(1)
        if not Fraction(1, MAX_PIXEL_ASPECT) <= aspect <= MAX_PIXEL_ASPECT:
            aspect = Fraction(1)
        # The short side of the pixel grows, so that resampling loses no detail.
        self._width = round(first.width * max(aspect, Fraction(1)))
        self._height = round(first.height / min(aspect, Fraction(1)))
        check_size(self._path, self._width, self._height)
        self._transpose, self._flip_x, self._flip_y = _orientation(first)
        rotation = _CLOCKWISE[self._transpose, self._flip_x, self._flip_y]
        width, height = self._width, self._height
        if self._transpose:
            width, height = height, width
        rate = stream.average_rate or stream.guessed_rate
        self._seconds = duration = self._stream_seconds()
        if duration is None and self._container.duration:
            duration = self._container.duration / 1e6
        return ClipInfo(
            path=self._path,
            width=width,
            height=height,
            codec=stream.codec_context.codec.canonical_name,
            rotation=rotation,
            pixel_aspect=float(aspect),
            fps=float(rate) if rate else None,
            frames=self._declared(),
            duration=duration,
            video_streams=count,
            stream=number,
        )

    def _is(self, name: str) -> bool:
        return name in self._container.format.name.split(",")

    def _declared(self) -> int | None:
        """Frames that the container promises to show, or None where it counts none."""
        count = int(self._stream.frames)
        entries = self._stream.index_entries
        # An edit list cuts frames away: the count of the track holds them, the index marks them.
        if self._is("mov") and 0 < len(entries) <= count:
            return sum(not entry.is_discard for entry in entries)
        return count or None

    def _stream_seconds(self) -> float | None:
        """The stream's own duration in seconds, from its header or from its Matroska tag."""
        stream = self._stream
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        try:
            hours, minutes, seconds = stream.metadata["DURATION"].split(":")
            end = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        except (KeyError, ValueError):
            return None
        # The tag tells when the stream ends, which may begin late.
        unit = stream.time_base or Fraction(0)
        begin = float((stream.start_time or 0) * unit)
        return end - begin if end > begin else None

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Every frame that can be decoded."""
        for packet in self._packets():
            try:
                frames = packet.decode()
            except MemoryError:
                raise  # what can be read must not depend on the machine
            except self._errors as error:
                # The last, empty packet finds the decoder flushed where an error came before it.
                self._bad_packets += not isinstance(error, EOFError)
                continue
            yield from self._counted(frames)
        for _ in range(64):  # an error in the flush hides the frames behind it
            try:
                frames = self._stream.codec_context.decode(None)
            except EOFError:
                return
            except MemoryError:
                raise
            except self._errors:
                self._bad_packets += 1
                continue
            yield from self._counted(frames)

    def _counted(self, frames: Iterable[Any]) -> Iterator[av.VideoFrame]:
        for frame in frames:
            self.decoded += 1
            self._bad_frames += bool(frame.is_corrupt)
            yield frame

    def _packets(self) -> Iterator[av.Packet]:
        """Packets of the stream; goes on behind an unreadable place while that brings any."""
        progress = True
        while progress:
            progress = False
            try:
                for packet in self._container.demux(self._stream):
                    progress = True
                    yield packet
                return
            except MemoryError:
                raise
            except self._errors:
                self._bad_packets += 1

    def __iter__(self) -> Iterator[tuple[float, Render]]:
        base = self._stream.time_base
        rate = self.info.fps
        self._step = 1.0 / rate if rate else DEFAULT_STEP

        def stamped() -> Iterator[tuple[float | None, av.VideoFrame]]:
            first, self._first = self._first, None
            for index, frame in enumerate(_chain(first, self._frames)):
                unit = frame.time_base or base
                if self._is("avi"):
                    # AVI has a rate and no stamps; FFmpeg numbers its packets as they are stored.
                    yield index * self._step, frame
                elif frame.pts is None or unit is None:
                    yield None, frame
                else:
                    yield float(frame.pts * unit), frame

        for time, frame, repaired in steady(stamped(), self._step):
            self._repaired += repaired
            self._last = time
            yield time, lambda frame=frame: self._render(frame)  # type: ignore[misc]

    def _render(self, frame: av.VideoFrame) -> np.ndarray:
        """The frame as displayed, (H, W, 3) uint8 RGB, contiguous."""
        from av.video.reformatter import Interpolation

        alpha = any(component.is_alpha for component in frame.format.components)
        resized = (frame.width, frame.height) != (self._width, self._height)
        try:
            image = self._reformatter.reformat(
                frame,
                width=self._width,
                height=self._height,
                format="rgba" if alpha else "rgb24",
                interpolation=Interpolation.BICUBIC if resized else Interpolation.BILINEAR,
                threads=1,
            ).to_ndarray()
        except MemoryError:
            raise
        except self._errors:
            reason = f"its pixel format {frame.format.name} cannot be converted to RGB"
            raise ClipError(self._path, reason, "convert it to H.264") from None
        if alpha:
            image = over_black(image)
        if self._transpose:
            image = image.swapaxes(0, 1)
        image = image[:: -1 if self._flip_y else 1, :: -1 if self._flip_x else 1]
        return np.ascontiguousarray(image)

    def report(self, complete: bool) -> tuple[int, list[str]]:
        notes = []
        declared = self.info.frames
        lost = max(0, declared - self.decoded) if complete and declared else 0
        packets = plural(self._bad_packets, "packet")
        cut = complete and self._cut_off()
        if lost:
            cause = "the file is truncated" if cut else "the file is damaged"
            if self._bad_packets and not cut:
                cause += f" ({packets} could not be decoded)"
            notes.append(f"{lost} of {declared} frames lost: {cause}")
        elif self._bad_packets:
            notes.append(f"{packets} could not be decoded: the file is damaged")
        if cut and not lost and self._seconds:
            notes.append(f"the file is truncated: {self._last:.6g} of {self._seconds:.6g} s remain")
        if self._bad_frames:
            notes.append(f"{self._bad_frames} of {self.decoded} frames damaged but used")
        if self._repaired >= self.decoded > 0:
            notes.append(f"no time stamps: {1 / self._step:.6g} frames per second assumed")
        elif self._repaired:
            stamps = f"{self._repaired} of {self.decoded} time stamps missing or out of order"
            notes.append(f"{stamps}: repaired with the average step of {self._step * 1e3:.6g} ms")
        return lost, notes

    def _cut_off(self) -> bool:
        """Whether the file ends before what its index or its declared length promises."""
        size = self._path.stat().st_size
        if any(entry.pos + entry.size > size for entry in self._stream.index_entries):
            return True
        if self._is("mov"):
            return False  # its index is complete, and its last frame may be held for long
        promised = max(self._seconds or 0.0, (self.info.frames or 0) * self._step)
        return self._last + 0.5 + 2 * self._step < promised

    def close(self) -> None:
        self._frames.close()  # type: ignore[attr-defined]
        self._first = None
        self._container.close()


def _chain(first: T | None, rest: Iterable[T]) -> Iterator[T]:
    # Not itertools.chain: its tuple would keep the first frame's memory for the whole clip.
    if first is not None:
        yield first
    del first
    yield from rest


# (transpose, flip x, flip y), done in this order -> degrees clockwise; a mirrored picture counts as
# the rotation that follows its mirroring left to right.
_CLOCKWISE = {
    (False, False, False): 0,
    (False, True, False): 0,
    (True, True, False): 90,
    (True, True, True): 90,
    (False, True, True): 180,
    (False, False, True): 180,
    (True, False, True): 270,
    (True, False, False): 270,
}


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """(transpose, flip x, flip y) that the display matrix asks for, rounded to right angles.

    The matrix maps a stored pixel (x, y) to (a x + c y, b x + d y); its rows are (a b u), (c d v),
    (x y w), 32-bit integers.
    """
    from av.sidedata.sidedata import Type

    side_data: Any = frame.side_data
    data = side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


@lru_cache
def _formats() -> str:
    """The formats that FFmpeg may take a file for."""
    import av

    return ",".join(sorted(av.formats_available - NOT_VIDEOS))


def _unreadable(path: Path) -> ClipError:
    if _index_missing(path):
        return ClipError(path, "the file is cut off: its index (moov) is missing", AGAIN)
    return ClipError(path, "not a video", "give a video, a GIF or a folder of images")


def _index_missing(path: Path) -> bool:
    """Whether this is an MP4 or QuickTime file that ends before its index does."""
    size = path.stat().st_size
    position = 0
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if position == 0 and kind not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return False
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            length = length or size - position
            if kind == b"moov":
                return position + length > size
            if length < 8:
                return False
            position += length
    return position > 0
