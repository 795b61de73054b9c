"""Reading, preparing and encoding overlap, in order, in bounded memory, and end together."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest

import spf
from spf.embedders.ahead import ahead
from spf.embedders.base import embed_clip
from spf.errors import ClipError, UnavailableError
from spf.video import Reader, Sampling

Frame = tuple[np.ndarray, float]


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "spf-ahead"]


def clip(count: int = 20) -> list[Frame]:
    return [(np.full((6, 8, 3), index % 256, np.uint8), index / 10) for index in range(count)]


class Slow(harness.Linear):
    """Remembers in which thread and order what was done."""

    def __init__(self, encode: Any = None) -> None:
        super().__init__(encode)
        self.log: list[tuple[str, int]] = []
        self.threads: dict[str, set[int]] = {"prepare": set(), "encode": set()}

    def prepare(self, image: np.ndarray) -> np.ndarray:
        self.log.append(("prepare", int(image[0, 0, 0])))
        self.threads["prepare"].add(threading.get_ident())
        return super().prepare(image)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        self.threads["encode"].add(threading.get_ident())
        self.log.append(("encode", int(batch[0, 0])))
        time.sleep(0.05)
        self.log.append(("done", int(batch[0, 0])))
        return super().encode(batch)


# Items ahead


def test_items_come_in_order_and_few_wait() -> None:
    made = []

    def items() -> Iterator[int]:
        for index in range(20):
            made.append(index)
            yield index

    for index in ahead(items(), depth=2):
        time.sleep(0.005)
        assert len(made) <= index + 1 + 2 + 1 + 1  # waiting, offered, being made
    assert made == list(range(20))
    assert list(ahead([])) == []


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ClipError("x", "torn", "mend it")

    stream = ahead(items())
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(ClipError, match="torn"):
        next(stream)


def test_stopping_early_closes_the_items() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    stream = ahead(items())
    assert next(stream) == 1
    stream.close()
    assert closed.is_set()


def test_one_thread_can_feed_another() -> None:
    def doubled(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            yield 2 * item

    assert list(ahead(doubled(ahead(range(9))))) == [2 * item for item in range(9)]


# A clip


def test_frames_are_prepared_while_a_batch_is_encoded() -> None:
    slow = Slow()
    vectors = embed_clip(iter(clip()), slow, batch_size=4).vectors
    assert slow.threads["encode"] == {threading.get_ident()}
    assert threading.get_ident() not in slow.threads["prepare"]
    inside = slow.log[slow.log.index(("encode", 0)) : slow.log.index(("done", 0))]
    assert [what for what, _ in inside].count("prepare") >= 1
    prepared = [frame for what, frame in slow.log if what == "prepare"]
    assert prepared == list(range(20))
    # The same bits as one frame after the other.
    alone = [
        slow.encode(np.stack([slow.prepare(image) for image, _ in clip()[k : k + 4]]))
        for k in range(0, 20, 4)
    ]
    rows = np.concatenate(alone).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    np.testing.assert_array_equal(vectors, rows.astype(np.float32))


def test_an_embedder_may_stack_its_own_batches() -> None:
    class Stacking(harness.Linear):
        def stack(self, prepared: list[np.ndarray]) -> np.ndarray:
            return np.stack(prepared)[:, ::-1]

    plain, reversed_ = (embed_clip(iter(clip(3)), kind()) for kind in (harness.Linear, Stacking))
    np.testing.assert_array_equal(reversed_.vectors[:, :3], plain.vectors[:, 2::-1])


@pytest.mark.parametrize("where", ["source", "on_frame", "prepare", "encode"])
@pytest.mark.parametrize("error", [ClipError("c", "bad", "mend"), KeyboardInterrupt()], ids=repr)
def test_an_error_anywhere_ends_everything(where: str, error: BaseException) -> None:
    """It is raised as it is, no thread stays, and the source is closed."""
    closed = threading.Event()

    def fail(*_: object) -> None:
        raise error

    def source() -> Iterator[Frame]:
        try:
            for index, frame in enumerate(clip(1000)):
                if where == "source" and index == 9:
                    fail()
                yield frame
        finally:
            closed.set()

    embedder = harness.Linear(fail if where == "encode" else None)
    if where == "prepare":
        embedder.prepare = fail  # type: ignore[method-assign,assignment]
    with pytest.raises(type(error)) as raised:
        embed_clip(source(), embedder, on_frame=fail if where == "on_frame" else None)
    assert raised.value is error
    assert closed.is_set()


def test_a_file_is_closed_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = harness.save(tmp_path / "clip.mp4", harness.steady(30))
    closed = []
    close = Reader.close
    monkeypatch.setattr(Reader, "close", lambda self: (closed.append(1), close(self)))

    def fail(batch: np.ndarray) -> np.ndarray:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        embed_clip(path, harness.Linear(fail))
    assert closed


# Memory


def limited(most: int, error: Exception) -> tuple[Any, list[int]]:
    """An encoder that takes at most so many frames, and the sizes it was asked for."""
    asked: list[int] = []

    def encode(batch: np.ndarray) -> np.ndarray:
        asked.append(len(batch))
        if len(batch) > most:
            raise error
        return np.concatenate([batch, np.ones((len(batch), 1))], axis=1).astype(np.float32)

    return encode, asked


OUT_OF_MEMORY = [
    MemoryError(),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_a_batch_that_does_not_fit_is_halved_once_and_for_all(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    encode, asked = limited(3, error)
    embedder = harness.Linear(encode)
    vectors = embed_clip(iter(clip(21)), embedder, batch_size=16).vectors
    np.testing.assert_array_equal(
        vectors, embed_clip(iter(clip(21)), harness.Linear(limited(99, error)[0])).vectors
    )
    assert asked == [16, 8, 4, 2, *[2] * 7, 2, 2, 1]
    (line,) = capsys.readouterr().err.splitlines()
    assert "16 frames" in line
    assert "goes on with 2" in line
    asked.clear()
    embed_clip(iter(clip(4)), embedder, batch_size=16)
    assert asked == [2, 2]
    assert not capsys.readouterr().err


def test_a_frame_that_does_not_fit_fails_its_clip() -> None:
    encode, asked = limited(0, MemoryError())
    with pytest.raises(ClipError, match=r"frames: a single frame does not fit.*or the CPU"):
        embed_clip(iter(clip(8)), harness.Linear(encode), batch_size=8)
    assert asked == [8, 4, 2, 1]


def test_a_gpu_that_fails_fails_its_clip(tmp_path: Path) -> None:
    path = harness.save(tmp_path / "clip.mp4", harness.steady())
    encode, _ = limited(0, RuntimeError("CUDA error: unspecified launch failure\nCompile with"))
    with pytest.raises(ClipError, match=r"clip.mp4: the GPU failed \(CUDA error") as error:
        embed_clip(path, harness.Linear(encode))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2"), UnavailableError("weights")])
def test_other_errors_are_not_taken_for_a_lack_of_memory(error: Exception) -> None:
    encode, asked = limited(0, error)
    with pytest.raises(type(error)) as raised:
        embed_clip(iter(clip(8)), harness.Linear(encode), batch_size=8)
    assert raised.value is error
    assert asked == [8]


def test_other_cells_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory on one clip of a run."""
    histogram = type(spf.embedders.load_embedder("histogram"))
    original = histogram.encode

    def encode(self: object, batch: np.ndarray) -> np.ndarray:
        if batch.shape[0] == 1 and batch.mean() == 0:
            raise MemoryError
        return original(self, batch) if batch.mean() else encode(self, batch[:1])

    monkeypatch.setattr(histogram, "encode", encode)
    black = [np.zeros((32, 32, 3), np.uint8)] * 6
    folder = harness.layout(tmp_path / "clips", {"a": {"p": black}, "b": {"p": harness.steady()}})
    run = harness.run(folder, tmp_path / "out", "embedder=histogram")
    assert run.code == 1
    bad, good = run.results.records
    assert good["status"] == "done"
    assert "does not fit into memory" in bad["reason"]


# Bounds


def test_a_clip_with_too_many_frames_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = harness.save(tmp_path / "a.mp4", harness.steady(12))
    monkeypatch.setattr("spf.embedders.base.MAX_FRAMES", 12)
    assert len(embed_clip(path, harness.Linear()).vectors) == 12
    monkeypatch.setattr("spf.embedders.base.MAX_FRAMES", 11)
    with pytest.raises(ClipError, match="more than 11 frames"):
        embed_clip(path, harness.Linear())
    assert len(embed_clip(path, harness.Linear(), sampling=Sampling(stride=2)).vectors) == 6


def test_large_frames_are_held_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same vectors; and when a frame is read, the one before it is gone."""
    path = harness.save(tmp_path / "a.mp4", harness.steady(12))
    expected = embed_clip(path, harness.Linear()).vectors
    alive: list[int] = []
    frames: list[weakref.ref[np.ndarray]] = []
    plainly = Reader.__next__

    def counted(self: Reader) -> Frame:
        alive.append(sum(frame() is not None for frame in frames))
        image, time = plainly(self)
        image = image.copy()  # its memory is its own
        frames.append(weakref.ref(image))
        return image, time

    monkeypatch.setattr(Reader, "__next__", counted)
    monkeypatch.setattr("spf.embedders.base.LARGE", 0)
    assert np.array_equal(embed_clip(path, harness.Linear()).vectors, expected)
    assert alive == [0] * 13


def test_lack_of_memory_while_reading_is_an_error_of_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = harness.save(tmp_path / "a.mp4", harness.steady(12))

    class Greedy(harness.Linear):
        def prepare(self, image: np.ndarray) -> np.ndarray:
            raise MemoryError

    with pytest.raises(ClipError, match="does not fit into the memory"):
        embed_clip(path, Greedy())
