"""Reading clips: formats, order, sampling, streams, times, colours and geometry."""

import io
import struct
from fractions import Fraction

import av
import clips
import numpy as np
import pytest
from clips import corners, encode, grey, mux, number, numbers, read_corners, refused
from PIL import Image, features

from spf.errors import ClipError
from spf.video import Reader, Sampling, load, probe
from spf.video.times import steady


@pytest.mark.parametrize(("name", "codec", "known", "options"), [
    ("a.mp4", "libx264", "h264", {}),
    ("av1.mp4", "libsvtav1", "av1", {"preset": "12", "crf": "20"}),
    ("m4.avi", "mpeg4", "mpeg4", {"b": "9000000", "qmin": "1", "bf": "2"}),
])  # fmt: skip
def test_every_format_gives_every_frame_in_order(tmp_path, name, codec, known, options):
    path = encode(tmp_path / name, grey(12), codec, options=options)
    clip = load(path)
    frames, info = clip.frames, clip.info
    assert (frames.shape, frames.dtype, clip.times.dtype) == ((12, 48, 64, 3), np.uint8, float)
    assert frames.flags.c_contiguous
    levels = clips.BASE + clips.STEP * np.arange(12)
    assert np.abs(frames.mean(axis=(1, 2, 3)) - levels).max() < 3
    assert np.allclose(clip.times, np.arange(12) / 25, rtol=0, atol=1e-6)
    assert (info.codec, info.width, info.height, info.fps) == (known, 64, 48, 25.0)
    assert (info.rotation, info.pixel_aspect, info.video_streams, info.stream) == (0, 1.0, 1, 0)
    assert (info.frames, clip.notes, probe(path)) == (12, [], info)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng", ".png", ".avif"])
def test_animated_images_keep_their_durations(tmp_path, suffix):
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    save = {".webp": {"lossless": True}, ".apng": {"format": "PNG"}, ".avif": {"quality": 90}}
    path, durations = tmp_path / f"a{suffix}", [40, 80, 130, 200, 70]
    clip = load(clips.animate(path, grey(20)[::4], durations, **save.get(suffix, {})))
    assert numbers(clip) == [0, 4, 8, 12, 16]
    assert np.allclose(clip.times, [0, 0.04, 0.12, 0.25, 0.45], rtol=0, atol=1e-9)
    assert (clip.info.frames, clip.info.fps) == (5, pytest.approx(4 / 0.45))
    assert clip.info.duration == pytest.approx(0.52)
    if suffix == ".gif":  # hasty frames last as long as in browsers
        hasty = load(clips.animate(tmp_path / "b.gif", grey(5), [0, 10, 20, 30, 0]))
        assert np.allclose(hasty.times, [0, 0.1, 0.2, 0.22, 0.25], rtol=0, atol=1e-9)


def test_the_content_decides_and_not_the_name(tmp_path):
    encode(tmp_path / "a.mp4", grey(3)).rename(tmp_path / "a.gif")
    assert probe(tmp_path / "a.gif").codec == "h264"
    clips.animate(tmp_path / "b.gif", grey(3), [100] * 3).rename(tmp_path / "b.mp4")
    assert probe(tmp_path / "b.mp4").codec == "gif"
    colon = encode(tmp_path / "c.mp4", grey(3)).rename(tmp_path / "concat:%03d 'é?.mp4")
    assert numbers(load(colon)) == numbers(load(str(colon))) == [0, 1, 2]


@pytest.mark.parametrize(("sampling", "chosen"), [
    ({"stride": 4}, range(0, 30, 4)),
    ({"end": 0.4}, range(10)),
    ({"start": 0.3999, "end": 0.8, "stride": 3}, [10, 13, 16, 19]),
    ({"start": 0.41, "end": 0.8, "stride": 3, "max_frames": 2}, [11, 14]),
    ({"start": 1.0, "end": 99.0, "max_frames": 99}, range(25, 30)),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_selection(shared, kind, sampling, chosen):
    clip = load(shared[kind], Sampling(**sampling))
    assert numbers(clip) == list(chosen)
    assert np.allclose(clip.times, np.array(list(chosen)) / 25, rtol=0, atol=1e-6)


def test_wrong_and_empty_selections_are_refused(shared):
    for wrong in (
        *({"stride": 0}, {"stride": None}, {"max_frames": True}, {"start": float("nan")}),
        *({"start": 2.0, "end": 2.0}, {"stream": -1}, {"crop_bars": 1}),
    ):
        with refused("sampling"):
            Sampling(**wrong)
    with refused(r"no frame at or after 5 s; its last frame is at 1\.16", ClipError):
        load(shared["mp4"], Sampling(start=5))
    with refused(r"no frame at or after 0\.41 and before 0\.42 s", ClipError):
        load(shared["mp4"], Sampling(start=0.41, end=0.42))


def test_reader_counts_and_stops_early(shared):
    with Reader(shared["mp4"], Sampling(stride=5, max_frames=2)) as reader:
        assert reader.decoded <= 1
        assert [number(image) for image, _ in reader] == [0, 5]
    assert reader.lost == 0
    assert 6 <= reader.decoded < 30
    with Reader(shared["mp4"]) as reader:
        assert len(list(reader)) == 30
        assert list(reader) == []
    assert (reader.decoded, reader.lost, reader.notes) == (30, 0, [])


def test_streams_are_numbered_among_the_video_streams(tmp_path):
    path = encode(tmp_path / "a.mp4", grey(6), streams=[grey(9, 96, 128)], audio=True)
    assert probe(path).video_streams == 2
    assert probe(path).stream in (0, 1)
    for stream, (count, width) in enumerate([(6, 64), (9, 128)]):
        clip = load(path, Sampling(stream=stream))
        assert numbers(clip) == list(range(count))
        assert (clip.info.width, clip.info.stream) == (width, stream)
        assert probe(path, stream) == clip.info
    gif = clips.animate(tmp_path / "a.gif", grey(3), [100] * 3)
    for file, stream, has in ((path, 2, "it has 2 video streams"), (gif, 1, "images have 1")):
        with refused(f"no video stream {stream}; {has}"):
            probe(file, stream)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_rate_keeps_its_time_stamps(tmp_path, suffix):
    stamps = [0, 40, 80, 200, 240, 500, 510, 700, 1000, 1001]
    unit = Fraction(1, 1000)
    clip = load(encode(tmp_path / f"a{suffix}", grey(10), stamps=stamps, unit=unit))
    assert (numbers(clip), clip.notes) == (list(range(10)), [])
    assert np.allclose(clip.times, np.array(stamps) / 1000, rtol=0, atol=1e-6)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_late_start_is_time_zero(shared, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    clips.remux(shared["plain"], path, stamp=lambda index, pts: pts + 5 * 12800)
    clip = load(path, Sampling(start=0.4, end=0.6))
    assert numbers(clip) == list(range(10, 15))
    assert np.allclose(clip.times, np.arange(10, 15) / 25, rtol=0, atol=1e-6)
    assert clip.info.duration == pytest.approx(1.2, abs=0.01)
    assert load(path).notes == []


def test_a_repeated_time_stamp_is_repaired(shared, tmp_path):
    path = tmp_path / "a.mkv"
    clips.remux(shared["plain"], path, stamp=lambda index, pts: pts - 512 * (index == 10))
    clip = load(path)
    assert np.all(np.diff(clip.times) > 0)
    assert np.abs(clip.times - np.arange(30) / 25).max() <= 0.04
    assert np.allclose(np.delete(clip.times, [9, 10]), np.delete(np.arange(30), [9, 10]) / 25)
    assert clip.notes == [
        "1 of 30 time stamps missing or out of order: repaired with the average step of 40 ms"
    ]


@pytest.mark.parametrize(("stamps", "times", "repaired"), [
    ([7, 8, 10], [0, 1, 3], 0),
    ([0, 1, 1, 2, 3], [0, 1, 1.5, 2, 3], 1),  # repeated: half the way
    ([0, None, None, 3], [0, 1, 2, 3], 2),
    ([None, 1, 2], [0, 1, 2], 1),
    ([None, None, None], [0, 1, 2], 3),
    ([0, 1, 2, 1.5, 5], [0, 1, 2, 3, 5], 1),  # backward
    ([0, 1, 2, 90, 4, 5], [0, 1, 2, 3, 4, 5], 1),  # ahead of its time
    ([0, 1, 2, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6], 1),  # joined clips: the clock restarts
    ([0, 1, 9, 10], [0, 1, 9, 10], 0),  # a real pause
    ([], [], 0),
])  # fmt: skip
def test_steady(stamps, times, repaired):
    items = [(None if s is None else float(s), index) for index, s in enumerate(stamps)]
    result = list(steady(items, 1.0))
    assert [item for _, item, _ in result] == list(range(len(stamps)))
    assert [time for time, _, _ in result] == pytest.approx(times)
    assert sum(flag for *_, flag in result) == repaired


def test_frames_that_an_edit_list_hides_are_not_lost(shared, tmp_path):
    options = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
    path = tmp_path / "a.mp4"
    clips.remux(shared["plain"], path, lambda index, pts: pts - 5120, container_options=options)
    clip = load(path)
    assert (numbers(clip), clip.info.frames, clip.notes) == (list(range(10, 30)), 20, [])
    assert clip.times == pytest.approx(np.arange(20) / 25)


HELD = [*range(8), *range(16, 24)]  # the frames of 24 that have a picture of their own


@pytest.mark.parametrize(("codec", "pix_fmt"), [("mpeg4", "yuv420p"), ("ffv1", "bgra")])
def test_null_frames_of_avi_are_no_loss(tmp_path, codec, pix_fmt):
    path = encode(tmp_path / "a.avi", clips.noise(16), codec, pix_fmt, stamps=HELD)
    clip = load(path)
    assert clip.times == pytest.approx(np.array(HELD) / 25)
    assert (clip.info.frames, len(clip.frames), clip.notes) == (24, 16, [])
    last = round(load(clips.cut(path, tmp_path / "cut.avi", 0.75)).times[-1] * 25)
    assert 0 < last < 22
    note = load(tmp_path / "cut.avi").notes[0]
    assert note == f"{23 - last} of 24 frames lost: the file is truncated"
    data = path.read_bytes()
    lost = data.index(b"00dc", data.index(b"00dc", data.index(b"movi")) + 9)
    (tmp_path / "bad.avi").write_bytes(data[:lost] + b"\xff" * 12 + data[lost + 12 :])
    with Reader(tmp_path / "bad.avi") as reader:
        list(reader)
    assert reader.lost >= 1
    assert f"{reader.lost} of 24 frames lost: the file is damaged" in reader.notes[0]


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
@pytest.mark.parametrize("coded", [8, 16])
def test_pictures_of_mpeg4_that_are_not_coded_are_no_loss(tmp_path, name, coded):
    """The vop_coded flag of ISO/IEC 14496-2, 6.2.5, is 0: the picture before is shown again."""

    def not_coded(index: int) -> bytes:
        bits = f"0101{index % 25:05b}100"  # P-VOP, time increment in 5 bits, marker, not coded
        return b"\0\0\1\xb6" + int(bits + "1111", 2).to_bytes(2, "big")

    encode(tmp_path / "whole.mp4", grey(16), "mpeg4", options={"qmin": "1", "b": "9000000"})
    with av.open(str(tmp_path / "whole.mp4")) as source:
        extradata = source.streams.video[0].codec_context.extradata
        packets = [bytes(packet) for packet in source.demux(video=0) if packet.size]
    packets[coded:coded] = [not_coded(index) for index in range(coded, coded + 8)]
    clip = load(mux(tmp_path / name, "mpeg4", "yuv420p", packets, extradata))
    shown = numbers(clip)
    assert shown[:16] == [*range(16)]
    assert set(shown[16:]) == ({15} if coded == 16 else set())
    assert clip.times[:coded] == pytest.approx(np.arange(coded) / 25, abs=1e-6)
    assert clip.times[-1] == pytest.approx(23 / 25, abs=1e-6)
    assert clip.notes == []


@pytest.mark.parametrize("colour", [None, (1, 1), (6, 1), (1, 2), (6, 2)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_matrix_and_range_are_respected(tmp_path, colour, pix_fmt):
    colours = [(220, 30, 30), (30, 200, 40), (40, 50, 210), (255,) * 3, (0,) * 3, (90,) * 3]
    image = np.repeat(np.array([colours], np.uint8), 16, axis=1).repeat(64, axis=0)
    options = {"crf": "1", "preset": "veryfast"}
    path = encode(tmp_path / "a.mp4", [image] * 2, pix_fmt=pix_fmt, colour=colour, options=options)
    seen = load(path).frames[1][32, 8::16].astype(int)
    assert np.abs(seen - colours).max() <= 5


EXIF = {1: "RGBW", 2: "GRWB", 3: "WBGR", 4: "BWRG", 5: "RBGW", 6: "BRWG", 7: "WGBR", 8: "GWRB"}
"""What `corners` looks like through each orientation."""


@pytest.mark.parametrize("orientation", EXIF)
@pytest.mark.parametrize("name", ["a.avi", "a.mjpeg"])
def test_photographs_that_were_copied_into_a_video(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "ACME", orientation
    data = io.BytesIO()
    Image.fromarray(corners()).save(data, "JPEG", exif=exif, quality=95)
    (tmp_path / "a.jpg").write_bytes(data.getvalue())
    mux(tmp_path / name, "mjpeg", "yuvj420p", [data.getvalue()] * 5)
    clip, still = load(tmp_path / name), load(tmp_path / "a.jpg")
    assert clip.frames.shape == (5, *still.frames.shape[1:])
    assert read_corners(clip.frames[4]) == read_corners(still.frames[0]) == EXIF[orientation]
    assert still.frames.shape[1:3] == (still.info.height, still.info.width)
    assert np.allclose(clip.times, np.arange(5) / 25)


@pytest.mark.parametrize(("matrix", "degrees", "aspect", "size", "seen"), [
    # display matrices (a b u, c d v, x y w)
    ((1, 0, 0, 1), 0, Fraction(3, 2), (96, 48), "RGBW"),
    ((1, 0, 0, 1), 0, Fraction(2, 3), (64, 72), "RGBW"),
    ((1, 0, 0, 1), 0, Fraction(200), (64, 48), "RGBW"),  # absurd: passed over
    ((0, 1, -1, 0), 90, Fraction(3, 2), (48, 96), "BRWG"),
    ((-1, 0, 0, -1), 180, None, (64, 48), "WBGR"),
    ((0, -1, 1, 0), 270, None, (48, 64), "GWRB"),
    ((-1, 0, 0, 1), None, None, (64, 48), "GRWB"),
    ((1, 0, 0, -1), None, None, (64, 48), "BWRG"),
    ((0, 1, 1, 0), None, None, (48, 64), "RBGW"),
])  # fmt: skip
def test_rotation_mirroring_and_square_pixels(tmp_path, matrix, degrees, aspect, size, seen):
    a, b, c, d = (value << 16 for value in matrix)
    whole = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    clip = load(encode(tmp_path / "a.mp4", [corners()] * 2, matrix=whole, aspect=aspect))
    assert (clip.info.width, clip.info.height) == clip.frames.shape[2:0:-1] == size
    assert [read_corners(frame) for frame in clip.frames] == [seen] * 2
    assert degrees in (None, clip.info.rotation)


def box(kind: bytes, *parts: bytes, version: int | None = None) -> bytes:
    """A box of ISO/IEC 14496-12, with a version and no flags where one is named."""
    body = b"".join(parts if version is None else [struct.pack(">I", version << 24), *parts])
    return struct.pack(">I4s", 8 + len(body), kind) + body


def test_a_picture_of_tiles_is_refused(tmp_path):
    """As phones write HEIC: FFmpeg gives each tile as a stream, one of which is not the picture."""
    pack, path, begin = struct.pack, tmp_path / "a.heic", 32  # where the contents lie
    # With B-frames x265 gives a single picture a time that it never set.
    quiet = {"x265-params": "log-level=none:bframes=0"}
    data = encode(tmp_path / "a.mp4", grey(1, 64, 64), "libx265", options=quiet).read_bytes()
    place = data.index(b"hvcC") - 4
    settings = data[place : place + int.from_bytes(data[place : place + 4], "big")]
    with av.open(str(tmp_path / "a.mp4")) as source:
        tile = bytes(next(source.demux(video=0)))
    grid = pack(">BBBBHH", 0, 0, 0, 1, 128, 64)
    places = known = b""
    for item, kind, content in ((1, b"hvc1", tile), (2, b"hvc1", tile), (3, b"grid", grid)):
        places += pack(">HHHII", item, 0, 1, begin, len(content))
        known += box(b"infe", pack(">HH4sB", item, 0, kind, 0), version=2)
        begin += len(content)
    sizes = [box(b"ispe", pack(">II", side, 64), version=0) for side in (64, 128)]
    uses = pack(">IHBBBHBBBHBB", 3, 1, 2, 0x81, 2, 2, 2, 0x81, 2, 3, 1, 3)
    parts = [
        box(b"hdlr", pack(">I4s", 0, b"pict"), bytes(13), version=0),
        box(b"pitm", pack(">H", 3), version=0),
        box(b"iloc", pack(">BBH", 0x44, 0, 3), places, version=0),
        box(b"iinf", pack(">H", 3), known, version=0),
        box(b"iref", box(b"dimg", pack(">HHHH", 3, 2, 1, 2)), version=0),
        box(b"iprp", box(b"ipco", settings, *sizes), box(b"ipma", uses, version=0)),
    ]
    data = box(b"ftyp", b"heic", bytes(4), b"mif1heic") + box(b"mdat", tile, tile, grid)
    path.write_bytes(data + box(b"meta", *parts, version=0))
    with refused("stored as tiles, which are not joined here; convert it", ClipError):
        probe(path)
