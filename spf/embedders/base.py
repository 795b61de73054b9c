"""What an embedder is, and how a clip is streamed through one."""

import math
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spf.embedders.views import Sample, View, views_of
from spf.errors import ClipError, ConfigError, is_out_of_memory, one_line
from spf.video import MAX_FRAMES, ClipInfo, GuardedReader, Reader, Sampling
from spf.video.pixels import STILL, Bars, PixelStatistics, pixel_notes

T = TypeVar("T")
Image = NDArray[np.uint8]
Source = str | os.PathLike[str] | ArrayLike | Iterator[tuple[Image, float]]
OnFrame = Callable[[Image, float], object]

LARGE = 2**25  # bytes of a frame (11 megapixels) from which on none is read ahead
FRAMES = "frames"  # what errors call a clip that came from memory
FITTING = "_frames_that_fit"  # where an embedder that once had too many stores how many it takes
GPU_FAILED = "the GPU failed"  # what the reason begins with, for those who start again then
GPU_LOST = ("cuda error", "cudnn error", "device-side assert")


class Embedder(Protocol):
    """Frames -> vectors. `prepare` runs a frame at a time, `encode` a batch at a time.

    name : what chooses it. control : whether it is a control (no semantics in it), which
    every table says. batch_size : frames per batch unless the caller asks for another.

    `prepare` is called by a background thread while `encode` works on an earlier batch. An embedder
    may have a method `stack` too, called there as well: prepared frames -> batch; else `np.stack`;
    a `cut_angle`, radians below which no step is a hard cut (docs/concepts/cuts.md); and a class
    method `missing_requirements`: what is not here that it needs by default, "" if nothing.
    """

    name: str
    control: bool
    batch_size: int

    def prepare(self, image: Image) -> NDArray[Any]:
        """The model's input for a frame (H, W, 3) uint8 RGB: one fixed shape and dtype."""
        ...

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Vectors (B, D) float32, of any positive length, of B prepared frames."""
        ...

    def identity(self) -> dict[str, Any]:
        """Everything that determines the vectors, beside the frames: it is part of cache keys."""
        ...


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Vectors (T, D) float32 with unit rows, times (T,) float64, and what was read.

    `unit` is that of the times: "s", or "frames" where no rate is known. `info` is None for frames
    that came from memory; `notes` has a line for each thing lost, and for what the pixels show
    beside the meaning. changes (T,) and range : see `PixelStatistics`. differences : (F, V, D)
    float32, unit vectors of V views of F of the frames, minus those of the frames; empty without.
    """

    vectors: NDArray[np.float32]
    times: NDArray[np.float64]
    unit: Literal["s", "frames"] = "s"
    info: ClipInfo | None = None
    notes: list[str] = field(default_factory=list)
    changes: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    range: float = math.inf
    differences: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0, 0), "f4"))

    @property
    def is_still(self) -> bool:
        """Whether the pixels are those of a still image, whatever an encoder left in them."""
        return self.range <= STILL


def embed_clip(
    source: Source,
    embedder: Embedder,
    batch_size: int | None = None,
    sampling: Sampling | None = None,
    on_frame: OnFrame | None = None,
    reader: Callable[[str | os.PathLike[str], Sampling], Reader | GuardedReader] = Reader,
    crop_bars: bool = False,
    nuisance: str = "none",
) -> Embeddings:
    """Stream a clip through an embedder; memory does not grow with the clip, but for its vectors.

    source : path, frames (T, H, W, 3) uint8 (times are their indices), or an iterable of
    (image, seconds). sampling : of a file's frames; frames from memory are all used.
    on_frame : called with every frame and its time, in order (progress bars, thumbnails), by the
    background thread that prepares frames, while the model works on earlier ones.
    reader : `GuardedReader` where files may be hostile or damaged. crop_bars : embed frames without
    their black bars; raises BarsEndError where a later frame shows that they are none. nuisance :
    whose views (`spf.embedders.views`) of nine frames are embedded behind the others, in the same
    pass; it changes no vector of a frame.

    Files are decoded by one thread and frames prepared by another, one batch ahead of the model;
    frames of more than `LARGE` bytes are read when they are wanted, so that one is held at a time.
    A batch that does not fit into memory is halved, with a message.

    Raises ClipError for what cannot be read, where the embedder returns NaN or zeros, where a
    single frame does not fit into memory, the clip has more than MAX_FRAMES frames, or the GPU
    fails; ConfigError for a sampling of frames from memory, and an unknown nuisance.
    """
    views = views_of(nuisance)
    size = embedder.batch_size if batch_size is None else batch_size
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, not {size!r}")
    if isinstance(source, str | os.PathLike):
        bars = Bars() if crop_bars else None
        with reader(source, sampling or Sampling()) as opened:
            info = opened.info
            frames = opened if 3 * info.width * info.height > LARGE else _ahead(opened)
            unit: Literal["s", "frames"] = "frames" if info.fps is None else "s"
            try:
                found = _stream(
                    frames, embedder, size, on_frame, source, unit, bars, views, MAX_FRAMES
                )
            except MemoryError:
                what = "it does not fit into the memory of this machine"
                remedy = "scale it down, or use fewer of its frames"
                raise ClipError(source, what, remedy) from None
            notes = [*opened.notes, *(bars.notes() if bars else []), *found.notes]
            return replace(found, info=info, notes=notes)
    if sampling not in (None, Sampling()):
        raise ConfigError("sampling applies to files; choose the frames beforehand")
    if isinstance(source, Iterator):
        return _stream(source, embedder, size, on_frame, FRAMES, "s", None, views)
    held = np.asarray(source)
    fits = held.ndim == 4 and held.shape[-1] == 3 and held.dtype == np.uint8
    if not fits or 0 in held.shape:
        raise ValueError(f"frames must be (T, H, W, 3) uint8, not {held.shape} {held.dtype}")
    numbered = ((image, float(index)) for index, image in enumerate(held))
    return _stream(numbered, embedder, size, on_frame, FRAMES, "frames", None, views)


def _ahead(items: Iterable[T]) -> Generator[T]:
    """The items, in order; a background thread computes the next one while one is used.

    When this generator is closed, `items` is too, if it can be.
    """
    iterator = iter(items)
    with ExitStack() as at_end:
        at_end.callback(getattr(items, "close", bool))
        thread = at_end.enter_context(ThreadPoolExecutor(1, "spf-ahead"))
        waiting: Future[T | None] = thread.submit(next, iterator, None)
        while (item := waiting.result()) is not None:
            waiting = thread.submit(next, iterator, None)
            yield item
            del item  # or it would be held while the one after the next is computed


def _stream(
    frames: Iterable[tuple[Image, float]],
    embedder: Embedder,
    size: int,
    on_frame: OnFrame | None,
    source: object,
    unit: Literal["s", "frames"],
    bars: Bars | None,
    views: Sequence[View],
    most: float = math.inf,
) -> Embeddings:
    times: list[float] = []
    pixels, sample = PixelStatistics(), Sample()
    vectors: list[NDArray[np.float32]] = []
    stack = getattr(embedder, "stack", np.stack)

    def batches() -> Iterator[tuple[Any, list[float]]]:
        """Prepared batches of the frames, each with their times, then of the views, without any.

        The views have batches of their own, so that the frames' vectors are rounded as without.
        """
        prepared: list[Any] = []
        at: list[float] = []
        with ExitStack() as at_end:
            at_end.callback(getattr(frames, "close", bool))
            for image, time in frames:
                if len(pixels.changes) == most:
                    what = f"it has more than {MAX_FRAMES} frames"  # memory is bounded
                    raise ClipError(source, what, "use fewer of them, or cut it")
                if on_frame is not None:
                    on_frame(image, time)
                pixels.add(image)
                inside = image if bars is None else bars.crop(image)
                prepared.append(embedder.prepare(inside))
                at.append(time)
                if views:
                    sample.add(inside)
                del image, inside  # or they would be held while the next one is read
                if len(prepared) == size:
                    yield stack(prepared), at
                    prepared, at = [], []
            if prepared:
                yield stack(prepared), at
        again = [View(), *views] if sample.reduced else views
        images = (view.of(image) for _, image in sample.chosen() for view in again)
        while part := [embedder.prepare(image) for image in islice(images, size)]:
            yield stack(part), []

    with closing(_ahead(batches())) as prepared:
        for batch, at in prepared:
            vectors.append(_encode(embedder, batch, source))
            times += at
    if not vectors:
        raise ClipError(source, "there are no frames", "give at least one")
    found, count = np.concatenate(vectors), len(times)
    rows = _unit(found[:count], source)
    notes = pixel_notes(pixels, np.array(times), unit)
    changes = np.array(pixels.changes)
    made = Embeddings(rows, np.array(times), unit, None, notes, changes, pixels.range)
    if not views:
        return made
    chosen = [index for index, _ in sample.chosen()]
    seen = _unit(found[count:], source, "a view, number").reshape(len(chosen), -1, rows.shape[1])
    own = seen[:, :1] if sample.reduced else rows[chosen, None]
    return replace(made, differences=seen[:, -len(views) :] - own)


def _encode(embedder: Embedder, batch: Any, source: object) -> NDArray[np.float32]:
    """Vectors of a batch, in parts where the whole does not fit into memory."""
    done: list[NDArray[np.float32]] = []
    size = known = min(len(batch), getattr(embedder, FITTING, len(batch)))
    start = 0
    while start < len(batch):
        part = batch[start : start + size]
        try:
            done.append(embedder.encode(part))
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                if size == 1:
                    what = f"a single frame does not fit into memory with embedder {embedder.name}"
                    raise ClipError(source, what, "use a smaller model, or the CPU") from None
                size = len(part) // 2
            elif any(x in str(error).lower() for x in GPU_LOST):
                what = f"{GPU_FAILED} ({one_line(error, 100)})"
                raise ClipError(source, what, "start again: what is finished stays") from None
            else:
                raise
        else:
            start += len(part)
            if size < known:
                known = size
                with suppress(AttributeError):  # an object with slots forgets
                    setattr(embedder, FITTING, size)
                text = f"embedder {embedder.name}: {len(batch)} frames at once do not fit into "
                print(f"{text}memory; it goes on with {size}", file=sys.stderr)
    return done[0] if len(done) == 1 else np.concatenate(done)


def _unit(vectors: NDArray[np.float32], source: object, of: str = "frame") -> NDArray[np.float32]:
    """Rows of length 1, float32, normalised in float64."""
    rows = vectors.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1)
    bad = ~(np.isfinite(norms) & (norms > 0))
    if bad.any():
        which = f"the embedder gave NaN or zeros for {of} {int(np.argmax(bad))}"
        raise ClipError(source, which, "try another embedder, device or precision")
    return (rows / norms[:, None]).astype(np.float32)
