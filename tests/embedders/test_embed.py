"""Embedding a clip: what is refused; reading, preparing and encoding overlap in bounded memory."""

import threading
import time
import weakref
from unittest.mock import Mock

import harness
import numpy as np
import pytest
import torch
from clips import refused

import spf
from spf.embedders.base import embed_clip
from spf.errors import ClipError, ConfigError, UnavailableError
from spf.video import Reader, Sampling


def test_measure_uses_the_clips_own_times_and_its_settings(tmp_path):
    path = harness.save(tmp_path / "clip.mp4", harness.steady(30, power=2.0), rate=12)
    vectors = spf.embed(path, "pixels")
    np.testing.assert_array_equal(spf.embed(str(path), "pixels"), vectors)
    curve = spf.measure(path, "pixels")
    np.testing.assert_allclose(curve.times, np.arange(30) / 12, atol=1e-6)
    assert (curve.progress[0], curve.progress[-1]) == (0, 1)
    skipped = spf.measure(path, "pixels", sampling=spf.Sampling(stride=2))
    np.testing.assert_allclose(skipped.times, np.arange(0, 30, 2) / 12, atol=1e-6)
    rough = spf.measure(path, "pixels", window=2, monotone="increments")
    same = spf.fit(vectors, times=curve.times, window=2, monotone="increments")
    np.testing.assert_array_equal(rough.progress, same.progress)
    assert not np.array_equal(rough.progress, curve.progress)


BLACK = np.zeros((4, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(("clip", "settings", "error", "message"), [
    *((x, {}, ValueError, "frames") for x in (BLACK.astype(np.float32), BLACK[0], BLACK[..., :2])),
    *((x, {}, ValueError, "frames") for x in (BLACK[:, :, :0], BLACK[:0])),
    (BLACK[:1], {}, ClipError, "1 frame"),
    *((BLACK, {"device": device}, ValueError, "device") for device in ("gpu", None)),
    (BLACK, {"batch_size": 0}, ValueError, "batch_size"),
    (BLACK, {"embedder": "pixel"}, ConfigError, r"'pixel'.*did you mean pixels"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused_in_one_line(clip, settings, error, message):
    measure = spf.embed if len(clip) == 4 else spf.measure
    with pytest.raises(error, match=message) as raised:
        measure(clip, **settings)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_broken_vectors_name_their_frame(value):
    def encode(batch):
        return np.where(batch == 255, value, 1).astype(np.float32)

    clip = np.zeros((9, 8, 8, 3), np.uint8)
    clip[6] = 255
    with refused("frame 6", ClipError):
        spf.measure(clip, embedder=harness.Linear(encode))


@pytest.fixture(autouse=True)
def _no_thread_stays():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("spf-ahead")]


@pytest.fixture
def path(tmp_path):
    return harness.save(tmp_path / "clip.mp4", harness.steady(12))


def clip(count=20):
    return [(np.full((6, 8, 3), index % 256, np.uint8), index / 10) for index in range(count)]


def test_frames_are_passed_on_and_prepared_in_order_while_a_batch_is_encoded():
    log = []  # what, which frame, whether by this thread
    main = threading.get_ident()

    def note(what, number):
        log.append((what, float(number), threading.get_ident() == main))

    class Slow(harness.Linear):
        def prepare(self, image):
            note("prepare", image[0, 0, 0])
            return super().prepare(image)

        def encode(self, batch):
            note("encode", batch[0, 0])
            time.sleep(0.05)
            note("encoded", batch[0, 0])
            return super().encode(batch)

    passed = lambda image, time: note("passed", image[0, 0, 0] + time)  # noqa: E731
    vectors = embed_clip(iter(clip()), Slow(), batch_size=4, on_frame=passed).vectors
    assert {what for what, _, here in log if here} == {"encode", "encoded"}
    inside = log[log.index(("encode", 0, True)) : log.index(("encoded", 0, True))]
    assert "prepare" in [what for what, *_ in inside]
    assert [x[1:] for x in log if x[0] == "prepare"] == [(k, False) for k in range(20)]
    assert [x[1] for x in log if x[0] == "passed"] == [k + k / 10 for k in range(20)]
    plain = harness.Linear()  # the same bits as one frame after the other
    rows = plain.encode(np.stack([plain.prepare(image) for image, _ in clip()])).astype(float)
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    np.testing.assert_array_equal(vectors, rows.astype(np.float32))


def test_an_embedder_may_stack_its_own_batches():
    embedder = harness.Linear()
    embedder.stack = lambda prepared: np.stack(prepared)[::-1]
    plain, turned = (embed_clip(iter(clip(3)), x) for x in (harness.Linear(), embedder))
    np.testing.assert_array_equal(turned.vectors, plain.vectors[::-1])


@pytest.mark.parametrize("where", ["source", "on_frame", "prepare", "encode"])
@pytest.mark.parametrize("error", [ClipError("c", "bad", "mend"), KeyboardInterrupt()], ids=repr)
def test_an_error_anywhere_ends_everything(where, error):
    closed, fail = threading.Event(), Mock(side_effect=error)

    def source():
        try:
            for index, frame in enumerate(clip(1000)):
                if where == "source" and index == 9:
                    fail()
                yield frame
        finally:
            closed.set()

    embedder = harness.Linear(fail if where == "encode" else None)
    if where == "prepare":
        embedder.prepare = fail
    with pytest.raises(type(error)) as raised:
        embed_clip(source(), embedder, on_frame=fail if where == "on_frame" else None)
    assert raised.value is error
    assert closed.is_set()


def limited(most, error):
    """An encoder that takes at most so many frames, and the sizes it was asked for."""
    asked = []

    def encode(batch):
        asked.append(len(batch))
        if len(batch) > most:
            raise error
        return np.concatenate([batch, np.ones((len(batch), 1))], axis=1).astype(np.float32)

    return encode, asked


@pytest.mark.parametrize("error", [
    MemoryError(),
    RuntimeError("CUDA error: out of memory"),  # also looks like a lost GPU
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
], ids=repr)  # fmt: skip
def test_a_batch_that_does_not_fit_is_halved_once_and_for_all(error, capsys):
    encode, asked = limited(3, error)
    embedder = harness.Linear(encode)
    vectors = embed_clip(iter(clip(21)), embedder, batch_size=16).vectors
    plenty = embed_clip(iter(clip(21)), harness.Linear(limited(99, error)[0]))
    np.testing.assert_array_equal(vectors, plenty.vectors)
    assert asked == [16, 8, 4, 2, *[2] * 7, 2, 2, 1]
    (line,) = capsys.readouterr().err.splitlines()
    assert "16 frames" in line
    assert "goes on with 2" in line
    asked.clear()
    embed_clip(iter(clip(4)), embedder, batch_size=16)
    assert (asked, capsys.readouterr().err) == ([2, 2], "")


GPU_LOST = RuntimeError("CUDA error: unspecified launch failure\nCompile with")


@pytest.mark.parametrize(("error", "message", "sizes"), [
    (MemoryError(), r"frames: a single frame does not fit.*or the CPU", [8, 4, 2, 1]),
    (GPU_LOST, r"frames: the GPU failed \(CUDA error", [8]),
    (RuntimeError("mat1 and mat2"), None, [8]),
    (UnavailableError("weights"), None, [8]),
], ids=repr)  # fmt: skip
def test_what_an_embedder_raises_fails_its_clip_or_is_no_lack_of_memory(error, message, sizes):
    encode, asked = limited(0, error)
    with pytest.raises(ClipError if message else type(error), match=message) as raised:
        embed_clip(iter(clip(8)), harness.Linear(encode), batch_size=8)
    assert asked == sizes
    assert "\n" not in str(raised.value)
    assert message or raised.value is error


def test_a_clip_with_too_many_frames_is_refused(path, monkeypatch):
    monkeypatch.setattr("spf.embedders.base.MAX_FRAMES", 12)
    assert len(embed_clip(path, harness.Linear()).vectors) == 12
    monkeypatch.setattr("spf.embedders.base.MAX_FRAMES", 11)
    with pytest.raises(ClipError, match="more than 11 frames"):
        embed_clip(path, harness.Linear())
    assert len(embed_clip(path, harness.Linear(), sampling=Sampling(stride=2)).vectors) == 6


def test_large_frames_are_held_one_at_a_time(path, monkeypatch):
    expected = embed_clip(path, harness.Linear()).vectors
    alive, frames, plainly = [], [], Reader.__next__

    def counted(self):
        alive.append(sum(frame() is not None for frame in frames))
        image, time = plainly(self)
        image = image.copy()  # its memory is its own
        frames.append(weakref.ref(image))
        return image, time

    monkeypatch.setattr(Reader, "__next__", counted)
    monkeypatch.setattr("spf.embedders.base.LARGE", 0)
    assert np.array_equal(embed_clip(path, harness.Linear()).vectors, expected)
    assert alive == [0] * 13


def test_lack_of_memory_while_reading_is_an_error_of_the_clip(path):
    embedder = harness.Linear()
    embedder.prepare = Mock(side_effect=MemoryError())
    with refused("does not fit into the memory", ClipError):
        embed_clip(path, embedder)
