"""Reading clips: formats, order, sampling, streams."""

import clips
import numpy as np
import pytest
from clips import encode, grey, number, numbers, refused
from PIL import features

from spf.errors import ClipError
from spf.video import Reader, Sampling, load, probe


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
