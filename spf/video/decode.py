"""Frames of a video file, through PyAV (FFmpeg's libraries)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.errors import ClipError, ConfigError
from spf.video.clip import AGAIN, ClipInfo, Render, check_size, plural
from spf.video.render import Renderer
from spf.video.times import steady

if TYPE_CHECKING:
    import av

# Formats that FFmpeg would open and that hold no frames of their own: text drawn as frames, and
# lists that lead to other files or to the network.
NOT_VIDEOS = frozenset({
    "tty", "bin", "xbin", "adf", "idf", "hls", "concat", "dash", "imf", "vobsub",
    "webm_dash_manifest", "sdp", "rtp", "rtsp", "sap", "lavfi",
})  # fmt: skip
NO_PICTURE = 8  # bytes of a packet that are too few for a coded picture
NO_TIME_STAMPS = 128  # AVFMT_NOTIMESTAMPS
DEFAULT_STEP = 0.04  # seconds, where a file has neither times nor rate (FFmpeg's default, 25 fps)


class VideoSource:
    """Frames of one video stream, in the order of display.

    Damaged packets are skipped and counted; frames that decode only in part are used. Decoding runs
    on one thread: what a damaged file decodes to depends on the number of threads, and a result
    must not depend on the machine.

    Packets that hold no picture (the null frames of AVI, repeats of Theora and MPEG-4) show the one
    before again: time passes, and there is a further frame only at the end of a clip.
    """

    def __init__(self, path: Path, stream: int | None) -> None:
        import av

        self._path = path
        self._errors = av.FFmpegError
        self._bad_packets = self._bad_frames = self._repaired = self._packets_read = 0
        self._last = 0.0
        self._slots = 0  # of an AVI, which numbers packets and null frames: those that went by
        self._repeats = 0  # pictures that are shown again without a frame of their own
        self._repeated_until = -1.0  # time stamp (s) of the last one
        self._notes: list[str] = []
        self.decoded = 0
        settings: dict[str, Any] = {
            "options": {
                "protocol_whitelist": "file",
                "format_whitelist": ",".join(sorted(av.formats_available - NOT_VIDEOS)),
                "pattern_type": "none",  # or %d in a name would stand for the files beside it
            }
        }
        if int(av.__version__.split(".")[0]) < 19:  # PyAV 19 does it by itself
            settings["metadata_errors"] = "replace"
        try:  # without the prefix a colon in a name would be read as a protocol
            self._container = av.open(f"file:{path}", **settings)
        except MemoryError:
            raise
        except (self._errors, OSError, ValueError):
            raise _unreadable(path) from None
        try:
            self._stream, count, number = self._choose(stream)
            self._avi = self._is("avi")
            self._end = riff_end(path) if self._avi else None
            self._whole = self._end is not None and self._end <= path.stat().st_size + 1
            context = self._stream.codec_context
            check_size(path, context.width, context.height)
            self._indexed = len(self._stream.index_entries)
            self._context = self._with_alpha() or context
            self._context.thread_type, self._context.thread_count = "NONE", 1
            self._frames = self._decode()
            first = next(self._frames, None)
            if first is None:
                raise ClipError(path, "none of its frames can be decoded", AGAIN)
            self._first = iter([first])  # holds it no longer than wanted
            self.info = self._describe(first, count, number)
        except BaseException:
            self._container.close()
            raise

    def _choose(self, wanted: int | None) -> tuple[av.VideoStream, int, int]:
        """The stream to decode, the number of video streams, and the stream's index among them."""
        import av

        videos, tile = videos_of(self._container), av.stream.Disposition.dependent
        if not videos:
            if any(s.disposition & tile for s in self._container.streams.video):
                reason = "its image is stored as tiles, which are not joined here"
                raise ClipError(self._path, reason, "convert it to PNG or JPEG")
            if index_missing(self._path):
                raise _unreadable(self._path)
            others = {str(s.type) for s in self._container.streams} - {"video"}
            found = " and ".join(sorted(others) or ["a cover picture"])
            reason = f"it has no video stream, only {found}"
            raise ClipError(self._path, reason, "give a file with frames")
        if wanted is None:
            best = self._container.streams.best("video")
            wanted = next((i for i, s in enumerate(videos) if best and s.index == best.index), 0)
        if wanted >= len(videos):
            has = plural(len(videos), "video stream")
            raise ConfigError(f"{self._path}: no video stream {wanted}; it has {has}, from 0")
        if videos[wanted].codec_context is None:
            raise ClipError(self._path, "its codec has no decoder here", "convert it to H.264")
        return videos[wanted], len(videos), wanted

    def _describe(self, first: av.VideoFrame, count: int, number: int) -> ClipInfo:
        """Read size, orientation, rate and length; also makes the renderer."""
        stream = self._stream
        self._render = render = Renderer(self._path, first, stream.sample_aspect_ratio)
        rate = stream.average_rate or stream.guessed_rate
        self._seconds = duration = self._stream_seconds()
        if duration is None and self._container.duration:
            duration = self._container.duration / 1e6
        return ClipInfo(
            path=self._path,
            width=render.width,
            height=render.height,
            codec=stream.codec_context.codec.canonical_name,
            rotation=render.rotation,
            pixel_aspect=float(render.aspect),
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
        if self._avi and self._end is None:
            return None
        count = int(self._stream.frames)
        entries = self._stream.index_entries
        # An edit list cuts frames away: the count of the track holds them, the index marks them.
        if self._is("mov") and 0 < len(entries) <= count:
            return sum(not entry.is_discard for entry in entries)
        return count or None

    def _stream_seconds(self) -> float | None:
        """The stream's own duration in seconds, from its header or from its Matroska tag."""
        stream = self._stream
        if self._avi and self._end is None:
            return None
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        try:
            hours, minutes, seconds = stream.metadata["DURATION"].split(":")
            end = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        except (KeyError, ValueError):
            return None
        # The tag is when the stream ends, which may begin late.
        unit = stream.time_base or Fraction(0)
        begin = float((stream.start_time or 0) * unit)
        return end - begin if end > begin else None

    def _with_alpha(self) -> Any:
        """libvpx for a WebM with transparency, which FFmpeg's own decoders leave out; else None."""
        import av

        name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(self._stream.codec_context.name)
        if name is None or self._stream.metadata.get("alpha_mode") != "1":
            return None
        try:
            return av.CodecContext.create(name, "r")
        except ValueError:
            self._notes.append("its transparency is ignored: this PyAV has no libvpx")
            return None

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Every frame that can be decoded."""
        for packet in self._packets():
            if not packet.size and packet.dts is not None:
                self._repeat(packet)
                continue
            # The last, empty packet finds the decoder flushed where an error came before it.
            with suppress(EOFError):
                yield from self._decoded(packet)
        with suppress(EOFError):
            for _ in range(64):  # an error in the flush hides the frames behind it
                yield from self._decoded(None)

    def _decoded(self, packet: av.Packet | None) -> Iterator[av.VideoFrame]:
        """The frames that come out for a packet, none where it is damaged."""
        try:
            frames = self._context.decode(packet)
        except (EOFError, MemoryError):
            raise  # what can be read must not depend on the machine
        except self._errors:
            self._bad_packets += 1
            return
        if packet is not None and not frames and 0 < packet.size <= NO_PICTURE:
            self._repeat(packet)
        for frame in frames:
            self.decoded += 1
            self._bad_frames += bool(frame.is_corrupt)
            yield frame

    def _repeat(self, packet: av.Packet) -> None:
        stamp = self._stamp(packet)
        if self.decoded and stamp is not None:
            self._repeats += 1
            self._repeated_until = stamp

    def _stamp(self, item: av.Packet | av.VideoFrame) -> float | None:
        """Time stamp (s). AVI has a rate and no stamps; FFmpeg numbers its packets as stored."""
        stamp = item.dts if self._avi or item.pts is None else item.pts
        unit = item.time_base or self._stream.time_base
        return None if stamp is None or unit is None else float(stamp * unit)

    def _repeat_to_end(self) -> None:
        """Take what an AVI declares behind its last packet for null frames, if nothing is lost."""
        entries = len(self._stream.index_entries)  # without an index, it grows while reading
        missing = (self._declared() or 0) - self._slots
        if self._whole and missing > 0 and self._packets_read >= entries == self._indexed:
            self._repeats += missing
            unit = self._stream.time_base or Fraction(0)
            self._repeated_until = float((self._slots + missing - 1) * unit)

    def _packets(self) -> Iterator[av.Packet]:
        """Packets of the stream; goes on behind an unreadable place while that brings any."""
        progress = True
        while progress:
            progress = False
            try:
                for packet in self._container.demux(self._stream):
                    progress = True
                    self._packets_read += packet.size > 0
                    if self._avi and packet.dts is not None:
                        self._repeats += max(0, packet.dts - self._slots)
                        self._slots = packet.dts + 1
                    yield packet
                self._repeat_to_end()
                return
            except MemoryError:
                raise
            except self._errors:
                self._bad_packets += 1

    def __iter__(self) -> Iterator[tuple[float, Render]]:
        rate = self.info.fps
        self._step = 1.0 / rate if rate else DEFAULT_STEP
        for time, frame, repaired in steady(self._stamped(), self._step):
            self._repaired += repaired
            self._last = time
            yield time, lambda frame=frame: self._render(frame)  # type: ignore[misc]

    def _stamped(self) -> Iterator[tuple[float | None, av.VideoFrame]]:
        """Frames with their time stamps (s), the last one once more where the clip ends with it."""
        last: float | None = None
        for frame in chain(self._first, self._frames):
            stamp = self._stamp(frame)
            if stamp is None and last is not None and self._avi:
                stamp = last + self._step  # what the decoder holds back until the end
            yield stamp, frame
            last = stamp
        if last is not None and self._repeated_until > last:
            yield self._repeated_until, frame

    def report(self, complete: bool) -> tuple[int, list[str]]:
        notes = []
        declared = self.info.frames
        lost = max(0, declared - self.decoded - self._repeats) if complete and declared else 0
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
        kind = self._container.format
        raw = kind.flags & NO_TIME_STAMPS or kind.name.endswith("_pipe")
        if (raw and self.decoded > 1) or self._repaired >= self.decoded > 0:
            notes.append(f"no time stamps: {1 / self._step:.6g} frames per second assumed")
        elif self._repaired:
            stamps = f"{self._repaired} of {self.decoded} time stamps missing or out of order"
            notes.append(f"{stamps}: repaired with the average step of {self._step * 1e3:.6g} ms")
        return lost, notes + self._notes + self._render.notes()

    def _cut_off(self) -> bool:
        """Whether the file ends before what its index or its declared length promises."""
        size = self._path.stat().st_size
        if any(entry.pos + entry.size > size for entry in self._stream.index_entries):
            return True
        if self._is("mov") or self._whole:
            return False  # its index is complete, and its last frame may be held for long
        promised = max(self._seconds or 0.0, (self.info.frames or 0) * self._step)
        return self._last + 0.5 + 2 * self._step < promised

    def close(self) -> None:
        self._frames.close()  # type: ignore[attr-defined]
        self._first = iter([])
        self._container.close()


def videos_of(container: Any) -> list[Any]:
    """The video streams that are no cover pictures, and no tiles of one."""
    import av

    kinds = av.stream.Disposition
    parts = kinds.attached_pic | kinds.dependent
    return [video for video in container.streams.video if not video.disposition & parts]


def _unreadable(path: Path) -> ClipError:
    if index_missing(path):
        return ClipError(path, "the file is cut off: its index (moov) is missing", AGAIN)
    return ClipError(path, "not a video", "give a video, a GIF or a folder of images")


# How far the outer structure of a file reaches, which FFmpeg does not report


def index_missing(path: Path) -> bool:
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


def riff_end(path: Path) -> int | None:
    """Where the last outer chunk of a RIFF file ends; None where its writer left that open."""
    size = path.stat().st_size
    end = 0
    with path.open("rb") as file:
        while end + 8 <= size:
            file.seek(end)
            head = file.read(8)
            length = int.from_bytes(head[4:], "little")
            if head[:4] != b"RIFF":
                break  # something else behind it
            if length in (0, 2**32 - 1):
                return None
            end += 8 + length + length % 2
    return end
